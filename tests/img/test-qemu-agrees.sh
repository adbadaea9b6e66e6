#!/bin/bash
# SPDX-License-Identifier: MIT
# What qemu-img makes of the same directory: the same files, sizes, times and
# types, by mtools; and each reads the other's images.
# shellcheck source=tests/img/lib.sh
. "$(dirname "$0")/lib.sh"
need qemu-img mdir mcopy minfo

plain_tree tree
listing() {
    local offset=$((63 * 512))
    [ $(($(stat -c %s "$1") > 3000000)) = 1 ] || offset=0
    mdir -/ -a -i "$1@@$offset" ::/ |
        grep -v -e 'bytes free' -e 'Volume Serial' -e '^$' |
        sed 's/^[^ ]* *[^ ]* *//' | sort
}
facts() {
    local offset=$((63 * 512))
    [ $(($(stat -c %s "$1") > 3000000)) = 1 ] || offset=0
    # The volume ends with its last whole cluster here.
    minfo -i "$1@@$offset" :: | grep -v -e filename -e 'mformat' \
        -e cylinders -e 'big size' -e 'small size'
}

for name in fat:tree fat:16:tree fat:12:tree; do
    qemu-img convert -O raw "$name" theirs.img
    img convert "$name" ours.img
    listing theirs.img >theirs
    listing ours.img >ours
    diff theirs ours || fail "$name: other files"
    facts theirs.img >theirs
    facts ours.img >ours
    diff theirs ours || fail "$name: another volume"
    mcopy -s -n -m -i "theirs.img@@$((63 * 512))" '::*' . >/dev/null
    rm -rf 'Sub Directory' empty EMPTY.TXT one.byte hello.txt
done

img convert fat:tree ours.img
same_as_qemu compare ours.img ours.img
run qemu-img convert -O raw ours.img copy.img
cmp ours.img copy.img
run qemu-img compare ours.img copy.img
[ "$STATUS" = 0 ] || fail "qemu-img compare: $OUT"
img convert theirs.img copy.img
cmp theirs.img copy.img
img extract theirs.img out
same_tree tree out
