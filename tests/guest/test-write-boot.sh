#!/bin/bash
# SPDX-License-Identifier: MIT
#
# A Linux guest boots from a writable directory, changes it, even what it boots
# from, and powers off; the next boot sees the change.

# shellcheck source=write-lib.sh
. "$SRCDIR/tests/guest/write-lib.sh"
# shellcheck source=uefi-lib.sh
. "$SRCDIR/tests/guest/uefi-lib.sh"
uefi_need_kernel
export_need

# What a boot finds is what the one before has left.
guest_script() {
    write_prelude
    cat <<'END'
[ -d /sys/firmware/efi ] || echo 'FAILED: not booted by UEFI'
mount_volume
for word in $(cat /proc/cmdline); do
    case $word in stage=*) stage=${word#stage=} ;; esac
done
echo "stage $stage"
echo "boots before: $(cat log/boots.txt 2>/dev/null | tr '\n' ' ')"
mkdir -p log
echo "$stage" >>log/boots.txt
if [ -e EFI/next/kernel.efi ]; then
    must mv EFI/next/kernel.efi EFI/BOOT/BOOTX64.EFI
    must rmdir EFI/next
fi
checkpoint "$stage" flushed
cd /
must umount /mnt
END
}

boot() { # stage "what boots.txt held before"
    export_start esp source esp=on partition=mbr
    uefi_arguments
    write_start "${UEFI[@]}" -drive \
        "if=none,id=disk,format=raw,file=$(export_uri esp)" \
        -device virtio-blk-pci,drive=disk,bootindex=1
    write_checkpoint esp "$1"
    write_say
    write_end esp
    grep -qx "stage $1" listing ||
        export_fail "not the $1 kernel: $(grep stage listing)"
    grep -qx "boots before: $2" listing ||
        export_fail "boot $1 found $(grep boots listing)"
    export_stop esp
    # The stand-in's directory is only a picture of its image.
    if [ "$STAND_IN" != no ]; then
        rm -rf source
        mv esp.host source
    fi
}

guest_script >script
guest_build_initrd script
mkdir -p source/EFI/BOOT source/EFI/next
uefi_kernel source/EFI/BOOT/BOOTX64.EFI stage=first
uefi_kernel source/EFI/next/kernel.efi stage=second
find source -exec touch -d '2022-02-02 22:02:22 UTC' {} +

boot first ''
boot second 'first '
boot second 'first second '
