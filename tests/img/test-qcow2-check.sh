#!/bin/bash
# SPDX-License-Identifier: MIT
# check of qcow2 images: the numbers of qemu-img, its exit status, its repairs;
# and images that are made to keep a check busy, or to make it large.
# shellcheck source=tests/img/lib.sh
. "$(dirname "$0")/lib.sh"
need qemu-img qemu-io jq

# same_numbers IMAGE: sound, and as QEMU counts it.
same_numbers() {
    local wanted
    wanted=$(qemu-img check -f qcow2 --output=json "$1" | jq -S .)
    run img check -f qcow2 --output=json "$1"
    [ "$STATUS" = 0 ] || fail "check of $1: $STATUS $OUT $ERR"
    [ "$(jq -S 'del(.volumes, ."partition-defects")' <<<"$OUT")" = \
        "$wanted" ] || fail "$1: $OUT
and QEMU: $wanted"
}

for options in cluster_size=512 cluster_size=4k,compat=0.10 cluster_size=64k \
    cluster_size=2M cluster_size=512,refcount_bits=1 \
    cluster_size=64k,refcount_bits=64 preallocation=metadata; do
    rm -f good.qcow2 packed.qcow2
    qemu-img create -q -f qcow2 -o $options good.qcow2 33M
    qemu-io -c 'write -P 1 0 100k' -c 'write -P 2 3M 1M' -c 'write -P 3 8M 70k' \
        -c 'discard 3M 64k' good.qcow2 >/dev/null
    case $options in
        *refcount_bits=1) ;;
        *)
            qemu-img snapshot -c one good.qcow2
            qemu-io -c 'write -P 4 3500k 1M' good.qcow2 >/dev/null
            qemu-img snapshot -c two good.qcow2
            qemu-io -c 'write -P 5 3700k 3M' good.qcow2 >/dev/null ;;
    esac
    case $options in
        *compat=0.10) ;;
        *)
            qemu-io -c 'write -z 10M 3M' good.qcow2 >/dev/null
            qemu-img bitmap --add good.qcow2 bitmap
            qemu-io -c 'write -P 6 1M 1M' good.qcow2 >/dev/null ;;
    esac
    same_numbers good.qcow2
    qemu-img convert -c -O qcow2 good.qcow2 packed.qcow2
    same_numbers packed.qcow2
done
expect_output '' img check -q good.qcow2

# put IMAGE OFFSET HEX: bytes of the image.
put() {
    xxd -r -p <<<"$3" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}
# Clusters of 512 bytes: 2 is the refcount block, 3 the L1 table, 4 and on the
# L2 tables and data.
small() {
    rm -f "$1"
    qemu-img create -q -f qcow2 -o cluster_size=512 "$1" 64k
    qemu-io -c 'write -P 1 0 4k' "$1" >/dev/null
}

small leak.qcow2
truncate -s +512 leak.qcow2
put leak.qcow2 $((1024 + 13 * 2)) 0001
run img check leak.qcow2
[ "$STATUS" = 3 ] || fail "leak: $STATUS $OUT $ERR"
grep -q 'Leaked cluster 13 refcount=1 reference=0' <<<"$ERR" || fail "$ERR"
before=$(md5sum <leak.qcow2)
[ "$before" = "$(md5sum <leak.qcow2)" ] || fail 'a check wrote to the image'
chmod a-w leak.qcow2
run img check leak.qcow2
[ "$STATUS" = 3 ] || fail "a file that cannot be written is checked: $STATUS"
chmod u+w leak.qcow2
run img check -r leaks leak.qcow2
[ "$STATUS" = 0 ] || fail "-r leaks: $STATUS $OUT $ERR"
grep -q '^ *1 leaked clusters' <<<"$OUT" || fail "$OUT"
same_numbers leak.qcow2

small damaged.qcow2
put damaged.qcow2 $((512 * 4 + 8)) 80000000000f0000
for wanted in 2 2; do
    run img check damaged.qcow2
    [ "$STATUS" = $wanted ] || fail "damaged: $STATUS $OUT $ERR"
    grep -q 'guest offset 0x200: .*past the end' <<<"$ERR" || fail "$ERR"
    run img check -r leaks -q damaged.qcow2
    [ "$STATUS" = $wanted ] || fail "damaged, -r leaks: $STATUS $OUT $ERR"
done
run img check -r all --output=json damaged.qcow2
[ "$STATUS" = 0 ] || fail "-r all: $STATUS $OUT $ERR"
[ "$(jq '."corruptions-fixed"' <<<"$OUT")" = 1 ] || fail "$OUT"
grep -q 'guest offset 0x200: .*its data is lost' <<<"$ERR" || fail "$ERR"
same_numbers damaged.qcow2
qemu-io -c 'read -P 1 0 512' -c 'read -P 0 512 512' -c 'read -P 1 1k 3k' \
    damaged.qcow2 >/dev/null || fail 'other data after the repair'

# Not closed: opening for writing repairs it, a check says what is wrong.
small dirty.qcow2
put dirty.qcow2 79 01
put dirty.qcow2 $((1024 + 5 * 2)) 0000
run img check dirty.qcow2
[ "$STATUS" = 2 ] || fail "dirty: $STATUS $OUT $ERR"
img resize -q dirty.qcow2 128k || fail 'a dirty image does not open'
same_numbers dirty.qcow2
[ "$(xxd -s 79 -l 1 -p dirty.qcow2)" = 00 ] || fail 'it is still dirty'

# The address sanitizer takes all addresses there are.
limit=1500000
! grep -q __asan_init "$VVFAT_IMG" || limit=unlimited

# bounded IMAGE: the check ends soon, in little memory, and finds something.
bounded() {
    local status=0
    (ulimit -v $limit && timeout 100 "$VVFAT_IMG" check -q -f qcow2 "$1") \
        >/dev/null 2>&1 || status=$?
    [ $status = 2 ] || [ $status = 3 ] || fail "check of $1: $status"
}
# A table of refcounts far away, in a hole of a very long file.
small far.qcow2
truncate -s 4T far.qcow2
put far.qcow2 48 0000030000000000
bounded far.qcow2
# One L2 table in all entries of a large L1 table, all of its entries alike.
rm -f same.qcow2
qemu-img create -q -f qcow2 -o cluster_size=512 same.qcow2 64G
qemu-io -c 'write 0 512' same.qcow2 >/dev/null
l1=$((16#$(xxd -s 40 -l 8 -p same.qcow2)))
l2=$((16#$(xxd -s $l1 -l 8 -p same.qcow2) & 0xfffffffffffe00))
entry=$(xxd -s $l2 -l 8 -p same.qcow2)
put same.qcow2 $l2 "$(for _ in {1..64}; do printf '%s' "$entry"; done)"
xxd -s $l1 -l 8 -p same.qcow2 | xxd -r -p >entry
head -c 8 entry >table
for _ in {1..20}; do
    cat table table >twice
    mv twice table
done
dd if=table of=same.qcow2 bs=1M seek=$l1 oflag=seek_bytes conv=notrunc \
    count=16777216 iflag=count_bytes status=none
bounded same.qcow2
# As many snapshots as there may be, each with the same L1 table of 32 MiB.
small snapshots.qcow2
{
    printf '%016x%08x%08x' $((1 << 30)) $((1 << 22)) 0
    printf '%040x%08x%032x' 0 16 0
} | xxd -r -p >table
for _ in {1..16}; do
    cat table table >twice
    mv twice table
done
[ "$(stat -c %s table)" = $((65536 * 56)) ] || fail 'the table is not right'
dd if=table of=snapshots.qcow2 bs=1M seek=1 conv=notrunc status=none
truncate -s 2G snapshots.qcow2
put snapshots.qcow2 60 "$(printf '%08x%016x' 65536 $((1 << 20)))"
dd if=snapshots.qcow2 of=snapshots.qcow2 bs=512 count=1 skip=3 \
    seek=$((1 << 21)) conv=notrunc status=none
bounded snapshots.qcow2
