#!/bin/bash
# SPDX-License-Identifier: MIT
# The file system of the overlay is full: the guest and whoever closes the disk
# are told where, what it means for what was written, and what to do.

if [ "${1:-}" != inside ]; then
    unshare -rm true 2>/dev/null ||
        { echo 'no file system can be mounted here'; exit 77; }
    exec unshare -rm "$0" inside
fi
# shellcheck source=tests/img/rw-lib.sh
. "$(dirname "$0")/rw-lib.sh"
# shellcheck source=tests/img/export-lib.sh
. "$(dirname "$0")/export-lib.sh"
trap 'export_cleanup; umount small; cleanup' EXIT

mkdir small dir
mount -t tmpfs -o size=12M tmpfs small
export TMPDIR=$PWD/small
fill_up() {
    ! head -c 20M /dev/zero >small/fill 2>/dev/null
}
fill='host ! head -c 20M /dev/zero >small/fill 2>/dev/null'

# says PATTERN...: the last command failed, and its message has all of them.
says() {
    local pattern
    [ "$STATUS" != 0 ] || fail "nothing failed: $OUT"
    for pattern; do
        grep -Eq -- "$pattern" <<<"$ERR" ||
            fail "'$pattern' is not said: $ERR"
    done
}

head -c 1M /dev/urandom >big.bin
cp big.bin dir/big.bin
copy_disk dir
cp disk.img as-it-was.img
on_disk mcopy big.bin ::new.bin

# ---- A temporary overlay ----

on_host dir "$fill" 'load disk.img'
says "The overlay in '$PWD/small' \\(TMPDIR\\) .*: No space left on device" \
    'written before is there, and goes into the directory' 'make room there' \
    'another TMPDIR or with overlay=FILE'
on_host commit=manual dir "$fill" 'load disk.img'
says 'written before is there, to be committed, or to be kept in an image'
rm small/fill
only_in dir big.bin

# What is in the directory is durable, whatever the overlay has room for.
on_host_well dir 'load disk.img' "$fill" flush 'host cmp big.bin dir/new.bin'
rm small/fill

# There is no room to begin with.
fill_up
on_host dir flush
says "make the overlay .*in '$PWD/small' \\(TMPDIR names .*overlay=FILE" \
    'No space left'
rm small/fill dir/new.bin

# The guest makes a file shorter, and keeps its clusters: they are saved.
cp as-it-was.img disk.img
entry=$(LC_ALL=C grep -abo 'BIG     BIN' disk.img | head -n 1 | cut -d: -f1)
printf '\x01\x00\x00\x00' |
    dd of=disk.img bs=1 seek=$((entry + 28)) conv=notrunc status=none
on_host dir 'load disk.img' "$fill" flush
says "'big.bin' could not be .* overlay in '$PWD/small' \\(TMPDIR\\): No space"
rm small/fill
cmp big.bin dir/big.bin

# Nothing can be kept: that is said, with both places.
mkdir small/dir
cp disk.img formatted.img
mkfs.fat -F 12 -n FORMATTED formatted.img >/dev/null
on_host small/dir 'load formatted.img' "$fill" flush
says "beside the directory \\(.*$PWD/small/dir\\.vvfat-rescue-.*No space" \
    "in TMPDIR \\(.*$PWD/small/dir\\.vvfat-rescue-.*No space" \
    'lost when the disk is closed, unless a flush succeeds'
rm small/fill
on_host commit=manual small/dir 'load formatted.img' "$fill"
says "directory 'small/dir' .*what is missing is lost" \
    'No space.*, nor in TMPDIR .*No space' 'With overlay=FILE'
rm small/fill
only_in small dir

# ---- One that is kept ----

kept=overlay=small/kept.qcow2
head -c 6M /dev/zero >small/fill
on_host $kept dir flush
says "make the overlay 'small/kept.qcow2': No space .*make room there, or name"
only_in small dir fill
rm small/fill
on_host_well $kept dir flush
on_host $kept dir "$fill" 'write 7 4M 1M'
says "The overlay 'small/kept.qcow2' .*: No space" 'written before is kept'
rm small/fill
on_host $kept dir "$fill" 'load disk.img'
says "directory \\('big.bin': .* the overlay 'small/kept.qcow2': No space" \
    "stays in 'small/kept.qcow2'"
on_host $kept dir flush
[ -e small/kept.qcow2 ] || fail 'an overlay that was there before is gone'
rm small/fill
on_host_well $kept dir flush
rm small/kept.qcow2

# ---- The guest goes on when there is room again ----

export_need
read -ra shape <<<"${SHAPE//:/ }"
export_start again dir "${shape[@]}"
fill_up
run qemu-io -f raw -c 'write -P 7 4M 64k' "$(export_uri again)"
grep -q 'No space' <<<"$OUT$ERR" || fail "a write succeeded: $OUT$ERR"
grep -q "in '$PWD/small' (TMPDIR)" again.log || fail "the log: $(<again.log)"
rm small/fill
qemu-io -f raw -c 'write -P 7 4M 64k' -c flush -c 'read -P 7 4M 64k' \
    "$(export_uri again)" >again.out || fail "it does not go on: $(<again.out)"
! grep -q fail again.out || fail "it does not go on: $(<again.out)"
kill "${EXPORT_PID[again]}"
wait "${EXPORT_PID[again]}" || fail "at the end: $(<again.log)"
unset 'EXPORT_PID[again]'
