#!/bin/bash
# SPDX-License-Identifier: MIT
# compare: the words and exit codes of qemu-img.
# shellcheck source=tests/img/lib.sh
. "$(dirname "$0")/lib.sh"

seq 1 20000 >a.raw
truncate -s 1M a.raw
cp --sparse=always a.raw same.raw
cp a.raw longer.raw
truncate -s 3M longer.raw
cp a.raw other.raw
printf x | dd of=other.raw bs=1 seek=70000 conv=notrunc status=none
cp a.raw first.raw
printf x | dd of=first.raw bs=1 conv=notrunc status=none
cp a.raw last.raw
printf x | dd of=last.raw bs=1 seek=1048575 conv=notrunc status=none
cp longer.raw tail.raw
printf x | dd of=tail.raw bs=1 seek=2500000 conv=notrunc status=none
dd if=/dev/zero of=zero.raw bs=1M count=1 status=none
truncate -s 1M sparse.raw

for pair in 'a same' 'a longer' 'longer a' 'a other' 'other a' 'a first' \
    'a last' 'a tail' 'tail a' 'zero sparse' 'a zero' 'sparse a'; do
    # shellcheck disable=SC2086 # two names
    set -- $pair
    expected=0
    case $pair in
        *other* | *first* | *last* | *tail* | 'a zero' | 'sparse a')
            expected=1 ;;
    esac
    for options in '' -s -q; do
        # shellcheck disable=SC2086 # may be none
        run img compare -f raw -F raw $options "$1.raw" "$2.raw"
        if [ "$options" != -s ] && [ "$STATUS" != $expected ]; then
            fail "'$pair' ended with $STATUS: $OUT $ERR"
        fi
        command -v qemu-img >/dev/null || continue
        if [ "$options" = -s ]; then
            # qemu-img takes one end of an image for another status and so
            # reports another offset: the exit code is what counts.
            status=$STATUS
            run qemu-img compare -f raw -F raw -s "$1.raw" "$2.raw"
            [ "$status" = "$STATUS" ] ||
                fail "'$pair' ended with $status, qemu-img with $STATUS"
        else
            # shellcheck disable=SC2086 # may be none
            same_as_qemu compare -f raw -F raw $options "$1.raw" "$2.raw"
        fi
    done
done
expect_output 'Images are identical.' img compare a.raw same.raw
run img compare -s a.raw longer.raw
[ "$STATUS:$OUT" = '1:Strict mode: Image size mismatch!' ] || fail "$OUT"
run img compare a.raw other.raw
[ "$STATUS:$OUT" = '1:Content mismatch at offset 69632!' ] || fail "$OUT"
expect_output '' img compare -q a.raw longer.raw
expect_error 2 'nothing.*No such file' img compare a.raw nothing
expect_error 2 "Unknown driver 'xx'" img compare -f xx a.raw a.raw
expect_error 2 "Unknown driver 'xx'" img compare -F xx a.raw a.raw

# Errors of reading are no difference.
expect_error 4 'Error while reading offset' img compare --image-opts \
    driver=blkdebug,image.driver=file,image.filename=a.raw,\
inject-error.0.iotype=read \
    driver=raw,file.filename=same.raw

# A directory with its image.
plain_tree tree
img convert fat:tree tree.img
expect_output 'Images are identical.' img compare fat:tree tree.img
expect_output 'Images are identical.' img compare -p fat:tree tree.img
echo changed >tree/hello.txt
run img compare fat:tree tree.img
[ "$STATUS" = 1 ] || fail "a changed file is not seen: $STATUS"
