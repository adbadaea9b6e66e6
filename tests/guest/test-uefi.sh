#!/bin/bash
# SPDX-License-Identifier: MIT
#
# UEFI firmware starts a Linux kernel from an EFI system partition that was a
# directory: EFI/BOOT/BOOTX64.EFI reaches its initramfs, which finds the rest
# of the directory right.

# shellcheck source=lib.sh
. "$SRCDIR/tests/guest/lib.sh"
need objcopy binutils
firmware=/usr/share/OVMF/OVMF_CODE_4M.fd
variables=/usr/share/OVMF/OVMF_VARS_4M.fd
stub=/usr/lib/systemd/boot/efi/linuxx64.efi.stub
[ -r $firmware ] || skip "$firmware is missing (package ovmf)"
[ -r $stub ] || skip "$stub is missing (package systemd-boot-efi)"

# A unified kernel image: firmware passes a removable disk's loader neither
# command line nor initramfs, so both are sections of the program.
unified_kernel() { # file
    printf 'console=ttyS0 loglevel=4 panic=-1' >cmdline
    objcopy \
        --add-section .cmdline=cmdline --change-section-vma .cmdline=0x30000 \
        --add-section .linux="$kernel" --change-section-vma .linux=0x2000000 \
        --add-section .initrd="$initrd" \
        --change-section-vma .initrd=0x4000000 "$stub" "$1"
}

guest_build_initrd
guest_file 'source/loader/a long name.conf' 700
guest_file source/EFI/other/file.efi 70000
mkdir -p source/EFI/BOOT
unified_kernel source/EFI/BOOT/BOOTX64.EFI
find source -exec touch -d '2022-02-02 22:02:22 UTC' {} +

for partition in gpt mbr; do
    rm -f disk.img
    "$VVFAT_IMG" convert -O raw --image-opts \
        "driver=vvfat,dir=source,esp=on,partition=$partition" disk.img
    cp $variables variables.fd
    guest_qemu 500 -machine q35 \
        -drive "if=pflash,unit=0,format=raw,readonly=on,file=$firmware" \
        -drive if=pflash,unit=1,format=raw,file=variables.fd \
        -drive if=none,id=disk,readonly=on,format=raw,file=disk.img \
        -device virtio-blk-pci,drive=disk,bootindex=1
    guest_compare source || { echo "FAILED: $partition"; exit 1; }
    grep -qx 'booted by UEFI' listing
    echo "ok: $partition"
done
