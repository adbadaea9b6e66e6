# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# UEFI firmware for guests (OVMF). On top of lib.sh; sourcing this skips the
# test where there is none.
#
# uefi_arguments           set UEFI: QEMU's arguments, with fresh variables
# uefi_need_kernel         skip where uefi_kernel cannot work
# uefi_kernel FILE [WORD]  the kernel and the initrd as one UEFI program; the
#                          word goes on its command line

uefi_code=/usr/share/OVMF/OVMF_CODE_4M.fd
uefi_variables=/usr/share/OVMF/OVMF_VARS_4M.fd
uefi_stub=/usr/lib/systemd/boot/efi/linuxx64.efi.stub
[ -r $uefi_code ] || skip "$uefi_code is missing (package ovmf)"

uefi_arguments() {
    cp $uefi_variables variables.fd
    # shellcheck disable=SC2034 # for the test
    UEFI=(-machine q35
        -drive "if=pflash,unit=0,format=raw,readonly=on,file=$uefi_code"
        -drive "if=pflash,unit=1,format=raw,file=variables.fd")
}

uefi_need_kernel() {
    need objcopy binutils
    [ -r $uefi_stub ] || skip "$uefi_stub is missing (package systemd-boot-efi)"
}

# A unified kernel image: firmware passes a removable disk's loader neither
# command line nor initramfs, so both are sections of the program.
uefi_kernel() { # file [word]
    printf 'console=ttyS0 loglevel=4 panic=-1 %s' "${2:-}" >cmdline
    # shellcheck disable=SC2154 # of lib.sh
    objcopy \
        --add-section .cmdline=cmdline --change-section-vma .cmdline=0x30000 \
        --add-section .linux="$kernel" --change-section-vma .linux=0x2000000 \
        --add-section .initrd="$initrd" \
        --change-section-vma .initrd=0x4000000 "$uefi_stub" "$1"
}
