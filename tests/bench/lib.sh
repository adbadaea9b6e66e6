# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# What the benchmarks have in common: a place to work in, and numbers.
# shellcheck disable=SC2034 # used where this is sourced
#
# Sourced. The contenders of a comparison take turns, so that a busy moment
# hits all alike; medians are shown. Everything happens in the page cache.
#
#   BENCH_RUNS  runs of each contender (5)
#   BENCH_DIR   where to work; needs 3 GB (a directory in $TMPDIR)

set -euo pipefail
export LC_ALL=C.UTF-8 TZ=UTC PATH=$PATH:/usr/sbin:/sbin

BUILD=${BUILD:-$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)/build}
IMG=$BUILD/vvfat-img
RUNS=${BENCH_RUNS:-5}
DIR=$(mktemp -d "${BENCH_DIR:-${TMPDIR:-/tmp}}/vvfat-bench.XXXXXX")
trap 'rm -rf "$DIR"' EXIT
cd "$DIR"

# The median of numbers; "-" sorts as 0.
median() {
    printf '%s\n' "$@" | sort -n | awk '{ v[NR] = $1 }
        END {
            low = int((NR + 1) / 2)
            if (NR % 2) print v[low]
            else print (v[low] + v[low + 1]) / 2
        }'
}

# timed LIMIT COMMAND...: sets SECONDS_TAKEN; "-" when it failed or took
# longer than LIMIT seconds.
timed() {
    local limit=$1 start=$EPOCHREALTIME
    shift
    SECONDS_TAKEN=-
    if timeout "$limit" bash -c '"$@"' bash "$@" \
        >/dev/null 2>error.log; then
        SECONDS_TAKEN=$(awk -v a="$start" -v b="$EPOCHREALTIME" \
            'BEGIN { printf "%.3f", b - a }')
    fi
}
