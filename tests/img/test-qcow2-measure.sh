#!/bin/bash
# SPDX-License-Identifier: MIT
#
# measure -O qcow2: the figures of qemu-img, for sizes and for images; and what
# is made is not larger.

# shellcheck source=tests/img/lib.sh
. "$(dirname "$0")/lib.sh"

need qemu-img qemu-io

# shellcheck disable=SC2054 # commas belong to the options
option_sets=("" cluster_size=512 cluster_size=4k cluster_size=2M
    refcount_bits=1 refcount_bits=64,cluster_size=512 compat=0.10
    preallocation=metadata preallocation=falloc preallocation=full
    backing_file=base,backing_fmt=raw
    lazy_refcounts=on,cluster_size=32k,refcount_bits=32)

# same_figures ARGUMENTS...: both programs say the same, or both refuse.
same_figures() {
    local status
    run img measure -O qcow2 "$@"
    status=$STATUS
    printf '%s\n' "$OUT" >ours
    run qemu-img measure -O qcow2 "$@"
    [ "$status" = "$STATUS" ] ||
        fail "measure $*: ended with $status, qemu-img's with $STATUS: $ERR"
    printf '%s\n' "$OUT" >theirs
    cmp -s ours theirs || fail "measure $*: $(diff ours theirs)"
}

qemu-img create -q -f raw holes 50M
qemu-io -f raw -c 'write 1000 5000' -c 'write 10M 1M' -c 'write 33333333 77' \
    holes >.out
head -c 1000001 /dev/urandom >odd
qemu-img create -q -f qcow2 sparse 200M
qemu-io -f qcow2 -c 'write 1M 1M' -c 'write -z 3M 1M' -c 'write -c 5M 64k' \
    -c 'write 150M 64k' sparse >.out
qemu-img create -q -f qcow2 -b sparse -F qcow2 overlay 300M
qemu-io -f qcow2 -c 'write 2M 128k' -c 'write -z 1M 128k' overlay >.out

for options in "${option_sets[@]}"; do
    set --
    [ -z "$options" ] || set -- -o "$options"
    for size in 0 1 511 65536 65537 1M 1000M 1T 100P 2E 7E; do
        same_figures "$@" --size "$size"
    done
    same_figures "$@" -f raw holes
    same_figures "$@" -f raw odd
    same_figures "$@" -f qcow2 sparse
    same_figures "$@" -f qcow2 overlay
done

# Directories: what convert makes is as large as was said.
mkdir dir
head -c 300000 /dev/urandom >dir/a
head -c 3000000 /dev/zero >dir/b
for cluster_size in 512 4k 64k 2M; do
    run img measure -O qcow2 -o "cluster_size=$cluster_size" fat:dir
    [ "$STATUS" = 0 ] || fail "measure fat:dir: $ERR"
    required=$(sed -n 's/^required size: //p' <<<"$OUT")
    img convert -O qcow2 -o "cluster_size=$cluster_size" fat:dir image
    made=$(stat -c %s image)
    [ "$made" -le "$required" ] ||
        fail "cluster_size=$cluster_size: $made bytes, measured $required"
    run qemu-img check image
    [ "$STATUS" = 0 ] || fail "check of what was converted: $OUT $ERR"
    rm image
done
