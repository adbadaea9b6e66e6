#!/bin/bash
# SPDX-License-Identifier: MIT
#
# nbdkit's filters on top of the plugin: what they read is the same disk, what
# they write comes to the directory, and what they keep does not.

# shellcheck source=tests/img/lib.sh
. "$(dirname "$0")/lib.sh"
need nbdkit nbdcopy nbdinfo qemu-io jq mcopy mdel
[ -e "$PLUGIN" ] || skip 'the nbdkit plugin is not built'
filters=$(nbdkit --dump-config | sed -n 's/^filterdir=//p')

shape=(size=8M fat-type=12 timezone=utc)
options=driver=vvfat,dir=source,size=8M,fat-type=12,timezone=utc

fresh() {
    rm -rf source
    cp -a original source
}

# serve FILTERS PARAMETERS COMMAND: nbdkit with `filters` (words) on source.
serve() {
    local words=() filter
    for filter in $1; do
        [ -e "$filters/nbdkit-$filter-filter.so" ] ||
            skip "nbdkit's filter $filter is not installed"
        words+=("--filter=$filter")
    done
    # shellcheck disable=SC2086 # words
    run timeout 120 nbdkit --unix - "${words[@]}" "$PLUGIN" dir=source \
        "${shape[@]}" $2 --run "set -e; $3"
    [ "$STATUS" = 0 ] || fail "$1 ($2): $STATUS $OUT $ERR"
    # A client that gives up, and what the error filter does, are no surprise.
    ! grep -E 'error|warning' <<<"$ERR" |
        grep -v 'injecting\|error: read request\|error: write reply' ||
        fail "$1 ($2): $ERR"
}

# reads_as IMAGE FILTERS [PARAMETERS]
reads_as() {
    fresh
    rm -f copy.img
    serve "$2" "${3:-}" 'nbdcopy "$uri" copy.img'
    cmp "$1" copy.img || fail "$2 reads something else"
}

# brings FILTERS [PARAMETERS [IMAGE]]: the whole changed disk is written, and is
# in the directory when the client has flushed it.
brings() {
    fresh
    serve "$1" "rw=on ${2:-}" "nbdcopy --flush ${3:-changed.img} \"\$uri\"
        diff -qr wanted source"
    same_tree wanted source
}

# A file that may not be written is among them, as it is in many directories.
plain_tree original
chmod 0444 original/hello.txt
find original -exec touch -d '2022-02-02 02:02:02' {} +
fresh
img convert --image-opts "$options" disk.img
cp disk.img changed.img
seq 40000 >new.txt
volume_of changed.img
start=$OFFSET bytes=$(stat -c %s "$VOLUME")
mcopy -m -i "changed.img@@$start" new.txt '::/a new file.text'
mcopy -m -o -i "changed.img@@$start" new.txt ::/EMPTY.TXT
mdel -i "changed.img@@$start" ::/one.byte
volume_of changed.img
cp "$VOLUME" changed.volume
volume_of disk.img
cp "$VOLUME" disk.volume
img extract -q -f raw changed.img wanted

# ---- Filters that only look, or that change how requests come ----

for filter in blocksize cacheextents log nocache noextents noparallel \
    nozero readahead scan stats; do
    case $filter in
        log) reads_as disk.img $filter logfile=log.txt ;;
        stats) reads_as disk.img $filter statsfile=stats.txt ;;
        blocksize) reads_as disk.img $filter 'minblock=4k maxdata=32k' ;;
        *) reads_as disk.img $filter ;;
    esac
done
brings ''
brings 'blocksize fua noparallel' 'minblock=4k maxdata=32k fuamode=force'

# A prefetch goes to the plugin, which takes it.
fresh
serve log logfile=log.txt 'qemu-io -r -f raw -c "read 0 1M" "$uri"'
serve 'readahead log' logfile=log.txt 'nbdcopy --request-size=4096 "$uri" copy.img'
grep -q ' Cache ' log.txt || fail 'nothing was prefetched'

# ---- A part of the disk, or more than the disk ----

reads_as disk.volume partition partition=1
reads_as disk.volume offset "offset=$start range=$bytes"
brings partition partition=1 changed.volume
brings offset "offset=$start range=$bytes" changed.volume
run timeout 60 nbdkit --unix - --filter=partition "$PLUGIN" source partition=9 \
    --run 'nbdinfo "$uri"'
[ "$STATUS" != 0 ] || fail 'a ninth partition'
# The filter takes partition=; the driver's option has a longer name, too.
fresh
serve partition 'partition=1 vvfat.partition=gpt' 'nbdcopy "$uri" gpt.volume'
fsck_clean gpt.volume
img extract -q -f raw gpt.volume gpt.tree
same_tree original gpt.tree

cp disk.img larger.img
truncate -s 16M larger.img
reads_as larger.img truncate round-up=16M
cp changed.img larger.img
truncate -s 16M larger.img
brings truncate truncate=16M larger.img

# ---- What is written stays in the filter ----

for rw in off on; do
    fresh
    serve cow "rw=$rw" 'nbdcopy --flush changed.img "$uri"
        nbdcopy "$uri" copy.img
        qemu-io -f raw -c "write -z 64k 64k" -c "discard 128k 64k" \
            -c "read -P 0 64k 64k" -c flush "$uri"'
    cmp changed.img copy.img || fail "cow (rw=$rw) reads something else"
    same_tree original source
done

# ---- A cache: to the directory when the client flushes ----

for policy in writeback writethrough; do
    brings cache "cache=$policy"
    brings 'cache readahead' "cache=$policy"
done
fresh
serve cache 'rw=on cache=writeback' 'nbdcopy changed.img "$uri"
    diff -qr original source
    qemu-io -f raw -c flush "$uri"
    diff -qr wanted source'

# ---- Slow, and failing ----

brings delay 'wdelay=5ms rdelay=2ms delay-close=10ms'
reads_as disk.img delay 'rdelay=2ms delay-extents=2ms'

# While a filter fails writes the client is told, and the directory is as it
# was; when it does not, the same client goes on.
fresh
touch broken
serve error "rw=on error-pwrite=ENOSPC error-pwrite-rate=1
    error-pwrite-file=$PWD/broken" 'nbdcopy --flush changed.img "$uri" \
        2>refused.log && exit 1
    grep -q "No space left" refused.log
    diff -qr original source
    rm broken
    nbdcopy --flush changed.img "$uri"
    diff -qr wanted source' 
same_tree wanted source

# Everything fails at first, and is tried again.
fresh
touch broken
serve 'retry-request error' "rw=on error=EIO error-rate=1
    error-file=$PWD/broken retry-request-retries=100 retry-request-delay=1" '
    (until grep -q injecting .err; do sleep 0.1; done; rm broken) &
    nbdcopy --flush changed.img "$uri"
    diff -qr wanted source
    nbdcopy "$uri" copy.img'
same_tree wanted source
cmp changed.img copy.img
