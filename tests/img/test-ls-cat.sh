#!/bin/bash
# SPDX-License-Identifier: MIT
# ls and cat, on images of ours, of mtools, and on directories.
# shellcheck source=tests/img/lib.sh
. "$(dirname "$0")/lib.sh"

plain_tree tree
img convert fat:tree tree.img
for image in tree.img fat:tree; do
    expect_output 'EMPTY.TXT
Sub Directory/
empty/
hello.txt
one.byte' img ls $image
    expect_output 'EMPTY.TXT
Sub Directory/
Sub Directory/A rather long name with blanks.text
Sub Directory/deeper/
Sub Directory/deeper/70k.bin
empty/
hello.txt
one.byte' img ls -R $image
    expect_output '70k.bin' img ls $image 'Sub Directory/deeper'
    expect_output '70k.bin' img ls $image '/sub directory//DEEPER/'
    expect_output '70k.bin' img ls $image 'Sub Directory/deeper/70k.bin'
    expect_output '----a          6 2001-02-03 04:05:06 hello.txt' \
        img ls -l $image hello.txt
    expect_output '----a      70000 2020-12-31 23:59:58 70k.bin' \
        img ls -l $image 'Sub Directory/deeper'
    expect_output hello img cat $image hello.txt
    img cat $image hello.txt 'Sub Directory/deeper/70k.bin' one.byte |
        cmp - <(cat tree/hello.txt tree/Sub*/deeper/70k.bin tree/one.byte)
    expect_output '' img ls $image empty
    expect_output '' img cat $image EMPTY.TXT
done
expect_error 1 "'nothing'" img ls tree.img nothing
expect_error 1 "'nothing'" img cat tree.img nothing
expect_error 1 "'empty': Is a directory" img cat tree.img empty
expect_error 1 'there is no|no partition' img ls -P 2 tree.img
expect_error 1 'no partition 1;.*no partition table.*partition 0' \
    img ls -P 1 fat:partition=none:tree
expect_error 1 'FAT' sh -c "truncate -s 1M z; '$VVFAT_IMG' ls z"
# The rest goes on behind one that is missing.
run img cat tree.img nothing hello.txt
[ "$STATUS:$OUT" = 1:hello ] || fail "cat: $STATUS $OUT"
expect_error 1 'standard output' sh -c \
    "'$VVFAT_IMG' cat tree.img 'Sub Directory/deeper/70k.bin' >/dev/full"

if command -v jq >/dev/null; then
    expect_output 'hello.txt file 6 HELLO.TXT 2001-02-03T04:05:06' sh -c \
        "'$VVFAT_IMG' ls --output=json tree.img hello.txt | jq -r '.[] |
        \"\\(.path) \\(.type) \\(.size) \\(.\"short-name\") \\(.modified)\"'"
fi

# Attributes, and a volume that others have made.
need mformat mcopy mattrib
mformat -C -f 1440 -i m.img -v LABEL ::
mcopy -i m.img tree/hello.txt ::
mattrib +r +h +s -a -i m.img ::hello.txt
mcopy -i m.img tree/one.byte ::lower.low
mmd -i m.img ::DIR
run img ls -l m.img
grep -q '^-rhs- .* hello.txt$' <<<"$OUT" || fail "$OUT"
grep -q '^----a .* lower.low$' <<<"$OUT" || fail "$OUT"
grep -q '^d---- .* DIR/$' <<<"$OUT" || fail "$OUT"
expect_output hello img cat m.img HELLO.TXT
