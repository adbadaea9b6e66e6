#!/bin/bash
# SPDX-License-Identifier: MIT
#
# What programs that are linked with the library rely on is what
# include/libvvfat.abi has recorded: the public headers declare it, the shared
# library exports it with these symbol versions and nothing else, and the
# static library has no other global names.

set -euo pipefail

record=$SRCDIR/include/libvvfat.abi
if [ "$(getconf LONG_BIT)" != 64 ]; then
    echo 'the record is for machines of 64 bits'
    exit 77
fi

read -ra flags < <(pkg-config --cflags glib-2.0)
"$SRCDIR/tests/scripts/print-abi" cc VVFAT_new "$record" "${flags[@]}" >now
if ! diff -u "$record" now >changes; then
    cat changes
    echo
    if grep -q '^-[^-]' changes; then
        cat <<'END'
Programs that were built before will not work with this library. If that is
meant: unless that was done since the last release, raise SO_VERSION and VERSION
in the Makefile and remove include/libvvfat.abi (all symbols get the new
version's name). Then run `make abi`, and commit both. If it is not: leave what is
there as it is and add something new beside it; callbacks go to the end of
BlockDriver.
END
    else
        cat <<'END'
What programs rely on has grown, and those that were built before work as they
did. If that is meant: raise VERSION in the Makefile, unless that was done since
the last release, run `make abi`, and commit both.
END
    fi
    exit 1
fi

awk '$1 == "function" { print "T", $2 "@@" $3 }
    $1 == "data" { print "D", $2 "@@" $3 }' "$record" | sort >recorded
[ "$(wc -l <recorded)" -gt 80 ]
nm -D --defined-only "$BUILD/libvvfat.so" |
    awk '$2 != "A" { sub(/[RB]/, "D", $2); print $2, $3 }' | sort >exported
diff -u recorded exported

sed 's/@.*//' recorded >recorded-names
nm --defined-only --extern-only "$BUILD/libvvfat.a" |
    awk 'NF == 3 { sub(/[RB]/, "D", $2); print $2, $3 }' | sort >global
diff -u recorded-names global
