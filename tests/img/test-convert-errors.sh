#!/bin/bash
# SPDX-License-Identifier: MIT
# convert, when it cannot: says why, and leaves nothing that looks whole.
# shellcheck source=tests/img/lib.sh
. "$(dirname "$0")/lib.sh"

plain_tree tree
img convert fat:tree plain.img

gone() {
    [ ! -e "$1" ] || fail "$1 stays behind: $(ls -ls "$1")"
}

# Sources.
expect_error 1 "nothing.*No such file" img convert fat:nothing out.img
expect_error 1 "hello.txt.*(Not a directory|not a directory)" \
    img convert fat:tree/hello.txt out.img
expect_error 1 "directory.*fat:tree" img convert tree out.img
expect_error 1 "no.img.*No such file" img convert no.img out.img
expect_error 1 "standard input" img convert - out.img
expect_error 1 "Unknown driver 'xx'" img convert -f xx plain.img out.img
gone out.img

# Targets.
expect_error 1 "/nodir/out.img.*No such file" \
    img convert fat:tree /nodir/out.img
expect_error 1 "No such file" img convert -n fat:tree out.img
gone out.img
expect_error 1 "Unknown file format 'xx'" img convert -O xx fat:tree out.img
expect_error 1 "(create|creation)" img convert fat:tree fat:tree
expect_error 1 "smaller than input" sh -c \
    "truncate -s 1M small.img; '$VVFAT_IMG' convert -n fat:tree small.img"
grep -q "'small.img' has 1048576 bytes, .* has 528482304" <<<"$ERR" ||
    fail "how small it is, is not said: $ERR"
[ "$(stat -c %b small.img)" = 0 ] || fail 'a target too small was written to'
expect_error 1 "is a directory" img convert plain.img tree
mkfifo fifo
expect_error 1 "FIFO" img convert plain.img fifo

# Source and target are one, or in each other.
expect_error 1 "source and target" img convert plain.img plain.img
ln -s plain.img link.img
expect_error 1 "source and target" img convert plain.img link.img
ln plain.img hard.img
expect_error 1 "source and target" img convert plain.img hard.img
rm hard.img
cmp plain.img link.img
cp -a tree tree.before
expect_error 1 "inside the source directory 'tree'.*outside" \
    img convert fat:tree tree/out.img
expect_error 1 "inside the source directory 'tree'" \
    img convert fat:tree file:tree/out.img
expect_error 1 "source and target" img convert plain.img file:plain.img
expect_error 1 "inside the source directory" \
    img convert fat:tree "tree/Sub Directory/out.img"
(cd tree && expect_error 1 "inside the source directory" \
    img convert fat:. out.img) || exit 1
expect_error 1 "inside the source directory" \
    img convert --image-opts driver=raw,file.driver=vvfat,file.dir=tree \
    tree/out.img
expect_error 1 "inside the source directory" \
    sh -c "'$VVFAT_IMG' convert fat:tree - >tree/out.img"
rm tree/out.img
expect_error 1 "(directory|source)" img convert fat:tree .
expect_error 1 "(directory|source)" img convert fat:tree tree
same_tree tree.before tree
mkdir sibling tree2
img convert fat:tree sibling/out.img
img convert fat:tree tree2/out.img

# In use: refused, and untouched.
if command -v qemu-io >/dev/null; then
    echo precious >used.img
    truncate -s 1G used.img
    before=$(stat -c '%s %y' used.img)
    qemu-io -f raw -c 'sleep 20000' used.img >/dev/null 2>&1 &
    holder=$!
    for _ in $(seq 50); do
        qemu-img info used.img >/dev/null 2>&1 || break
        qemu-io -r -f raw -c quit used.img >/dev/null 2>&1 || break
        sleep 0.1
    done
    expect_error 1 "used.img" img convert fat:tree used.img
    expect_error 1 "(lock|in use|another process)" \
        img convert -n fat:tree used.img
    kill $holder
    wait $holder || true
    [ "$(stat -c '%s %y' used.img)" = "$before" ] ||
        fail 'a target in use was touched'
fi

# The disk fills up in the middle.
if [ "$(id -u)" = 0 ] && mkdir small &&
    mount -t tmpfs -o size=300k tmpfs small 2>/dev/null; then
    trap 'umount "$WORK/small" 2>/dev/null || true; cleanup' EXIT
    head -c 900000 /dev/urandom >tree/large
    expect_error 1 "small/out.img.*No space left" \
        img convert fat:tree small/out.img
    gone small/out.img
    expect_error 1 "small/out.img.*No space left" \
        img convert -m 1 -S 0 fat:tree small/out.img
    gone small/out.img
    echo old >small/old.img
    expect_error 1 "small/old.img.*No space left" \
        img convert fat:tree small/old.img
    [ ! -s small/old.img ] || fail 'half an image stays in an existing file'
    umount small
    rm tree/large
fi
expect_error 1 "standard output.*No space left" \
    sh -c "'$VVFAT_IMG' convert fat:tree - >/dev/full"

# A limit of the file's size.
run bash -c "ulimit -f 100; trap '' XFSZ
    '$VVFAT_IMG' convert fat:tree file:l:1.img"
[ "$STATUS" = 1 ] || fail "ended with $STATUS beyond the file size limit"
gone l:1.img
run bash -c "ulimit -f 100; trap '' XFSZ; '$VVFAT_IMG' convert fat:tree l.img"
[ "$STATUS" = 1 ] || fail "ended with $STATUS beyond the file size limit"
gone l.img

# Errors of reading name the file; the target goes.
if command -v strace >/dev/null; then
    calls=pread64,preadv,preadv2,copy_file_range
    expect_error 1 "70k.bin.*Input/output error" \
        strace -f -qq -P "$PWD/tree/Sub Directory/deeper/70k.bin" \
        -e trace=$calls -e inject=$calls:error=EIO -o /dev/null \
        "$VVFAT_IMG" convert -S 0 "fat:$PWD/tree" out.img
    gone out.img
fi

# Images of other programs are refused, not copied as if they were raw.
if command -v qemu-img >/dev/null; then
    for format in vmdk vdi vpc vhdx qed parallels; do
        qemu-img create -q -f $format other.img 16M
        expect_error 1 "'other.img' is a .* image.* not supported" \
            img convert other.img to.img
        [ ! -e to.img ] || fail "$format: made a target"
    done
    img convert -f raw other.img to.img
    cmp other.img to.img
fi
