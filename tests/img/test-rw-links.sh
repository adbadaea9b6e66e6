#!/bin/bash
# SPDX-License-Identifier: MIT
# Symbolic links, which the guest sees as files and directories of their own:
# it changes what they lead to, and reads through them what it had.
# shellcheck source=tests/img/rw-lib.sh
. "$(dirname "$0")/rw-lib.sh"

fresh() {
    rm -rf dir overlay.qcow2
    mkdir -p dir/target/sub
    seq 900 >dir/target/sub/numbers
    echo small >dir/target/small
    echo whole >dir/file
    ln -s target dir/link
    ln -s link/sub dir/inner
    ln -s file dir/file-link
    find dir -exec touch -h -d '2020-02-02 02:02:02' {} +
    copy_disk dir
}

# The guest's disk, committed, and opened again after an end of its own kind.
# What is below a link is protected: where it reads otherwise than in disk.img,
# loading that fails.
commit_disk() {
    on_host_well overlay=overlay.qcow2 dir 'load disk.img' flush \
        'load disk.img' flush facts
    facts_have 'commit\.pending=0' 'commit\.last-result=success'
    facts=$OUT
    on_host_well overlay=overlay.qcow2 dir 'load disk.img' flush facts
    facts_have 'commit\.pending=0'
    OUT=$facts
}
seq 5 >few.txt
seq 2000 >many.txt

# Renamed: the link on the host leads nowhere, which is told; the guest's does.
fresh
on_disk mren ::target '::another name'
on_disk mren '::another name/small' '::another name/tiny file'
on_disk mmd ::below
on_disk mmove ::file ::below/file
commit_disk
content_is 'dir/another name/tiny file' small
content_is dir/below/FILE whole
[ "$(readlink dir/link)" = target ] || fail 'the link is another one'
facts_have 'report\.[0-9]\.kind=dangling' 'report\.[0-9]\.path=link' \
    'report\.[0-9]\.path=file-link' \
    "report\.[0-9]\.detail=.* has renamed its target to 'another name'" \
    "report\.[0-9]\.detail=.* has renamed its target to 'below/FILE'"

# Written, shorter, longer, removed: the guest has the old contents there.
fresh
on_disk mcopy -o few.txt ::target/sub/numbers
on_disk mcopy -o many.txt ::file
on_disk mdel ::target/small
commit_disk
cmp few.txt dir/target/sub/numbers
cmp many.txt dir/file
[ ! -e dir/target/small ] || fail 'the removed file is there'

# Killed when it was committed.
fresh
on_disk mren ::target '::another name'
on_disk mcopy -o few.txt '::another name/sub/numbers'
on_disk mdel ::file
on_host overlay=overlay.qcow2 dir 'load disk.img' flush abort
commit_disk
cmp few.txt 'dir/another name/sub/numbers'
[ ! -e dir/file ] || fail 'the removed file is there'

# The links themselves stay, and what says so names them.
fresh
on_disk mdel ::file-link
on_host dir 'load disk.img'
grep -q "A link leads to 'file-link'; its directory entry cannot be changed" \
    <<<"$ERR" || fail "a link was removed: $ERR"
[ "$(readlink dir/file-link)" = file ] || fail 'the link is gone'

# A new file behind a link cannot be brought there: no flush says it was.
fresh
on_disk mcopy few.txt ::link/new.txt
on_host dir 'load disk.img' flush
[ "$STATUS" = 1 ] || fail 'a flush left out a new file'
grep -q "'link/new.txt' could not be committed: the host does not allow" \
    <<<"$ERR" || fail "the flush: $ERR"
[ ! -e dir/target/new.txt ] || fail 'a file came through the link'
rm -f dir.vvfat-rescue-*
fresh
on_disk mcopy few.txt ::link/new.txt
on_host protect=report dir 'load disk.img' flush facts
facts_have 'commit\.pending=1' 'commit\.last-result=success'
