#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Killed at any moment while the file of overlay=FILE is being made: it can be
# opened again, and no piece of it is in the way.

# shellcheck source=tests/img/rw-lib.sh
. "$(dirname "$0")/rw-lib.sh"
need strace

mkdir dir
echo hello >dir/hello.txt
name=fat:rw:$SHAPE:overlay=kept.qcow2:dir
calls=pwrite64,pwritev,ftruncate,fallocate,fsync,fdatasync,linkat

killed=0
for ((k = 1; ; k++)); do
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
[ $killed -gt 5 ] || fail "only $killed calls were made"
[ "$(ls -A dir)" = hello.txt ] || fail "in the directory: $(ls -A dir)"
