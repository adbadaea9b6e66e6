#!/bin/bash
# SPDX-License-Identifier: MIT
#
# info of qcow2 images of every kind that qemu-img makes, and of ours: the same
# words and the same JSON as qemu-img's.

# shellcheck source=tests/img/lib.sh
. "$(dirname "$0")/lib.sh"

need qemu-img qemu-io

# same_info NAME [ARGUMENTS...]: both programs say the same of it.
same_info() {
    local name=$1 output
    shift
    for output in human json; do
        run img info "$@" --output "$output" "$name"
        [ "$STATUS" = 0 ] || fail "info $name ($STATUS): $ERR"
        printf '%s\n' "$OUT" >ours
        run qemu-img info "$@" --output "$output" "$name"
        [ "$STATUS" = 0 ] || fail "qemu-img info $name ($STATUS): $ERR"
        printf '%s\n' "$OUT" >theirs
        cmp -s ours theirs ||
            fail "info --output $output $name: $(diff ours theirs)"
    done
}

qemu-img create -q -f raw base.raw 3M
qemu-img create -q -f qcow2 base.qcow2 3M
for options in compat=1.1 compat=0.10 cluster_size=512 cluster_size=2M \
    refcount_bits=1 refcount_bits=64,lazy_refcounts=on \
    preallocation=metadata backing_file=base.raw,backing_fmt=raw \
    compat=0.10,backing_file=base.qcow2,backing_fmt=qcow2 \
    "backing_file=$PWD/base.raw,backing_fmt=raw"; do
    qemu-img create -q -f qcow2 -o "$options" image 5M
    qemu-io -f qcow2 -c 'write 1M 100k' image >.out
    same_info image
    rm image
    run img create -q -f qcow2 -o "$options" image 5M
    [ "$STATUS" = 0 ] || fail "create -o $options: $ERR"
    same_info image
done

# A chain.
qemu-img create -q -f qcow2 -b base.raw -F raw middle 4M
qemu-img create -q -f qcow2 -b middle -F qcow2 top 5M
same_info top --backing-chain

# Snapshots, with what a machine would have saved.
qemu-img create -q -f qcow2 image 8M
qemu-io -f qcow2 -c 'write -P 1 0 1M' image >.out
qemu-img snapshot -c first image
qemu-io -f qcow2 -c 'write -P 2 0 1M' image >.out
qemu-img snapshot -c 'a longer name, with spaces' image
same_info image
qemu-img snapshot -d first image
same_info image

# Bitmaps.
qemu-img bitmap --add image plain
qemu-img bitmap --add -g 512 image fine
qemu-io -f qcow2 -c 'write -P 3 64k 1M' image >.out
same_info image
