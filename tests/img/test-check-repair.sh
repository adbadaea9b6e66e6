#!/bin/bash
# SPDX-License-Identifier: MIT
# check and check -r of qcow2 images: statuses and words of qemu-img, and what
# was repaired is sound to qemu-img, too. FAT volumes are looked at as ever.
# shellcheck source=tests/img/lib.sh
. "$(dirname "$0")/lib.sh"
need qemu-img qemu-io jq

# put IMAGE OFFSET BYTES: change bytes (hexadecimal).
put() {
    xxd -r -p <<<"$3" | dd of="$1" bs=1 seek=$(($2)) conv=notrunc status=none
}

# In a new image with clusters of 64k: 1 refcount table, 2 refcount block, 3 L1
# table, 4 L2 table, then data.
qemu-img create -q -f qcow2 sound.qcow2 4M
qemu-io -c 'write -P 1 0 256k' sound.qcow2 >/dev/null
cp sound.qcow2 leak.qcow2
put leak.qcow2 0x40000 0000000000000000 # its cluster is not referred to
cp sound.qcow2 low.qcow2
put low.qcow2 0x2000a 0000 # cluster 5 is in use, refcount 0
cp sound.qcow2 both.qcow2
put both.qcow2 0x2000a 0000
put both.qcow2 0x40008 0000000000000000
cp sound.qcow2 flag.qcow2
put flag.qcow2 0x40000 00 # refcount 1, but not marked so

# The same result as JSON, without what qemu-img does not know.
same_json() {
    local status
    qemu-img check --output=json "$1" >q.json 2>/dev/null && status=0 ||
        status=$?
    run img check --output=json "$1"
    [ "$STATUS" = $status ] || fail "check $1 ended with $STATUS: $ERR"
    cp .out v.json
    diff <(jq -S . q.json) \
        <(jq -S 'del(."partition-defects", .volumes)' v.json) ||
        fail "check --output=json $1 differs"
}

for image in sound leak low both flag; do
    same_as_qemu check $image.qcow2
    same_as_qemu check -f qcow2 $image.qcow2
    same_json $image.qcow2
done
expect_error 3 '^Leaked cluster 5 refcount=1 reference=0$' \
    img check leak.qcow2
expect_error 2 '^ERROR cluster 5 refcount=0 reference=1$' img check low.qcow2
run img check -q low.qcow2
[ "$STATUS$OUT$ERR" = 2 ] || fail "-q is not quiet: $STATUS $OUT $ERR"

# repaired IMAGE WHAT STATUS: check -r ends so, as that of qemu-img; the image
# left is sound, to qemu-img, if it is sound to the one that qemu-img repaired,
# and reads as before.
repaired() {
    cp "$1.qcow2" ours.qcow2
    run img check -r "$2" ours.qcow2
    [ "$STATUS" = "$3" ] || fail "check -r $2 $1: $STATUS, not $3: $OUT $ERR"
    run qemu-img check ours.qcow2
    [ "$STATUS" = "$3" ] || fail "qemu-img after -r $2 $1: $OUT $ERR"
    qemu-img compare -q "$1.qcow2" ours.qcow2 ||
        fail "-r $2 changed what $1 holds"
}
for image in sound leak low both flag; do
    cp $image.qcow2 ours.qcow2
    repaired $image all 0
    cp $image.qcow2 theirs.qcow2
    qemu-img check -r all theirs.qcow2 >theirs 2>/dev/null
    cp $image.qcow2 ours.qcow2
    img check -r all ours.qcow2 >ours 2>/dev/null
    diff <(grep -v '^Image end' theirs) <(grep -v '^Image end' ours) ||
        fail "check -r all $image prints something else"
    cp $image.qcow2 ours.qcow2
    img check -q -r all ours.qcow2 >ours 2>&1
    [ ! -s ours ] || fail "-q -r all is not quiet: $(cat ours)"
done
repaired leak leaks 0
repaired sound leaks 0
repaired low leaks 2
cp both.qcow2 ours.qcow2
img check -r all --output=json ours.qcow2 >v.json 2>/dev/null
[ "$(jq '."corruptions-fixed", ."leaks-fixed", .corruptions, .leaks' v.json |
    tr '\n' ' ')" = '1 1 null null ' ] || fail "JSON of a repair: $(cat v.json)"

# Without -r nothing is written, nor is a sound image changed by -r.
cp both.qcow2 ours.qcow2
run img check ours.qcow2
cmp both.qcow2 ours.qcow2 || fail 'check without -r wrote'
cp sound.qcow2 ours.qcow2
img check -q -r all ours.qcow2
cmp sound.qcow2 ours.qcow2 || fail 'check -r wrote into a sound image'

# Nothing that could be repaired, and contradictions.
qemu-img create -q -f raw raw.img 1M
same_status() {
    local status
    run qemu-img "$@"
    status=$STATUS
    run img "$@"
    [ "$STATUS" = "$status" ] ||
        fail "'$*' ended with $STATUS, qemu-img with $status"
}
same_status check raw.img
same_status check -r all -f raw raw.img
same_status check -r some raw.img
same_status check nothing
expect_error 63 'does not support checks' img check -r all -f raw raw.img
expect_error 1 "expecting 'leaks' or 'all'" img check -r some raw.img
expect_error 1 'mutually exclusive' img check -r all -U sound.qcow2

# A FAT volume on a qcow2 image: both are checked, one is repaired.
plain_tree tree
img convert -q -O qcow2 fat:tree fat.qcow2
output_has '^partition 1: FAT16' img check fat.qcow2
output_has '^[0-9]+/8064 = .* allocated' img check fat.qcow2
output_has '^No errors were found' img check fat.qcow2
# A lost cluster, far behind the files: FAT16, both FATs.
img convert -q fat:tree fat.raw
for copy in 0 1; do
    start=$((63 * 512)) # of the partition
    reserved=$(od -An -tu2 -j $((start + 14)) -N 2 fat.raw)
    sectors=$(od -An -tu2 -j $((start + 22)) -N 2 fat.raw)
    at=$((start + (reserved + copy * sectors) * 512 + 2 * 5000))
    qemu-io -f qcow2 -c "write -q -P 0xff $at 2" fat.qcow2
done
run img check fat.qcow2
[ "$STATUS" = 3 ] || fail "a lost cluster is not told: $STATUS $OUT"
same_status check raw.img
cp fat.qcow2 fat2.qcow2
run img check -r all fat2.qcow2
[ "$STATUS" = 3 ] || fail "-r changed the FAT volume: $STATUS $OUT"
qemu-img check -q fat2.qcow2 || fail 'a sound image was damaged'
expect_error 63 'FAT volumes are not repaired' img check -r all fat:tree

# What is out of reach in a damaged image is no error of the check.
cp sound.qcow2 astray.qcow2
put astray.qcow2 0x30000 8000000000041000 # the L2 table is not aligned
run qemu-img check astray.qcow2
[ "$STATUS" = 2 ] || fail "qemu-img ended with $STATUS"
run img check --output=json astray.qcow2
[ "$STATUS" = 2 ] || fail "check ended with $STATUS: $OUT $ERR"
jq -e '.corruptions == 1 and ."check-errors" == 0' .out \
    >/dev/null || fail "the counts: $(<.out)"

# An image that may not be written.
expect_error 1 "Could not repair '.*': it can only be opened for reading" \
    img check -r all --image-opts \
    driver=qcow2,file.driver=file,file.filename=leak.qcow2,file.read-only=on
