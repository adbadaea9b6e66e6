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
