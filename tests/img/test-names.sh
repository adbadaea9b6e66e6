#!/bin/bash
# SPDX-License-Identifier: MIT
# Names that FAT cannot hold, names it holds with care, and names that
# collide: the volume stays correct, and every name comes back.
# shellcheck source=tests/img/lib.sh
. "$(dirname "$0")/lib.sh"
need fsck.fat mdir

repeat() {
    printf "%0$2d" 0 | sed "s/0/$1/g"
}

mkdir tree
add() {
    printf '%s' "$1" | md5sum >"tree/$1"
}
add 'dots...'
add 'trailing dot.'
add 'trailing space '
add ' leading space'
add '.hidden'
add '..two dots'
add 'a"b*c:d<e>f?g|h\i'
add $'new\nline and tab\t.txt'
add $'control \001 \037 \177'
add $'not UTF-8 \377\376'
add $'cut short \303'
add $'latin-1 caf\351'
add 'café ümläut ß ÿ'
add 'ΑΒΓ кириллица 日本語'
add 'emoji 😀🏳️‍🌈'
add "$(repeat x 255)"
add "$(repeat é 127)"
add 'CON'
add 'aux.txt'
add 'LPT1.very.long.extension'
add 'com¹'
add '+,;=[]'
add 'no extension'
add '.a.b.c'
add 'many.dots.in.it.txt'
add '~1'
add 'FOOBAR~1.TXT'
add 'FOOBAR~1'
add 'foobar is long.txt'
add 'E5'
add $'\345 first byte'
add 'private use '
add 'UPPER.TXT'
add 'lower.low'
add 'Mixed.Case'

for type in 12 16 32; do
    img convert --image-opts \
        driver=vvfat,dir=tree,fat-type=$type,size=$((type * type * 200))k \
        $type.img 2>warnings
    fsck_clean $type.img
    [ "$(mdir -b -i "$type.img@@$OFFSET" ::/ | wc -l)" = \
        "$(find tree -type f -printf x | wc -c)" ] ||
        fail "mdir does not list every name (FAT$type)"
    img extract $type.img out
    same_tree tree out
    rm -r out
done

# What mtools can show as it is comes out the same there.
img cat 16.img 'café ümläut ß ÿ' | cmp - 'tree/café ümläut ß ÿ'
volume_of 16.img
mcopy -i "16.img@@$OFFSET" '::café ümläut ß ÿ' out
cmp out 'tree/café ümläut ß ÿ'
mcopy -n -o -i "16.img@@$OFFSET" '::many.dots.in.it.txt' out
cmp out tree/many.dots.in.it.txt

# Case does not matter, short names count, mapped names are found.
img cat 16.img 'CAFÉ ÜMLÄUT ß Ÿ' | cmp - 'tree/café ümläut ß ÿ'
img cat 16.img 'a"b*c:d<e>f?g|h\i' | cmp - 'tree/a"b*c:d<e>f?g|h\i'
expect_error 1 "'nothing': No such file" img cat 16.img nothing

# Names that differ in case alone: all there, under distinct names, reported.
mkdir collide
echo 1 >collide/Name.txt
echo 2 >collide/NAME.TXT
echo 3 >collide/name.txt
echo 4 >collide/Σίσυφος
echo 5 >collide/ΣΊΣΥΦΟΣ
run img convert fat:collide collide.img
[ "$STATUS" = 0 ] || fail "case collisions are refused: $ERR"
[ "$(grep -c "warning: renamed '" <<<"$ERR")" = 3 ] ||
    fail "not three names are reported as renamed: $ERR"
fsck_clean collide.img
img extract collide.img collided
[ "$(cat collided/* | sort | tr -d '\n')" = 12345 ] ||
    fail "a file is missing: $(ls collided)"

# A long name that is another's short name.
mkdir tilde
echo long >'tilde/LONGFILENAME.TXT'
echo tilde >'tilde/LONGFI~1.TXT'
img convert fat:tilde tilde.img
fsck_clean tilde.img
img extract tilde.img untilde
same_tree tilde untilde

# Escaped on a terminal, as they are in a pipe.
img ls 16.img >listing
LC_ALL=C grep -aqF $'not UTF-8 \377\376' listing ||
    fail 'the bytes of a name do not come out of ls'
if command -v script >/dev/null; then
    script -qec "'$VVFAT_IMG' ls 16.img" /dev/null </dev/null >listing
    grep -aqF 'not UTF-8 \xff\xfe' listing ||
        fail 'bytes reach the terminal as they are'
    grep -aqF 'new\nline and tab\t.txt' listing ||
        fail 'control characters reach the terminal'
fi
