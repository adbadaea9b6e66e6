#!/bin/bash
# SPDX-License-Identifier: MIT
# Another backing file below an image, which shows what it did before.
# shellcheck source=tests/img/lib.sh
. "$(dirname "$0")/lib.sh"
need qemu-img qemu-io

# scribble IMAGE SEED BYTES: data, zeroes and holes at random places.
scribble() {
    local image=$1 bytes=$3 i offset length commands=()
    RANDOM=$2
    for i in $(seq 14); do
        offset=$((RANDOM * 32768 % bytes / 512 * 512 + RANDOM % 97 * 512))
        length=$((RANDOM % 400 * 512 + 512))
        [ $((offset + length)) -le "$bytes" ] || continue
        case $((i % 4)) in
            0) commands+=(-c "write -z $offset $length") ;;
            1) commands+=(-c "write -z -u $offset $length") ;;
            *) commands+=(-c "write -P $((RANDOM % 250 + 1)) $offset $length")
                ;;
        esac
    done
    qemu-io -f "${image##*.}" "${commands[@]}" "$image" >/dev/null
}

M=1048576
# images BASE MIDDLE TOP NEW: sizes of base.raw, mid.qcow2 on it, top.qcow2 on
# that, and of new.qcow2, which shares some of its contents with base.raw.
images() {
    rm -f ./*.raw ./*.qcow2
    qemu-img create -q -f raw base.raw "$1"
    scribble base.raw 11 "$1"
    qemu-img convert -O qcow2 base.raw new.qcow2
    qemu-img resize -q --shrink new.qcow2 "$4"
    scribble new.qcow2 12 "$4"
    qemu-img create -q -f qcow2 -b base.raw -F raw mid.qcow2 "$2"
    qemu-img create -q -f qcow2 -b mid.qcow2 -F qcow2 top.qcow2 "$3"
    scribble mid.qcow2 13 "$2"
    scribble top.qcow2 14 "$3"
    qemu-img convert -O raw top.qcow2 expected.raw
}

# rebase ARGUMENT...: top.qcow2 by both programs. It shows the same as before
# and takes no more clusters than with qemu-img.
rebase() {
    cp top.qcow2 ours.qcow2
    cp top.qcow2 theirs.qcow2
    run qemu-img rebase "$@" theirs.qcow2
    [ "$STATUS" = 0 ] || fail "qemu-img rebase $*: $ERR"
    expect_output '' img rebase "$@" ours.qcow2
    qemu-img compare -q -f raw expected.raw ours.qcow2 ||
        fail "rebase $*: shows something else"
    qemu-img check -q ours.qcow2 || fail "rebase $*: is not sound"
    [ "$(backing ours.qcow2)" = "$(backing theirs.qcow2)" ] ||
        fail "rebase $*: records $(backing ours.qcow2)"
    [ "$(clusters ours.qcow2)" -le "$(clusters theirs.qcow2)" ] ||
        fail "rebase $*: takes $(clusters ours.qcow2) clusters, and" \
            "$(clusters theirs.qcow2) with qemu-img"
}

backing() {
    qemu-img info -U "$1" | grep '^backing file' || true
}

clusters() {
    qemu-img check --output=json "$1" |
        sed -n 's/.*"allocated-clusters": *\([0-9]*\).*/\1/p' | grep . ||
        echo 0
}

# ---- To another image, to one of the chain, to none; whatever the sizes ----

for sizes in "$((4 * M)) $((4 * M)) $((4 * M)) $((4 * M))" \
    "$((2 * M)) $((3 * M)) $((5 * M)) $((4 * M))" \
    "$((5 * M)) $((3 * M)) $((4 * M)) $((2 * M))" \
    "1000448 1500160 2000384 3000320"; do
    # shellcheck disable=SC2086
    images $sizes
    rebase -b new.qcow2 -F qcow2
    rebase -b base.raw -F raw
    rebase -b mid.qcow2 -F qcow2
    rebase -b ''
    cp ours.qcow2 top.qcow2
    rebase -p -t none -T none -b new.qcow2 -F qcow2 -f qcow2
done

# Data alone is copied that the new file does not have.
images $((4 * M)) $((4 * M)) $((4 * M)) $((4 * M))
cp mid.qcow2 copy.qcow2
cp top.qcow2 before.qcow2
img rebase -b copy.qcow2 -F qcow2 top.qcow2
[ "$(clusters top.qcow2)" = "$(clusters before.qcow2)" ] ||
    fail 'copied, although the contents are the same'

# Where zeroes were, data of the new file must not come up, and takes no room.
qemu-img create -q -f qcow2 zero.qcow2 4M
qemu-img create -q -f raw full.raw 4M
qemu-io -f raw -c 'write -P 3 0 4M' full.raw >/dev/null
img rebase -b full.raw -F raw zero.qcow2
qemu-io -c 'read -P 0 0 4M' zero.qcow2 | grep -q 'verification failed' &&
    fail 'data came up where zeroes were'
[ "$(stat -c %b zero.qcow2)" -lt 2048 ] || fail 'zeroes take room'
qemu-img check -q zero.qcow2

# A name is relative to the image.
mkdir sub
cp top.qcow2 copy.qcow2 base.raw sub
img rebase -b ../full.raw -F raw sub/top.qcow2
output_has 'backing file: \.\./full\.raw' qemu-img info sub/top.qcow2
qemu-img compare -q -f raw expected.raw sub/top.qcow2
img rebase -b '' --image-opts driver=qcow2,file.filename=sub/top.qcow2
qemu-img compare -q -f raw expected.raw sub/top.qcow2

# ---- The record alone ----

expect_output '' img rebase -u -b nosuch -F raw top.qcow2
output_has 'backing file: nosuch' qemu-img info top.qcow2
output_has 'backing file format: raw' qemu-img info top.qcow2
expect_error 1 "Could not open backing file 'nosuch' of 'top.qcow2'" \
    img rebase -b full.raw -F raw top.qcow2
expect_output '' img rebase -u -b copy.qcow2 -F qcow2 top.qcow2
qemu-img compare -q -f raw expected.raw top.qcow2
expect_output '' img rebase -u -b '' top.qcow2
run qemu-img info top.qcow2
grep -q backing <<<"$OUT" && fail "still has a backing file: $OUT"
expect_output '' img rebase -u -b copy.qcow2 -F qcow2 top.qcow2

# ---- What is refused, and changes nothing ----

md5sum top.qcow2 >sums
expect_error 1 'Expecting one image file name' img rebase -b x
expect_error 1 'Must specify backing file \(-b\) or use unsafe mode \(-u\)' \
    img rebase top.qcow2
expect_error 1 "Invalid format name: 'zz'" img rebase -b x -F zz top.qcow2
expect_error 1 'Invalid cache option: zz' img rebase -t zz -b x top.qcow2
expect_error 1 'Invalid source cache option: zz' \
    img rebase -T zz -b x top.qcow2
expect_error 1 "Could not open new backing file 'x': .*No such file" \
    img rebase -b x -F raw top.qcow2
expect_error 1 "'full.raw': backing format must be specified" \
    img rebase -b full.raw top.qcow2
expect_error 1 "'full.raw': backing format must be specified" \
    img rebase -u -b full.raw top.qcow2
expect_error 1 'is the image itself' img rebase -b top.qcow2 -F qcow2 top.qcow2
qemu-img create -q -f qcow2 -b top.qcow2 -F qcow2 above.qcow2
qemu-img create -q -f qcow2 -b above.qcow2 -F qcow2 higher.qcow2
for name in above.qcow2 higher.qcow2 "$PWD/above.qcow2"; do
    expect_error 1 'lies below it: that would be a loop' \
        img rebase -b "$name" -F qcow2 top.qcow2
done
rm above.qcow2 higher.qcow2
expect_error 1 "Could not change the backing file to 'full.raw'" \
    img rebase -u -b full.raw -F raw base.raw
long=$(printf 'x%.0s' $(seq 2000))
expect_error 1 "Could not change the backing file to 'xxx" \
    img rebase -u -b "$long" -F raw top.qcow2
qemu-img create -q -f qcow2 -b top.qcow2 -F qcow2 above.qcow2
expect_error 1 "Could not open new backing file 'above.qcow2'" \
    img rebase -b above.qcow2 -F qcow2 top.qcow2
md5sum --quiet -c sums

# A new file that cannot be read leaves the old one in place.
expect_error 1 'while reading from the new backing file: ' \
    img rebase -F raw top.qcow2 -b 'json:{"driver": "raw", "file": {"driver":
"blkdebug", "image": {"driver": "file", "filename": "full.raw"},
"inject-error": [{"iotype": "read", "errno": 5}]}}'
output_has 'backing file: copy.qcow2' qemu-img info top.qcow2
qemu-img compare -q -f raw expected.raw top.qcow2

# The same file by another format is another file.
images $((2 * M)) $((3 * M)) $((3 * M)) $((3 * M))
img rebase -b mid.qcow2 -F raw top.qcow2
qemu-img compare -q -f raw expected.raw top.qcow2 ||
    fail 'the backing file by another format was taken for the same'
