#!/bin/bash
# SPDX-License-Identifier: MIT
# What cannot be committed is kept in an image beside the directory, and the
# message leads to it.
# shellcheck source=tests/img/rw-lib.sh
. "$(dirname "$0")/rw-lib.sh"

# The image that the last message names.
rescue_named() {
    RESCUE=$(sed -n "s/.*is kept in '\([^']*\)'.*/\1/p" <<<"$ERR")
    [ -f "$RESCUE" ] || fail "no image is named: $ERR"
    [ "$(stat -c %a "$RESCUE")" = 600 ] || fail "others can read '$RESCUE'"
}

mkdir dir
echo hello >dir/hello.txt
echo other >dir/other.txt
touch -d '2020-02-02 02:02:02' dir/*
cp -a dir before
copy_disk dir

# The guest formats the volume: nothing of the directory goes.
cp disk.img formatted.img
mkfs.fat -F 12 -i 12345678 -n FORMATTED formatted.img >/dev/null
mcopy -i formatted.img before/hello.txt ::only.txt
on_host dir 'load formatted.img' flush facts
[ "$STATUS" = 1 ] || fail "formatting went unnoticed: $OUT"
facts_have 'commit\.suspended=.*'
same_tree before dir
grep -q "directory 'dir' (.*format" <<<"$ERR" || fail "no reason: $ERR"
rescue_named
[ "${RESCUE%/*}" = "$PWD" ] || fail "'$RESCUE' is not beside the directory"
case ${RESCUE##*/} in
    dir.vvfat-rescue-*.qcow2) ;;
    *) fail "a name like '$RESCUE'" ;;
esac
img compare -q "$RESCUE" formatted.img
expect_output hello img cat "$RESCUE" only.txt

# Again, at the same time: the first one stays.
first=$RESCUE
cp "$first" first.qcow2
expect_error 1 'is kept in' img convert -n formatted.img "fat:rw:$SHAPE:dir"
rescue_named
[ "$RESCUE" != "$first" ] || fail 'the image replaced an earlier one'
cmp "$first" first.qcow2
rm -f dir.vvfat-rescue-*

# A flush of a formatted disk makes an image, and what it has survives a crash;
# the next one brings it up to date.
cp formatted.img later.img
seq 5000 >later.txt
mcopy -i later.img later.txt ::later.txt
for version in formatted later; do
    commands=('load formatted.img' flush facts)
    [ $version = formatted ] ||
        commands+=('host ls dir.vvfat-rescue-* >first' 'load later.img' flush)
    on_host dir "${commands[@]}" abort
    RESCUE=$(sed -n 's/^commit\.rescue=//p' <<<"$OUT")
    [ "$(echo dir.vvfat-rescue-*)" = "${RESCUE##*/}" ] ||
        fail "$version: there is another image than '$RESCUE'"
    [ "$(stat -c %a "$RESCUE")" = 600 ] || fail "others can read '$RESCUE'"
    img compare -q "$RESCUE" $version.img
    same_tree before dir
    rm "$RESCUE"
done
[ "$(<first)" = "${RESCUE##*/}" ] || fail 'the second flush made another image'

# Somebody removes the image: the next flush makes another one.
on_host dir 'load formatted.img' flush 'host rm dir.vvfat-rescue-*' \
    'load later.img' flush abort
img compare -q dir.vvfat-rescue-* later.img
rm -f dir.vvfat-rescue-*

# When the volume is there again, all goes on, and the image goes.
on_disk mcopy before/hello.txt ::new.txt
on_host_well dir 'load formatted.img' flush 'host ls dir.vvfat-rescue-*' \
    'load disk.img' flush 'host ! ls dir.vvfat-rescue-*' \
    'host cmp before/hello.txt dir/new.txt' facts
! grep -q '^commit\.rescue=' <<<"$OUT" || fail "a rescue is left: $OUT"
rm dir/new.txt
copy_disk dir

# Unless a part of it still waits: at the end, the image has that as it is then.
seq 3000 >long.txt
on_disk mcopy long.txt ::long.txt
entry=$(LC_ALL=C grep -abo 'LONG    TXT' disk.img | head -n 1 | cut -d: -f1)
printf '\xff\xff\xff\x7f' |
    dd of=disk.img bs=1 seek=$((entry + 28)) conv=notrunc status=none
on_host dir 'load formatted.img' flush 'load disk.img' flush \
    'host ls dir.vvfat-rescue-*'
[ "$STATUS" = 1 ] || fail 'a damaged entry was committed'
rescue_named
[ "$(echo dir.vvfat-rescue-*)" = "${RESCUE##*/}" ] || fail 'two images'
run img extract -q "$RESCUE" repaired
cmp -n "$(stat -c %s long.txt)" repaired/long.txt long.txt
rm -f dir.vvfat-rescue-*
copy_disk dir

# Where none can be made the flush fails: here the name is too long.
long=$(printf 'd%.0s' {1..240})
cp -a before "$long"
on_host "$long" 'load formatted.img' flush
[ "$STATUS" = 1 ] || fail 'a flush succeeded that kept nothing'
why='beside the directory (.*File name too long), nor in TMPDIR (.*too long)'
grep -q "flush: .*nor be kept: .*$why.*unless a flush" <<<"$ERR" ||
    fail "no reason for a flush that fails: $ERR"
same_tree before "$long"
rm -r "$long"

# Nothing is committed with commit=manual, unless asked for.
on_disk mcopy before/hello.txt ::new.txt
expect_error 1 'commit=manual' \
    img convert -n disk.img "fat:rw:commit=manual:$SHAPE:dir"
same_tree before dir
rescue_named
img extract -q "$RESCUE" out
cmp before/hello.txt out/new.txt
rm -f dir.vvfat-rescue-*
on_host_well commit=manual dir 'load disk.img' commit
cmp before/hello.txt dir/new.txt
rm dir/new.txt

# An entry that is damaged, and one that is whole: the one is on the host, the
# other one in the image.
copy_disk dir
seq 3000 >long.txt
on_disk mcopy long.txt ::long.txt
on_disk mcopy before/other.txt ::whole.txt
entry=$(LC_ALL=C grep -abo 'LONG    TXT' disk.img | head -n 1 | cut -d: -f1)
printf '\xff\xff\xff\x7f' |
    dd of=disk.img bs=1 seek=$((entry + 28)) conv=notrunc status=none
on_host dir 'load disk.img' flush facts
[ "$STATUS" = 1 ] || fail 'a damaged entry was committed'
facts_have 'commit\.pending=1' 'commit\.last-result=success' \
    'pending\.0\.path=long\.txt' \
    'pending\.0\.reason=its size is more than its clusters hold'
grep -q "'long.txt': its size" <<<"$ERR" || fail "no reason: $ERR"
cmp before/other.txt dir/whole.txt
[ ! -e dir/long.txt ] || fail 'a damaged file is in the directory'
rescue_named
run img extract -q "$RESCUE" damaged
cmp -n "$(stat -c %s long.txt)" damaged/long.txt long.txt
rm -f dir.vvfat-rescue-*
rm dir/whole.txt


# The partition is moved or removed: the volume is not the guest's any more.
# Its name, type and flags, and the disk's signature, are no matter.
command -v sgdisk >/dev/null && command -v sfdisk >/dev/null || exit 0
for table in mbr gpt; do
    SHAPE=size=40M:fat-type=32:timezone=utc:partition=$table
    copy_disk dir
    cp disk.img as-it-was.img
    if [ $table = gpt ]; then
        sgdisk -c 1:renamed disk.img >gdisk.out
    else
        sfdisk -q --disk-id disk.img 0x12345678 >fdisk.out
        sfdisk -q --part-type disk.img 1 0b
    fi
    on_host_well dir 'load disk.img' flush
    cp as-it-was.img disk.img
    if [ $table = gpt ]; then
        sgdisk -d 1 -n 1:4096:0 disk.img >gdisk.out
    else
        sfdisk -q disk.img <<<4096
    fi
    on_host dir 'load disk.img' flush facts
    [ "$STATUS" = 1 ] || fail "$table: another partition went unnoticed"
    facts_have 'commit\.suspended=.*partition table.*'
    rm -f dir.vvfat-rescue-*
done
same_tree before dir
