#!/bin/bash
# SPDX-License-Identifier: MIT
# An image over a directory is committed into the directory.
# shellcheck source=tests/img/rw-lib.sh
. "$(dirname "$0")/rw-lib.sh"

base=fat:rw:$SHAPE:dir

# over IMAGE: overlay.qcow2 over the directory shows the disk IMAGE.
over() {
    rm -f overlay.qcow2*
    img create -q -f qcow2 -b "$base" -F vvfat overlay.qcow2
    "$IMAGE_IO" overlay.qcow2 "load $1" flush || fail "load $1"
    img compare -q overlay.qcow2 "$1"
}

is_empty() {
    img map --output=json "$1" | grep -Eq '"depth": 0, .*"present": true' &&
        fail "$1 was not emptied"
    return 0
}

# The directory has what is in the disk image.
has_all_of() {
    rm -rf expected
    img extract -q --utc "$1" expected
    same_tree expected dir
}

mkdir -p dir/sub
seq 9000 >dir/numbers.txt
seq 30000 >dir/sub/big.txt
echo hello >dir/hello.txt
echo gone >dir/gone.txt
touch -d '2020-02-02 02:02:02 UTC' dir/* dir/sub/*
cp -a dir before
copy_disk dir
seq 20000 >new.txt
touch -d '2021-03-04 05:06:08 UTC' new.txt

# What reads the image does not need to write: the directory is as it is.
img create -q -f qcow2 -b "$base" -F vvfat overlay.qcow2
img compare -q overlay.qcow2 disk.img
output_has '^backing file: fat:rw:' img info overlay.qcow2
output_has '^file format: vvfat$' img info --backing-chain overlay.qcow2
expect_error 1 'read-only' img ls --image-opts \
    "driver=vvfat,dir=dir,rw=on,read-only=on"

# New, removed, changed and moved files, in an order that is none of theirs: in
# the directory, the disk becomes another one than the image was made for.
on_disk mcopy -m new.txt ::0-first.txt
on_disk mcopy -m new.txt ::/sub/new.txt
on_disk mdel ::gone.txt
on_disk mren ::numbers.txt ::/sub/numbers.txt
on_disk mmd ::made
over disk.img
expect_output 'Image committed.' img commit overlay.qcow2
has_all_of disk.img
is_empty overlay.qcow2
[ ! -e overlay.qcow2.vvfat-commit ] || fail 'the overlay of the commit is left'
img ls -R overlay.qcow2 | grep -q 0-first.txt
expect_output 'Image committed.' img commit overlay.qcow2
has_all_of disk.img

# -d leaves the image alone; an image in between is committed, too.
copy_disk dir
on_disk mdel ::0-first.txt
over disk.img
cp overlay.qcow2 as-it-was.qcow2
expect_output 'Image committed.' img commit -d overlay.qcow2
cmp overlay.qcow2 as-it-was.qcow2
has_all_of disk.img
copy_disk dir
over disk.img
img create -q -f qcow2 -b overlay.qcow2 -F qcow2 top.qcow2
on_disk mcopy -m new.txt ::again.txt
"$IMAGE_IO" top.qcow2 'load disk.img' flush
name=$(img info --backing-chain top.qcow2 | sed -n 's/^image: fat:/fat:/p')
expect_output 'Image committed.' img commit -b "$name" top.qcow2
has_all_of disk.img
rm top.qcow2*

# Interrupted while the bytes are copied, it has not touched the directory, and
# can be repeated.
cp -a dir as-it-was
copy_disk dir
head -c 3M /dev/urandom >random.bin
# Not the time of what will have its clusters: that would be this file.
touch -d '2019-01-02 03:04:06 UTC' random.bin
on_disk mcopy -m random.bin ::random.bin
over disk.img
for signal in INT KILL; do
    env --default-signal=INT "$VVFAT_IMG" commit -r 2M overlay.qcow2 >.out &
    sleep 0.4
    kill -$signal $!
    wait $! 2>/dev/null && fail "SIG$signal: it says it is done"
    same_tree as-it-was dir
    img compare -q overlay.qcow2 disk.img
done
expect_output 'Image committed.' img commit overlay.qcow2
has_all_of disk.img
[ ! -e overlay.qcow2.vvfat-commit ] || fail 'the overlay of the commit is left'

# What must wait is named, with what keeps it; the rest is in the directory.
# Repeated, it goes on: the directory's new disk is not taken for the old one.
copy_disk dir
seq 3000 >long.txt
on_disk mdel ::random.bin
on_disk mcopy long.txt ::0-long.txt
on_disk mcopy -m new.txt ::00-new.txt
entry=$(LC_ALL=C grep -abo '0-LONG  TXT' disk.img | head -n 1 | cut -d: -f1)
printf '\xff\xff\xff\x7f' |
    dd of=disk.img bs=1 seek=$((entry + 28)) conv=notrunc status=none
over disk.img
cp overlay.qcow2 as-it-was.qcow2
rm -rf expected as-it-was
cp -a dir expected
rm expected/random.bin
cp -a new.txt expected/00-new.txt
for _ in 1 2; do
    expect_error 1 "stays in '.*overlay.qcow2.vvfat-commit'" \
        img commit overlay.qcow2
    grep -q "Not committed: '0-long.txt': its size" <<<"$ERR" ||
        fail "what waits is not named: $ERR"
    cmp overlay.qcow2 as-it-was.qcow2
    same_tree expected dir
done
rm overlay.qcow2*

# The host refuses: nothing is lost, and when it does not any more all is done.
if chattr +i dir/sub 2>/dev/null; then
    copy_disk dir
    on_disk mcopy -m new.txt ::/sub/0-new.txt
    on_disk mcopy -m new.txt ::0-new.txt
    over disk.img
    expect_error 1 'sub/0-new.txt' img commit overlay.qcow2
    [ -e dir/0-new.txt ] || fail 'one file that fails keeps another one back'
    chattr -i dir/sub
    expect_output 'Image committed.' img commit overlay.qcow2
    has_all_of disk.img
    is_empty overlay.qcow2
fi

# What cannot be: the message leads on.
img create -q -f qcow2 -b "fat:$SHAPE:dir" -F vvfat overlay.qcow2
expect_error 1 "record it with rw: vvfat-img rebase -u -F vvfat -b 'fat:rw:" \
    img commit overlay.qcow2
command=$(sed -n 's/.*: vvfat-img rebase/rebase/p' <<<"$ERR")
eval "img $command"
expect_output 'Image committed.' img commit overlay.qcow2
img create -q -f qcow2 -b "$base" -F raw raw.qcow2
expect_error 1 'rebase -u -F vvfat' img commit raw.qcow2
rm -f overlay.qcow2* raw.qcow2

# ---- The host changes the directory that an image stands on ----

changed="The directory of 'fat:.*dir' has changed since '.*' was written on it"
rm -rf dir
mkdir -p dir/sub
for i in a b c d; do seq 3000 | sed "s/^/$i/" >"dir/$i"; done
touch -d '2020-02-02 02:02:02 UTC' dir/*
copy_disk dir
on_disk mcopy -m new.txt ::new.txt
over disk.img
cp overlay.qcow2 written.qcow2

# refused COMMAND...: for that reason, and image and directory stay as they are.
refused() {
    rm -rf as-it-was
    cp -a dir as-it-was
    expect_error 1 "$changed" "$@"
    cmp overlay.qcow2 written.qcow2
    same_tree as-it-was dir
    [ ! -e overlay.qcow2.vvfat-commit ] || fail 'an overlay is left'
}

seq 9000 >dir/aa
refused img commit overlay.qcow2
refused img commit -d overlay.qcow2
grep -q 'the number of its files was 4 then, and is 5 now' <<<"$ERR" || fail "$ERR"
refused img ls overlay.qcow2
refused img convert overlay.qcow2 out.img
refused "$IMAGE_IO" overlay.qcow2 'load disk.img' flush
# What the chain stands on counts, however deep it is.
img create -q -u -f qcow2 -b overlay.qcow2 -F qcow2 top.qcow2 8M
refused img commit top.qcow2
refused img commit -b "fat:rw:$SHAPE:dir" top.qcow2
rm top.qcow2

# Changes that move other files: each of them, and one that is none.
mv dir/aa .
mv dir/b dir/bb
refused img commit overlay.qcow2
mv dir/bb dir/b
mv dir/c dir/sub
refused img commit overlay.qcow2
mv dir/sub/c dir
cp -a dir/c c
echo more >>dir/c
refused img commit overlay.qcow2
cp -a c dir
mkdir dir/other
refused img commit overlay.qcow2
rmdir dir/other
touch dir/d
img compare -q overlay.qcow2 disk.img 2>/dev/null || [ $? = 1 ]
touch -d '2020-02-02 02:02:02 UTC' dir/d
img compare -q overlay.qcow2 disk.img

# It can be looked at, but not be written, and the image itself be checked.
cp aa dir
opened=driver=qcow2,file.filename=overlay.qcow2,check-backing=off
img ls --image-opts "$opened" | grep -q new.txt
output_has 'files: 4' img info overlay.qcow2
expect_error 1 "$changed" img commit --image-opts "$opened"
run img check overlay.qcow2
[ "$STATUS" = 2 ] || fail "check ended with $STATUS: $OUT $ERR"
grep -Eq "^ERROR: $changed" <<<"$ERR" || fail "check said: $OUT $ERR"
run img check --output=json overlay.qcow2
[ "$STATUS" = 2 ] || fail "check ended with $STATUS: $OUT $ERR"
cmp overlay.qcow2 written.qcow2

# Other programs keep what they do not know.
if command -v qemu-img >/dev/null; then
    cp overlay.qcow2 by-qemu.qcow2
    qemu-img rebase -u -f qcow2 -b "${base%dir}./dir" -F vvfat by-qemu.qcow2
    ! cmp -s by-qemu.qcow2 written.qcow2 || fail 'QEMU wrote nothing'
    expect_error 1 "$changed" img commit by-qemu.qcow2
fi

# With the change undone, all is well; with it done again after the commit, too:
# the image holds nothing of the directory as it was.
rm dir/aa
expect_output 'Image committed.' img commit overlay.qcow2
has_all_of disk.img
output_has 'files: 5' img info overlay.qcow2
cp aa dir
copy_disk dir
img compare -q overlay.qcow2 disk.img
on_disk mcopy -m new.txt ::again.txt
"$IMAGE_IO" overlay.qcow2 'load disk.img' flush
output_has 'files: 6' img info overlay.qcow2
cp overlay.qcow2 written.qcow2
rm dir/aa
refused img commit overlay.qcow2
cp aa dir
touch -r disk.img dir/aa
expect_output 'Image committed.' img commit overlay.qcow2
content_is dir/again.txt "$(<new.txt)"
content_is dir/aa "$(<aa)"

# The overlay of a commit that was interrupted goes with the image that it is
# of, and not with one that was written on the directory as it is now.
copy_disk dir
on_disk mcopy -m long.txt ::0-long.txt
on_disk mcopy -m new.txt ::00-new.txt
entry=$(LC_ALL=C grep -abo '0-LONG  TXT' disk.img | head -n 1 | cut -d: -f1)
printf '\xff\xff\xff\x7f' |
    dd of=disk.img bs=1 seek=$((entry + 28)) conv=notrunc status=none
over disk.img
expect_error 1 'stays in' img commit overlay.qcow2
expect_error 1 "$changed" img ls overlay.qcow2
expect_error 1 'stays in' img commit overlay.qcow2
mv overlay.qcow2.vvfat-commit left
copy_disk dir
on_disk mdel ::00-new.txt
over disk.img
cp left overlay.qcow2.vvfat-commit
rm -rf as-it-was
cp -a dir as-it-was
expect_error 1 "$changed" img commit overlay.qcow2
same_tree as-it-was dir
rm overlay.qcow2.vvfat-commit
expect_output 'Image committed.' img commit overlay.qcow2
has_all_of disk.img

# Another backing file: what the new directory is like is what counts.
mkdir two
cp -a dir/a two
two=fat:rw:$SHAPE:two
over disk.img
cp overlay.qcow2 u.qcow2
echo x >two/x
expect_output '' img rebase -F vvfat -b "$two" overlay.qcow2
img compare -q overlay.qcow2 disk.img
rm two/x
expect_error 1 "The directory of 'fat:.*two' has changed" img ls overlay.qcow2
img rebase -u -F vvfat -b "$two" overlay.qcow2
img ls overlay.qcow2 >.out
img rebase -u -F vvfat -b "fat:rw:$SHAPE:nowhere" u.qcow2 2>.err
grep -q "is not recorded" .err || fail "$(<.err)"
expect_output '' img rebase -u u.qcow2 -b disk.img -F raw
img info u.qcow2 | grep -q digest && fail 'it is kept with a raw image'
img convert -O qcow2 -B "$two" -F vvfat disk.img converted.qcow2
output_has 'files: 1$' img info converted.qcow2
echo x >two/x
expect_error 1 "The directory of 'fat:.*two' has changed" \
    img ls converted.qcow2

# A directory that a commit lets grow beyond the image: that is told, and the
# image, which holds nothing, shows no half of a disk.
mkdir grows
truncate -s 505M grows/small
grows=fat:rw:free=3M:grows
img create -q -f qcow2 -b "$grows" -F vvfat g.qcow2
img convert g.qcow2 g.img
head -c 2M /dev/zero >large
offset=$(img info "${grows/rw:/}" | sed -n "s/.*volume offset: //p")
mcopy -i "g.img@@$offset" large ::
"$IMAGE_IO" g.qcow2 'load g.img' flush
run img commit g.qcow2
[ "$STATUS" = 0 ] || fail "commit ended with $STATUS: $ERR"
grep -q 'has grown to .* create it anew' <<<"$ERR" || fail "commit said: $ERR"
cmp large grows/large
expect_error 1 'has grown to .* create it anew' img ls g.qcow2
