#!/bin/bash
# SPDX-License-Identifier: MIT
#
# The server of a writable directory is killed in the middle of a guest's
# writes, three times, and started again with the same overlay. QEMU connects
# again, the guest goes on and does not even notice, and all that it had synced
# is there.

# shellcheck source=write-lib.sh
. "$SRCDIR/tests/guest/write-lib.sh"
OVERLAY=${OVERLAY:-$PWD/overlay.qcow2}
export_need

# Files are written, replaced and removed; every one with contents of its own.
guest_script() {
    write_prelude
    cat <<'END'
mount_volume
n=0
while [ $n -lt 60 ]; do
    n=$((n + 1))
    must mkdir -p "directory $((n % 7))"
    yes "contents of $n" | head -c $((n * 3001)) >"directory $((n % 7))/file $n"
    yes "round $n" | head -n 5000 >rewritten.new
    must mv rewritten.new rewritten
    must dd if=/dev/zero of=scratch bs=64k count=20 status=none
    [ $((n % 3)) != 0 ] || must rm scratch
    sync
    must sync -d "$device"
    echo "synced $n"
done
must rm -f scratch
checkpoint written flushed
cd /
must umount /mnt
END
}

synced() { # how many files the guest has synced
    sed -n 's/^synced //p' listing | tail -n 1
}

# Every file that was synced stands in the directory, whole.
check_files() { # how many
    local n
    export_host disk
    for n in $(seq "$1"); do
        cmp <(yes "contents of $n" | head -c $((n * 3001))) \
            "$HOST/directory $((n % 7))/file $n" ||
            export_fail "'file $n' was synced before the server was killed"
    done
}

guest_script >script
guest_build_initrd script
guest_file source/kept.txt 3000
find source -exec touch -d '2003-03-03 03:03:04 UTC' {} +

export_start disk source fat-type=16 size=48M overlay="$OVERLAY"
write_start_linux -blockdev "driver=nbd,node-name=disk,server.type=unix,$(
    )server.path=$(export_socket disk),reconnect-delay=60" \
    -device virtio-blk-pci,drive=disk
for stop in 5 23 41; do
    write_await "synced $stop" 300
    sleep "0.$((stop % 7))" # somewhere between two syncs
    before=$(synced)
    export_kill disk
    sleep 0.5
    export_again disk
    check_files "$before"
    echo "killed and started again after $before files"
done
write_checkpoint disk written
check_files 60
write_say
write_end disk
export_stop disk
