#!/bin/bash
# SPDX-License-Identifier: MIT
#
# How random reads grow with threads, on one node and on a node for each, and
# what an asynchronous read costs beside a blocking one. Run by `make bench`.
# Everything comes from the page cache, or from nowhere (null).
#
#   BENCH_THREADS  threads to compare with one (as many as processors)
#   and those of lib.sh

. "$(dirname "$0")/lib.sh"

READS=$BUILD/tests/bench/read-times
THREADS=${BENCH_THREADS:-$(nproc)}
SPAN=$((96 << 20))

# rate ARGUMENT...: the median of reads in a second.
rate() {
    local run values=()
    for ((run = 0; run < RUNS; run++)); do
        values+=("$("$READS" "$@")")
    done
    median "${values[@]}"
}

# grow TITLE NAME BYTES
grow() {
    local one same each
    one=$(rate threads "$2" "$3" $SPAN 1 1)
    same=$(rate threads "$2" "$3" $SPAN "$THREADS" 1)
    each=$(rate threads "$2" "$3" $SPAN "$THREADS" "$THREADS")
    awk -v t="$1" -v a="$one" -v b="$same" -v c="$each" 'BEGIN {
        printf "%-24s%12d%12d %6.2f%12d %6.2f\n", t, a, b, b / a, c, c / a
    }'
}

# cost TITLE NAME BYTES: microseconds of a read.
cost() {
    local depth
    printf '%-24s%12.2f' "$1" \
        "$(rate threads "$2" "$3" $SPAN 1 1 | awk '{ print 1e6 / $1 }')"
    for depth in 1 4 32; do
        printf '%12.2f' "$(rate queue "$2" "$3" $SPAN $depth |
            awk '{ print 1e6 / $1 }')"
    done
    printf '\n'
}

mkdir tree
head -c $SPAN /dev/urandom >tree/file
"$IMG" convert -q fat:tree disk.raw
"$IMG" convert -q -O qcow2 fat:tree disk.qcow2

printf '\nReads in a second: median of %s, and times those of one thread\n' \
    "$RUNS"
printf '%-24s%12s%19s%19s\n' '' '1 thread' "$THREADS, one node" \
    "$THREADS, each its own"
grow 'null 4k' null: 4096
grow 'fat 4k' fat:tree 4096
grow 'fat 64k' fat:tree 65536
grow 'raw 4k' disk.raw 4096
grow 'qcow2 4k' disk.qcow2 4096

printf '\nMicroseconds of a read: median of %s\n' "$RUNS"
printf '%-24s%12s%12s%12s%12s\n' '' blocking 'queue of 1' 'of 4' 'of 32'
cost 'null 4k' null: 4096
cost 'fat 4k' fat:tree 4096
cost 'fat 64k' fat:tree 65536
