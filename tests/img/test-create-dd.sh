#!/bin/bash
# SPDX-License-Identifier: MIT
# create and dd.
# shellcheck source=tests/img/lib.sh
. "$(dirname "$0")/lib.sh"

expect_output "Formatting 'a.raw', fmt=raw size=10485760" img create a.raw 10M
[ "$(stat -c '%s %b' a.raw)" = '10485760 0' ] || fail 'a.raw is not empty'
expect_output '' img create -q -f raw a.raw 1.5k
expect_output 1536 stat -c %s a.raw
expect_output "Formatting 'a.raw', fmt=raw size=5242880" \
    img create -o size=5M a.raw
expect_output "Formatting 'a.raw', fmt=raw size=1048576 preallocation=falloc" \
    img create -o preallocation=falloc a.raw 1M
[ $(($(stat -c %b a.raw) * 512)) -ge 1048576 ] || fail 'nothing is allocated'
rm a.raw
expect_error 1 'needs a size' img create a.raw
expect_error 1 'may use k, M' img create a.raw 1.5x
expect_error 1 'may use k, M' img create -- a.raw -1
expect_error 1 "foo" img create -o foo=1 a.raw 1M
expect_error 1 "Unknown file format 'foo'" img create -f foo a.raw 1M
expect_error 1 'does not support image creation' img create -f vvfat a.raw 1M
expect_error 1 "preallocation" img create -o preallocation=xx a.raw 1M
[ ! -e a.raw ] || fail 'a failed create leaves a file'
expect_error 1 '/nodir/a.raw.*No such file' img create /nodir/a.raw 1M
run img create -f raw -o help
case $OUT in
    *size=*preallocation=*) ;;
    *) fail "-o help prints: $OUT" ;;
esac

seq 1 50000 >in.raw
length=$(stat -c %s in.raw)
# both OPERANDS: dd of coreutils is the judge.
both() {
    # shellcheck disable=SC2086 # several words
    img dd $1 if=in.raw of=out.raw
    # shellcheck disable=SC2086
    dd $1 if=in.raw of=expected.raw status=none
    cmp out.raw expected.raw || fail "dd $1"
}
both ''
both 'bs=1000'
both 'bs=4k count=3'
both 'bs=1000 skip=7'
both 'bs=1000 count=3 skip=1'
both 'count=0'
both 'bs=1M count=1'
both 'bs=512 count=1000000000000'
both "bs=1 skip=$((length - 1))"
run img dd "bs=1" "skip=$length" if=in.raw of=out.raw
[ "$STATUS" = 0 ] || fail "$ERR"
expect_output 0 stat -c %s out.raw
expect_error 0 'cannot skip to specified offset' \
    img dd bs=1M skip=9999999999999 if=in.raw of=out.raw
expect_output 0 stat -c %s out.raw
expect_error 1 'source and target' img dd if=in.raw of=in.raw
expect_output "$length" stat -c %s in.raw

mkdir tree
echo hello >tree/hello.txt
img dd bs=512 count=1 if=fat:12:floppy:tree of=boot
img convert fat:12:floppy:tree floppy.img
cmp -n 512 boot floppy.img
expect_output 512 stat -c %s boot
expect_error 1 "inside the source directory" img dd if=fat:tree of=tree/x
expect_error 1 "nothing" img dd if=nothing of=x
expect_error 1 "Unknown file format" img dd -O foo if=in.raw of=x
[ ! -e x ] || fail 'a target was made'
