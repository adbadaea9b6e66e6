#!/bin/bash
# SPDX-License-Identifier: MIT
#
# What the nbdkit plugin accepts, refuses and tells about itself, and writing
# through it into an image.

set -euo pipefail

for program in nbdkit nbdinfo qemu-io jq; do
    command -v $program >/dev/null || { echo "$program is missing"; exit 77; }
done
[ -e "$PLUGIN" ] || { echo 'the nbdkit plugin is not built'; exit 77; }

mkdir source
echo hello >source/hello.txt

refused() { # pattern parameter...
    local pattern=$1
    shift
    if nbdkit --unix - "$PLUGIN" "$@" --run true 2>messages; then
        echo "accepted: $*"
        exit 1
    fi
    grep -q -e "$pattern" messages || {
        echo "$*: expected '$pattern', got:"
        cat messages
        exit 1
    }
}

info() { # parameter...
    nbdinfo --json -- [ nbdkit --exit-with-parent "$PLUGIN" "$@" ]
}

# ---- Parameters ----

refused "dir=DIR"
refused "did you mean 'label'" dir=source lable=x
refused "did you mean 'image'" imgae=disk.img
refused "cannot be longer than 11 bytes" dir=source label=123456789012
refused 'once for each' dir=source image=source
refused 'once for each' source source
refused 'once for each' image=disk.img image=disk.img
refused 'format=' dir=source format=raw
refused missing dir=missing
refused missing.img image=missing.img
refused 'dir=.*/source serves it as a disk' image=source
refused 'image=.*/hello.txt serves the disk.* nbdkit file' source/hello.txt
refused cylinders image=json:'{"driver":"vvfat","dir":"source","cylinders":4}'

# ---- What it says of itself ----

nbdkit --dump-plugin "$PLUGIN" >dump
grep -qE '^vvfat_version=[0-9]+\.' dump
grep -qE '^vvfat_formats=.*\<vvfat\>' dump
grep -qE '^vvfat_options=.*\<label\>' dump
grep -qx 'thread_model=parallel' dump
nbdkit --help "$PLUGIN" >help
grep -q 'label=' help
grep -q 'image=' help
grep -q 'nbdkit linuxdisk DIR' help # what else there is

# ---- A directory: read-only, many connections, its own path by default ----

info dir=source >info.json
jq -e '.exports[0] | .is_read_only and .can_multi_conn and
    ."export-size" == 528482304' info.json >/dev/null
(cd source && info .) | jq -e '.exports[0].is_read_only' >/dev/null

# Byte ranges are served, and the one export has a description without names of
# the host.
jq -e '.exports[0] | ."block_size_minimum" == 1 and .can_cache' info.json \
    >/dev/null
nbdinfo --list --json -- \
    [ nbdkit --exit-with-parent "$PLUGIN" dir=source label=HELLO ] |
    jq -e '(.exports | length) == 1 and (.exports[0] | ."export-name" == ""
        and .description == "directory as FAT16, HELLO")' >/dev/null
nbdkit --unix - "$PLUGIN" dir=source --run 'qemu-io -r -f raw \
    -c "read 1 3" -c "read 511 2" -c "read 4095 4099" "$uri"' >io.log
if grep -iE 'fail|error' io.log; then
    exit 1
fi

# What is not on the disk is said at the start, without control characters, and
# not endlessly; -v tells what is there by another name.
mkdir odd
mkfifo "odd/a"$'\n\e'"pipe"
touch 'odd/with:colon'
nbdkit --unix - "$PLUGIN" odd --run true 2>messages
[ "$(cat messages)" = \
    "nbdkit: error: skipped 'a\\n\\x1bpipe': neither a file nor a directory" ]
nbdkit -v --unix - "$PLUGIN" odd --run true 2>messages
grep -q "debug: .*renamed 'with:colon': now" messages
nbdkit --log=null --unix - "$PLUGIN" odd --run true 2>messages
[ ! -s messages ]
(cd odd && seq -f 'pipe%.0f' 100 | xargs mkfifo)
nbdkit --unix - "$PLUGIN" odd --run true 2>messages
[ "$(grep -c 'error: skipped' messages)" = 20 ]
[ "$(wc -l <messages)" = 21 ]
grep -q 'error: 81 more like these; vvfat-img info' messages

# The limits of FAT, and only one that writes: what else there is.
mkdir large
truncate -s 5G large/file
refused 'unsupported=skip; nbdkit linuxdisk' large
(
    trap '' XFSZ
    ulimit -f 64
    refused 'overlay.*File too large$' source rw=on "overlay=$PWD/o.qcow2"
)
rm -f o.qcow2
nbdkit --unix - "$PLUGIN" source rw=on \
    --run 'nbdkit --unix - "$PLUGIN" source rw=on --run true' 2>messages || :
grep -q 'open for writing already.*without rw=on' messages
nbdkit --unix - "$PLUGIN" source rw=on \
    --run 'nbdkit --unix - "$PLUGIN" source --run true'

# As a daemon nbdkit goes to "/"; the relative name still means this place.
socket_dir=$(mktemp -d)
cleanup() {
    [ ! -s "$socket_dir/pid" ] || kill "$(cat "$socket_dir/pid")" || :
    rm -rf "$socket_dir"
}
trap cleanup EXIT
nbdkit --unix "$socket_dir/nbd" --pidfile "$socket_dir/pid" "$PLUGIN" \
    dir=source partition=none
nbdcopy "nbd+unix:///?socket=$socket_dir/nbd" daemon.img
"$VVFAT_IMG" cat daemon.img hello.txt | cmp - source/hello.txt

# ---- An image: what a client writes is in the file ----

truncate -s 1M disk.img
nbdkit --unix - "$PLUGIN" image=disk.img format=raw --run "
    qemu-io -f raw \
        -c 'write -P 0x11 0 64k' -c 'write -f -P 0x22 4097 1000' \
        -c 'write -z 16k 8k' -c 'write -z -u 32k 4k' -c 'discard 40k 4k' \
        -c 'flush' -c 'read -P 0x22 4097 1000' \"\$uri\"" >io.log
if grep -iE 'fail|error' io.log; then
    exit 1
fi
qemu-io -f raw -c 'read -P 0x11 0 4097' -c 'read -P 0x22 4097 1000' \
    -c 'read -P 0x11 5097 11287' -c 'read -P 0 16k 8k' \
    -c 'read -P 0x11 24k 8k' -c 'read -P 0 32k 4k' disk.img >read.log
if grep -iE 'fail|error' read.log; then
    exit 1
fi
[ "$(stat -c %s disk.img)" = 1048576 ]

info image=disk.img format=raw >info.json
jq -e '.exports[0] | (.is_read_only | not) and .can_fua and .can_trim and
    .can_zero and .can_flush' info.json >/dev/null

# With -r nothing can be written.
if nbdkit -r --unix - "$PLUGIN" image=disk.img format=raw \
    --run "qemu-io -f raw -c 'write 0 512' \"\$uri\"" >io.log 2>&1; then
    echo 'written in spite of -r'
    exit 1
fi

# A daemon writes where the user was, under names that only mean something
# there; one connection reads what another has written, and flushes it.
kill "$(cat "$socket_dir/pid")"
while [ -e "$socket_dir/pid" ] && kill -0 "$(cat "$socket_dir/pid")"; do
    sleep 0.1
done 2>/dev/null
rm -f "$socket_dir"/*
truncate -s 0 disk.img
truncate -s 1M disk.img
nbdkit --unix "$socket_dir/nbd" --pidfile "$socket_dir/pid" "$PLUGIN" \
    image='json:{"driver":"raw","file":{"driver":"file",
        "filename":"disk.img"}}'
uri="nbd+unix:///?socket=$socket_dir/nbd"
qemu-io -f raw -c 'write -P 0x33 64k 64k' "$uri" >io.log
qemu-io -f raw -c 'read -P 0x33 64k 64k' -c flush "$uri" >>io.log
if grep -iE 'fail|error' io.log; then
    exit 1
fi
qemu-io -r -U -f raw -c 'read -P 0x33 64k 64k' disk.img >/dev/null
nbdinfo --json "$uri" | jq -e '.exports[0].can_multi_conn' >/dev/null

# ---- Errors: the client's number, the driver's words ----

fails_with() { # errno pattern
    nbdkit --unix - "$PLUGIN" image='json:{"driver":"blkdebug",
        "image":{"driver":"file","filename":"other.img"},
        "inject-error":[{"iotype":"write","errno":'"$1"'}]}' \
        --run 'qemu-io -f raw -c "write 0 4k" "$uri"' >io.log 2>&1 || :
    grep -q "$2" io.log || { cat io.log; exit 1; }
}
truncate -s 1M other.img
fails_with 28 'write failed: No space left on device'
fails_with 13 'write failed: Operation not permitted'
fails_with 116 'write failed: Input/output error'
grep -q 'writing 4096 bytes at offset 0: .*Stale file handle' io.log

# Facts about the node are there for whoever debugs.
nbdkit -v --unix - "$PLUGIN" dir=source --run true 2>messages
grep -q 'at the start: fat-type=16' messages
grep -q 'at the end: fat-type=16' messages
