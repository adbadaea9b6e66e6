#!/bin/bash
# SPDX-License-Identifier: MIT
#
# The nbdkit plugin shows any NBD client what vvfat-img shows: the same bytes
# and the same map of data and holes.

set -euo pipefail

for program in nbdkit nbdcopy nbdinfo jq; do
    command -v $program >/dev/null || { echo "$program is missing"; exit 77; }
done
[ -e "$PLUGIN" ] || { echo 'the nbdkit plugin is not built'; exit 77; }

# Holes in the source, files that fill no cluster, free room behind them.
mkdir -p source/sub
seq 100000 >source/numbers.txt
seq 10 >'source/sub/a short file.txt'
: >source/empty
truncate -s 1M source/sparse
seq 3000 | dd of=source/sparse bs=64k seek=10 conv=notrunc status=none
find source -exec touch -d '2020-02-20 20:20:20 UTC' {} +

# Neighbours of one kind as one, since clients may cut where they like.
# shellcheck disable=SC2016 # $e is jq's
merge='reduce .[] as $e ([];
    if length > 0 and .[-1].type == $e.type
        and .[-1].start + .[-1].length == $e.start
    then .[-1].length += $e.length else . + [$e] end)'
of_map='map({start, length,
    type: ((if .data then 0 else 1 end) + (if .zero then 2 else 0 end))})'
of_nbd='map({start: .offset, length, type})'

for options in fat-type=12 fat-type=16 fat-type=32 floppy=on \
    fat-type=32,partition=gpt partition=none,size=64M; do
    words=${options//,/ }
    rm -f convert.img nbd.img
    "$VVFAT_IMG" convert -O raw --image-opts \
        "driver=vvfat,dir=source,$options" convert.img
    # shellcheck disable=SC2086 # one word an option
    nbdcopy -- [ nbdkit --exit-with-parent "$PLUGIN" dir=source $words ] nbd.img
    cmp convert.img nbd.img

    "$VVFAT_IMG" map --output=json --image-opts \
        "driver=vvfat,dir=source,$options" | jq -c "$of_map | $merge | .[]" \
        >map.ours
    # shellcheck disable=SC2086 # one word an option
    nbdinfo --map --json -- \
        [ nbdkit --exit-with-parent "$PLUGIN" dir=source $words ] |
        jq -c "$of_nbd | $merge | .[]" >map.nbd
    diff -u map.ours map.nbd
    # One that may be written, and was not yet.
    # shellcheck disable=SC2086 # one word an option
    nbdinfo --map --json -- \
        [ nbdkit --exit-with-parent "$PLUGIN" dir=source rw=on $words ] |
        jq -c "$of_nbd | $merge | .[]" >map.writable
    diff -u map.ours map.writable
    grep -q '"type":3' map.nbd # there are holes to agree about
    echo "ok: $options"
done
