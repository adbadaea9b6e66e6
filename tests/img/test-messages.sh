#!/bin/bash
# SPDX-License-Identifier: MIT
# Names cannot forge messages, and counts are right.
# shellcheck source=tests/img/lib.sh
. "$(dirname "$0")/lib.sh"
need mcopy

# A line break in a host name stays inside its message; so does a backslash.
mkdir tree
forged=$'a\nvvfat-img: warning: forged'
echo x >"tree/$forged"
ln -s nowhere tree/'b\nc'
ln -s nowhere "tree/l$forged"
for command in 'convert' 'info'; do
    target=
    [ $command = info ] || target=out.img
    # shellcheck disable=SC2086 # none or one word
    run img $command fat:tree $target
    grep -q '^vvfat-img: warning: forged' <<<"$OUT$ERR" &&
        fail "$command: a name makes a line of its own: $OUT$ERR"
    grep -qF 'b\\nc' <<<"$OUT$ERR" ||
        fail "$command: the backslash is ambiguous: $OUT$ERR"
done
run img ls fat:tree "$forged"
run img cat fat:tree "no $forged"
[ "$(wc -l <<<"$ERR")" = 1 ] || fail "cat: a forged line: $ERR"
expect_error 1 '^vvfat-img: ' img info "$forged"
grep -q '^vvfat-img: warning: forged' <<<"$ERR" &&
    fail "info: a forged line: $ERR"

# Of several images, the one that does not open is named, once.
truncate -s 1M raw.img
img create -q -f qcow2 one.qcow2 1M
printf '\xff' | dd of=one.qcow2 bs=1 seek=7 conv=notrunc status=none
expect_error 2 "^vvfat-img: 'raw.img': This is no qcow2 image" \
    img compare -f raw raw.img -F qcow2 raw.img
expect_error 1 "^vvfat-img: 'one.qcow2': The qcow2 header's version is 255" \
    img convert raw.img one.qcow2 to.img
expect_error 1 "^vvfat-img: Could not open 'gone.qcow2': No such file" \
    img info -f qcow2 gone.qcow2

# An overlay is no disk by itself: whose it is, and how to see it.
mkdir guest
img bench -q -w -c 0 fat:rw:overlay=o.qcow2:guest
expect_error 1 "overlay of '$PWD/guest'.*check.*overlay=o.qcow2" \
    img ls o.qcow2
expect_error 1 '' img ls raw.img
grep -q overlay <<<"$ERR" && fail "an empty disk: $ERR"

# One file is damaged: its chain ends early.
truncate -s 1440k v.img
mkfs.fat v.img >/dev/null
head -c 3000 /dev/urandom >three
mcopy -i v.img three ::THREE.BIN
# Cluster 2 of the first FAT: the end.
printf '\xff\x0f' | dd of=v.img bs=1 seek=515 conv=notrunc status=none
expect_error 1 '^vvfat-img: 1 file or directory could not' \
    img extract v.img to

mkdir full
: >full/file
expect_error 1 'overwriting \(--overwrite\)' img extract v.img full
expect_error 1 'source itself' img extract v.img v.img

# What no terminal shows is escaped.
mkdir odd
: >'odd/a:b'
run img info fat:odd
grep -Fq "renamed 'a:b': now 'a\uf03ab'" <<<"$OUT" || fail "info: $OUT"
