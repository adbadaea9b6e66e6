#!/bin/bash
# SPDX-License-Identifier: MIT
# info and map of images with backing files and snapshots, as by qemu-img.
# shellcheck source=tests/img/lib.sh
. "$(dirname "$0")/lib.sh"
need qemu-img qemu-io

mkdir sub
head -c 2M /dev/urandom >base.raw
truncate -s 4M base.raw
qemu-img create -q -f qcow2 -b base.raw -F raw mid.qcow2
qemu-img create -q -f qcow2 -b ../mid.qcow2 -F qcow2 sub/top.qcow2 6M
qemu-io -c 'write -P 1 512k 64k' -c 'write -z 1M 128k' mid.qcow2 >/dev/null
qemu-io -c 'write -P 2 3M 128k' -c 'write -z 64k 64k' \
    -c 'write -P 3 5M 64k' sub/top.qcow2 >/dev/null
cp mid.qcow2 packed.qcow2
qemu-io -c 'write -c -P 5 2M 64k' packed.qcow2 >/dev/null
qemu-img create -q -f qcow2 -o compat=0.10,cluster_size=4k old.qcow2 3M
qemu-img create -q -f qcow old.qcow 3M

# Snapshots: names that do not fit their column, and a real clock.
cp mid.qcow2 snapshots.qcow2
qemu-img snapshot -c one snapshots.qcow2
qemu-img snapshot -c 'a name longer than its column' snapshots.qcow2

same_description() {
    same_as_qemu info "$1"
    same_as_qemu info --output=json "$1"
    same_as_qemu info --backing-chain "$1"
    same_as_qemu info --backing-chain --output=json "$1"
}
for image in mid.qcow2 sub/top.qcow2 packed.qcow2 old.qcow2 old.qcow \
    snapshots.qcow2 "$PWD/sub/top.qcow2"; do
    same_description "$image"
    same_as_qemu map --output=json "$image"
    same_as_qemu map --output=json -s 500k -l 3M "$image"
    same_as_qemu map "$image"
done
output_has '^Snapshot list:$' img info snapshots.qcow2
output_has '^1 +one ' img info snapshots.qcow2
(cd sub && same_description top.qcow2)
qemu-img snapshot -c ünï snapshots.qcow2
TZ=Asia/Tokyo same_as_qemu info snapshots.qcow2

# Compressed data has no place that a person could look at.
expect_error 1 'external, encrypted or compressed' img map packed.qcow2

# The backing file is gone: the image itself can be described, no more.
mv base.raw away
same_as_qemu info sub/top.qcow2
same_as_qemu info mid.qcow2
expect_error 1 "Could not open 'base.raw'" img info --backing-chain mid.qcow2
expect_error 1 "the backing file of '.*mid.qcow2', the .* of 'sub/top.qcow2'" \
    img info --backing-chain sub/top.qcow2
expect_error 1 "'base.raw'" img map mid.qcow2
mv away base.raw

# Loops end.
qemu-img create -q -f qcow2 -u -b b.qcow2 -F qcow2 a.qcow2 1M
qemu-img create -q -f qcow2 -u -b a.qcow2 -F qcow2 b.qcow2 1M
same_as_qemu info a.qcow2
same_as_qemu info --backing-chain a.qcow2
expect_error 1 'infinite loop' img info --backing-chain a.qcow2
expect_error 1 'loop' img map a.qcow2

mkdir x
qemu-img create -q -f qcow2 -u -b ../x/c.qcow2 -F qcow2 x/c.qcow2 1M
expect_error 1 "'x/../x/c.qcow2' creates an infinite loop" \
    img info --backing-chain x/c.qcow2

# The name that is printed opens the same again, also with a backing file that
# is not the recorded one.
truncate -s 4M other.raw
for options in backing.driver=raw,backing.file.filename=other.raw backing= \
    backing.file.filename=snapshots.qcow2,backing.backing=; do
    options=driver=qcow2,file.filename=sub/top.qcow2,$options
    output_has '^image: json:' img info --image-opts "$options"
    name=$(sed -n 's/^image: //p' <<<"$OUT")
    img map --output=json --image-opts "$options" >map.json
    expect_output "$(cat map.json)" img map --output=json "$name"
    expect_output "$(cat map.json)" qemu-img map --output=json "$name"
done

# A directory at the end of a chain.
plain_tree tree
img create -q -f qcow2 -b fat:tree -F vvfat over.qcow2
output_has '^file format: vvfat$' img info --backing-chain over.qcow2
img map --output=json over.qcow2 >map.json
grep -q '"depth": 1.*70k.bin' map.json || fail "no host file: $(cat map.json)"

# measure, also of overlays.
for image in mid.qcow2 sub/top.qcow2 old.qcow2 base.raw; do
    for options in size=1 cluster_size=4k compat=0.10 preallocation=full; do
        same_as_qemu measure -O qcow2 -o $options $image
    done
    same_as_qemu measure -O qcow2 --output=json $image
    same_as_qemu measure -O raw $image
done
same_as_qemu measure -O qcow2 --size 10T
same_as_qemu measure -O qcow2 --size 1000 -o refcount_bits=64
