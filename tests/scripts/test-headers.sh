#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Every public header compiles alone, and twice, as C11 and as C++11, without
# extensions and without a warning.

set -euo pipefail

read -ra glib < <(pkg-config --cflags glib-2.0 | sed 's/-I/-isystem /g')
flags=(-Wall -Wextra -Wpedantic -Wshadow -Wundef -Werror -fsyntax-only
    -I"$SRCDIR/include" "${glib[@]}")

count=0
for header in "$SRCDIR"/include/block/*.h; do
    name=block/${header##*/}
    printf '#include "%s"\n#include "%s"\nint unused;\n' "$name" "$name" \
        >alone.c
    for compiler in 'gcc -x c -std=c11' 'clang -x c -std=c11' \
        'g++ -x c++ -std=c++11' 'clang++ -x c++ -std=c++11'; do
        command -v "${compiler%% *}" >/dev/null || continue
        # shellcheck disable=SC2086 # the compiler with its arguments
        $compiler "${flags[@]}" alone.c || {
            echo "$name: $compiler"
            exit 1
        }
        count=$((count + 1))
    done
    # What C++ links to has the names of C.
    grep -q '^G_BEGIN_DECLS$' "$header" && grep -q '^G_END_DECLS$' "$header"
done
[ $count -gt 0 ]
