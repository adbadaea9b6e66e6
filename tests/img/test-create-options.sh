#!/bin/bash
# SPDX-License-Identifier: MIT
# create: the options of each format, and backing files, as by qemu-img.
# shellcheck source=tests/img/lib.sh
. "$(dirname "$0")/lib.sh"
need qemu-img

head -c 3M /dev/urandom >base.raw
mkdir sub

# same_line ARGUMENT...: the line "Formatting ..." is qemu-img's, but for an
# option that we do not have, and what qemu-img reads is the same image.
same_line() {
    local out
    run qemu-img create "$@"
    [ "$STATUS" = 0 ] || fail "qemu-img create $*: $ERR"
    out=${OUT/ extended_l2=off/}
    qemu-img info --output=json new >q.json
    rm new
    expect_output "$out" img create "$@"
    qemu-img info --output=json new >v.json
    diff <(grep -v actual-size q.json) <(grep -v actual-size v.json) ||
        fail "create $* made another image"
    case $* in
        *nowhere* | '-f qcow '* | '-f raw '*) ;;
        *) qemu-img check -q new || fail "qemu-img check: $*" ;;
    esac
    rm new
}

same_line -f qcow2 new 10M
same_line -f qcow2 -o size=1M,cluster_size=4k new
same_line -f qcow2 -o compat=0.10 new 1G
same_line -f qcow2 -o compat=v3,refcount_bits=1 new 1500k
same_line -f qcow2 -o lazy_refcounts=on,preallocation=metadata new 5M
same_line -f qcow2 -o preallocation=full new 5M
same_line -f qcow2 -b base.raw -F raw new
same_line -f qcow2 -b base.raw -F raw new 77M
same_line -f qcow2 -o backing_file=base.raw,backing_fmt=raw new
same_line -f qcow2 -u -b nowhere.raw -F raw new 1M
same_line -f qcow new 1M
same_line -f qcow -b base.raw -F raw new
same_line -f raw new 1M
same_line -f raw -o preallocation=full new 1M

# The name is relative to the directory of the new image.
img create -q -f qcow2 -b ../base.raw -F raw sub/new
same_as_qemu compare -f qcow2 sub/new -F raw base.raw
expect_error 1 "Could not open 'sub/base.raw'" \
    img create -q -f qcow2 -b base.raw -F raw sub/other
[ ! -e sub/other ] || fail 'an image without its backing file was made'

# A directory as backing file.
plain_tree tree
img convert fat:tree tree.img
img create -q -f qcow2 -b fat:tree -F vvfat over.qcow2
expect_output 'Images are identical.' img compare over.qcow2 tree.img

# What cannot be is said in qemu-img's words, and makes no file.
refused() {
    local pattern=$1
    shift
    run qemu-img create "$@"
    [ "$STATUS" = 1 ] || fail "qemu-img does not refuse $*"
    rm -f new
    expect_error 1 "$pattern" img create "$@"
    [ ! -e new ] || fail "create $* left a file"
}

refused 'Backing file specified without backing format' \
    -f qcow2 -b base.raw new
grep -q 'Detected format of raw' <<<"$ERR" || fail "no format: $ERR"
refused 'Backing file specified without backing format' \
    -f qcow2 -u -b base.raw new 1M
refused 'Backing file specified without backing format' -f qcow2 \
    -o backing_file=base.raw new
refused "Could not open 'nowhere'" -f qcow2 -b nowhere -F raw new
grep -q 'Could not open backing image' <<<"$ERR" || fail "not said: $ERR"
refused "Unknown driver 'no'" -f qcow2 -b base.raw -F no new
refused 'Could not open backing image' -f qcow2 -b base.raw -F qcow2 new
refused "Backing file not supported for file format 'raw'" \
    -f raw -b base.raw -F raw new
refused 'Backing format cannot be used without backing' -f qcow2 -F raw new 1M
refused 'Image creation needs a size' -f qcow2 new
refused 'Image creation needs a size' -f qcow2 -u -b base.raw -F raw new
refused 'The image size must be specified only once' \
    -f qcow2 -o size=1M new 2M
refused 'Expected backing file name, got empty string' \
    -f qcow2 -b '' new 1M
refused 'Unexpected argument: 2M' -f qcow2 new 1M 2M
refused 'cluster_size' -f qcow2 -o cluster_size=3k new 1M
refused "has no option 'foo'" -f qcow2 -o foo=1 new 1M
cp base.raw self
expect_error 1 'same filename as the backing file' \
    img create -f qcow2 -b self -F raw self
cmp base.raw self || fail 'an image was made over its own backing file'
ln self other-name
expect_error 1 'same filename as the backing file' \
    img create -f qcow2 -b self -F raw other-name
cmp base.raw self || fail 'an image was made over its own backing file'

# Help, by format.
output_has '^  backing_fmt=' img create -f qcow2 -o help
output_has '^  preallocation=' img create -f raw -o help
