#!/bin/bash
# SPDX-License-Identifier: MIT
# Files that change on the host while the guest writes: both versions stay, and
# what became of them is told.
# shellcheck source=tests/img/rw-lib.sh
. "$(dirname "$0")/rw-lib.sh"

fresh() {
    rm -rf dir
    mkdir -p dir/sub
    echo old >dir/file.txt
    echo kept >dir/sub/kept.txt
    find dir -exec touch -d '2020-02-02 02:02:02' {} +
    copy_disk dir
}
echo guest >guest.txt

# Both write the same file.
fresh
on_disk mcopy -o guest.txt ::file.txt
on_host_well dir 'host echo host >dir/file.txt' 'load disk.img' flush facts
only_in dir file.txt 'file (guest).txt' sub sub/kept.txt
content_is dir/file.txt host
content_is 'dir/file (guest).txt' guest
facts_have 'report\.0\.kind=conflict' 'report\.0\.path=file\.txt' \
    "report\.0\.detail=the guest's version is 'file \(guest\)\.txt'" \
    'commit\.last-result=success' 'commit\.pending=0'

# The guest goes on with its version; the host's stays.
fresh
on_disk mcopy -o guest.txt ::file.txt
cp disk.img first.img
seq 3000 >more.txt
on_disk mcopy -o more.txt ::file.txt
on_host_well dir 'host echo host >dir/file.txt' 'load first.img' flush \
    'load disk.img' flush
content_is dir/file.txt host
cmp more.txt 'dir/file (guest).txt'
only_in dir file.txt 'file (guest).txt' sub sub/kept.txt

# A name that is taken, twice.
fresh
on_disk mcopy guest.txt ::new.txt
on_host_well dir 'host echo host >dir/new.txt' \
    "host echo older >'dir/new (guest).txt'" 'load disk.img' flush facts
content_is dir/new.txt host
content_is 'dir/new (guest).txt' older
content_is 'dir/new (guest 2).txt' guest
facts_have 'report\.0\.path=new\.txt' "report\.0\.detail=.*'new \(guest 2\)\.txt'"

# The guest removes what the host has changed.
fresh
on_disk mdel ::file.txt
on_host_well dir 'host echo host >dir/file.txt' 'load disk.img' flush facts
content_is dir/file.txt host
facts_have 'report\.0\.path=file\.txt' 'report\.0\.detail=.*is kept'

# The host removes what the guest writes, and the other way round.
fresh
on_disk mcopy -o guest.txt ::file.txt
on_host_well dir 'host rm dir/file.txt' 'load disk.img' flush
content_is dir/file.txt guest
fresh
on_disk mdel ::file.txt
on_host_well dir 'host rm dir/file.txt' 'load disk.img' flush
only_in dir sub sub/kept.txt

# A directory that goes holds what the guest does not see.
fresh
on_disk mdel ::sub/kept.txt
on_disk mrd ::sub
on_host dir 'host echo host >dir/sub/unseen' 'load disk.img' flush facts
content_is dir/sub/unseen host
[ ! -e dir/sub/kept.txt ] || fail 'the deleted file is there'
facts_have 'pending\.0\.path=sub' \
    'pending\.0\.reason=.*: it holds files that the guest does not see'

# Links are what they were, and what they lead to is.
fresh
mkdir outside
echo outside >outside/file
on_disk mmd ::made
on_disk mcopy guest.txt ::made/file
on_host_well dir 'host ln -s ../outside dir/made' 'load disk.img' flush
content_is outside/file outside
[ -L dir/made ] || fail 'the link is gone'
content_is 'dir/made (guest)/file' guest
