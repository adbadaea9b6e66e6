#!/bin/bash
# SPDX-License-Identifier: MIT
#
# guest-untar.sh vvfat|file: boot a Linux guest whose disk nbdkit serves, an
# empty one, and have it unpack ./new.tar.gz, unmount and flush, several times,
# each into a new directory. Prints the median of the seconds that took by the
# guest's clock. The disk is a directory, or a raw image of such a disk. It
# stays in ./guest, with what is needed for booting: removing files would slow
# down those who make some on the same file system.

server=$1
turns=5
mkdir -p guest
cd guest || exit 1
# shellcheck source=../guest/lib.sh
. "$SRCDIR/tests/guest/lib.sh"

script() {
    echo "turns='$(seq -s ' ' $turns)'"
    cat <<'END'
must() { "$@" || echo "FAILED: $*"; }
now() { cut -d ' ' -f 1 /proc/uptime; }
for turn in $turns; do
    must mount -t vfat -o utf8=1,tz=UTC,noatime "$device" /mnt
    must mkdir "/mnt/$turn"
    began=$(now)
    must tar -xzf /new.tar.gz -C "/mnt/$turn"
    must sync
    must umount /mnt
    must sync -d "$device"
    echo "took $began $(now)"
done
END
}

if [ ! -e "$initrd" ]; then
    script >script
    guest_build_initrd script ../new.tar.gz
fi
run=$(mktemp -d run.XXXXXX)
cd "$run" || exit 1
mkdir dir
case $server in
    vvfat) serve=("$PLUGIN" dir=dir rw=on) ;;
    file)
        "$VVFAT_IMG" convert -q -S 4k fat:dir disk.img
        serve=(file disk.img)
        ;;
esac
sync -f . # of this run alone is to be waited for
nbdkit --foreground --exit-with-parent --unix "$PWD/socket" "${serve[@]}" \
    </dev/null >/dev/null 2>&1 &
trap 'kill $! 2>/dev/null; wait' EXIT
until [ -S socket ]; do sleep 0.05; done
guest_qemu 300 -kernel "$kernel" -initrd "$initrd" \
    -append 'console=ttyS0 loglevel=4 panic=-1' \
    -drive "if=virtio,format=raw,file=nbd+unix:///?socket=$PWD/socket" \
    </dev/null >&2
if [ "$(grep -c '^took' listing)" != $turns ] ||
    grep '^FAILED' listing >&2; then
    cat console listing >&2
    exit 1
fi
[ "$server" != vvfat ] ||
    [ "$(find dir -type f | wc -l)" = $((turns * 1000)) ]
awk '/^took/ { printf "%.2f\n", $3 - $2 }' listing | sort -n |
    sed -n $(((turns + 1) / 2))p
