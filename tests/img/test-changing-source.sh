#!/bin/bash
# SPDX-License-Identifier: MIT
# Files that change between scanning and reading: an error that names them,
# never wrong bytes. One that only grew reads as it was scanned.
# shellcheck source=tests/img/lib.sh
. "$(dirname "$0")/lib.sh"

# The program has opened its sources, and waits: its target is a FIFO's far
# end. What is behind the first megabytes has not been read then.
mkdir tree
head -c 8000000 /dev/urandom >tree/a-first
head -c 300000 /dev/urandom >tree/b-small
head -c 8000000 /dev/urandom >tree/c-large
cp -a tree before
mkfifo pipe

# while_reading COMMAND: convert to a pipe, and run it in the middle.
while_reading() {
    img convert -m 1 fat:tree - >pipe 2>err &
    local pid=$!
    {
        head -c 100000 >out.img
        eval "$1"
        cat >>out.img
    } <pipe
    STATUS=0
    wait $pid || STATUS=$?
    ERR=$(cat err)
}

refused() {
    [ "$STATUS" = 1 ] || fail "$1: ended with $STATUS: $ERR"
    case $ERR in
        *"$2"*) ;;
        *) fail "$1: '$2' is not named: $ERR" ;;
    esac
    rm -rf tree
    cp -a before tree
}

while_reading 'truncate -s 1000 tree/c-large'
refused shrinking c-large
while_reading 'rm tree/c-large'
refused vanishing c-large
while_reading 'rm tree/b-small'
refused 'vanishing, small' b-small
while_reading 'cp tree/c-large x; rm tree/c-large; mv x tree/c-large'
refused replacing c-large
while_reading 'rm tree/c-large; mkdir tree/c-large'
refused 'becoming a directory' c-large
while_reading 'rm tree/c-large; ln -s a-first tree/c-large'
refused 'becoming a link' c-large

while_reading 'echo more >>tree/c-large'
[ "$STATUS" = 0 ] || fail "growing: ended with $STATUS: $ERR"
img cat out.img c-large | cmp - before/c-large ||
    fail 'a file that grew does not read as it was'
