#!/bin/bash
# SPDX-License-Identifier: MIT
# Options of the image that cannot be: each is named, with what is allowed.
# shellcheck source=tests/img/lib.sh
. "$(dirname "$0")/lib.sh"

mkdir tree
head -c 3000000 /dev/urandom >tree/three-megabytes

refuse() {
    local pattern=$1
    shift
    expect_error 1 "$pattern" img convert --image-opts "$1" out.img
    [ ! -e out.img ] || fail "'$1' made a target"
}

refuse "requires a 'dir' option" driver=vvfat
refuse "requires a 'dir' option" driver=vvfat,dir=
refuse "sise.*did you mean 'size'" driver=vvfat,dir=tree,sise=1G
refuse "no option 'something-else'" driver=vvfat,dir=tree,something-else=1
refuse "Unknown driver 'vfat'" driver=vfat,dir=tree
refuse "only 12, 16 and 32" driver=vvfat,dir=tree,fat-type=13
refuse "fat-type" driver=vvfat,dir=tree,fat-type=x
refuse "label cannot be longer than 11" driver=vvfat,dir=tree,label=TWELVEBYTES1
refuse "label" 'driver=vvfat,dir=tree,label=A*B'
refuse "size" driver=vvfat,dir=tree,size=1k
refuse "size" driver=vvfat,dir=tree,size=3T
refuse "size" driver=vvfat,dir=tree,size=-1
refuse "size" driver=vvfat,dir=tree,size=many
refuse "cluster-size" driver=vvfat,dir=tree,cluster-size=100
refuse "cluster-size" driver=vvfat,dir=tree,cluster-size=1536
refuse "cluster-size" driver=vvfat,dir=tree,cluster-size=1M
refuse "partition.*(none|mbr|gpt)" driver=vvfat,dir=tree,partition=apm
refuse "align" driver=vvfat,dir=tree,align=1
refuse "floppy" driver=vvfat,dir=tree,floppy=perhaps
refuse "volume-id" driver=vvfat,dir=tree,volume-id=0x100000000
refuse "timezone" driver=vvfat,dir=tree,timezone=cet
refuse "[Cc]ode page" driver=vvfat,dir=tree,codepage=1
refuse "codepage.*99999" driver=vvfat,dir=tree,codepage=99999
refuse "symlinks" driver=vvfat,dir=tree,symlinks=follow
refuse "unsupported" driver=vvfat,dir=tree,unsupported=ignore
refuse "boot-code.*No such file" driver=vvfat,dir=tree,boot-code=nothing
refuse "mbr-code.*No such file" driver=vvfat,dir=tree,mbr-code=nothing
refuse "rw" driver=vvfat,dir=tree,rw=on

# Too large for what was asked.
refuse "[Dd]oes not fit" driver=vvfat,dir=tree,floppy=on
refuse "[Dd]oes not fit" driver=vvfat,dir=tree,size=2M
refuse "[Dd]oes not fit|too small" driver=vvfat,dir=tree,size=3000500
# Contradictions.
refuse "fat-type|FAT12|FAT32" driver=vvfat,dir=tree,fat-type=12,size=1T
refuse "FAT32" driver=vvfat,dir=tree,fat-type=32,size=8M
refuse "floppy" driver=vvfat,dir=tree,floppy=on,partition=mbr
refuse "floppy" driver=vvfat,dir=tree,floppy=on,fat-type=32
refuse "esp|partition" driver=vvfat,dir=tree,esp=on,partition=none

# Names.
expect_error 1 "names no directory" img convert fat: out.img
expect_error 1 "names no directory" img convert fat:12:floppy: out.img
expect_error 1 "'?13:tree'?.*No such file" img convert fat:13:tree out.img
expect_error 1 "sise=1G:tree.*no option 'sise'; did you mean 'size'" \
    img convert fat:sise=1G:tree out.img
expect_error 1 "no option 'Label'" img convert fat:floppy:Label=a:tree out.img
expect_error 1 "is fat:DIR" img convert -f vvfat tree out.img
expect_error 1 "json|JSON" img convert 'json:{' out.img
expect_error 1 "driver|filename" img convert 'json:{}' out.img
expect_error 1 "xx" img convert 'json:{"driver":"vvfat","dir":"tree","xx":1}' \
    out.img
[ ! -e out.img ] || fail 'a target was made'

# A directory whose name holds colons, or looks like an option.
mkdir 12 a:b
echo x >12/x
echo x >a:b/y
expect_output x img ls fat:12
expect_output y img ls fat:a:b
expect_output y img ls fat:12:a:b
