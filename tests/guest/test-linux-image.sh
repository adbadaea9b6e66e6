#!/bin/bash
# SPDX-License-Identifier: MIT
#
# A Linux guest mounts images of each FAT type and partition kind, and finds
# every file of the directory: name, size, time and contents.

# shellcheck source=lib.sh
. "$SRCDIR/tests/guest/lib.sh"

guest_build_initrd
guest_tree source

check_image() { # title name option...
    local title=$1 name=$2
    shift 2
    rm -f disk.img
    "$VVFAT_IMG" convert -O raw "$name" disk.img
    guest_boot_linux disk.img
    guest_compare source || { echo "FAILED: $title"; exit 1; }
    echo "ok: $title"
}

check_image 'FAT12, partitioned' fat:12:source
check_image 'FAT16, partitioned' fat:16:source
check_image 'FAT32, partitioned' fat:32:source
check_image 'FAT32, GPT' \
    'json:{"driver":"vvfat","dir":"source","fat-type":"32","partition":"gpt"}'
check_image 'FAT16, no partition table' \
    'json:{"driver":"vvfat","dir":"source","fat-type":"16","partition":"none"}'

# A floppy holds less.
rm -rf source
guest_file 'source/a file on a floppy.txt' 3000
guest_file source/sub/BOOT.SYS 4097
find source -exec touch -d '2003-03-03 03:03:04 UTC' {} +
check_image 'floppy, FAT12' fat:floppy:source
