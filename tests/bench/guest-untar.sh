#!/bin/bash
# SPDX-License-Identifier: MIT
#
# guest-untar.sh PLACE: boot a Linux guest with two empty disks that nbdkit
# serves: a directory, and a raw image of such a disk. Several times, and in
# turns, it unpacks ./new.tar.gz into a new directory of each, unmounts and
# flushes. Prints the medians of the seconds that took by the guest's clock, of
# the directory and of the image. The disks are made in PLACE, an empty
# directory; what is needed for booting is kept in ./guest.

place=$PWD/$1
turns=5
mkdir -p guest
cd guest || exit 1
# shellcheck source=../guest/lib.sh
. "$SRCDIR/tests/guest/lib.sh"

# The first turn warms up.
guest_script() {
    echo "turns='$(seq -s ' ' 0 $turns)'"
    cat <<'END'
must() { "$@" || echo "FAILED: $*"; }
now() { cut -d ' ' -f 1 /proc/uptime; }
until [ -b /dev/vda1 ] && [ -b /dev/vdb1 ]; do usleep 100000; done
for turn in $turns; do
    for device in vda1 vdb1; do
        must mount -t vfat -o utf8=1,tz=UTC,noatime /dev/$device /mnt
        must mkdir "/mnt/$turn"
        began=$(now)
        must tar -xzf /new.tar.gz -C "/mnt/$turn"
        must sync
        must umount /mnt
        must sync -d /dev/$device
        [ "$turn" = 0 ] || echo "took $device $began $(now)"
    done
done
END
}

serve() { # socket plugin argument...
    nbdkit --foreground --exit-with-parent --unix "$PWD/$1" "${@:2}" \
        </dev/null >/dev/null 2>&1 &
    until [ -S "$1" ]; do sleep 0.05; done
}

median_of() { # device
    awk -v "device=$1" '/^took/ && $2 == device { print $4 - $3 }' listing |
        sort -n | sed -n $(((turns + 1) / 2))p
}

if [ ! -e "$initrd" ]; then
    guest_script >script
    guest_build_initrd script ../new.tar.gz
fi
cd "$place" || exit 1
mkdir dir
"$VVFAT_IMG" convert -q -S 4k fat:dir disk.img
sync -f . # of this run alone is to be waited for
trap 'kill $(jobs -p) 2>/dev/null; wait' EXIT
serve vvfat "$PLUGIN" dir=dir rw=on
serve file file disk.img
guest_qemu 300 -kernel "$kernel" -initrd "$initrd" \
    -append 'console=ttyS0 loglevel=4 panic=-1' \
    -drive "if=virtio,format=raw,file=nbd+unix:///?socket=$PWD/vvfat" \
    -drive "if=virtio,format=raw,file=nbd+unix:///?socket=$PWD/file" \
    </dev/null >&2
if [ "$(grep -c '^took' listing)" != $((2 * turns)) ] ||
    grep '^FAILED' listing >&2; then
    cat console listing >&2
    exit 1
fi
[ "$(find dir -type f | wc -l)" = $(((turns + 1) * 1000)) ]
echo "$(median_of vda1) $(median_of vdb1)"
