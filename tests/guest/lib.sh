# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# Linux guests for tests: a kernel of the host and an initramfs whose /init
# does a script's work with the FAT volume of the first disk, tells of it on
# the second serial port, and powers off. Without a script it mounts the
# volume read-only and lists what it finds there. Virtual machines are
# emulated (no KVM), so that the tests run anywhere alike.
#
# guest_build_initrd [SCRIPT [FILE]...]  files of the host are in / there
# guest_tree DIR           make a source directory
# guest_expected DIR       what a guest must list of it
# guest_boot_linux DISK [ARG]...  boot; the listing goes to ./listing
# guest_compare DIR        whether ./listing is that of DIR

set -euo pipefail

skip() {
    echo "$*"
    exit 77
}

need() { # program package
    command -v "$1" >/dev/null || skip "$1 is not installed (package $2)"
}

need qemu-system-x86_64 qemu-system-x86
need busybox busybox-static
need cpio cpio
need modprobe kmod

# The newest kernel whose modules are there, too.
guest_kernel_version() {
    local kernel
    for kernel in $(printf '%s\n' /boot/vmlinuz-* | sort -rV); do
        if [ -r "$kernel" ] && [ -d "/lib/modules/${kernel#*-}" ]; then
            echo "${kernel#*-}"
            return
        fi
    done
    skip 'no kernel in /boot with modules (package linux-image-amd64)'
}

version=$(guest_kernel_version) || { echo "$version"; exit 77; }
kernel=/boot/vmlinuz-$version
initrd=$PWD/initrd.gz

# Up to the device of the volume, $device.
guest_init() {
    cat <<'END'
#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
while read -r module; do insmod "/modules/$module"; done </modules/order
stty -F /dev/ttyS1 raw -echo
exec >/dev/ttyS1 2>&1

tries=0
until [ -b /dev/vda ] || [ $tries = 100 ]; do
    usleep 100000
    tries=$((tries + 1))
done
device=/dev/vda
[ ! -b /dev/vda1 ] || device=/dev/vda1
END
}

guest_list() {
    cat <<'END'
if [ -d /sys/firmware/efi ]; then echo 'booted by UEFI'; fi
if mount -t vfat -o ro,utf8=1,tz=UTC "$device" /mnt; then
    cd /mnt
    echo "volume on $device"
    find . -type f -exec sha256sum {} +
    find . -exec stat -c '%F %s %Y %n' {} + | sed 's/^regular empty/regular/'
    cd /
    umount /mnt
fi
END
}

guest_end() {
    cat <<'END'
dmesg | grep -i 'fat-fs'
echo 'end of listing'
poweroff -f
END
}

guest_build_initrd() { # [script [file...]]
    local root=$PWD/initramfs module path
    mkdir -p "$root/bin" "$root/modules" "$root/mnt" "$root/dev" \
        "$root/proc" "$root/sys"
    cp "$(command -v busybox)" "$root/bin/busybox"
    {
        guest_init
        if [ $# -gt 0 ]; then cat "$1"; else guest_list; fi
        guest_end
    } >"$root/init"
    [ $# -lt 2 ] || cp "${@:2}" "$root"
    chmod +x "$root/init"
    # In the order in which they must be loaded. What is built into the
    # kernel is listed as "builtin".
    for module in virtio_pci virtio_blk vfat nls_cp437 nls_ascii nls_utf8 \
        nls_iso8859-1; do
        modprobe -S "$version" --show-depends "$module"
    done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' |
        while read -r path; do
            cp "$path" "$root/modules/"
            basename "$path"
        done >"$root/modules/order"
    (cd "$root" && find . | cpio --quiet -o -H newc -R 0:0 | gzip -1) \
        >"$initrd"
    rm -rf "$root"
}

# A file of so many bytes, different for each name, the same every time.
guest_file() { # path bytes
    local name=${1##*/}
    mkdir -p "$(dirname "$1")"
    yes "$name" | head -c "$2" >"$1" || [ $? = 141 ] # yes ends by SIGPIPE
}

# Names and sizes that FAT readers stumble over; times that FAT can hold.
guest_tree() {
    local dir=$1 name size deep
    mkdir -p "$dir"
    for size in 0 1 511 512 513 2047 2048 2049 8191 8192 8193 65537; do
        guest_file "$dir/sizes/$size bytes.bin" $size
    done
    guest_file "$dir/README.TXT" 1000
    guest_file "$dir/lower.txt" 1001
    guest_file "$dir/MiXed.Txt" 1002
    guest_file "$dir/.hidden file" 1003
    guest_file "$dir/two.dots.tar.gz" 1004
    guest_file "$dir/Grüße, 日本語 😀.txt" 1005
    guest_file "$dir/with:colon?.txt" 1006
    guest_file "$dir/$(printf 'l%.0s' $(seq 251)).txt" 1007
    for name in $(seq 300); do
        guest_file "$dir/many/a file like the others $name.txt" "$name"
    done
    deep=$dir/deep
    for name in $(seq 12); do
        deep=$deep/level-$name
        guest_file "$deep/file" $((name * 100))
    done
    mkdir -p "$dir/empty directory"
    guest_file "$dir/large" $((3 * 1024 * 1024 + 17))
    find "$dir" -exec touch -d '2019-07-13 11:22:34 UTC' {} +
    touch -d '1999-12-31 23:59:58 UTC' "$dir/README.TXT"
}

# FAT has no mode, and no size for a directory; the characters it cannot hold
# appear at U+F000 + code.
guest_expected() {
    (cd "$1" && find . -type f -exec sha256sum {} + &&
        find . -mindepth 1 -exec stat -c '%F %s %Y %n' {} +) |
        sed -e 's/^regular empty/regular/' -e 's/^directory [0-9]*/directory/' \
            -e 's/:/\xef\x80\xba/g' -e 's/?/\xef\x80\xbf/g' | sort
}

# QEMU without anything that the test does not ask for.
guest_qemu() { # timeout argument...
    local seconds=$1
    shift
    timeout -k 5 "$seconds" qemu-system-x86_64 -accel tcg -m 512 -nodefaults \
        -display none -no-reboot -serial file:console -serial file:listing \
        "$@"
}

guest_boot_linux() { # drive [argument...]
    local drive=$1
    shift
    guest_qemu 500 -kernel "$kernel" -initrd "$initrd" \
        -append 'console=ttyS0 loglevel=4 panic=-1' \
        -drive "if=virtio,readonly=on,format=raw,file=$drive" "$@"
}

# Whether ./listing is complete and that of DIR.
guest_compare() { # DIR
    if ! grep -qx 'end of listing' listing; then
        echo 'the guest did not finish; the end of its console:'
        tail -n 40 console
        return 1
    fi
    grep -E '^([0-9a-f]{64}  |regular file |directory )' listing |
        sed -e 's/^directory [0-9]*/directory/' |
        grep -v '^directory [0-9]* \.$' | sort >found
    guest_expected "$1" >expected
    grep -i 'fat-fs' listing && return 1
    diff -u expected found
}
