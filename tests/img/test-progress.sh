#!/bin/bash
# SPDX-License-Identifier: MIT
# -p: percent, rate and time on a terminal, nothing in a pipe.
# shellcheck source=tests/img/lib.sh
. "$(dirname "$0")/lib.sh"
need script

mkdir tree
head -c 30000000 /dev/urandom >tree/file
run img convert -p fat:tree out.img
[ -z "$OUT$ERR" ] || fail "-p prints into a pipe: $OUT$ERR"

terminal() {
    script -qec "'$VVFAT_IMG' $1" /dev/null </dev/null >screen
}
terminal 'convert -p fat:tree out.img'
grep -aq '100.00 %.*iB/s' screen || fail "no progress: $(cat -v screen)"
terminal 'compare -p fat:tree out.img'
grep -aq '100.00 %.*iB/s' screen || fail "no progress: $(cat -v screen)"
grep -aq 'Images are identical.' screen || fail "$(cat -v screen)"
terminal 'extract -p out.img out'
grep -aq '100.00 %' screen || fail "no progress: $(cat -v screen)"
terminal 'convert -p -q fat:tree out.img'
[ ! -s screen ] || fail "-q shows progress: $(cat -v screen)"
terminal 'convert fat:tree out.img'
[ ! -s screen ] || fail "progress without -p: $(cat -v screen)"
# An image does not go to a terminal.
terminal 'convert fat:tree -' && fail 'an image was written to a terminal'
grep -aq 'terminal' screen || fail "$(head -c 300 screen | cat -v)"
