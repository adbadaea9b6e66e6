#!/bin/bash
# SPDX-License-Identifier: MIT
#
# A BIOS starts our boot sectors: the ones that only say that a disk is not
# bootable, from a floppy, a bare volume and through the MBR; the protective
# MBR; and a boot sector of the user's, which the MBR has to find.

set -euo pipefail

skip() {
    echo "$*"
    exit 77
}
command -v qemu-system-x86_64 >/dev/null ||
    skip 'qemu-system-x86_64 is not installed (package qemu-system-x86)'

# Read the text screen once a second until it shows the words.
expect_screen() { # image interface words
    rm -f screen
    mkfifo monitor
    timeout 120 qemu-system-x86_64 -accel tcg -machine pc -m 32 -nodefaults \
        -vga std -display none -serial none -monitor stdio \
        -drive "file=$1,format=raw,if=$2" <monitor >/dev/null 2>&1 &
    exec 3>monitor
    for _ in {1..90}; do
        sleep 1
        echo 'pmemsave 0xb8000 4000 screen' >&3
        if shows "$3"; then
            break
        fi
    done
    echo quit >&3
    exec 3>&-
    wait
    rm monitor
    shows "$3" || {
        echo "$1: the screen does not show '$3' but:"
        cat screen.txt
        exit 1
    }
}

# Whether the screen shows the words: characters without their colours.
shows() {
    [ -s screen ] || return
    LC_ALL=C tr '\0' ' ' <screen | LC_ALL=C sed 's/\(.\)./\1/g' | fold -w 80 |
        sed 's/ *$//; /^$/d' >screen.txt
    grep -q "$1" screen.txt
}

mkdir src
echo text >src/file.txt
# Jump to byte 62; there: print "USER" by int 10, and stop.
{
    printf '\xeb\x3c\x90'
    head -c 59 /dev/zero
    printf '\xb4\x0e\xb0U\xcd\x10\xb0S\xcd\x10\xb0E\xcd\x10\xb0R\xcd\x10'
    printf '\xeb\xfe'
} >code

"$VVFAT_IMG" convert fat:floppy:src floppy.img
"$VVFAT_IMG" convert fat:src mbr.img
"$VVFAT_IMG" convert --image-opts \
    driver=vvfat,dir=src,fat-type=32,partition=none bare.img
"$VVFAT_IMG" convert --image-opts \
    driver=vvfat,dir=src,partition=gpt,size=64M gpt.img
"$VVFAT_IMG" convert --image-opts driver=vvfat,dir=src,boot-code=code user.img

expect_screen floppy.img floppy 'This disk is not bootable'
expect_screen mbr.img ide 'This disk is not bootable'
expect_screen bare.img ide 'This disk is not bootable'
expect_screen gpt.img ide 'No bootable partition'
expect_screen user.img ide 'USER'
