#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Killed at any moment while the file of overlay=FILE is being made: it can be
# opened again, and no piece of it is in the way. Where there is no room for it,
# it goes with the opening that made it, and nothing else does.

# shellcheck source=tests/img/rw-lib.sh
. "$(dirname "$0")/rw-lib.sh"
need strace

mkdir dir
echo hello >dir/hello.txt
name=fat:rw:$SHAPE:overlay=kept.qcow2:dir
calls=pwrite64,pwritev,ftruncate,fallocate,fsync,fdatasync,linkat

killed=0
for ((k = 1; k < 1000; k++)); do
    rm -f kept.qcow2
    run strace -f -qq -o trace -e "trace=$calls" \
        -e "inject=$calls:signal=KILL:when=$k" "$IMAGE_IO" "$name" flush
    [ "$STATUS" != 0 ] || break
    killed=$((killed + 1))
    run "$IMAGE_IO" "$name" flush
    [ "$STATUS" = 0 ] || fail "after call $k: $ERR"
    [ "$(ls)" = "$(printf '%s\n' dir kept.qcow2 trace)" ] ||
        fail "after call $k there is more than should be: $(ls)"
done
[ "$STATUS" = 0 ] || fail "it does not come to an end: $ERR"
[ $killed -gt 5 ] || fail "only $killed calls were made"
[ "$(ls -A dir)" = hello.txt ] || fail "in the directory: $(ls -A dir)"

# The same calls, without room for one of them or for all from it on.
only_an_attempt() { # injected...
    rm -f opened
    run strace -f -qq -o trace -e "trace=$calls" \
        -e "inject=$calls:error=ENOSPC:when=$1" "$IMAGE_IO" "$name" \
        'host touch opened' flush
    [ "$STATUS" != 0 ] || [ -e opened ] || fail "$1: it ended early"
    [ -e opened ] || grep -q "overlay 'kept.qcow2'.*No space" <<<"$ERR" ||
        fail "$1: no reason is given: $ERR"
}

failed=0
for ((k = 1; k < 1000; k++)); do
    for when in $k $k+; do
        rm -f kept.qcow2
        only_an_attempt "$when"
        [ -e opened ] || [ ! -e kept.qcow2 ] || fail "$when: a file is left"
    done
    [ ! -e opened ] || break
    failed=$((failed + 1))
done
[ -e opened ] || fail "it is never opened: $ERR"
[ $failed -gt 5 ] || fail "only $failed calls can fail"

# One that was there before stays, and is as good as it was.
rm -f kept.qcow2
run "$IMAGE_IO" "$name" 'write 7 4M 64k' flush
for ((k = 1; k < 1000; k++)); do
    only_an_attempt "$k+"
    [ -e kept.qcow2 ] || fail "$k+: an overlay is gone"
    [ ! -e opened ] || break
done
run "$IMAGE_IO" "$name" 'read -P 7 4M 64k'
[ "$STATUS" = 0 ] || fail "what was kept is gone: $ERR"

# A name that was there before, and leads nowhere: what it led to goes.
rm -f kept.qcow2
ln -s target.qcow2 kept.qcow2
only_an_attempt 12+
[ ! -e opened ] || fail 'opened without room'
[ -L kept.qcow2 ] || fail 'a symbolic link is gone'
[ ! -e target.qcow2 ] || fail 'what a symbolic link led to is left'
