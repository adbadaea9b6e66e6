#!/bin/bash
# SPDX-License-Identifier: MIT
# check finds what is damaged, says where, and ends as qemu-img does. Each
# damage is one that fsck.fat sees, too.
# shellcheck source=tests/img/lib.sh
. "$(dirname "$0")/lib.sh"
need fsck.fat

mkdir -p tree/sub
head -c 5000 /dev/urandom >tree/FILE1.BIN
head -c 5000 /dev/urandom >tree/FILE2.BIN
echo x >tree/sub/INNER.TXT

expect_error 63 'does not support checks' sh -c \
    "truncate -s 1M zero.raw; '$VVFAT_IMG' check zero.raw"
expect_error 1 'No such file' img check nothing
run img check fat:tree
[ "$STATUS" = 0 ] || fail "check of a directory: $OUT $ERR"
grep -qx 'No errors were found on the image.' <<<"$OUT" ||
    fail "$OUT"
grep -q "FAT16.*'QEMU VVFAT', 3 files" <<<"$OUT" || fail "$OUT"

img convert fat:12:floppy:tree good.img
expect_output '' img check -q good.img
# A 1.44 MB floppy: FATs at sectors 1 and 10, root at 19, data at 33. Clusters
# of a sector: FILE1.BIN has 2..11, FILE2.BIN 12..21.
poke() {
    printf '%b' "$3" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}
# The 12-bit entry of a cluster, in both FATs.
set_fat() {
    local image=$1.img cluster=$2 value=$3 at old new base
    for base in 512 5120; do
        at=$((base + cluster * 3 / 2))
        old=$((16#$(xxd -s $at -l 2 -p "$image" |
            sed 's/\(..\)\(..\)/\2\1/')))
        if [ $((cluster % 2)) = 1 ]; then
            new=$(((old & 0x000f) | (value << 4)))
        else
            new=$(((old & 0xf000) | value))
        fi
        poke "$image" $at "$(printf '\\x%02x\\x%02x' $((new & 255)) \
            $((new >> 8)))"
    done
}
first=$(img ls --output=json good.img | grep -c '"path"')
[ "$first" = 3 ] || fail "the floppy has $first entries"

# damaged NAME STATUS PATTERN: check sees it, and so does fsck.fat.
damaged() {
    run img check "$1.img"
    [ "$STATUS" = "$2" ] || fail "$1: check ended with $STATUS: $OUT $ERR"
    grep -Eqi -- "$3" <<<"$OUT" ||
        fail "$1: check does not say '$3': $OUT"
    local out=$OUT
    run img check --output=json "$1.img"
    [ "$STATUS" = "$2" ] || fail "$1: as JSON it ended with $STATUS"
    ! command -v jq >/dev/null || printf '%s\n' "$OUT" | jq . >/dev/null ||
        fail "$1: no JSON: $OUT"
    run fsck.fat -n "$1.img"
    [ "$(printf '%s\n' "$OUT" | wc -l)" != 2 ] || [ "$STATUS" != 0 ] ||
        fail "$1: fsck.fat sees nothing, we said: $out"
}
copy() {
    cp good.img "$1.img"
}
copy lost; set_fat lost 1000 1001; set_fat lost 1001 0xfff
damaged lost 3 '2 leaked clusters|lost'
copy cross; set_fat cross 11 12
damaged cross 2 'FILE[12].BIN'
copy loop; set_fat loop 11 2
damaged loop 2 'FILE1.BIN'
copy free; set_fat free 5 0
damaged free 2 'FILE1.BIN'
copy bad; set_fat bad 5 0xff7
damaged bad 2 'FILE1.BIN'
copy outside; set_fat outside 5 0xb60
damaged outside 2 'FILE1.BIN'
copy short; set_fat short 5 0xfff
damaged short 2 'FILE1.BIN'
copy mirror; poke mirror.img $((5120 + 30)) '\x55'
damaged mirror 2 'FAT'
copy media; poke media.img 512 '\x11'; poke media.img 5120 '\x11'
damaged media 2 'media'

# Not FAT any more.
copy boot; poke boot.img 11 '\x01'
run img check boot.img
[ "$STATUS" != 0 ] || fail 'a boot sector of garbage is fine'

# Volumes behind a partition table, and one of them alone.
img convert fat:tree disk.img
offset=$((63 * 512))
poke disk.img $((offset + 512 + 2000)) '\x55\x55'
run img check disk.img
[ "$STATUS" = 2 ] || fail "the damage in a partition is not seen: $OUT"
grep -q '^partition 1: ' <<<"$OUT" || fail "$OUT"
run img check -P 1 disk.img
[ "$STATUS" = 2 ] || fail "-P 1: $OUT"
expect_error 1 'no partition 2' img check -P 2 disk.img
[ -z "$OUT" ] || fail "there is no partition 2, and is checked: $OUT"
run img check -P 0 disk.img
[ "$STATUS" = 1 ] || fail "the bare disk is checked: $STATUS $OUT $ERR"
run img check -q disk.img
[ "$STATUS:$OUT" = 2: ] || fail "-q: $STATUS $OUT"

# Volumes of others.
if command -v mkfs.fat >/dev/null; then
    for type in 12 16 32; do
        truncate -s $((type * type * 100))k other.img
        mkfs.fat -F $type other.img >/dev/null
        expect_output '' img check -q other.img
        rm other.img
    done
fi
