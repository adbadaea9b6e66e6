#!/bin/bash
# SPDX-License-Identifier: MIT
# Several converts to one target at once: at least one succeeds, its image is
# whole, and those that do not get the target leave it alone.
# shellcheck source=tests/img/lib.sh
. "$(dirname "$0")/lib.sh"

mkdir small large
head -c 200000 /dev/urandom >small/one
head -c 9000000 /dev/urandom >large/two
img convert fat:size=16M:small small.img
img convert -S 0 fat:size=24M:large large.img

# whole: the target is one of the two images, byte for byte.
whole() {
    cmp -s t.img small.img || cmp -s t.img large.img
}

for round in $(seq 40); do
    rm -f t.img
    case $((round % 3)) in
        0) ;;
        1) : >t.img ;;
        2) cp large.img t.img ;;
    esac
    a=0 b=0
    img convert small.img t.img 2>err.a &
    first=$!
    [ $((round % 4)) != 0 ] || sleep 0.01
    img convert large.img t.img 2>err.b || b=$?
    wait $first || a=$?
    [ $a = 0 ] || [ $b = 0 ] ||
        fail "round $round: none succeeds: $(cat err.a err.b)"
    [ -e t.img ] || fail "round $round: the target is gone ($a, $b)"
    whole || fail "round $round: no whole image ($a, $b)"
done

# While one writes, all others are refused and change nothing.
need strace
strace -f -qq -o /dev/null -e trace=pread64,preadv,preadv2,copy_file_range \
    -e inject=pread64,preadv,preadv2,copy_file_range:delay_enter=100000 \
    "$VVFAT_IMG" convert -m 1 large.img slow.img &
slow=$!
for _ in $(seq 100); do
    [ -s slow.img ] && break
    sleep 0.02
done
inode=$(stat -c %i slow.img)
for _ in 1 2 3; do
    expect_error 1 'lock' img convert small.img slow.img
    [ "$(stat -c %i slow.img)" = "$inode" ] || fail 'the target was replaced'
done
wait $slow || fail 'the one that was first fails'
cmp slow.img large.img || fail 'the image of the first is damaged'

