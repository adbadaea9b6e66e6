#!/bin/bash
# SPDX-License-Identifier: MIT
# 20,000 files in 100 directories, and a tree 60 directories deep.
# shellcheck source=tests/img/lib.sh
. "$(dirname "$0")/lib.sh"
need fsck.fat mdir mcopy

mkdir tree
for d in $(seq 1 100); do
    mkdir "tree/directory $d"
    seq 1 2000 | (cd "tree/directory $d" &&
        split -a 3 -l 10 - 'a rather long name ')
done
[ "$(find tree -type f -printf x | wc -c)" = 20000 ]

img convert fat:tree tree.img
fsck_clean tree.img
[ "$(mdir -/ -b -i "tree.img@@$OFFSET" ::/ | grep -vc '/$')" = 20000 ] ||
    fail 'mdir does not list 20,000 files'
img extract tree.img out
same_tree tree out
mcopy -s -n -m -i "tree.img@@$OFFSET" '::directory 57' part
same_tree 'tree/directory 57' part
img extract tree.img part2 'directory 99'
same_tree 'tree/directory 99' part2

path=deep
for d in $(seq 1 60); do
    path=$path/d$d
done
mkdir -p "$path"
echo bottom >"$path/bottom.txt"
img convert fat:deep deep.img
fsck_clean deep.img
mcopy -s -n -m -i "deep.img@@$OFFSET" ::d1 mtools-deep
same_tree deep/d1 mtools-deep
img extract deep.img deep-out
same_tree deep deep-out
