#!/bin/bash
# SPDX-License-Identifier: MIT
#
# The shared library exports every function that the public headers declare,
# and nothing that they do not.

set -euo pipefail
cd "$SRCDIR"

# The names that precede a parenthesis once comments and macros are gone.
sed -n 's/;$//p' "$BUILD/libvvfat.map" | sed 's/.*: *//' | grep -v '[*}]' |
    sort -u >"$OLDPWD/declared"
cd - >/dev/null
nm -D --defined-only "$BUILD/libvvfat.so" | awk '{ print $NF }' | sort -u \
    >exported
[ "$(wc -l <exported)" -gt 80 ]
diff -u declared exported
