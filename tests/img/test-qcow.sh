#!/bin/bash
# SPDX-License-Identifier: MIT
#
# qcow images in both directions: what qemu-img and qemu-io make is read by us,
# what we make is read by them, and both write to one image in turns.

# shellcheck source=tests/img/image-lib.sh
. "$(dirname "$0")/image-lib.sh"

# checked IMAGE: our check finds nothing (qemu-img has none for qcow).
checked() {
    run img check -f qcow "$1"
    [ "$STATUS" = 0 ] || fail "our check of $1 ($STATUS): $OUT $ERR"
}

# Something of everything: text, code, zeroes, noise.
{
    seq 1 60000
    head -c 700000 "$VVFAT_IMG"
    head -c 1300000 /dev/zero
    head -c 500000 /dev/urandom
} >data.raw
truncate -s 3M data.raw
cp data.raw base.raw

# ---- What qemu-img makes ----

qemu-img convert -O qcow data.raw plain.qcow
# QEMU 7.2 ends with 1 here, without a word, when all is written.
qemu-img convert -c -O qcow data.raw packed.qcow || true
for image in plain packed; do
    same_contents $image.qcow qcow data.raw
    checked $image.qcow
    img convert -f qcow -O raw $image.qcow out.raw
    cmp out.raw data.raw
    run img info $image.qcow
    ours_info=$OUT
    run qemu-img info $image.qcow
    [ "$ours_info" = "$OUT" ] || fail "info: $ours_info and $OUT"
done
same_as_qemu map --output=json plain.qcow
output_has ' [1-9][0-9.]*% compressed clusters' img check packed.qcow

# Over a backing file, one more image between.
qemu-img create -q -f qcow -b base.raw -F raw middle.qcow
qemu-img create -q -f qcow -b middle.qcow -F qcow top.qcow 4M
qemus middle.qcow qcow 'write 17 100 5000' 'write 18 1000000 70000'
qemus top.qcow qcow 'write 19 3000 600' 'write 20 3145000 2000' \
    'write 0 1005000 512'
cp base.raw model.raw
truncate -s 4M model.raw
model model.raw 'write 17 100 5000' 'write 18 1000000 70000' \
    'write 19 3000 600' 'write 20 3145000 2000' 'write 0 1005000 512'
same_contents top.qcow qcow model.raw
checked top.qcow
img convert -f qcow -O raw top.qcow out.raw
cmp out.raw model.raw

# ---- What we make ----

img convert -O qcow data.raw plain.qcow
img convert -c -O qcow data.raw packed.qcow
for image in plain packed; do
    same_contents $image.qcow qcow data.raw
    checked $image.qcow
done
[ "$(stat -c %s packed.qcow)" -lt "$(stat -c %s plain.qcow)" ] ||
    fail "a compressed image is not smaller"

# The sizes that qemu-img gives are ours too.
for size in 512 1000 2M 2097153 10G 2T; do
    rm -f a b
    qemu-img create -q -f qcow a $size
    img create -q -f qcow b $size
    cmp -n 48 a b || fail "headers of $size differ"
done
qemu-img create -q -f qcow -b base.raw -F raw a
img create -q -f qcow -b base.raw -F raw b
cmp -n 56 a b || fail "headers of images with backing files differ"
img create -q -f qcow b 100T
run qemu-img info b
grep -q '109951162777600 bytes' <<<"$OUT" || fail "$OUT"
ours b qcow 'write 5 109951162700000 5000' verify
qemus b qcow 'read -P 5 109951162700000 5000'

# ---- In turns ----

# turns IMAGE MODEL SIZE SEED ROUNDS: both write, in random places.
turns() {
    local image=$1 raw=$2 size=$3 rounds=$5 i command commands
    RANDOM=$4
    for ((i = 0; i < rounds; i++)); do
        commands=()
        for _ in 1 2 3 4 5 6; do
            local offset=$(((RANDOM * 32768 + RANDOM) % size))
            local bytes=$((RANDOM * 4 % (size - offset) + 1))
            case $((RANDOM % 5)) in
                0) command="writec $((RANDOM % 256)) $offset $bytes" ;;
                1) command="writez $offset $bytes" ;;
                2)
                    # What a discard leaves is not told, so something is put
                    # there.
                    commands+=("discard $offset $bytes")
                    command="write $((RANDOM % 256)) $offset $bytes"
                    ;;
                *) command="write $((RANDOM % 256)) $offset $bytes" ;;
            esac
            case $command in
                # Over a cluster that is there, QEMU 7.2 loses it.
                writec*) ((i % 2)) || continue ;;
            esac
            commands+=("$command")
        done
        [ ${#commands[@]} -gt 0 ] || continue
        if ((i % 2)); then
            ours "$image" qcow "${commands[@]}" verify
        else
            qemus "$image" qcow "${commands[@]}"
        fi
        model "$raw" "${commands[@]}"
        ((i % 5)) || same_contents "$image" qcow "$raw"
    done
    same_contents "$image" qcow "$raw"
    checked "$image"
}

qemu-img convert -c -O qcow data.raw turns.qcow || true
cp data.raw model.raw
turns turns.qcow model.raw 3145728 1 24

img create -q -f qcow turns.qcow 3M
truncate -s 0 model.raw
truncate -s 3M model.raw
turns turns.qcow model.raw 3145728 2 25

qemu-img create -q -f qcow -b base.raw -F raw turns.qcow
cp base.raw model.raw
turns turns.qcow model.raw 3145728 3 24

img create -q -f qcow -b base.raw -F raw turns.qcow
cp base.raw model.raw
turns turns.qcow model.raw 3145728 4 25

# Emptied, it shows the backing file, to both; and it can be written again.
ours turns.qcow qcow empty verify
same_contents turns.qcow qcow base.raw
[ "$(stat -c %s turns.qcow)" -lt 1000 ] || fail "an empty image has its room"
qemus turns.qcow qcow 'write 1 1000 1000'
ours turns.qcow qcow 'read -P 1 1000 1000' 'write 2 2000 1000' verify
qemus turns.qcow qcow 'read -P 1 1000 1000' 'read -P 2 2000 1000'

# Killed before anything is flushed: what is there is sound.
cp base.raw model.raw
img create -q -f qcow -b base.raw -F raw killed.qcow
model model.raw 'write 1 0 100000'
ours killed.qcow qcow 'write 1 0 100000' flush 'write 2 200000 100000' abort
checked killed.qcow
ours killed.qcow qcow 'read -P 1 0 100000' 'write 3 300000 100000' verify
qemus killed.qcow qcow 'read -P 1 0 100000' 'read -P 3 300000 100000'

# Discards give back blocks, and never show what is behind.
rm -f discard.qcow
qemu-img convert -f raw -O qcow data.raw discard.qcow
before=$(stat -c %b discard.qcow)
long=$(stat -c %s discard.qcow)
cp data.raw model.raw
model model.raw 'write 0 4096 1048576'
ours discard.qcow qcow 'discard 1000 1052000'
same_contents discard.qcow qcow model.raw
checked discard.qcow
[ "$(stat -c %b discard.qcow)" -le $((before - 1500)) ] ||
    fail "of $before blocks a discard left $(stat -c %b discard.qcow)"
[ "$(stat -c %s discard.qcow)" = "$long" ] || fail 'the file is not as long'
qemus discard.qcow qcow 'write 9 100000 5000'
model model.raw 'write 9 100000 5000'
same_contents discard.qcow qcow model.raw
checked discard.qcow

rm -f discard.qcow
img create -q -f qcow -b base.raw -F raw discard.qcow
ours discard.qcow qcow 'write 1 0 1048576' 'discard 0 1048576'
cp base.raw model.raw
model model.raw 'write 0 0 1048576'
same_contents discard.qcow qcow model.raw

# ---- What cannot be ----

qemu-img create -q -f qcow --object secret,id=s,data=x \
    -o encrypt.format=aes,encrypt.key-secret=s secret.qcow 1M 2>/dev/null
expect_error 1 'encrypted, which is not supported' img info secret.qcow
expect_error 1 'encrypted, which is not supported' \
    img convert -O raw secret.qcow out.raw
expect_error 1 'cannot have the size 0' img create -f qcow zero.qcow 0
expect_error 1 encryption \
    img create -f qcow -o encryption=on secret2.qcow 1M
