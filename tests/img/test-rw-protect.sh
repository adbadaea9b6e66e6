#!/bin/bash
# SPDX-License-Identifier: MIT
# Files without write permission, and the permissions of new ones.
# shellcheck source=tests/img/rw-lib.sh
. "$(dirname "$0")/rw-lib.sh"

fresh() {
    rm -rf dir
    mkdir dir
    seq 100 >dir/locked.txt
    echo old >dir/free.txt
    chmod 0444 dir/locked.txt
    chmod 0640 dir/free.txt
    find dir -exec touch -d '2020-02-02 02:02:02' {} +
    rm -rf before
    cp -a dir before
    copy_disk dir
}
echo guest >guest.txt

# The volume shows it, so a guest leaves the file alone, and the rest goes on.
fresh
mattrib -i disk.img ::locked.txt | grep -q '^ *A* *R' ||
    fail "not read-only: $(mattrib -i disk.img ::locked.txt)"
on_disk mcopy -o guest.txt ::free.txt
on_disk mcopy guest.txt ::new.txt
on_host_well dir 'load disk.img' flush
cmp dir/locked.txt before/locked.txt
content_is dir/free.txt guest
content_is dir/new.txt guest
[ "$(stat -c %a dir/free.txt)" = 640 ] || fail 'the mode of an old file changed'

# Its data, its entry, its name: refused, with the name and what to do.
refuses() { # what command...
    fresh
    on_disk "${@:2}"
    on_host dir 'load disk.img'
    [ "$STATUS" = 1 ] || fail "$* was accepted"
    grep -q "'locked.txt'; its $1 cannot be changed (protect=report" \
        <<<"$ERR" || fail "$*: $ERR"
    same_tree before dir
}
refuses 'directory entry' mattrib -r ::locked.txt
refuses 'directory entry' mren ::locked.txt ::other.txt
fresh
offset=$(LC_ALL=C grep -abo '^98$' disk.img | head -n 1 | cut -d: -f1)
on_host dir "write 0x41 $((offset / 512 * 512)) 512"
grep -q "'locked.txt'; its data cannot be changed" <<<"$ERR" || fail "data: $ERR"
same_tree before dir

# With protect=report the guest may, and the directory keeps what it has.
fresh
on_disk mattrib -r ::locked.txt
on_disk mcopy -o guest.txt ::locked.txt
on_disk mcopy guest.txt ::new.txt
on_host protect=report dir 'load disk.img' flush facts
[ "$STATUS" = 1 ] || fail 'nothing was kept'
facts_have 'commit\.pending=1' 'pending\.0\.path=locked\.txt' \
    'pending\.0\.reason=the host does not allow to write it'
cmp dir/locked.txt before/locked.txt
content_is dir/new.txt guest
image=$(echo dir.vvfat-rescue-*)
expect_output guest img cat "$image" locked.txt
rm -f dir.vvfat-rescue-*

# With protect=allow it does what the owner may.
allowed() { # command... (on the disk)
    fresh
    on_disk "$@"
    on_host_well protect=allow dir 'load disk.img' flush facts
    facts_have 'commit\.pending=0'
}
allowed mdel ::locked.txt
[ ! -e dir/locked.txt ] || fail 'the removed file is there'
allowed mren ::locked.txt '::another name.txt'
cmp 'dir/another name.txt' before/locked.txt
[ "$(stat -c %a 'dir/another name.txt')" = 444 ] || fail 'renaming changed the mode'
allowed mattrib -r ::locked.txt
[ "$(stat -c %a dir/locked.txt)" = 644 ] ||
    fail "without its attribute: $(stat -c %a dir/locked.txt)"
seq 150 >longer.txt
allowed mcopy -o longer.txt ::locked.txt
cmp dir/locked.txt longer.txt
fresh
on_host_well protect=allow dir "write 0x41 $((offset / 512 * 512)) 512" flush
head -c 10 dir/locked.txt | grep -q A || fail 'nothing was written'
[ "$(stat -c %a dir/locked.txt)" = 444 ] || fail 'writing changed the mode'
# Links stay, and are told without it.
fresh
ln -s locked.txt dir/link
copy_disk dir
on_disk mdel ::link
on_host protect=allow dir 'load disk.img'
grep -q "A link leads to 'link'.*protect=report [^;]*$" <<<"$ERR" ||
    fail "a link: $ERR"

# A guest's read-only attribute is a file without write permission, and back.
fresh
chmod u+w dir/locked.txt
copy_disk dir
on_disk mattrib +r ::free.txt
cp disk.img marked.img
on_disk mattrib -r ::free.txt
on_host_well dir 'load marked.img' flush \
    'host stat -c %a dir/free.txt >marked' 'load disk.img' flush
content_is marked 440
[ "$(stat -c %a dir/free.txt)" = 640 ] ||
    fail "back again: $(stat -c %a dir/free.txt)"

# New files and directories.
fresh
on_disk mmd ::made
on_disk mcopy guest.txt ::made/file
on_host_well dir 'load disk.img' flush
[ "$(stat -c %a dir/made dir/made/file | xargs)" = '755 644' ] ||
    fail "umask 022: $(stat -c %a dir/made dir/made/file | xargs)"
fresh
on_disk mmd ::made
on_disk mcopy guest.txt ::made/file
on_host_well file-mode=0660 dir-mode=0770 dir 'load disk.img' flush
[ "$(stat -c %a dir/made dir/made/file | xargs)" = '750 640' ] ||
    fail "file-mode: $(stat -c %a dir/made dir/made/file | xargs)"

# A program of another user's rights that a guest has changed has them no more,
# whether it was written in place or anew.
fresh
seq 9000 >dir/in-place
seq 9000 >dir/anew
chmod 6755 dir/in-place dir/anew
copy_disk dir
seq 9001 >in-place
seq 8999 -1 1 >anew
on_disk mcopy -o in-place ::in-place
on_disk mcopy -o anew ::anew
on_host_well dir 'load disk.img' flush
cmp in-place dir/in-place
cmp anew dir/anew
[ "$(stat -c %a dir/in-place dir/anew | xargs)" = '755 755' ] ||
    fail "rights stay: $(stat -c %a dir/in-place dir/anew | xargs)"
