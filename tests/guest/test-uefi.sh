#!/bin/bash
# SPDX-License-Identifier: MIT
#
# UEFI firmware starts a Linux kernel from an EFI system partition that was a
# directory: EFI/BOOT/BOOTX64.EFI reaches its initramfs, which finds the rest
# of the directory right.

# shellcheck source=lib.sh
. "$SRCDIR/tests/guest/lib.sh"
# shellcheck source=uefi-lib.sh
. "$SRCDIR/tests/guest/uefi-lib.sh"
uefi_need_kernel

guest_build_initrd
guest_file 'source/loader/a long name.conf' 700
guest_file source/EFI/other/file.efi 70000
mkdir -p source/EFI/BOOT
uefi_kernel source/EFI/BOOT/BOOTX64.EFI
find source -exec touch -d '2022-02-02 22:02:22 UTC' {} +

for partition in gpt mbr; do
    rm -f disk.img
    "$VVFAT_IMG" convert -O raw --image-opts \
        "driver=vvfat,dir=source,esp=on,partition=$partition" disk.img
    uefi_arguments
    guest_qemu 500 "${UEFI[@]}" \
        -drive if=none,id=disk,readonly=on,format=raw,file=disk.img \
        -device virtio-blk-pci,drive=disk,bootindex=1
    guest_compare source || { echo "FAILED: $partition"; exit 1; }
    grep -qx 'booted by UEFI' listing
    echo "ok: $partition"
done
