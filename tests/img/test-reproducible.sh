#!/bin/bash
# SPDX-License-Identifier: MIT
# The same tree gives the same bytes: in a copy made in another order, on
# another day, in another time zone, under another umask.
# shellcheck source=tests/img/lib.sh
. "$(dirname "$0")/lib.sh"

plain_tree tree
for n in $(seq 1 300); do
    echo "$n" >"tree/Sub Directory/file $n"
done
chmod 600 tree/one.byte
find tree -exec touch -d '2024-05-05 05:05:05' {} +
touch -d '2030-01-01' tree/hello.txt

# A copy whose entries were made in reverse order.
(cd tree && find . -type d | sort) | while read -r dir; do
    mkdir -p "copy/$dir"
done
(cd tree && find . -type f | sort -r) | while read -r file; do
    (umask 077 && cat "tree/$file" >"copy/$file")
    touch -r "tree/$file" "copy/$file"
done
find copy -type d -exec touch -d '2024-05-05 05:05:05' {} +
find tree -type d -exec touch -d '2024-05-05 05:05:05' {} +

export SOURCE_DATE_EPOCH=1720000000
for options in fat-type=12 fat-type=16 fat-type=32,partition=gpt \
    floppy=on size=2G; do
    img convert --image-opts "driver=vvfat,dir=tree,$options" a.img
    (
        cd copy
        umask 077
        TZ=Pacific/Auckland LC_ALL=C img convert -m 1 -W --image-opts \
            "driver=vvfat,dir=.,$options" ../b.img
    )
    cmp a.img b.img || fail "$options: other bytes"
done

# What is later than the given time is shown as that.
img convert fat:tree a.img
expect_output '2024-07-03 09:46:40' sh -c \
    "'$VVFAT_IMG' ls -l a.img | sed -n 's/.* \\(.* .*\\) hello.txt/\\1/p'"
touch -d '2031-01-01' copy/hello.txt
img convert fat:copy b.img
cmp a.img b.img || fail 'a time after SOURCE_DATE_EPOCH shows'

SOURCE_DATE_EPOCH=yesterday expect_error 1 SOURCE_DATE_EPOCH \
    img convert fat:tree c.img

# Reading changes nothing: twice the same, though access times moved.
unset SOURCE_DATE_EPOCH
img convert fat:tree a.img
find tree -type f -exec cat {} + >/dev/null
img convert fat:tree b.img
cmp a.img b.img
