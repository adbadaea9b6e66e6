#!/bin/bash
# SPDX-License-Identifier: MIT
# Large files move inside the kernel: no byte of them is read by the program.
# Small ones are read many at a time.
# shellcheck source=tests/img/lib.sh
. "$(dirname "$0")/lib.sh"
need strace

# moved FILE: bytes read into buffers, and bytes copied or shared, or moved on
# out of a pipe.
moved() {
    awk '
        /= -1 / || /= \?/ { next }
        /^p?read(v|64|v2)?\(/ && $NF > 0 { user += $NF }
        /^copy_file_range\(/ && $NF > 0 { kernel += $NF }
        /^splice\([0-9]+, NULL/ && $NF > 0 { kernel += $NF }
        /FICLONERANGE/ { split($0, part, "src_length=")
            kernel += part[2] + 0 }
        END { print user + 0, kernel + 0 }' "$1"
}
# A file for each thread: no call is cut in two by those of another.
traced() {
    rm -f trace trace.*
    strace -ff -qq -o trace "$VVFAT_IMG" "$@"
    cat trace.* >trace
}

mkdir big
head -c 20000000 /dev/urandom >big/one
head -c 20000000 /dev/urandom >big/two
strace -f -qq -o /dev/null -e trace=copy_file_range true
traced convert fat:big big.img
read -r user kernel < <(moved trace)
echo "by the program $user, by the kernel $kernel"
[ "$kernel" -ge 39000000 ] || fail "the kernel copied $kernel bytes alone"
[ "$user" -le 1500000 ] || fail "$user bytes moved through the program"
img compare fat:big big.img

# From image to image with -C; else zeroes are looked for and left out.
traced convert -C big.img copy.img
read -r user kernel < <(moved trace)
[ "$kernel" -ge 39000000 ] || fail "-C: the kernel copied $kernel bytes"
cmp big.img copy.img
head -c 20000000 /dev/zero >zeroes.raw
img convert zeroes.raw copy.img
cmp zeroes.raw copy.img
expect_output 0 stat -c %b copy.img
expect_error 1 'when -S is used' img convert -C -S 4k zeroes.raw copy.img

# 2,000 small files: at most one write for each, and few status calls.
mkdir small
(cd small && seq 1 20000 | split -a 3 -l 10 - name)
traced convert fat:small small.img
writes=$(grep -c 'pwrite' trace)
[ "$writes" -le 2300 ] || fail "$writes writes for 2,000 files"
traced convert -S 64k fat:small small2.img
writes=$(grep -c 'pwrite' trace)
[ "$writes" -le 40 ] || fail "$writes writes for 2,000 files with -S 64k"
cmp small.img small2.img
