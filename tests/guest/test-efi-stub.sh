#!/bin/bash
# SPDX-License-Identifier: MIT
#
# A directory with a distribution's kernel, an initramfs and a startup.nsh is
# all that a machine needs: the UEFI shell starts the kernel, whose EFI stub
# loads the initramfs from the disk; the guest writes into the directory it
# came from, and powers off.

# shellcheck source=write-lib.sh
. "$SRCDIR/tests/guest/write-lib.sh"
# shellcheck source=uefi-lib.sh
. "$SRCDIR/tests/guest/uefi-lib.sh"
export_need

guest_script() {
    write_prelude
    cat <<'END'
[ -d /sys/firmware/efi ] || echo 'FAILED: not booted by UEFI'
mount_volume
must cmp EFI/Linux/initrd.gz 'copy of the initrd.gz'
must mkdir -p 'var/log of the guest'
must cp /proc/cmdline 'var/log of the guest/command line.txt'
must dd if=EFI/Linux/vmlinuz.efi of='var/half a kernel' bs=4096 count=1000
must mv notes.txt 'var/notes, moved.txt'
must rm 'copy of the initrd.gz'
sync
must sync -d "$device"
cd /
must umount /mnt
END
}

guest_script >script
guest_build_initrd script
mkdir -p source/EFI/Linux
cp "$kernel" source/EFI/Linux/vmlinuz.efi
cp "$initrd" source/EFI/Linux/initrd.gz
cp "$initrd" 'source/copy of the initrd.gz'
seq 1000 >source/notes.txt
printf '%s\r\n' '@echo -off' 'fs0:' \
    'EFI\Linux\vmlinuz.efi initrd=\EFI\Linux\initrd.gz console=ttyS0 loglevel=4 panic=-1' \
    >source/startup.nsh
find source -exec touch -d '2022-02-02 22:02:22 UTC' {} +

# The volume must be large enough for what the guest adds.
export_start esp source esp=on free=32M
uefi_arguments
write_start "${UEFI[@]}" -drive \
    "if=none,id=disk,format=raw,file=$(export_uri esp)" \
    -device virtio-blk-pci,drive=disk,bootindex=1
write_await 'end of listing' 500
write_end esp
grep -q 'initrd=.EFI.Linux.initrd.gz console=ttyS0' \
    "$HOST/var/log of the guest/command line.txt" ||
    export_fail "the command line: $(<"$HOST/var/log of the guest/command line.txt")"
head -c 4096000 source/EFI/Linux/vmlinuz.efi | cmp - "$HOST/var/half a kernel"
seq 1000 | cmp - "$HOST/var/notes, moved.txt"
[ ! -e "$HOST/copy of the initrd.gz" ] && [ ! -e "$HOST/notes.txt" ] ||
    export_fail 'what the guest removed is there'
cmp "$kernel" "$HOST/EFI/Linux/vmlinuz.efi"
export_stop esp
