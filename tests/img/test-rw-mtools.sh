#!/bin/bash
# SPDX-License-Identifier: MIT
#
# mtools write into a directory, through a file that is an NBD client
# (nbdfuse): what is copied, moved, renamed, deleted and marked in the volume
# is so in the directory.

# shellcheck source=tests/img/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/img/export-lib.sh
. "$(dirname "$0")/export-lib.sh"
# shellcheck source=tests/img/fuse-lib.sh
. "$(dirname "$0")/fuse-lib.sh"
trap 'fuse_cleanup; export_cleanup; cleanup' EXIT

need mcopy mmove mren mdel mdeltree mattrib mlabel
fuse_need
export_need

mount_export() { # name; sets DISK, for mtools
    fuse_mount "$(export_uri "$1")"
    DISK=$FUSE_FILE@@$(export_offset "$FUSE_FILE")
}

# step COMMAND ARGUMENT...: mtools do it, and the directory follows.
step() {
    run "$1" -i "$DISK" "${@:2}"
    [ "$STATUS" = 0 ] || fail "$*: $OUT $ERR"
    export_flush "$NAME"
    export_same "$NAME"
}

# there NAME..., gone NAME...: in the directory.
there() {
    local file
    for file; do
        [ -e "$HOST/$file" ] || fail "$NAME: '$file' is not in the directory"
    done
}

gone() {
    local file
    for file; do
        [ ! -e "$HOST/$file" ] || fail "$NAME: '$file' is in the directory"
    done
}

check_type() { # FAT type, option...
    local i fat=$1
    NAME=fat$fat
    plain_tree "$NAME.dir"
    find "$NAME.dir" -exec touch -d '2020-02-20 20:20:20' {} +
    export_start "$NAME" "$NAME.dir" "fat-type=$fat" "${@:2}"
    mount_export "$NAME"

    step mcopy -s -m new ::
    there new/many/'a copied file, number 200.text'
    diff -r new "$HOST/new"
    step mcopy -o -m changed.txt ::/hello.txt
    diff changed.txt "$HOST/hello.txt"
    step mmd '::/made here'
    step mmove ::/hello.txt '::/made here'
    there 'made here/hello.txt'
    gone hello.txt
    step mmove '::/Sub Directory/deeper' '::/made here'
    there 'made here/DEEPER/70k.bin' # mmove takes a directory's short name
    step mren ::/EMPTY.TXT '::/No longer EMPTY to look at.text'
    there 'No longer EMPTY to look at.text'
    step mren '::/Sub Directory' '::/renamed by mren'
    there 'renamed by mren/A rather long name with blanks.text'
    gone 'Sub Directory'
    step mdel '::/new/many/a copied file, number 1*.text'
    gone new/many/'a copied file, number 100.text'
    there new/many/'a copied file, number 200.text'
    step mdeltree ::/new/many
    gone new/many
    there new/other.txt

    step mattrib +r +h +s -a ::/one.byte
    [ "$(export_listing "$HOST" | grep -c ' r ./one.byte$')" = 1 ] ||
        fail "$NAME: the read-only attribute is not the file's mode"
    step mattrib -r -h -s +a ::/one.byte
    [ "$(export_listing "$HOST" | grep -c ' w ./one.byte$')" = 1 ] ||
        fail "$NAME: the mode did not follow the attribute back"
    step mlabel '::New label'
    run mlabel -s -i "$DISK" ::
    [[ $OUT == *'NEW LABEL'* ]] || fail "$NAME: label: $OUT $ERR"

    # All of it goes, file by file.
    step mdeltree '::/renamed by mren' '::/made here' ::/new ::/empty
    step mdel '::/*'
    diff -r "$HOST" nothing
    fuse_unmount
    export_stop "$NAME"
}

mkdir -p new/many/deeper nothing
for i in $(seq 200); do
    head -c $((i * 50)) "$VVFAT_IMG" >"new/many/a copied file, number $i.text"
done
cp -r new/many/*10* new/many/deeper
seq 1000 >new/other.txt
seq 5000 >changed.txt
find new changed.txt -exec touch -d '2021-03-04 05:06:08' {} +

check_type 12 size=8M
check_type 16 size=12M
check_type 32 size=36M cluster-size=512
