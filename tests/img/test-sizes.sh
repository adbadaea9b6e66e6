#!/bin/bash
# SPDX-License-Identifier: MIT
# Files of every size that matters, up to the largest that FAT holds.
# shellcheck source=tests/img/lib.sh
. "$(dirname "$0")/lib.sh"
need fsck.fat mcopy mdir

for type in 12 16 32; do
    for cluster in 512 8192; do
        rm -rf tree out mtools
        mkdir tree
        for size in 0 1 $((cluster - 1)) $cluster $((cluster + 1)) \
            $((3 * cluster)) 511 512 513; do
            head -c "$size" /dev/urandom >"tree/$size"
        done
        clusters=3000 rest=100000
        [ $type != 16 ] || clusters=10000 rest=2200000
        [ $type != 32 ] || clusters=70000 rest=2200000
        img convert --image-opts "driver=vvfat,dir=tree,fat-type=$type,\
cluster-size=$cluster,size=$((clusters * (cluster + 8) + rest))" image.img
        fsck_clean image.img
        mtools_tree image.img mtools
        same_tree tree mtools
        img extract image.img out
        same_tree tree out
    done
done

# 4 GiB - 1, sparse: fast, and sparse again in the image and out of it.
mkdir big
truncate -s 4294967295 big/sparse
printf start | dd of=big/sparse conv=notrunc status=none
printf middle | dd of=big/sparse bs=1 seek=3000000000 conv=notrunc status=none
printf end | dd of=big/sparse bs=1 seek=4294967292 conv=notrunc status=none
img convert fat:partition=none:big big.img
[ "$(stat -c %b big.img)" -lt 40000 ] ||
    fail "the image takes $(stat -c %b big.img) blocks"
expect_output '' img check -q big.img
# fsck.fat 4.2 counts the bytes of a chain in 32 bits, and 4 GiB are 0: it says
# so of the same file written by mtools, too. Nothing else is wrong.
volume_of big.img
fsck.fat -n "$VOLUME" >fsck.log || true
grep -v -e '^/sparse$' -e 'cluster chain length is 0 bytes' \
    -e 'Truncating file to 0 bytes' -e '^$' -e '^Leaving' fsck.log >rest
expect_output 2 awk 'END { print NR }' rest
truncate -s 4294901760 big/sparse
img convert fat:partition=none:big less.img
fsck_clean less.img
rm less.img
truncate -s 4294967295 big/sparse
printf end | dd of=big/sparse bs=1 seek=4294967292 conv=notrunc status=none
output_has '4 294 967 295|4294967295' mdir -i "big.img@@$OFFSET" ::/
img extract big.img big-out
cmp big/sparse big-out/sparse
[ "$(stat -c %b big-out/sparse)" -lt 20000 ] ||
    fail 'extract has filled the holes'
rm -r big-out

# One byte more does not fit into any FAT.
truncate -s 4294967296 big/sparse
expect_error 1 "sparse.*(4 GiB|4294967295|too large)" \
    img convert fat:big no.img
[ ! -e no.img ] || fail 'a target was made'
run img convert fat:unsupported=skip:big skipped.img
[ "$STATUS" = 0 ] || fail "unsupported=skip does not skip: $ERR"
grep -q "warning: skipped 'sparse'" <<<"$ERR" ||
    fail "the file left out is not named: $ERR"
