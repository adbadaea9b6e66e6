# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# Linux guests that write into a directory. On top of lib.sh and export-lib.sh.
#
# A guest's script has these words (write_prelude):
#   mount_volume         at /mnt, and go there
#   must COMMAND...      which has to succeed
#   checkpoint NAME HOW  list the volume and wait until the host has compared.
#       "flushed": what was written is durable. "synced": a plain sync, which
#       Linux does not follow by a flush on FAT: it takes the time it takes.
# and the host:
#   write_start NAME ARGUMENT...    boot a guest; NAME is the export
#   write_say                       the guest goes on after a checkpoint
#   write_await PATTERN SECONDS     until the guest has said that line
#   write_checkpoint EXPORT NAME    its files are those of DIR
#   write_end EXPORT                it powers off; no word of it was an error

# shellcheck source=lib.sh
. "$SRCDIR/tests/guest/lib.sh"
# shellcheck source=../img/export-lib.sh
. "$SRCDIR/tests/img/export-lib.sh"

write_guest='' write_reader=''
write_cleanup() {
    local pid
    # Without a guest the reader waits for one.
    for pid in $write_guest $write_reader; do
        kill "$pid" 2>/dev/null || :
    done
    export_cleanup
}
trap write_cleanup EXIT

write_prelude() {
    cat <<'END'
must() {
    "$@" || echo "FAILED: $*"
}

mount_volume() {
    must mount -t vfat -o utf8=1,tz=UTC,umask=022,noatime "$device" /mnt
    cd /mnt
}

checkpoint() { # name flushed|synced
    sync
    [ "$2" != flushed ] || must sync -d "$device"
    echo "begin $1"
    find . -mindepth 1 -type d | sed 's/^/dir /'
    find . -type f -exec stat -c 'file %s %Y %a %n' {} +
    find . -type f -exec md5sum {} +
    echo "checkpoint $1 $2"
    read -r _ </dev/ttyS1
}
END
}

# The guest's serial port goes both ways: ./listing is what it said, and what
# is written into ./serial.in is what it reads.
write_start() { # argument of QEMU...
    rm -f listing serial.in serial.out console
    mkfifo serial.in serial.out
    : >listing
    cat serial.out >listing &
    write_reader=$!
    timeout -k 5 "${GUEST_TIMEOUT:-600}" qemu-system-x86_64 -accel tcg -m 512 \
        -nodefaults -display none -no-reboot -serial file:console \
        -serial pipe:serial "$@" </dev/null &
    write_guest=$!
}

write_start_linux() { # argument...
    write_start -kernel "$kernel" -initrd "$initrd" \
        -append 'console=ttyS0 loglevel=4 panic=-1' "$@"
}

write_say() {
    echo >serial.in
}

write_await() { # pattern seconds
    local deadline=$((SECONDS + $2))
    until grep -qxE -e "$1" listing; do
        if ! kill -0 "$write_guest" 2>/dev/null ||
            [ $SECONDS -gt $deadline ]; then
            tail -n 20 listing console
            export_fail "the guest did not come to '$1'"
        fi
        sleep 0.1
    done
    ! grep '^FAILED' listing || export_fail 'the guest could not do its work'
}

# What is flushed is in DIR at once; what is only synced a while later.
write_checkpoint() { # export name
    local deadline
    write_await "checkpoint $2 (flushed|synced)" 300
    deadline=$SECONDS
    if grep -qx "checkpoint $2 synced" listing; then
        deadline=$((SECONDS + 30))
    fi
    sed -n "/^begin $2\$/,/^checkpoint $2 /p" listing | sed '1d; $d' |
        export_modes | LC_ALL=C sort >"$1.$2.guest"
    until export_host "$1" && export_listing "$HOST" >"$1.$2.host" &&
        cmp -s "$1.$2.guest" "$1.$2.host"; do
        if [ $SECONDS -ge $deadline ]; then
            diff -u "$1.$2.host" "$1.$2.guest" | head -n 60 || :
            export_fail "$1, $2: the directory (-) is not what the guest" \
                'has (+)'
        fi
        sleep 0.5
    done
    echo "ok: $1, $2: $(wc -l <"$1.$2.guest") lines"
}

write_end() { # export
    write_await 'end of listing' 120
    wait "$write_guest" || export_fail "QEMU ended with $?"
    wait "$write_reader" || :
    write_guest='' write_reader=''
    ! grep -i 'fat-fs' listing || export_fail 'the guest had complaints'
    export_same "$1"
}
