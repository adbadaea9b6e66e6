#!/bin/bash
# SPDX-License-Identifier: MIT
# convert: sources, targets and options.
# shellcheck source=tests/img/lib.sh
. "$(dirname "$0")/lib.sh"

plain_tree tree
# A disk of 31.5 MB, quick to compare.
fat=fat:12:tree
img convert $fat plain.img
sum=$(md5sum <plain.img)
same() {
    [ "$(md5sum <"$1")" = "$sum" ] || fail "$2: other bytes"
    rm -f "$1"
}

for options in '-p' '-q' '-m 1' '-m 16' '-W' '-W -m 3' '-S 0' '-S 512' \
    '-S 64k' '-S 16M' '-t writeback' '-t writethrough' '-t unsafe' \
    '-t none' '-t off' '-t directsync' '-T none' \
    '-T writeback' '-U' '-C' '-O raw' '-f vvfat' '-m 1 -S 0'; do
    # shellcheck disable=SC2086 # several words each
    expect_output '' img convert $options $fat out.img
    same out.img "$options"
done
img convert --image-opts driver=vvfat,dir=tree,fat-type=12 out.img
same out.img --image-opts
img convert 'json:{"driver":"vvfat","dir":"tree","fat-type":12}' out.img
same out.img json
img convert plain.img out.img
same out.img raw
img convert --image-opts driver=raw,file.filename=plain.img out.img
same out.img 'raw by options'

# Sparse, unless asked otherwise.
img convert $fat out.img
[ "$(stat -c %b out.img)" -lt 4000 ] || fail 'the image is not sparse'
img convert -S 0 $fat full.img
[ $(($(stat -c %b full.img) * 512)) -ge "$(stat -c %s full.img)" ] ||
    fail '-S 0 leaves holes'

# An existing target: its old contents must go, all of them.
head -c "$(stat -c %s plain.img)" /dev/zero | tr '\0' '\377' >old.img
inode=$(stat -c %i old.img)
img convert -n $fat old.img
[ "$(stat -c %i old.img)" = "$inode" ] || fail '-n has made a new file'
same old.img '-n over old contents'
truncate -s "$(stat -c %s plain.img)" zero.img
img convert -n --target-is-zero $fat zero.img
same zero.img --target-is-zero
head -c 40000000 /dev/zero | tr '\0' x >larger.img
img convert -n --target-image-opts $fat \
    driver=raw,file.filename=larger.img
cmp -n "$(stat -c %s plain.img)" plain.img larger.img
[ "$(tail -c 1 larger.img)" = x ] || fail 'more than the image was written'
rm larger.img
echo old >over.img
ln over.img linked.img
img convert $fat over.img
cmp over.img linked.img || fail 'an existing file was replaced, not written'
same over.img 'over a smaller file'

# End to end.
seq 1 30000 >a.raw
truncate -s 100k a.raw
seq 5 40000 >b.raw
truncate -s 2M b.raw
truncate -s 300k c.raw
cat a.raw c.raw b.raw a.raw >expected
img convert -f raw a.raw c.raw b.raw a.raw joined.raw
cmp expected joined.raw
cat plain.img a.raw >expected
img convert $fat a.raw joined.raw
cmp expected joined.raw

# Sizes that are no multiple of anything.
seq 1 1000 >odd.raw
img convert -f raw odd.raw odd.out
cmp odd.raw odd.out
: >none.raw
img convert -f raw none.raw none.out
expect_output 0 stat -c %s none.out

# A name that a colon would make something else of.
img convert $fat file:a:b.img
same a:b.img 'file:'
img convert -O qcow2 $fat "file:$PWD/a:b.img"
img compare $fat file:a:b.img
img dd if=file:odd.raw of=file:odd.out bs=1k
cmp odd.raw odd.out

# Standard output: a pipe gets everything, a file gets holes.
img convert $fat - | cat >out.img
same out.img pipe
img convert -m 8 -W $fat - >out.img
[ "$(stat -c %b out.img)" -lt 4000 ] || fail 'no holes in the file'
same out.img 'standard output'
(printf head && img convert $fat - && printf tail) >out.img
(printf head && cat plain.img && printf tail) | cmp - out.img
echo head >out.img
img convert $fat - >>out.img
(echo head && cat plain.img) | cmp - out.img
head -c 40000000 /dev/zero | tr '\0' x >out.img
img convert $fat - 1<>out.img
cmp -n "$(stat -c %s plain.img)" plain.img out.img ||
    fail 'old contents show through'
