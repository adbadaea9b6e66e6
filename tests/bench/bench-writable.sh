#!/bin/bash
# SPDX-License-Identifier: MIT
#
# What committing costs. Run by `make bench`. Every row has a limit, which its
# ratio is to stay below; rows that do not are marked.
#
# What a guest would write is made by mtools on a raw image of the disk; the
# sectors that differ are then written onto fat:rw:DIR (writable-times.c).
#
#   BENCH_FILES  files of the large tree (100000)
#   BENCH_ROWS   rows to measure (touch batch busy open)
#   and those of lib.sh

. "$(dirname "$0")/lib.sh"

TIMES=$BUILD/tests/bench/writable-times
FILES=${BENCH_FILES:-100000}
ROWS=${BENCH_ROWS:-touch batch busy open}
export MTOOLS_SKIP_CHECK=1

for program in mcopy mdel tar; do
    if ! command -v $program >/dev/null; then
        echo "without $program there is nothing to replay"
        exit 0
    fi
done

# make_files DIR FILES [EACH]: EACH in a directory (1000), of 10 bytes.
make_files() {
    awk -v top="$1" -v n="$2" -v each="${3:-1000}" 'BEGIN {
        for (i = 0; i < n; i++) {
            if (i % each == 0) {
                dir = top "/directory " int(i / each)
                system("mkdir -p \"" dir "\"")
            }
            name = dir "/a file " i ".text"
            printf "%010d", i > name
            close(name)
        }
    }'
}

# make_images DIR: before.img and after.img, which is to be changed.
make_images() {
    rm -f before.img after.img
    "$IMG" convert -q --image-opts \
        "driver=vvfat,dir=$1${DISK_SIZE:+,size=$DISK_SIZE}" before.img
    cp --sparse=always before.img after.img
    # The first partition's first sector.
    GUEST=after.img@@$(($(od -An -tu4 -j454 -N4 after.img) * 512))
}

# row TITLE VALUE BASE UNIT LIMIT
row() {
    awk -v t="$1" -v a="$2" -v b="$3" -v u="$4" -v l="$5" 'BEGIN {
        ratio = b > 0 ? a / b : 0
        printf "%-44s%10.2f %-3s%10.2f %-3s%8.2f", t, a, u, b, u, ratio
        if (l == "-") printf "\n"
        else printf "%8s%s\n", l, (ratio > l ? "  too much" : "")
    }'
}

milliseconds() {
    awk '{ print $1 * 1000 }'
}

# ---- One file in a large tree ----

# touch_one DIR: milliseconds of a flush after one file was written anew.
touch_one() {
    make_images "$1"
    echo 'other contents' >new.text
    mcopy -D o -i "$GUEST" new.text '::/directory 0/a file 7.text'
    # shellcheck disable=SC2046 # several numbers
    median $("$TIMES" replay "$1" before.img after.img $((RUNS * 2)) |
        tail -n +2 | milliseconds)
}

bench_touch() {
    local small large flat
    make_files small 100
    make_files large "$FILES"
    make_files flat 20000 20000
    small=$(touch_one small)
    large=$(touch_one large)
    flat=$(touch_one flat)
    row "one file of $FILES; of 100" "$large" "$small" ms 2
    row 'one file, 20000 in its directory; of 100' "$flat" "$small" ms -
    rm -rf small large flat
}

# ---- Many small files ----

bench_batch() {
    local run ours=() theirs=()
    make_files new 1000
    tar cf new.tar new
    mkdir host
    make_images host
    mcopy -s -Q -i "$GUEST" new ::/
    for ((run = 0; run < RUNS; run++)); do
        rm -rf host out
        mkdir host out
        sync -f .
        ours+=("$("$TIMES" replay host before.img after.img 1 | milliseconds)")
        diff -r new host/new >&2
        sync -f .
        timed 100 sh -c 'tar xf new.tar -C out && sync -f out'
        theirs+=("$(echo "$SECONDS_TAKEN" | milliseconds)")
    done
    row '1000 small files in one flush; tar x, sync' \
        "$(median "${ours[@]}")" "$(median "${theirs[@]}")" ms 2
    rm -rf new new.tar host out
}

# ---- A guest that goes on ----

bench_busy() {
    local run line rest=() during=() flush=()
    local -x DISK_SIZE=2G
    mkdir host
    head -c 256M /dev/urandom >host/scratch
    make_images host
    head -c 1G /dev/urandom >new
    mcopy -i "$GUEST" new ::/
    for ((run = 0; run < RUNS; run++)); do
        rm -f host/new
        sync -f .
        line=$("$TIMES" busy host before.img after.img scratch 5)
        cmp new host/new >&2
        # shellcheck disable=SC2086 # three numbers
        set -- $line
        rest+=("$1") during+=("$2") flush+=("$3")
    done
    row '4 KiB while 1 GiB is committed; at rest' "$(median "${during[@]}")" \
        "$(median "${rest[@]}")" us 5
    printf '%-44s%10.2f s\n' '  that commit' "$(median "${flush[@]}")"
    rm -rf host new
}

# ---- Opening ----

bench_open() {
    local mode run line
    declare -A seconds grown
    make_files large "$FILES"
    for ((run = 0; run < RUNS; run++)); do
        for mode in ro rw; do
            line=$("$TIMES" open large $mode)
            seconds[$mode]+=" ${line% *}"
            grown[$mode]+=" ${line#* }"
        done
    done
    # shellcheck disable=SC2086 # several numbers
    row "open $FILES files, rw; read-only" \
        "$(median ${seconds[rw]} | milliseconds)" \
        "$(median ${seconds[ro]} | milliseconds)" ms -
    # shellcheck disable=SC2086 # several numbers
    row '  bytes of memory for each file' \
        "$(($(median ${grown[rw]}) / FILES))" \
        "$(($(median ${grown[ro]}) / FILES))" B -
    rm -rf large
}

printf '\nCommits: median of %s\n' "$RUNS"
for ROW in $ROWS; do
    "bench_$ROW"
    rm -f before.img after.img
done
