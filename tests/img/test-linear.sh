#!/bin/bash
# SPDX-License-Identifier: MIT
# Work grows with the number of files and no faster: counted in system calls
# and, where valgrind is there, in instructions. Not in time.
# shellcheck source=tests/img/lib.sh
. "$(dirname "$0")/lib.sh"
need strace

# make_tree DIR FILES: in directories of 1,000, each file of one byte.
make_tree() {
    local d
    mkdir "$1"
    for d in $(seq $(($2 / 1000))); do
        mkdir "$1/d$d"
        seq 1 1000 | (cd "$1/d$d" && split -a 3 -l 1 - 'alike name ')
    done
}
make_tree small 1000
make_tree large 4000
mkdir alike-small alike-large
(cd alike-small && seq -f 'alike-name-%.0f' 1000 | xargs touch)
(cd alike-large && seq -f 'alike-name-%.0f' 4000 | xargs touch)

# Waiting of threads for each other is a matter of chance and not counted.
total_calls() {
    strace -f -qq -c -e trace='!futex' -U name,calls -o counts \
        "$VVFAT_IMG" "$@" >/dev/null
    awk '$1 == "total" { print $2 }' counts
}

# grows_linearly WHAT SMALL LARGE: four times the files, at most five times
# the work.
grows_linearly() {
    echo "$1: $2 for 1,000 files, $3 for 4,000"
    [ "$3" -le $((5 * $2)) ] || fail "$1 grows faster than the files"
}

grows_linearly 'system calls of opening' \
    "$(total_calls info fat:small)" "$(total_calls info fat:large)"
small=$(total_calls convert fat:small small.img)
large=$(total_calls convert fat:large large.img)
grows_linearly 'system calls of converting' "$small" "$large"
# Opening, checking, reading and closing each file, and one write for it and
# its neighbours: nothing else for every file.
[ "$large" -le $((8 * 4000)) ] ||
    fail "$((large / 4000)) system calls for each file: $(cat counts)"

if command -v valgrind >/dev/null; then
    instructions() {
        valgrind --tool=none true 2>/dev/null || return 1
        valgrind --tool=callgrind --callgrind-out-file=/dev/null \
            "$VVFAT_IMG" "$@" 2>&1 >/dev/null |
            sed -n 's/.*Collected : \([0-9]*\).*/\1/p'
    }
    for tree in '' alike-; do
        small=$(instructions info "fat:${tree}small")
        large=$(instructions info "fat:${tree}large")
        grows_linearly "instructions of opening (${tree:-plain})" \
            "$small" "$large"
    done
fi
