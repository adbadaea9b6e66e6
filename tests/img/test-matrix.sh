#!/bin/bash
# SPDX-License-Identifier: MIT
# Every FAT type on every kind of disk: accepted and given back whole by
# independent readers, and by extract.
# shellcheck source=tests/img/lib.sh
. "$(dirname "$0")/lib.sh"
need fsck.fat mcopy sfdisk sgdisk xxd

plain_tree tree
mkdir empty

# check_image NAME TREE OPTIONS: convert, and let everybody judge.
check_image() {
    local name=$1 tree=$2 options=$3
    img convert --image-opts "driver=vvfat,dir=$tree,$options" "$name.img"
    tables_clean "$name.img"
    fsck_clean "$name.img"
    mtools_tree "$name.img" "$name.mtools"
    same_tree "$tree" "$name.mtools"
    img extract "$name.img" "$name.out"
    same_tree "$tree" "$name.out"
    expect_output '' img check -q "$name.img"
    rm -rf "$name.img" "$name.mtools" "$name.out"
}

for tree in tree empty; do
    for type in 12 16 32; do
        for partition in mbr gpt none; do
            size=
            [ $type != 12 ] || size=,size=8M
            [ $type != 16 ] || size=,size=20M,cluster-size=1k
            [ $type != 32 ] || size=,size=40M,cluster-size=512
            check_image "disk-$type-$partition-$tree" $tree \
                "fat-type=$type,partition=$partition$size"
        done
        check_image "default-$type-$tree" $tree "fat-type=$type"
    done
    for type in 12 16; do
        check_image "floppy-$type-$tree" $tree "fat-type=$type,floppy=on"
    done
    check_image "floppy-$tree" $tree floppy=on
    check_image "automatic-$tree" $tree label=
    check_image "esp-$tree" $tree esp=on
    check_image "esp-mbr-$tree" $tree esp=on,partition=mbr
done
for size in 512:64M 1k:128M 4k:1G 32k:4G; do
    check_image "cluster-${size%:*}" tree \
        "cluster-size=${size%:*},size=${size#*:}"
done
check_image odd-size tree size=123456k
