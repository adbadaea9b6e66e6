#!/bin/bash
# SPDX-License-Identifier: MIT
#
# The UEFI shell, which is part of OVMF, writes into directories through its
# own FAT driver: a FAT12, a FAT16 and a FAT32 disk, in one boot.

# shellcheck source=write-lib.sh
. "$SRCDIR/tests/guest/write-lib.sh"
# shellcheck source=uefi-lib.sh
. "$SRCDIR/tests/guest/uefi-lib.sh"
export_need

make_source() { # dir
    guest_file "$1/first.txt" 1000
    guest_file "$1/second.txt" 70000
    guest_file "$1/gone.txt" 100
    guest_file "$1/gone too/file" 5000
    guest_file "$1/a tree/with a long name/and a file in it.text" 12345
    guest_file "$1/a tree/other.bin" 100000
    guest_file "$1/marked.txt" 30
    guest_file "$1/to move/inside.txt" 9000
    printf 'first line\n' >"$1/append.txt"
    find "$1" -exec touch -d '2019-07-13 11:22:34 UTC' {} +
}

# The shell has no loop over what it finds: every disk by its number, and
# "done" on each. An argument in quotes is a name with blanks.
shell_script() {
    local disk
    echo '@echo -off'
    for disk in fs0 fs1 fs2; do
        cat <<END
$disk:
mkdir made
mkdir "made\\A long directory name"
cp -q first.txt made\\copied.txt
cp -q -r "a tree" "made\\A long directory name"
mv second.txt "made\\moved, and renamed.text"
mv "to move" moved
rm -q gone.txt
rm -q "gone too"
echo appended >>a append.txt
echo new >a made\\new.txt
cp -q made\\copied.txt first.txt
attrib +r marked.txt
echo done on $disk
END
    done
    echo 'reset -s'
}

check_export() { # name
    local made="the directory of $1"
    export_same "$1"
    diff -r "$1.before/a tree" "$HOST/made/A long directory name/a tree"
    cmp "$1.before/first.txt" "$HOST/made/copied.txt"
    cmp "$1.before/first.txt" "$HOST/first.txt"
    cmp "$1.before/second.txt" "$HOST/made/moved, and renamed.text"
    diff -r "$1.before/to move" "$HOST/moved"
    grep -q '^first line' "$HOST/append.txt"
    grep -q 'appended' "$HOST/append.txt"
    grep -q 'new' "$HOST/made/new.txt"
    export_listing "$HOST" | grep -q ' r ./marked.txt$' ||
        export_fail "$made: the attribute is not the file's mode"
    for file in second.txt 'to move' gone.txt 'gone too'; do
        [ ! -e "$HOST/$file" ] || export_fail "$made still has '$file'"
    done
    echo "ok: $1"
}

drives=()
start() { # FAT type, option...
    local name=fat$1
    make_source "$name.dir"
    [ "$1" != 12 ] || shell_script | sed 's/$/\r/' >"$name.dir/startup.nsh"
    cp -a "$name.dir" "$name.before"
    export_start "$name" "$name.dir" "fat-type=$1" "${@:2}"
    drives+=(-drive "if=virtio,format=raw,file=$(export_uri "$name")")
}
start 12
start 16 size=48M
start 32 size=48M cluster-size=512

uefi_arguments
guest_qemu 500 "${UEFI[@]}" "${drives[@]}"
for disk in fs0 fs1 fs2; do
    grep -aq "done on $disk" console || {
        tail -n 60 console
        export_fail "the shell did not come to the end of $disk"
    }
done
for name in fat12 fat16 fat32; do
    check_export $name
    export_stop $name
done
