#!/bin/bash
# SPDX-License-Identifier: MIT
#
# guest-untar.sh vvfat|file: boot a Linux guest whose disk nbdkit serves, an
# empty one, and have it unpack ./new.tar.gz and sync. Prints the seconds that
# took by the guest's clock. The disk is a directory, or a raw image of such
# a disk. What is needed for booting is kept in ./guest.

server=$1
mkdir -p guest
cd guest || exit 1
# shellcheck source=../guest/lib.sh
. "$SRCDIR/tests/guest/lib.sh"

script() {
    cat <<'END'
must() { "$@" || echo "FAILED: $*"; }
must mount -t vfat -o utf8=1,tz=UTC,noatime "$device" /mnt
now() { cut -d ' ' -f 1 /proc/uptime; }
began=$(now)
must tar -xzf /new.tar.gz -C /mnt
must sync
must umount /mnt
must sync -d "$device"
echo "took $began $(now)"
END
}

if [ ! -e "$initrd" ]; then
    script >script
    guest_build_initrd script ../new.tar.gz
fi
rm -rf dir disk.img socket listing
mkdir dir
case $server in
    vvfat) serve=("$PLUGIN" dir=dir rw=on) ;;
    file)
        "$VVFAT_IMG" convert -q -S 4k fat:dir disk.img
        serve=(file disk.img)
        ;;
esac
nbdkit --foreground --exit-with-parent --unix "$PWD/socket" "${serve[@]}" \
    </dev/null >/dev/null 2>&1 &
trap 'kill $! 2>/dev/null; wait' EXIT
until [ -S socket ]; do sleep 0.05; done
guest_qemu 300 -kernel "$kernel" -initrd "$initrd" \
    -append 'console=ttyS0 loglevel=4 panic=-1' \
    -drive "if=virtio,format=raw,file=nbd+unix:///?socket=$PWD/socket" \
    </dev/null >&2
if ! grep '^took' listing >took || grep '^FAILED' listing >&2; then
    cat console listing >&2
    exit 1
fi
[ "$server" != vvfat ] || [ "$(find dir -type f | wc -l)" = 1000 ]
awk '{ printf "%.2f\n", $3 - $2 }' took
