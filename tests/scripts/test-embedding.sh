#!/bin/bash
# SPDX-License-Identifier: MIT
#
# docs/embedding.md does what it says: its programs (blocks with a file name
# behind the language) are built with what `make install` has put down, and
# nothing of the source but docs/examples, by the commands of its console
# blocks, as they stand there; the programs print what it says. That is done
# with each compiler, with the shared and the static library, and with a check
# for leaks.

set -euo pipefail
# shellcheck source=tests/scripts/install-lib.sh
. "$SRCDIR/tests/scripts/install-lib.sh"

if nm -D "$BUILD/libvvfat.so" | grep -q '__[at]san_init\|__ubsan_'; then
    echo 'programs without a sanitizer cannot use a library with one'
    exit 77
fi

root=$PWD/root
install install "$root"

# ---- The page ----

# Programs go into page/, the commands of the console and what they print into
# page.sh and expected.
mkdir page
cp "$SRCDIR"/docs/examples/* page
awk '
    /^```[a-z+]+ [^ ]+$/ { file = "page/" $2; next }
    /^```console$/ { console = 1; next }
    /^```$/ { file = ""; console = 0; next }
    file { print >file }
    console && /^\$ / {
        print "echo \"" ++n "\"" >"page.sh"
        print substr($0, 3) >"page.sh"
        print n >"expected"
        next
    }
    console { print >"expected" }' "$SRCDIR/docs/embedding.md"
[ "$(find page -name '*.c' | wc -l)" -ge 12 ]
[ "$(grep -c '^cc ' page.sh)" -ge 12 ]

# ---- The machine ----

# cc, c++ and pkg-config of the page.
mkdir bin
cat >bin/cc <<'END'
#!/bin/sh
# What the linker says of static programs, and of nothing else.
exec 2>cc.log
$CC_NOW -std=c11 $FLAGS_NOW "$@" && ! grep -v 'statically linked' cc.log |
    grep -q warning: || { cat cc.log; exit 1; }
END
sed 's/CC_NOW/CXX_NOW/; s/c11/c++11/' bin/cc >bin/c++
cat >bin/pkg-config <<END
#!/bin/sh
exec $(command -v pkg-config) \$STATIC_NOW "\$@"
END
chmod +x bin/*

run_page() { # title compiler c++-compiler pkg-config-option flags
    local title=$1
    export CC_NOW=$2 CXX_NOW=$3 STATIC_NOW=$4
    export FLAGS_NOW="-Wall -Wextra -Wpedantic -Wshadow -Werror $5"
    command -v "$CC_NOW" >/dev/null || { echo "no $CC_NOW"; return 0; }
    command -v "$CXX_NOW" >/dev/null || { echo "no $CXX_NOW"; return 0; }
    rm -rf run
    cp -r page run
    (cd run && PATH=$PWD/../bin:$PATH LD_LIBRARY_PATH=$root/lib \
        PKG_CONFIG_PATH=$root/lib/pkgconfig sh ../page.sh) >printed 2>&1
    diff -u expected printed || { echo "differs: $title"; exit 1; }
    echo "passed: $title"
}

run_page 'gcc' gcc g++ '' ''
run_page 'gcc, leaks' gcc g++ '' '-g -fsanitize=address'
run_page 'gcc, static' gcc g++ --static -static
run_page 'clang' clang clang++ '' ''
run_page 'clang, static' clang clang++ --static -static
