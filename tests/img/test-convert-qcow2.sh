#!/bin/bash
# SPDX-License-Identifier: MIT
# convert and dd to qcow2 and qcow images, and from them: qemu-img reads what
# we write and the other way round, and our images are no larger.
# shellcheck source=tests/img/lib.sh
. "$(dirname "$0")/lib.sh"
need qemu-img qemu-io

plain_tree tree
head -c 3M /dev/urandom >tree/random.bin
seq 1 300000 >tree/numbers.txt
img convert -q fat:size=64M:tree tree.img
head -c 4M /dev/urandom >base.raw
qemu-img create -q -f qcow2 -b base.raw -F raw over.qcow2
qemu-io -c 'write -P 3 128k 64k' -c 'write -z 1M 64k' \
    -c 'write -P 9 2000001 3' over.qcow2 >/dev/null
head -c 1000001 base.raw >odd.raw

size() {
    stat -c %s "$1"
}

# allocation IMAGE: which ranges, without where they stand; neighbours joined.
allocation() {
    qemu-img map --output=json "$1" | tr -d '[]{}," ' |
        sed 's/:/ /g; s/start //; s/length / /; s/depth / d/;
            s/present / p/; s/zero / z/; s/data / D/; s/offset.*//' |
        awk '{ key = $3 $4 $5 $6 }
            key != last { if (NR > 1) print start, last; start = $1 }
            { last = key } END { print start, last }'
}

# as_qemu ARGUMENT...: convert to `new` as qemu-img does: the same contents, the
# same ranges allocated, no larger but for its ends, and nothing is leaked.
as_qemu() {
    qemu-img convert "$@" theirs
    img convert -q "$@" new
    case $* in
        *preallocation*) ;; # everything is allocated
        *) diff <(allocation theirs) <(allocation new) ||
            fail "convert $*: not the same is allocated" ;;
    esac
    qemu-img compare -q new theirs || fail "convert $*: contents differ"
    img compare -q new theirs || fail "convert $*: contents differ, to us"
    qemu-img check -q new || fail "convert $*: $(qemu-img check new 2>&1)"
    [ "$(size new)" -le $(($(size theirs) * 102 / 100 + 65536)) ] ||
        fail "convert $*: $(size new) bytes, qemu-img $(size theirs)"
    rm new theirs
}

for source in tree.img over.qcow2; do
    as_qemu -O qcow2 $source
    as_qemu -O qcow2 -S 64k $source
    as_qemu -O qcow2 -W $source
    as_qemu -O qcow2 -m 1 $source
    as_qemu -O qcow2 -o compat=0.10 $source
    as_qemu -O qcow2 -o cluster_size=2M $source
    as_qemu -O qcow2 -o refcount_bits=64,lazy_refcounts=on $source
    as_qemu -O qcow2 -o preallocation=metadata $source
    as_qemu -O qcow2 -o preallocation=falloc $source
    as_qemu -c -O qcow2 $source
    as_qemu -c -W -O qcow2 $source
    as_qemu -c -O qcow2 -o cluster_size=2M $source
    as_qemu -c -O qcow2 -o compat=0.10 $source
done
as_qemu -O qcow2 -o preallocation=full over.qcow2
as_qemu -O qcow2 -S 0 over.qcow2
as_qemu -O qcow2 base.raw over.qcow2
as_qemu -f raw -O qcow2 odd.raw
as_qemu -c -f raw -O qcow2 odd.raw
as_qemu -O qcow2 -B base.raw -F raw over.qcow2
as_qemu -c -O qcow2 -B base.raw -F raw over.qcow2
as_qemu -O qcow2 -o backing_file=base.raw,backing_fmt=raw over.qcow2
as_qemu -f raw -O qcow2 -B base.raw -F raw odd.raw
as_qemu -O qcow2 -o size=3 over.qcow2 # -o size does not count

# Small clusters: zeroes are left out by clusters.
img convert -q -O qcow2 -o cluster_size=512 tree.img small.qcow2
qemu-img compare -q small.qcow2 tree.img || fail 'clusters of 512 bytes'
qemu-img check -q small.qcow2

# Straight from a directory: the same image as by way of a raw one, byte for
# byte, however many threads there are.
img convert -q -O qcow2 tree.img a
img convert -q -O qcow2 -S 4k fat:size=64M:tree b
cmp a b || fail 'directory and raw image give different images'
img convert -q -c -O qcow2 tree.img a
img convert -q -c -O qcow2 fat:size=64M:tree b
img convert -q -c -m 1 -O qcow2 fat:size=64M:tree c
cmp a b || fail 'directory and raw image give different compressed images'
cmp a c || fail 'the image depends on the number of threads'
img convert -q -O qcow2 fat:size=64M:tree direct.qcow2
qemu-img compare -q direct.qcow2 tree.img || fail 'a directory to qcow2'
qemu-img check -q direct.qcow2

# qcow: qemu-img reads it.
for options in '' -c; do
    # shellcheck disable=SC2086 # an option or none
    img convert -q $options -O qcow tree.img new
    qemu-img compare -q -f qcow new -F raw tree.img || fail "qcow $options"
    [ "$(size new)" -le 9000000 ] || fail "qcow $options: $(size new) bytes"
    img convert -q -O raw new back
    cmp back tree.img || fail "qcow $options and back"
done
qemu-img convert -O qcow tree.img theirs
img convert -O raw theirs back
cmp back tree.img || fail 'the qcow image of qemu-img'

# Into images that are there.
into() {
    local create=$1
    shift
    # shellcheck disable=SC2086 # words
    qemu-img create -q -f qcow2 $create new
    img convert -q -n -O qcow2 "$@" new
    qemu-img check -q new || fail "-n $*: damaged"
}
into '-o size=8M' over.qcow2
qemu-img compare -q over.qcow2 new || fail '-n into a larger image'
into '-o size=8M' --target-is-zero -c over.qcow2
qemu-img compare -q over.qcow2 new || fail '-n -c'
into '-b base.raw -F raw' over.qcow2
qemu-img compare -q over.qcow2 new || fail '-n into an overlay'
into '-b base.raw -F raw' -B base.raw over.qcow2
qemu-img compare -q over.qcow2 new || fail '-n -B'
[ "$(allocation new)" = "$(allocation over.qcow2)" ] || fail '-n -B copied all'
qemu-img create -q -f qcow2 new 1M
expect_error 1 'output file is smaller' \
    img convert -n -O qcow2 over.qcow2 new
qemu-img create -q -f qcow2 new 8M
expect_error 1 'target-is-zero when the destination image has a backing' \
    img convert -n --target-is-zero -B base.raw -F raw -O qcow2 over.qcow2 new
rm new

# The backing file goes with the directory of the target.
mkdir sub
img convert -q -O qcow2 -B ../base.raw -F raw over.qcow2 sub/new
qemu-img compare -q sub/new over.qcow2 || fail 'a backing file elsewhere'
expect_error 1 "Could not open backing file: Could not open 'sub/base.raw'" \
    img convert -q -O qcow2 -B base.raw -F raw over.qcow2 sub/other
[ ! -e sub/other ] || fail 'the target of a failed convert is there'

# What cannot be is refused in qemu-img's words, before there is a file.
refused() {
    local pattern=$1
    shift
    expect_error 1 "$pattern" img convert "$@" none
    [ ! -e none ] || fail "convert $* made a file"
}
refused 'Compression not supported for this file format' -c over.qcow2
refused 'offloading when -c' -c -C -O qcow2 over.qcow2
refused 'Compression and preallocation' \
    -c -O qcow2 -o preallocation=metadata over.qcow2
refused 'Use of backing file requires explicit backing format' \
    -O qcow2 -B base.raw over.qcow2
refused 'Use of backing file requires explicit backing format' \
    -O qcow2 -o backing_file=base.raw over.qcow2
refused "Backing file not supported for file format 'raw'" \
    -B base.raw -F raw over.qcow2
refused 'Backing format cannot be used without' -F raw -O qcow2 over.qcow2
refused 'no sense when concatenating' \
    -B base.raw -F raw -O qcow2 over.qcow2 base.raw
refused 'backing_file' -B base.raw -F raw -O qcow2 \
    -o preallocation=metadata over.qcow2
refused 'Invalid rate limit' -r fast over.qcow2
refused 'bitmaps' --bitmaps -O qcow2 over.qcow2
refused 'salvaging mode' --salvage -C over.qcow2
expect_error 1 "source and target|same filename" \
    img convert -O qcow2 over.qcow2 base.raw
[ "$(size base.raw)" = 4194304 ] || fail 'the backing file was overwritten'
cp base.raw victim
expect_error 1 'Compression not supported' img convert -c over.qcow2 victim
cmp base.raw victim || fail 'a refused convert emptied its target'

# Preallocation takes the room.
for mode in falloc full; do
    img convert -q -O qcow2 -o preallocation=$mode over.qcow2 new
    [ "$(stat -c %b new)" -ge 8192 ] || fail "preallocation=$mode: no room"
done

# A limit for the rate: 4 MiB of data at 4 MiB a second.
start=$EPOCHREALTIME
img convert -r 4M -O qcow2 base.raw new
awk -v a="$start" -v b="$EPOCHREALTIME" 'BEGIN { exit b - a < 0.5 }' ||
    fail 'the rate is not limited'
truncate -s 4M zeroes
for target in '-S 0 -O qcow2 zeroes slow' '-S 0 -O raw zeroes slow' 'zeroes -'; do
    before=$(date +%s%N)
    # shellcheck disable=SC2086
    img convert -r 4M -f raw $target | cat >/dev/null
    [ $(($(date +%s%N) - before)) -gt 400000000 ] ||
        fail "the rate is not limited: $target"
done
qemu-img compare -q -f raw base.raw -F qcow2 new || fail '-r'

# What cannot be read becomes zeroes, no more, and is told.
broken='{"driver":"raw","file":{"driver":"blkdebug","image":
    {"driver":"file","filename":"base.raw"},
    "inject-error":[{"event":"none","iotype":"read","sector":100}]}}'
broken=json:${broken//$'\n' /}
expect_error 1 'error while reading' img convert "$broken" new
[ ! -e new ] || [ ! -s new ] || fail 'half an image is left'
for format in raw qcow2; do
    run img convert --salvage -O $format "$broken" new
    [ "$STATUS" = 0 ] || fail "--salvage: $ERR"
    grep -q 'warning: error while reading offset 51200' <<<"$ERR" ||
        fail "--salvage is silent: $ERR"
    [ "$(wc -l <<<"$ERR")" = 1 ] || fail "--salvage says too much: $ERR"
    cp base.raw expected
    dd if=/dev/zero of=expected bs=512 seek=100 count=1 conv=notrunc \
        status=none
    qemu-img compare -q -f $format new -F raw expected ||
        fail '--salvage lost more than the sector'
done
run img convert -q --salvage "$broken" new
[ "$STATUS$ERR" = 0 ] || fail "--salvage -q: $ERR"

# dd.
for operands in '' 'bs=64k count=3' 'bs=1M skip=1' 'bs=1000 count=3' \
    'bs=1000 skip=2' 'bs=2M skip=9'; do
    # shellcheck disable=SC2086 # words
    img dd -O qcow2 $operands if=over.qcow2 of=new >/dev/null 2>&1
    # shellcheck disable=SC2086 # words
    qemu-img dd -O qcow2 $operands if=over.qcow2 of=theirs >/dev/null 2>&1
    qemu-img compare -q -s new theirs 2>/dev/null ||
        qemu-img compare -q new theirs || fail "dd $operands"
    [ "$(qemu-img info --output=json new | grep virtual-size)" = \
        "$(qemu-img info --output=json theirs | grep virtual-size)" ] ||
        fail "dd $operands: the size differs"
    qemu-img check -q new || fail "dd $operands: damaged"
done

# The disk is full, sooner or later, down to the last table: that is an error,
# and no image is left.
head -c 2M /dev/urandom >noise
failures=0
for kib in $(seq 2048 8 2120); do
    rm -f new
    if (
        trap '' XFSZ
        ulimit -f "$kib"
        exec "$VVFAT_IMG" convert -f raw -O qcow2 -o cluster_size=512 \
            noise new 2>errors
    ); then
        qemu-img compare -q -f raw noise -F qcow2 new ||
            fail "with $kib KiB the image is not whole, and nothing is said"
    else
        failures=$((failures + 1))
        [ ! -s new ] || fail "with $kib KiB half an image is left"
        grep -q 'File too large' errors || fail "not said: $(cat errors)"
    fi
done
[ $failures -gt 1 ] || fail 'no disk was full'
[ $failures -lt 10 ] || fail 'every disk was full'
