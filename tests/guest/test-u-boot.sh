#!/bin/bash
# SPDX-License-Identifier: MIT
#
# U-Boot's own FAT driver reads directories as nbdkit serves them, a FAT12, a
# FAT16 and a FAT32 disk, and writes into a fourth.

# shellcheck source=lib.sh
. "$SRCDIR/tests/guest/lib.sh"
# shellcheck source=../img/export-lib.sh
. "$SRCDIR/tests/img/export-lib.sh"
firmware=/usr/lib/u-boot/qemu-x86_64/u-boot.rom
[ -r $firmware ] || skip "$firmware is missing (package u-boot-qemu)"
export_need

guest='' reader=''
finish() {
    local pid
    for pid in $guest $reader; do
        kill "$pid" 2>/dev/null || :
    done
    export_cleanup
}
trap finish EXIT

start() { # argument of QEMU...
    mkfifo serial.in serial.out
    cat serial.out >console &
    reader=$!
    timeout -k 5 600 qemu-system-x86_64 -accel tcg -m 256 -nodefaults \
        -display none -no-reboot -bios $firmware -serial pipe:serial "$@" \
        </dev/null &
    guest=$!
    exec 3>serial.in
}

await() { # pattern; a new line, too, stops U-Boot from booting by itself
    local deadline=$((SECONDS + 300))
    until grep -aq -- "$1" console; do
        if ! kill -0 $guest 2>/dev/null || [ $SECONDS -gt $deadline ]; then
            tail -n 40 console
            export_fail "U-Boot did not come to '$1'"
        fi
        [ "$1" != '=> ' ] || echo >&3
        sleep 0.1
    done
}

# uboot COMMAND: SAID is what it says.
n_commands=0
uboot() {
    n_commands=$((n_commands + 1))
    printf '%s; echo end-%s\n' "$1" $n_commands >&3
    await "^end-$n_commands"
    SAID=$(tr -d '\r' <console | sed -n "/; echo end-$n_commands\$/,\$p" |
        sed -e 1d -e "/^end-$n_commands\$/,\$d")
}

# As gzip has it.
crc_of() {
    gzip -c "$1" | tail -c 8 | od -An -tx4 -N 4 | tr -d ' '
}

check_listing() { # disk dir
    local found
    uboot "fatls ide $1:1 \"/$2\""
    found=$(sed -n -e 's/^ *\([0-9][0-9]*\)   \(.*\)/\1 \2/p' \
        -e 's/^            \([^ ].*\/\)$/DIR \1/p' <<<"$SAID" |
        sed '/^DIR \.*\/$/d' | sort)
    (cd "source/$2" && find . -mindepth 1 -maxdepth 1 \
        -type d -printf 'DIR %f/\n' -o -type f -printf '%s %f\n') | sort |
        diff - <(echo "$found") || export_fail "fatls ide $1: $2: $SAID"
}

check_files() { # disk
    local file
    while read -r file; do
        uboot "fatload ide $1:1 1000000 \"/$file\" && crc32 1000000 \${filesize}"
        grep -q "==> $(crc_of "source/$file")\$" <<<"$SAID" ||
            export_fail "disk $1, '$file': $SAID"
    done < <(cd source && find . -type f -size +0 -printf '%P\n')
}

guest_file source/kernel.bin 100000
guest_file source/lower.txt 1001
guest_file source/MiXed.Txt 512
guest_file 'source/A Directory/a file with a long name.text' 12345
guest_file "source/A Directory/$(printf 'l%.0s' $(seq 200)).txt" 1000
: >source/EMPTY.TXT
mkdir 'source/nothing here'
find source -exec touch -d '2019-07-13 11:22:34 UTC' {} +
cp -a source written

drives=()
add() { # name dir option...
    export_start "$@"
    drives+=(-drive "if=ide,format=raw,file=$(export_uri "$1")")
}
for fat in 12 16 32; do
    cp -a source fat$fat.dir
    add fat$fat fat$fat.dir fat-type=$fat
done
add written written fat-type=16 size=40M
start "${drives[@]}"
await '=> '
uboot 'ide reset'

for disk in 0 1 2; do
    check_listing $disk ''
    check_listing $disk 'A Directory'
    check_files $disk
    echo "ok: disk $disk"
done

uboot 'fatmkdir ide 3:1 made'
# shellcheck disable=SC2016 # U-Boot's variable
uboot 'fatload ide 3:1 1000000 kernel.bin && fatwrite ide 3:1 1000000 "/made/'\
'copy of the kernel.bin" ${filesize}'
uboot 'fatwrite ide 3:1 1000000 /lower.txt 800'
uboot 'fatrm ide 3:1 /MiXed.Txt'
uboot 'fatls ide 3:1 /made'
grep -q 'copy of the kernel.bin' <<<"$SAID" || export_fail "not made: $SAID"
echo reset >&3
exec 3>&-
wait $guest || export_fail "QEMU ended with $?"
guest=
export_same written
cmp source/kernel.bin 'written/made/copy of the kernel.bin'
head -c 2048 source/kernel.bin | cmp - written/lower.txt
[ ! -e written/MiXed.Txt ] || export_fail 'the file is still there'
for name in fat12 fat16 fat32 written; do
    export_stop $name
done
for fat in 12 16 32; do
    diff -r source fat$fat.dir
done
