#!/bin/bash
# SPDX-License-Identifier: MIT
# info, map and measure print what qemu-img prints.
# shellcheck source=tests/img/lib.sh
. "$(dirname "$0")/lib.sh"

plain_tree tree
seq 1 20000 >data.raw
truncate -s 1M data.raw
seq 1 20000 | dd of=data.raw bs=64k seek=10 conv=notrunc status=none
truncate -s 5M hole.raw

if command -v qemu-img >/dev/null; then
    for image in data.raw hole.raw; do
        same_as_qemu info -f raw $image
        same_as_qemu info $image
        same_as_qemu info --output=json $image
        same_as_qemu info --output=human $image
        same_as_qemu info --backing-chain $image
        same_as_qemu info --backing-chain --output=json $image
        same_as_qemu info --image-opts driver=raw,file.filename=$image
        same_as_qemu map $image
        same_as_qemu map --output=json $image
        same_as_qemu map --output=json -s 70000 -l 100000 $image
        same_as_qemu map -s 70000 -l 700000 $image
        same_as_qemu map -s 99999999 $image
        same_as_qemu measure $image
        same_as_qemu measure --output=json $image
    done
    same_as_qemu measure --size 1G
    same_as_qemu measure --size 1500k --output=json -O raw
    same_as_qemu info nothing
    same_as_qemu info --output=xml data.raw
    same_as_qemu map nothing
    same_as_qemu measure --size x
fi

# A directory: what the driver has to tell, and where each byte comes from.
run img info fat:tree
for line in 'image: fat:tree' 'file format: vvfat' \
    'virtual size: 504 MiB (528482304 bytes)' 'disk size: unavailable' \
    'cluster_size: 8192' 'Format specific information:' '    fat type: 16' \
    '    files: 5'; do
    grep -qxF "$line" <<<"$OUT" ||
        fail "info does not print '$line': $OUT"
done
if command -v jq >/dev/null; then
    img info --output=json fat:tree >info.json
    [ "$(jq -r '."virtual-size", .format, ."format-specific".type,
        ."format-specific".data."fat-type"' info.json | tr '\n' ' ')" = \
        '528482304 vvfat vvfat 16 ' ] || fail "info: $(cat info.json)"
    img map --output=json fat:tree >map.json
    [ "$(jq '[.[].length] | add' map.json)" = 528482304 ] ||
        fail 'the map has gaps'
    file='tree/Sub Directory/deeper/70k.bin'
    jq -r ".[] | select(.filename == \"$file\") |
        \"\\(.start) \\(.offset) \\(.length)\"" map.json >where
    [ "$(awk '{ n += $3 } END { print n }' where)" -ge 69632 ] ||
        fail "the map does not name $file: $(cat map.json)"
    img convert fat:tree tree.img
    size=$(stat -c %s "$file")
    while read -r start offset length; do
        # The last sector is filled up with zeroes.
        [ $((offset + length)) -le "$size" ] || length=$((size - offset))
        cmp -n "$length" "$file" tree.img "$offset" "$start" ||
            fail "$file does not stand at $start"
    done <where
fi
output_has '70k.bin$' img map fat:tree
output_has '-  *-$' img map fat:tree
expect_output 'required size: 528482304
fully allocated size: 528482304' img measure fat:tree

# The same by every name of the same image.
expect_output "$(img map --output=json fat:tree)" \
    img map --output=json --image-opts driver=vvfat,dir=tree
expect_output "$(img map --output=json fat:tree)" \
    img map --output=json 'json:{"driver":"vvfat","dir":"tree"}'
# What info calls an image opens it again.
img info --output=json --image-opts driver=vvfat,dir=tree,label=X,esp=on |
    sed -n 's/^    "filename": "\(.*\)",$/\1/p' | sed 's/\\"/"/g' >name
output_has 'label: X' img info "$(cat name)"

# The file is the one that the offsets count in, not the options above it.
truncate -s 2M window.img
printf x | dd of=window.img bs=1 seek=4096 conv=notrunc status=none
output_has ' window.img$' img map --image-opts \
    driver=raw,file.driver=file,file.filename=window.img,offset=512,size=1M
