#!/bin/bash
# SPDX-License-Identifier: MIT
# Geometry, MBR and boot sector, field for field as the original makes them.
# shellcheck source=tests/img/lib.sh
. "$(dirname "$0")/lib.sh"
need od

mkdir tree
echo hello >tree/hello.txt

# field IMAGE OFFSET BYTES: a little-endian number.
field() {
    od -An -v -j "$2" -N "$3" -t "u$3" --endian=little "$1" | tr -d ' \n'
}
text() {
    dd if="$1" bs=1 skip="$2" count="$3" status=none
}
is() {
    [ "$1" = "$2" ] || fail "$NAME: $3 is '$1', not '$2'"
}

# check NAME SECTORS START TYPES TYPE SPC MEDIA DRIVE CYLINDERS HEADS SPT
# TYPES: partition type bytes that may stand there; START 0: no table.
check() {
    NAME=$1
    local sectors=$2 start=$3 types=$4 type=$5 spc=$6 media=$7 drive=$8
    local cylinders=$9 heads=${10} spt=${11} boot total chs
    img convert "$NAME" image
    is "$(stat -c %s image)" $((sectors * 512)) 'size of the disk'
    is $((cylinders * heads * spt)) "$sectors" 'the geometry itself'
    if [ "$start" != 0 ]; then
        is "$(field image 440 4)" $((0xbe1afdfa)) 'disk signature'
        is "$(field image 510 2)" $((0xaa55)) 'MBR signature'
        is "$(field image 446 1)" 128 'active flag'
        case " $types " in
            *" $(field image 450 1) "*) ;;
            *) fail "$NAME: partition type $(field image 450 1)" ;;
        esac
        is "$(field image 454 4)" "$start" 'start of the partition'
        is "$(xxd -s 462 -l 48 -p -c 48 image | tr -d 0)" '' \
            'other partitions'
        chs=$(xxd -s 447 -l 3 -p image)
        is "$chs" 010100 'CHS of the start'
        total=$(field image 458 4)
        [ $((start + total)) -le "$sectors" ] ||
            fail "$NAME: the partition ends outside the disk"
        # It ends after the last whole cluster.
        [ $((sectors - start - total)) -lt "$spc" ] ||
            fail "$NAME: the partition is too short"
    else
        total=$sectors
    fi
    boot=$((start * 512))
    is "$(xxd -s $boot -l 3 -p image | sed 's/^eb..90$/jump/')" jump 'jump'
    [ "$type" = 32 ] || is "$(xxd -s $boot -l 3 -p image)" eb3e90 'jump'
    is "$(text image $((boot + 3)) 8)" MSWIN4.1 'OEM name'
    is "$(field image $((boot + 11)) 2)" 512 'sector size'
    is "$(field image $((boot + 13)) 1)" "$spc" 'sectors a cluster'
    is "$(field image $((boot + 16)) 1)" 2 'number of FATs'
    is "$(field image $((boot + 21)) 1)" "$media" 'media'
    is "$(field image $((boot + 24)) 2)" "$spt" 'sectors a track'
    is "$(field image $((boot + 26)) 2)" "$heads" 'heads'
    is "$(field image $((boot + 28)) 4)" "$start" 'hidden sectors'
    is "$(field image $((boot + 510)) 2)" $((0xaa55)) 'boot signature'
    is $(($(field image $((boot + 19)) 2) + $(field image $((boot + 32)) 4))) \
        "$total" 'sectors of the volume'
    local ext=$((boot + 36))
    if [ "$type" = 32 ]; then
        ext=$((boot + 64))
        is "$(field image $((boot + 17)) 2)" 0 'root entries'
        is "$(field image $((boot + 44)) 4)" 2 'root cluster'
        is "$(field image $((boot + 48)) 2)" 1 'FSInfo sector'
        is "$(field image $((boot + 50)) 2)" 6 'backup boot sector'
        is "$(field image $((boot + 512)) 4)" $((0x41615252)) 'FSInfo'
        is "$(xxd -s $boot -l 512 -p image | md5sum)" \
            "$(xxd -s $((boot + 6 * 512)) -l 512 -p image | md5sum)" \
            'backup of the boot sector'
    else
        is "$(field image $((boot + 14)) 2)" 1 'reserved sectors'
        [ "$start" = 0 ] ||
            is "$(field image $((boot + 17)) 2)" 512 'root entries'
    fi
    is "$(field image $ext 1)" "$drive" 'drive number'
    is "$(field image $((ext + 2)) 1)" $((0x29)) 'extended signature'
    is "$(field image $((ext + 3)) 4)" $((0xfabe1afd)) 'volume id'
    is "$(text image $((ext + 7)) 11)" 'QEMU VVFAT ' 'label'
    is "$(text image $((ext + 18)) 8)" "FAT$type   " 'type'
}

#     name                sectors  start types   FAT spc media drive C H S
check fat:tree            1032192  63    '6 14'  16  16  248  128 1024 16 63
check fat:16:tree         1032192  63    '6 14'  16  16  248  128 1024 16 63
check fat:12:tree         64512    63    '1'     12  16  248  128 64   16 63
check fat:32:tree         1032192  63    '11 12' 32  8   248  128 1024 16 63
check fat:floppy:tree     5760     0     ''      12  2   240  0   80   2  36
check fat:12:floppy:tree  2880     0     ''      12  1   240  0   80   2  18

# The label stands in the root directory, too, as a label and nothing else.
img convert fat:12:floppy:tree image
is "$(text image $((19 * 512)) 11)" 'QEMU VVFAT ' 'label in the root'
is "$(field image $((19 * 512 + 11)) 1)" 8 'attribute of the label'
