#!/bin/bash
# SPDX-License-Identifier: MIT
#
# GRUB's FAT driver reads the disk of a directory, in an image and through the
# nbdkit plugin: all names, sizes, times and contents.

# shellcheck source=tests/img/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/img/fuse-lib.sh
. "$(dirname "$0")/fuse-lib.sh"
trap 'fuse_cleanup; cleanup' EXIT
need grub-fstest

# Each file: its path, type or size, and time; FAT has two seconds.
host_listing() {
    (cd source && find . -mindepth 1 -type d -printf '%h/%f/ DIR\n' &&
        find . -type f -printf '%p %s %T@\n' |
        awk '{ t = int($NF); $NF = strftime("%Y%m%d%H%M%S", t - t % 2, 1)
               print }') | sort
}

grub_listing() { # disk device path
    local type time name
    grub-fstest "$1" ls -- -l "($2)/$3" >ls.out || fail "ls ($2)/$3"
    while read -r type time name; do
        case $type in
            '') ;;
            DIR)
                echo "./$3$name DIR"
                grub_listing "$1" "$2" "$3$name" ;;
            *) echo "./$3$name $type $time" ;;
        esac
    done <<<"$(<ls.out)"
}

check_grub() { # disk device
    grub_listing "$1" "$2" '' | sort >found
    diff expected found || fail "what GRUB lists of $2"
    grub-fstest "$1" cmp "($2)/" source || fail "what GRUB reads of $2"
    grub-fstest "$1" ls -- -l "($2)" >ls.out
    grep -q "fat - Label .GRUB TEST., UUID 1234-ABCD" ls.out ||
        fail "label and serial number: $(<ls.out)"
}

plain_tree source
seq 1000 >'source/Grüße, 日本語 😀.txt'
seq 2000 >"source/$(printf 'l%.0s' $(seq 251)).txt"
mkdir source/many
for i in $(seq 200); do
    seq "$i" >"source/many/one of many files $i"
done
host_listing >expected

check_shape() { # device option...
    rm -f disk.img
    img convert --image-opts "driver=vvfat,dir=source,timezone=utc,label=GRUB \
TEST,volume-id=0x1234abcd$(printf ',%s' "${@:2}")" disk.img
    check_grub disk.img "$1"
    echo "ok: $*"
}
check_shape loop0 fat-type=12 partition=none
check_shape loop0,msdos1 fat-type=16
check_shape loop0,gpt1 fat-type=32 partition=gpt cluster-size=512 size=64M

# The same disk as a file that the kernel asks the plugin for.
need nbdkit
fuse_need
[ -e "$PLUGIN" ] || skip 'the nbdkit plugin is not built'
socket_dir=$(mktemp -d)
nbdkit --foreground --exit-with-parent --unix "$socket_dir/nbd" \
    --pidfile "$PWD/nbdkit.pid" "$PLUGIN" source fat-type=32 timezone=utc \
    label='GRUB TEST' volume-id=0x1234abcd >nbdkit.log 2>&1 </dev/null &
server=$!
trap 'fuse_cleanup; kill $server; rm -rf "$socket_dir"; cleanup' EXIT
until [ -s nbdkit.pid ]; do
    kill -0 $server || fail "nbdkit: $(<nbdkit.log)"
    sleep 0.05
done
fuse_mount "nbd+unix:///?socket=$socket_dir/nbd"
check_grub "$FUSE_FILE" loop0,msdos1
fuse_unmount
