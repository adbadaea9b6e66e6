#!/bin/bash
# SPDX-License-Identifier: MIT
#
# All clients see one disk: qemu-img, nbdcopy, several at once, and those who
# come back, also to another server.

# shellcheck source=tests/img/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/img/export-lib.sh
. "$(dirname "$0")/export-lib.sh"
trap 'export_cleanup; cleanup' EXIT
need nbdinfo nbdcopy qemu-img jq mcopy
export_need
[ "$STAND_IN" = no ] || skip 'a directory that is not written to is needed'

plain_tree source
truncate -s 1M source/sparse
seq 3000 | dd of=source/sparse bs=64k seek=10 conv=notrunc status=none
# One file that the host lets nobody write.
seq 20000 >source/protected
chmod 0444 source/protected
find source -exec touch -d '2022-02-02 02:02:02' {} +
cp -a source original

merged() { # jq filter to {start, length, data, zero}
    jq -c "map($1) |"'reduce .[] as $e ([];
        if length > 0 and .[-1].data == $e.data and .[-1].zero == $e.zero
            and .[-1].start + .[-1].length == $e.start
        then .[-1].length += $e.length else . + [$e] end) | .[]'
}

# ---- qemu-img, the same as vvfat-img on the directory ----

for fat in 12 16 32; do
    case $fat in
        12) options='partition=none size=8M' ;;
        16) options='partition=gpt size=16M' ;;
        32) options='size=40M cluster-size=512' ;;
    esac
    options+=" fat-type=$fat timezone=utc"
    commas=driver=vvfat,dir=source,${options// /,}
    rm -f ours.img theirs.img
    img convert --image-opts "$commas" ours.img
    img map --output=json --image-opts "$commas" |
        merged '{start, length, data, zero}' >ours.map
    # shellcheck disable=SC2016,SC2086 # words; nbdkit's shell has $uri
    nbdkit --unix - "$PLUGIN" source $options --run 'set -e
        qemu-img convert -f raw -O raw "$uri" theirs.img
        qemu-img compare -f raw -F raw ours.img "$uri"
        qemu-img compare -f raw -F raw "$uri" "$uri"
        qemu-img map -f raw --output=json "$uri" >theirs.json
        qemu-img convert -f raw -O qcow2 "$uri" theirs.qcow2' >compare.log
    cmp ours.img theirs.img
    [ "$(grep -c 'Images are identical' compare.log)" = 2 ] ||
        fail "qemu-img compare: $(<compare.log)"
    merged '{start, length, data, zero}' <theirs.json >theirs.map
    diff -u ours.map theirs.map || fail "the maps of FAT$fat"
    img compare -q --image-opts "$commas" driver=qcow2,file.filename=theirs.qcow2
done

# ---- Many at once, who ask for different things ----

# shellcheck disable=SC2016,SC2086 # words; nbdkit's shell has $uri
nbdkit --unix - "$PLUGIN" source $options --run 'set -e
    jobs=
    for i in 1 2 3; do
        nbdcopy --connections=$i --request-size=$((32768 << i)) \
            "$uri" copy$i.img & jobs="$jobs $!"
        qemu-img convert -f raw -O raw "$uri" qemu$i.img & jobs="$jobs $!"
        nbdinfo --map "$uri" >map$i & jobs="$jobs $!"
    done
    for job in $jobs; do wait $job; done'
for i in 1 2 3; do
    cmp ours.img copy$i.img
    cmp ours.img qemu$i.img
    cmp map1 map$i
done
rm -f copy?.img qemu?.img theirs.*

# ---- Come back: to the same server, and to the next ----

export_start first source size=8M fat-type=12 partition=none timezone=utc
uri=$(export_uri first)
nbdcopy "$uri" again.img
mcopy -i again.img original/hello.txt ::/second.txt
nbdcopy --flush again.img "$uri"
cmp original/hello.txt source/second.txt
# With and without looking at what is a hole, after writing.
nbdcopy "$uri" sparse.img
nbdcopy --no-extents "$uri" full.img
cmp again.img sparse.img
cmp again.img full.img
# All of it over itself, the protected file, too, changes nothing.
export_listing source >source.list
nbdcopy --flush again.img "$uri"
export_listing source | diff source.list - ||
    fail 'the same bytes have changed the directory'
export_stop first

export_start next source size=8M fat-type=12 partition=none timezone=utc \
    overlay=kept.qcow2
nbdcopy "$(export_uri next)" first.img
cp first.img changed.img
mcopy -i changed.img original/hello.txt ::/third.txt
nbdcopy --flush changed.img "$(export_uri next)"
for _ in 1 2; do
    export_kill next
    export_again next
    nbdcopy "$(export_uri next)" again.img
    cmp changed.img again.img || fail 'another volume after a restart'
done
cmp original/hello.txt source/third.txt
export_stop next

for _ in 1 2; do
    # shellcheck disable=SC2016 # nbdkit's shell has $uri
    nbdkit --unix - "$PLUGIN" source fat-type=16 size=16M timezone=utc \
        --run 'nbdcopy "$uri" - | sha256sum; nbdcopy "$uri" - | sha256sum'
done >sums
[ "$(sort -u sums | wc -l)" = 1 ] || fail "other volumes: $(<sums)"
