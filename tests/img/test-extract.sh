#!/bin/bash
# SPDX-License-Identifier: MIT
# extract: everything as it is in the volume, and never outside the directory.
# shellcheck source=tests/img/lib.sh
. "$(dirname "$0")/lib.sh"

plain_tree tree
img convert fat:tree tree.img
img extract tree.img out
same_tree tree out
img extract fat:tree out2
same_tree tree out2
mkdir out3
img extract tree.img out3
same_tree tree out3
img extract tree.img out4 'sub directory/deeper'
same_tree 'tree/Sub Directory/deeper' out4
img extract tree.img out5 hello.txt
expect_output hello.txt ls out5

# Not over what is there, unless asked to.
echo mine >out/hello.txt
expect_error 1 "'?out'?.*not empty" img extract tree.img out
expect_output mine cat out/hello.txt
echo other >out/other
img extract --overwrite tree.img out
expect_output hello cat out/hello.txt
expect_output other cat out/other

# Not into what is read.
expect_error 1 "inside the source" img extract fat:tree tree/out
expect_error 1 "source itself" img extract fat:tree tree
[ ! -e tree/out ] || fail 'something was made in the source'
mkdir holds
cp tree.img holds/hello.txt
expect_error 1 "could be overwritten" \
    img extract --overwrite holds/hello.txt holds
cmp tree.img holds/hello.txt
expect_error 1 'nothing' img extract nothing out6
expect_error 1 'nothing' img extract tree.img out6 nothing
[ ! -e out6 ] || fail 'a directory was made'
expect_error 1 'source itself' img extract tree.img tree.img
echo x >plain-file
expect_error 1 '(Not a directory|not a directory)' \
    img extract tree.img plain-file

# A volume whose names lead out: "..", a slash, links that lie in the way.
img convert fat:12:floppy:tree evil.img
poke() {
    printf '%b' "$3" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}
at=$(grep -abo 'HELLO   TXT' evil.img | head -n 1 | cut -d: -f 1)
poke evil.img "$at" '..         '
run img extract evil.img evil
[ ! -e ../hello.txt ] || fail 'something was made outside'
expect_output '' find . -maxdepth 1 -name hello.txt
at=$(grep -abo 'EMPTY   TXT' evil.img | head -n 1 | cut -d: -f 1)
poke evil.img "$at" '../ESC  TXT'
run img extract evil.img evil2
[ "$STATUS" != 0 ] || fail 'an unsafe name is no error'
[ -z "$(find . -maxdepth 1 -name 'ESC*')" ] || fail 'something was made outside'
mkdir -p target linked
ln -s ../target "linked/Sub Directory"
ln -s "$WORK/target/file" linked/hello.txt
run img extract --overwrite tree.img linked
[ -z "$(ls target)" ] || fail "written through a link: $(ls target)"

# Damaged files come as far as they can be read, and are told.
cp tree.img damaged.img
run img check -q damaged.img
mkdir two
head -c 3000 /dev/urandom >two/A.BIN
img convert fat:12:floppy:two two.img
poke two.img 515 '\xff\xff\xff'
poke two.img 5123 '\xff\xff\xff'
run img extract two.img two-out
[ "$STATUS" = 1 ] || fail "a damaged file is no error: $ERR"
case $ERR in
    *A.BIN*) ;;
    *) fail "the damaged file is not named: $ERR" ;;
esac
cmp -n 512 two/A.BIN two-out/A.BIN

# Attributes.
if command -v mattrib >/dev/null; then
    img convert fat:12:floppy:tree attr.img
    mattrib +r -i attr.img ::hello.txt
    img extract attr.img attr
    [ "$(stat -c %A attr/hello.txt | cut -c 3)" = - ] ||
        fail 'a read-only file can be written'
    cmp tree/hello.txt attr/hello.txt
fi

# What mtools made.
if command -v mformat >/dev/null; then
    mformat -C -f 2880 -i m.img ::
    mcopy -s -m -i m.img tree/* ::
    img extract m.img mtools
    same_tree tree mtools
fi

# The holes of a large file are not read, and are holes again.
mkdir sparse
truncate -s 1G sparse/disk
for at in 0 300 600 1023; do
    head -c 70000 /dev/urandom |
        dd of=sparse/disk bs=1M seek=$at conv=notrunc status=none
done
img convert fat:sparse sparse.img
img extract sparse.img sparse-out
cmp sparse/disk sparse-out/disk
[ "$(du -m sparse-out/disk | cut -f 1)" -le 2 ] || fail 'holes were written'
if command -v strace >/dev/null; then
    strace -f -qq -o trace -e trace=read,pread64,preadv "$VVFAT_IMG" \
        extract sparse.img sparse-out2
    cmp sparse/disk sparse-out2/disk
    bytes=$(awk '$NF > 0 { n += $NF } END { print n + 0 }' trace)
    [ "$bytes" -le 20000000 ] || fail "$bytes bytes were read of the holes"
fi
