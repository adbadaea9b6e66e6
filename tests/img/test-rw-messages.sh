#!/bin/bash
# SPDX-License-Identifier: MIT
# Commands on names with rw: which of them write into the directory, and what
# the others say.
# shellcheck source=tests/img/rw-lib.sh
. "$(dirname "$0")/rw-lib.sh"
need flock

mkdir dir
echo hello >dir/hello.txt
ln -s nowhere dir/link
find dir -exec touch -h -d '2020-02-02 02:02:02' {} +
cp -a dir before
json='{"driver":"vvfat","dir":"dir","rw":true}'
copy_disk dir 2>copy.err
grep -q "skipped 'link'" copy.err || fail "convert: $(<copy.err)"

# ---- Reading ----

# What reads says how to read.
for name in fat:rw:dir "json:$json"; do
    for command in info map check ls 'cat NAME hello.txt' 'extract NAME out' \
        'convert NAME out.img' measure 'bench -c 1' 'dd if=NAME of=out.img' \
        'commit' 'info -U' 'ls -U'; do
        [[ $command = *NAME* ]] || command+=' NAME'
        mapfile -t words <<<"${command// /$'\n'}"
        expect_error 1 "'rw' when drive is read-only; leave out rw to read" \
            img "${words[@]/NAME/$name}"
    done
    expect_error 2 'leave out rw' img compare "$name" disk.img
done
expect_error 1 'leave out rw' img info --image-opts driver=vvfat,dir=dir,rw=on
[ ! -e out ] || fail 'a command that failed left a directory'
[ ! -e out.img ] || fail 'a command that failed left an image'

# ---- Writing ----

# A directory exists: it is not created.
for command in "create -f raw fat:rw:dir 1M" "dd if=disk.img of=fat:rw:dir" \
    "convert disk.img fat:rw:dir"; do
    mapfile -t words <<<"${command// /$'\n'}"
    expect_error 1 'cannot be created' img "${words[@]}"
done
grep -q -- '-n' <<<"$ERR" || fail "no hint: $ERR"
expect_error 1 'does not support image creation' \
    img create -f vvfat fat:rw:dir 1M
for name in fat:dir fat:rw:dir fat:size=8M:rw:dir; do
    for size in +10M 1G; do
        expect_error 1 'what its options say: size=, or free=' \
            img resize "$name" $size
        ! grep -q 'rw=on' <<<"$ERR" || fail "rw does not help: $ERR"
    done
done
expect_error 1 'read-only; with rw=on' img convert -n disk.img "fat:$SHAPE:dir"
expect_error 1 'smaller than input' img convert -n disk.img fat:floppy:rw:dir
expect_error 63 'does not support checks' img check -r all fat:rw:dir

head -c 1024 disk.img >dir/inside.img
for source in dir/inside.img fat:dir; do
    expect_error 1 "source lies in the directory 'dir'" \
        img convert -n "$source" "fat:rw:$SHAPE:dir"
done
rm dir/inside.img

# Another directory's disk.
mkdir other
img convert "fat:size=9M:fat-type=12:partition=none:other" other.img
expect_error 1 "must have the layout of the directory's disk" \
    img convert -n other.img fat:rw:size=9M:fat-type=16:partition=none:dir
rm -r other dir.vvfat-rescue-*

# Directories that cannot be written to.
if unshare -rm true 2>/dev/null; then
    # shellcheck disable=SC2016 # for the shell inside
    expect_error 1 "lock '.*dir' for writing: Read-only file system" \
        unshare -rm sh -c 'mount --bind dir dir &&
        mount -o remount,bind,ro dir && "$@"' - \
        "$VVFAT_IMG" convert -n disk.img "fat:rw:$SHAPE:dir"
fi
expect_error 1 "directory 'missing': No such file" \
    img convert -n disk.img fat:rw:missing
expect_error 1 "directory 'disk.img': Not a directory" \
    img convert -n disk.img fat:rw:disk.img
(
    exec 9<dir
    flock 9
    expect_error 1 "'dir' is open for writing already" \
        img convert -n disk.img "fat:rw:$SHAPE:dir"
    expect_output hello img cat fat:dir hello.txt
)
if [ "$(id -u)" != 0 ]; then
    chmod a-w dir
    expect_error 1 "not allow to make files in 'dir'" \
        img convert -n disk.img "fat:rw:$SHAPE:dir"
    chmod u+w dir
fi
expect_error 1 "temporary file in '/nonexistent' \(TMPDIR" \
    env TMPDIR=/nonexistent "$VVFAT_IMG" convert -n disk.img "fat:rw:$SHAPE:dir"

# Options of writing.
for word in commit=flush commit-delay=5 protect=report file-mode=0600 \
    dir-mode=0700 overlay-max=1M; do
    expect_error 1 "Option '${word%=*}' needs rw=on" img info "fat:$word:dir"
done
for word in commit=often commit-delay=3600001 protect=no file-mode=0888 \
    file-mode=1000 dir-mode=u+w overlay-max=-1 rw=maybe; do
    expect_error 1 "${word%=*}" img convert -n disk.img "fat:rw:$word:dir"
done

# None of that has changed anything.
same_tree before dir
[ "$(readlink dir/link)" = nowhere ] || fail 'a link is gone'

# An image that needs another one, which is gone, is there all the same: it is
# not made anew.
img create -q -f qcow2 base.qcow2 1M
img create -q -f qcow2 -b base.qcow2 -F qcow2 mine.qcow2
rm base.qcow2
cp mine.qcow2 mine.before
expect_error 1 'base.qcow2' "$IMAGE_IO" fat:rw:overlay=mine.qcow2:dir flush
cmp mine.qcow2 mine.before || fail 'overlay= has changed another image'

# Nor is an image that holds nothing, which somebody has made for it.
img create -q -f qcow2 empty.qcow2 100M
cp empty.qcow2 empty.before
expect_error 1 "'empty.qcow2' is no overlay of a directory: it is an empty \
qcow2 image of 100 MiB, .* Remove it, or name another file" \
    "$IMAGE_IO" fat:rw:overlay=empty.qcow2:dir flush
cmp empty.qcow2 empty.before || fail 'overlay= has changed another image'

# ---- It works ----

seq 5000 >new.txt
on_disk mcopy -m new.txt ::'A new file.text'
on_disk mdel ::hello.txt
expect_output '' img convert -n disk.img "fat:rw:$SHAPE:dir"
cmp new.txt dir/'A new file.text'
only_in dir link 'A new file.text'
expect_output '' img convert -n -O vvfat -t writeback disk.img \
    "json:{\"driver\":\"vvfat\",\"dir\":\"dir\",\"rw\":true,\"size\":\"8M\",
    \"fat-type\":12,\"partition\":\"none\",\"timezone\":\"utc\"}"
expect_output '' img bench -q -w -c 1 -s 512 -o 8388096 \
    --image-opts "driver=vvfat,dir=dir,rw=on,${SHAPE//:/,}"
only_in dir link 'A new file.text'

# What the directory has already is not written: a file that may not be is no
# hindrance.
chmod a-w dir/'A new file.text'
copy_disk dir 2>copy.err
on_disk mcopy -m new.txt ::second.txt
expect_output '' img convert -n disk.img "fat:rw:$SHAPE:dir"
expect_output '' img convert -n -S 0 disk.img "fat:rw:$SHAPE:dir"
only_in dir link 'A new file.text' second.txt
