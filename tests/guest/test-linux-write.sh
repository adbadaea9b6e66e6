#!/bin/bash
# SPDX-License-Identifier: MIT
#
# A Linux guest writes into a directory as people do: unpacks an archive, moves
# and deletes trees, changes files in every way, fills the disk. While it runs,
# after each sync, and after it has powered off, the directory holds what the
# guest sees.

# shellcheck source=write-lib.sh
. "$SRCDIR/tests/guest/write-lib.sh"
export_need

# 1,000 files with long names in nested directories.
make_archive() {
    local i
    for i in $(seq 1000); do
        guest_file "archive/part $((i % 8))/section-$((i % 40))/$(
        )a document with a long name, number $i.text" $((i * 37 % 5000))
    done
    mkdir -p 'archive/an empty directory'
    guest_file 'archive/Grüße, 日本語 😀.txt' 1005
    guest_file archive/SHORT.TXT 100
    guest_file archive/large $((1024 * 1024 + 17))
    find archive -exec touch -d '2019-07-13 11:22:34 UTC' {} +
    tar -cf archive.tar archive
    rm -r archive
}

guest_script() {
    write_prelude
    cat <<'END'
mount_volume
must tar -xf /archive.tar
checkpoint unpacked flushed

must mv 'archive/part 1' 'archive/part 2/moved'
must mv 'archive/part 2' top
must mkdir -p new/nested/deep
must mv 'archive/part 3/section-3' new/nested/deep
must mv new/nested renamed
for file in top/section-2/*; do
    must mv "$file" "$file.renamed"
done
# Names that change in case alone, a swap of two files and of two directories.
must mv archive/SHORT.TXT case.tmp
must mv case.tmp archive/short.txt
must mv 'archive/part 4' case.tmp
must mv case.tmp 'archive/PART 4'
must mv archive/large swap.tmp
must mv archive/short.txt archive/large
must mv swap.tmp archive/short.txt
must mv 'archive/part 5' swap.tmp
must mv 'archive/part 6' 'archive/part 5'
must mv swap.tmp 'archive/part 6'
checkpoint moved synced

must rm -r 'archive/part 7' renamed/deep/section-3
must dd if=/init of=archive/short.txt bs=1000 count=3 seek=77 conv=notrunc \
    status=none
for file in archive/part\ 0/section-8/*; do
    echo 'a line at the end' >>"$file"
done
for file in archive/part\ 0/section-16/*; do
    must truncate -s 100 "$file"
done
must truncate -s 300000 archive/large
for file in archive/part\ 0/section-24/*; do
    echo "instead of $file" >"$file.new"
    must mv "$file.new" "$file"
done
for file in archive/part\ 0/section-32/*; do
    must chmod a-w "$file"
    must touch -d '2004-04-04 04:04:04' "$file"
done
must rm -r kept-out-of
: >empty
checkpoint changed flushed

if dd if=/dev/zero bs=64k status=none | tr '\0' x >fill 2>/error; then
    echo 'FAILED: the disk is never full'
fi
grep -q 'No space left' /error || echo "FAILED: $(cat /error)"
checkpoint full flushed

must rm fill
must rm -r top
must rm archive/Gr* # mtools, which judges in the end, has no such characters
must chmod u+w archive/part\ 0/section-32/*
must cp -r archive/part\ 0 'copied again'
checkpoint freed flushed
echo 'last words' >'last words.txt'
cd /
must umount /mnt
END
}

write_run() { # FAT type, option...
    local fat=$1 name
    mkdir "source-$fat"
    guest_file "source-$fat/kept.txt" 3000
    guest_file "source-$fat/kept-out-of/here.txt" 3001
    find "source-$fat" -exec touch -d '2003-03-03 03:03:04 UTC' {} +
    export_start "fat$fat" "source-$fat" "fat-type=$fat" "${@:2}"
    write_start_linux \
        -drive "if=virtio,format=raw,file=$(export_uri "fat$fat")"
    for name in unpacked moved changed full freed; do
        write_checkpoint "fat$fat" $name
        write_say
    done
    write_end "fat$fat"
    grep -qx 'last words' "$HOST/last words.txt"
    export_stop "fat$fat"

    # What is there now is a volume of its own.
    [ "$STAND_IN" != no ] && return
    "$VVFAT_IMG" extract "fat:$fat:source-$fat" again
    diff -r "source-$fat" again
    rm -r again
}

make_archive
guest_script >script
guest_build_initrd script archive.tar

write_run 12
write_run 16 size=48M
write_run 32 size=48M cluster-size=512
