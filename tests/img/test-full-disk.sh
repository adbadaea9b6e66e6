#!/bin/bash
# SPDX-License-Identifier: MIT
# Where there is no room, nobody is told that it worked, and nothing is lost.
# shellcheck source=tests/img/lib.sh
. "$(dirname "$0")/lib.sh"
need qemu-img qemu-io

# within KIB COMMAND...: no file can become longer. The signal is ignored, so
# that writing fails as on a full disk.
within() {
    (trap '' XFSZ && ulimit -f "$1" && shift && exec "$VVFAT_IMG" "$@")
}

# tell COMMAND...: how it ended, and what it says when it did not work.
tell() {
    run "$@"
    [ "$STATUS" = 0 ] || [ "$STATUS" = 1 ] || fail "'$*': $STATUS $ERR"
    [ "$STATUS" = 0 ] || grep -Eq 'File too large|No space' <<<"$ERR" ||
        fail "'$*' does not say why it fails: $ERR"
    [ "$STATUS" != 0 ] || [ -z "$ERR" ] || fail "'$*' works, and says: $ERR"
}

# both: among the runs were some that worked, and some that failed.
both() {
    grep -q 0 <<<"$seen" && grep -q 1 <<<"$seen" ||
        fail "$1: not both with room and without: $seen"
}

head -c 1M /dev/urandom >data.raw
truncate -s 2M data.raw

# What was there before is not half an image then.
for format in qcow qcow2; do
    for kib in 512 1024 1028 1088 1152; do
        echo old >out
        run within $kib convert -f raw -O $format data.raw out
        [ "$STATUS" = 1 ] || break
        [ ! -s out ] || fail "convert to $format within $kib KiB leaves a rest"
    done
done

# Room for the data, and then for more and more of the tables behind it.
for format in qcow qcow2; do
    for cache in unsafe writeback; do
        seen=
        for kib in 512 1000 1024 1028 1036 1088 1152 1216 1280 1344 1408; do
            rm -f out
            tell within $kib convert -t $cache -f raw -O $format data.raw out
            seen+=$STATUS
            [ "$STATUS" = 0 ] || [ ! -e out ] || fail 'half an image stays'
            [ "$STATUS" = 1 ] ||
                qemu-img compare -q -f raw -F $format data.raw out ||
                fail "convert to $format within $kib KiB loses something"
        done
        both "convert to $format"
    done
done

for format in raw qcow qcow2; do
    seen=
    for kib in 512 1024 1032 1100 1152 1216 1280 1408 1600 2048; do
        rm -f base top
        qemu-img create -q -f $format base 2M
        qemu-img create -q -f qcow2 -b base -F $format top
        qemu-io -f qcow2 -c 'write -s data.raw 0 1M' top >.out
        tell within $kib commit -f qcow2 top
        seen+=$STATUS
        qemu-img compare -q -f raw -F qcow2 data.raw top ||
            fail "commit to $format within $kib KiB loses something"
        [ "$STATUS" = 1 ] ||
            qemu-img compare -q -f raw -F $format data.raw base ||
            fail "commit to $format within $kib KiB: not all is in the base"
    done
    both "commit to $format"
done

seen=
for kib in 512 1024 1100 1216 1280 1344 1408 1600; do
    rm -f top
    qemu-img create -q -f qcow2 -b data.raw -F raw top
    tell within $kib rebase -f qcow2 -b '' top
    seen+=$STATUS
    qemu-img compare -q -f raw -F qcow2 data.raw top ||
        fail "rebase within $kib KiB loses something"
done
both rebase

for options in 'qcow2 full' 'qcow2 metadata' 'raw full' 'raw falloc'; do
    # shellcheck disable=SC2086
    set -- $options
    rm -f new
    expect_error 1 'File too large' within 2000 create -f "$1" \
        -o "preallocation=$2" new 64G
    [ ! -e new ] || fail "create $options: half an image stays"
    img create -q -f "$1" new 1M
    expect_error 1 'File too large' within 2000 resize -f "$1" \
        "--preallocation=$2" new 64G
    output_has '\(1048576 bytes\)' img info -f "$1" new
done
