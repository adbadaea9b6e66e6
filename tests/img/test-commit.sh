#!/bin/bash
# SPDX-License-Identifier: MIT
# What an image holds goes to its backing file: the same as with qemu-img.
# shellcheck source=tests/img/lib.sh
. "$(dirname "$0")/lib.sh"
need qemu-img qemu-io

# scribble IMAGE SEED BYTES: data, zeroes and holes at random places.
scribble() {
    local image=$1 i offset length commands=()
    local bytes
    bytes=$(numfmt --from=iec "$3")
    RANDOM=$2
    for i in $(seq 12); do
        offset=$((RANDOM * 32768 % bytes / 512 * 512 + RANDOM % 97 * 512))
        length=$((RANDOM % 300 * 512 + 512))
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

# chain FORMAT BASE_SIZE MIDDLE_SIZE TOP_SIZE: base.FORMAT below mid.qcow2
# below top.qcow2, in three copies: here, in ours/ and in theirs/.
chain() {
    local image
    rm -rf base.* mid.* top.* ours theirs
    qemu-img create -q -f "$1" "base.$1" "$2"
    qemu-img create -q -f qcow2 -b "base.$1" -F "$1" mid.qcow2 "$3"
    qemu-img create -q -f qcow2 -b mid.qcow2 -F qcow2 top.qcow2 "$4"
    scribble "base.$1" 1 "$2"
    scribble mid.qcow2 2 "$3"
    scribble top.qcow2 3 "$4"
    mkdir ours theirs
    for image in base.* mid.* top.*; do
        cp "$image" ours
        cp "$image" theirs
    done
}

# same NAME: that image is the same in ours/ and theirs/, and sound.
same() {
    run qemu-img compare -f "${1##*.}" -F "${1##*.}" "ours/$1" "theirs/$1"
    [ "$STATUS" = 0 ] || fail "$1 differs from what qemu-img makes: $OUT $ERR"
    [ "$(virtual_size "ours/$1")" = "$(virtual_size "theirs/$1")" ] ||
        fail "$1 has another size than with qemu-img"
    [ "${1##*.}" = raw ] || qemu-img check -q "ours/$1" ||
        fail "ours/$1 is not sound"
}

virtual_size() {
    qemu-img info -f "${1##*.}" --output=json "$1" |
        sed -n 's/.*"virtual-size": *\([0-9]*\).*/\1/p'
}

# is_empty NAME: that image in ours/ holds nothing itself.
is_empty() {
    qemu-img map --output=json "ours/$1" |
        grep -Eq '"depth": 0, "present": true' && fail "$1 was not emptied"
    return 0
}

# commit ARGUMENT...: by both, in their directories; the same is said.
commit() {
    (cd theirs && run qemu-img commit "$@" && echo "$STATUS $OUT" >../.theirs)
    (cd ours && run img commit "$@" && echo "$STATUS $OUT$ERR" >../.ours)
    cmp -s .ours .theirs ||
        fail "commit $*: $(cat .ours), and qemu-img: $(cat .theirs)"
}

# ---- To the backing file, whatever the sizes ----

for sizes in '4194304 4194304 4194304' '1048576 3145728 5242880' \
    '5242880 3145728 4194304' '1000448 1500160 2000384'; do
    for format in raw qcow2; do
        # shellcheck disable=SC2086
        chain $format $sizes
        qemu-img convert -O raw top.qcow2 expected.raw
        commit top.qcow2
        same mid.qcow2
        same top.qcow2
        run qemu-img compare -f raw expected.raw ours/top.qcow2
        [ "$STATUS" = 0 ] || fail "$sizes: top.qcow2 shows something else"
        is_empty top.qcow2
        commit -d mid.qcow2
        same "base.$format"
        same mid.qcow2
        commit mid.qcow2
        same "base.$format"
        is_empty mid.qcow2
    done
done

# ---- To a deeper one ----

for sizes in '4M 4M 4M' '4M 3M 5M' '5M 3M 4M' '1000448 2000384 1500160'; do
    # shellcheck disable=SC2086
    chain raw $sizes
    qemu-img convert -O raw top.qcow2 expected.raw
    cp ours/top.qcow2 before.qcow2
    commit -b ./base.raw top.qcow2
    same base.raw
    cmp ours/top.qcow2 before.qcow2
    cmp -n "$(stat -c %s expected.raw)" expected.raw ours/base.raw ||
        fail "base.raw does not show what top.qcow2 did"
    run qemu-img compare -f raw expected.raw ours/top.qcow2
    [ "$STATUS" = 0 ] || fail "top.qcow2 does not show what it did: $OUT"
done
chain raw 4M 4M 4M
commit -b mid.qcow2 top.qcow2
same mid.qcow2
cmp ours/top.qcow2 top.qcow2
cmp ours/base.raw base.raw
chain raw 4M 4M 4M
(cd ours && img commit -q -b "$PWD/base.raw" top.qcow2)
cp ours/base.raw absolute.raw
(cd theirs && qemu-img commit -q -b base.raw top.qcow2)
same base.raw
chain raw 4M 4M 4M
img commit -q -b ours/base.raw ours/top.qcow2
cmp ours/base.raw absolute.raw

# ---- What is not written stays as it was, and zeroes are zeroes ----

qemu-img create -q -f raw base.raw 1M
qemu-io -f raw -c 'write -P 7 0 1M' base.raw >/dev/null
qemu-img create -q -f qcow2 -b base.raw -F raw top.qcow2
qemu-io -c 'write -z 128k 64k' -c 'write -P 1 300k 1k' top.qcow2 >/dev/null
expect_output 'Image committed.' img commit top.qcow2
qemu-io -f raw -c 'read -P 7 0 128k' -c 'read -P 0 128k 64k' \
    -c 'read -P 7 192k 108k' -c 'read -P 1 300k 1k' -c 'read -P 7 301k 723k' \
    base.raw >.out
grep -q 'verification failed' .out && fail "base.raw: $(cat .out)"
expect_output '' img commit -q top.qcow2
expect_output 'Image committed.' img commit -f qcow2 -t none -p -r 100M \
    top.qcow2
expect_output 'Image committed.' img commit --image-opts \
    driver=qcow2,file.filename=top.qcow2

# ---- With a limit it takes its time ----

img resize -q top.qcow2 6M
qemu-io -c 'write -P 5 0 6M' top.qcow2 >/dev/null
before=$(date +%s%N)
img commit -q -r 8M top.qcow2
[ $(($(date +%s%N) - before)) -gt 300000000 ] ||
    fail "-r 8M: 6 MiB took no time"
expect_output 6291456 stat -c %s base.raw

# ---- Stopped on the way, it loses nothing and can be repeated ----

qemu-io -c 'write -P 6 0 6M' -c 'write -z 4M 1M' top.qcow2 >/dev/null
qemu-img convert -O raw top.qcow2 expected.raw
for signal in INT TERM KILL; do
    env --default-signal=INT "$VVFAT_IMG" commit -r 4M top.qcow2 >.out &
    sleep 0.4
    kill -$signal $!
    STATUS=0
    wait $! 2>/dev/null || STATUS=$?
    [ "$STATUS" = $((128 + $(kill -l $signal))) ] ||
        fail "SIG$signal: ended with $STATUS"
    [ ! -s .out ] || fail "SIG$signal: says it is done"
    qemu-img compare -q -f raw expected.raw top.qcow2 ||
        fail "SIG$signal: top.qcow2 lost something"
done
qemu-img check -q top.qcow2
expect_output 'Image committed.' img commit top.qcow2
cmp expected.raw base.raw

# ---- What is refused, and changes nothing ----

qemu-io -c 'write -P 9 0 64k' -c 'write -z 64k 64k' top.qcow2 >/dev/null
md5sum base.raw top.qcow2 >sums
expect_error 1 'Image does not have a backing file' img commit base.raw
expect_error 1 'Expecting one image file name' img commit
expect_error 1 'Expecting one image file name' img commit a b
expect_error 1 "Invalid cache option: zz" img commit -t zz top.qcow2
expect_error 1 'Invalid rate limit specified' img commit -r zz top.qcow2
expect_error 1 "Unknown driver 'zz'" img commit -f zz top.qcow2
expect_error 1 "Did not find 'nosuch' in the backing chain of 'top.qcow2'" \
    img commit -b nosuch top.qcow2
expect_error 1 "Did not find 'top.qcow2' in the backing" \
    img commit -b top.qcow2 top.qcow2
expect_error 1 'No such file' img commit nosuch
md5sum --quiet -c sums

# Somebody else has it open.
exec 3< <(qemu-io -f raw -c 'sleep 1500' base.raw)
sleep 0.5
expect_error 1 'lock' img commit top.qcow2
exec 3<&-
wait || true
md5sum --quiet -c sums

# ---- A base that cannot take it loses nothing ----

for kind in write write-zeroes flush; do
    expect_error 1 'No space left' img commit --image-opts \
        "driver=qcow2,file.filename=top.qcow2,backing.driver=raw,\
backing.file.driver=blkdebug,backing.file.image.driver=file,\
backing.file.image.filename=base.raw,\
backing.file.inject-error.0.iotype=$kind,backing.file.inject-error.0.errno=28"
    md5sum --quiet -c <(grep top sums)
done
expect_output 'Image committed.' img commit top.qcow2
qemu-io -f raw -c 'read -P 9 0 64k' -c 'read -P 0 64k 64k' base.raw |
    grep -q 'verification failed' && fail "base.raw lacks what top.qcow2 held"
img check top.qcow2 >/dev/null
