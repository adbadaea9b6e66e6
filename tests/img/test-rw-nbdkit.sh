#!/bin/bash
# SPDX-License-Identifier: MIT
#
# What the nbdkit plugin offers for a directory that may be written, and
# clients that write it: all sectors of a changed volume, in parallel, over
# several connections; forced and fast writes; to a daemon.

# shellcheck source=tests/img/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/img/export-lib.sh
. "$(dirname "$0")/export-lib.sh"
trap 'export_cleanup; cleanup' EXIT

need nbdinfo jq mcopy mdel mmd
export_need

quiet_io() { # name command...
    local name=$1 command commands=()
    shift
    for command; do
        commands+=(-c "$command")
    done
    run qemu-io -f raw -d unmap "${commands[@]}" "$(export_uri "$name")"
    [ "$STATUS" = 0 ] || fail "qemu-io $*: $OUT $ERR"
    ! grep -qi 'fail\|error' <<<"$OUT$ERR" || fail "qemu-io $*: $OUT $ERR"
}

# The volume as it is, in a file; mtools change it there.
change_copy() { # name
    local disk
    nbdcopy "$(export_uri "$1")" "$1.img2"
    disk=$1.img2@@$(export_offset "$1.img2")
    mmd -i "$disk" '::/a new directory'
    mcopy -m -i "$disk" new.txt '::/a new directory/with a new file.text'
    mcopy -m -o -i "$disk" new.txt ::/hello.txt
    mdel -i "$disk" ::/one.byte
    mcopy -s -m -i "$disk" many ::/
}

check_changes() { # name
    export_same "$1"
    cmp new.txt "$HOST/a new directory/with a new file.text"
    cmp new.txt "$HOST/hello.txt"
    [ ! -e "$HOST/one.byte" ] || fail "$1: a deleted file is there"
    diff -r many "$HOST/many"
}

seq 30000 >new.txt
mkdir many
for i in $(seq 100); do
    seq "$i" >"many/file $i of many.text"
done
find new.txt many -exec touch -d '2021-03-04 05:06:08' {} +

for fat in 12 16 32; do
    name=fat$fat
    plain_tree "$name.dir"
    find "$name.dir" -exec touch -d '2022-02-02 02:02:02' {} +
    case $fat in
        12) options=size=8M ;;
        16) options=size=12M ;;
        32) options='size=36M cluster-size=512' ;;
    esac
    # shellcheck disable=SC2086 # one word an option
    export_start $name $name.dir fat-type=$fat $options

    nbdinfo --json "$(export_uri $name)" |
        jq -e '.exports[0] | (.is_read_only | not) and .can_flush and
            .can_fua and .can_multi_conn and .can_trim and .can_zero and
            .can_fast_zero' >/dev/null || fail "$name: what it offers"

    change_copy $name
    nbdcopy --connections=4 --requests=32 --request-size=65536 --flush \
        $name.img2 "$(export_uri $name)"
    check_changes $name

    # Free clusters are the guest's as well: what one connection has written,
    # another one reads.
    last=$(($(stat -c %s $name.img2) - 262144))
    quiet_io $name "write -f -P 0x5a $last 64k" \
        "write -P 0x5b $((last + 65536)) 64k"
    quiet_io $name "read -P 0x5a $last 64k" \
        "read -P 0x5b $((last + 65536)) 64k" "write -z $last 4k" \
        "write -z -u $((last + 4096)) 4k" "discard $((last + 8192)) 8k" flush
    quiet_io $name "read -P 0 $last 8k" \
        "read -P 0x5a $((last + 16384)) 48k"
    quiet_io $name "write -z -u $last 128k" flush
    check_changes $name
    export_stop $name

    # A new server shows what the last one has written.
    [ "$STAND_IN" = no ] || continue
    # shellcheck disable=SC2086 # one word an option
    export_start $name $name.dir fat-type=$fat $options
    check_changes $name
    export_stop $name
done

# ---- A daemon, told of its directory by a relative name ----

plain_tree daemon.dir
arguments=(dir=daemon.dir rw=on size=8M fat-type=12)
if [ "$STAND_IN" != no ]; then
    "$VVFAT_IMG" convert -O raw --image-opts \
        driver=vvfat,dir=daemon.dir,size=8M,fat-type=12 daemon.img
    arguments=(image=daemon.img format=raw)
fi
nbdkit --unix "$(export_socket daemon)" --pidfile daemon.pid "$PLUGIN" \
    "${arguments[@]}"
until [ -s daemon.pid ]; do # it is written in the background
    sleep 0.05
done
EXPORT_PID[daemon]=$(<daemon.pid)
EXPORT_DIR[daemon]=daemon.dir
change_copy daemon
nbdcopy --flush daemon.img2 "$(export_uri daemon)"
check_changes daemon
kill "${EXPORT_PID[daemon]}"
while kill -0 "${EXPORT_PID[daemon]}" 2>/dev/null; do
    sleep 0.1
done
unset 'EXPORT_PID[daemon]'

# ---- What cannot be brought into the directory is told at the end ----

[ "$STAND_IN" = no ] || exit 0
plain_tree formatted
cp -a formatted formatted.before
img convert -q fat:size=8M:fat-type=12:partition=none:formatted formatted.img
mkfs.fat -F 12 -i 12345678 formatted.img >mkfs.out
nbdkit --foreground --verbose --unix - "$PLUGIN" formatted rw=on size=8M \
    fat-type=12 partition=none --run 'nbdcopy --flush formatted.img "$uri"' \
    2>formatted.log || fail "formatting: $(tail -n 5 formatted.log)"
grep -q "error: closing: Not all .*format.* is kept in '$PWD/formatted\." \
    formatted.log || fail "nothing was said: $(tail -n 20 formatted.log)"
grep -q 'at the end: commit.suspended=' formatted.log || fail 'no facts'
same_tree formatted.before formatted
img compare -q formatted.vvfat-rescue-*.qcow2 formatted.img

# ---- With -r, and without rw, nothing can be written ----

for arguments in '-r rw=on' '--threads=4 rw=off'; do
    # shellcheck disable=SC2086 # words
    set -- $arguments
    nbdkit "$1" --unix - "$PLUGIN" dir=daemon.dir "${@:2}" \
        --run 'nbdinfo --json "$uri"' |
        jq -e '.exports[0].is_read_only' >/dev/null || fail "$arguments"
done
