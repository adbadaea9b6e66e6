#!/bin/bash
# SPDX-License-Identifier: MIT
# When things come to the directory (commit=), and how much may wait.
# shellcheck source=tests/img/rw-lib.sh
. "$(dirname "$0")/rw-lib.sh"

mkdir empty
copy_disk empty
seq 2000 >new.txt
on_disk mcopy new.txt ::new.txt

# there POLICY WHEN...: after which command the file is in the directory.
after() { # policy yes|no command...
    local policy=$1 wanted=$2
    shift 2
    rm -rf dir seen
    mkdir dir
    on_host "commit=$policy" dir 'load disk.img' "$@" \
        'host if [ -e dir/new.txt ]; then echo yes; else echo no; fi >seen' \
        commit
    [ "$STATUS" = 0 ] || fail "commit=$policy: $ERR"
    [ "$(<seen)" = "$wanted" ] ||
        fail "commit=$policy, after '$*': there: $(<seen)"
    cmp new.txt dir/new.txt
    grep -q "^commit.policy=$policy\$" <<<"$OUT" ||
        fail "commit=$policy is not among the facts: $OUT"
    rm -f dir.vvfat-rescue-*
}
after write yes facts
after flush no facts 'host :'
after flush yes facts flush
after idle no facts flush
after close no facts flush 'host sleep 0.3'
after manual no facts flush 'host sleep 0.3'

# A guest that never flushes, but rests.
rm -rf dir
mkdir dir
# shellcheck disable=SC2016 # for the shell of the command
on_host_well commit-delay=50 dir 'load disk.img' \
    'host for i in $(seq 200); do [ ! -e dir/new.txt ] || exit 0; sleep 0.05; done; exit 1'
on_host_well commit=close dir
cmp new.txt dir/new.txt

# At the end everything comes to the directory, without a word.
rm -rf dir
mkdir dir
expect_output '' img convert -n disk.img "fat:rw:commit=close:$SHAPE:dir"
cmp new.txt dir/new.txt

# The overlay has a bound: what was committed makes room, what cannot be does
# not.
rm -rf dir
mkdir dir
on_host_well overlay-max=64k dir 'load disk.img'
cmp new.txt dir/new.txt
on_host overlay-max=64k dir 'write s1 4M 48k' 'write s1 5M 48k'
grep -q 'overlay is full (overlay-max)' <<<"$ERR" || fail "overlay-max: $ERR"
rm -f dir.vvfat-rescue-*
