#!/bin/bash
# SPDX-License-Identifier: MIT
#
# What `make install` puts down is enough to build and run a program that
# embeds the library, and `make uninstall` takes all of it away.

set -euo pipefail
# shellcheck source=tests/scripts/install-lib.sh
. "$SRCDIR/tests/scripts/install-lib.sh"

root=$PWD/root
install install "$root"

cat >embedder.c <<'END'
#include <block/block.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    GError *err = NULL;
    g_autoptr(BlockBackend) blk =
        blk_open(argc > 1 ? argv[1] : "", NULL, 0, &err);
    unsigned char sector[512];

    if (blk == NULL) {
        fprintf(stderr, "%s\n", err->message);
        return 1;
    }
    if (blk_pread(blk, 0, sizeof(sector), sector, 0) < 0) {
        return 1;
    }
    printf("%02x%02x\n", sector[510], sector[511]);
    return 0;
}
END
export PKG_CONFIG_PATH=$root/lib/pkgconfig
# shellcheck disable=SC2046 # lists of flags
cc -Wall -Werror embedder.c -o embedder $(pkg-config --cflags --libs vvfat)

mkdir source
echo hello >source/hello.txt
[ "$(LD_LIBRARY_PATH=$root/lib ./embedder fat:source)" = 55aa ]
if LD_LIBRARY_PATH=$root/lib ./embedder fat:missing 2>messages; then
    exit 1
fi
grep -q missing messages
"$root/bin/vvfat-img" info fat:source >info.txt
grep -q 'fat type: 16' info.txt

# The example in the manual is one.
sed '1,/^\.Bd -literal/d; /^\.Ed/,$d; s/\\e/\\/g' \
    "$root/share/man/man3/libvvfat.3" >example.c
# shellcheck disable=SC2046 # lists of flags
cc -Wall -Werror example.c -o example $(pkg-config --cflags --libs vvfat)
[[ $(LD_LIBRARY_PATH=$root/lib ./example fat:source) == *'55 aa' ]]

# DESTDIR moves all of it and is mentioned in none of it.
install install /opt/vvfat DESTDIR="$PWD/stage"
diff <(cd root && find . | sort) <(cd stage/opt/vvfat && find . | sort)
[ "$(ls stage)" = opt ]
grep -qx 'prefix=/opt/vvfat' stage/opt/vvfat/lib/pkgconfig/vvfat.pc
if grep -rl "$PWD/stage" stage; then
    exit 1
fi

# Programs of a system that is put together below a directory.
flags() { # pkg-config options...
    PKG_CONFIG_PATH=$PWD/stage/opt/vvfat/lib/pkgconfig pkg-config "$@" vvfat
}
PKG_CONFIG_SYSROOT_DIR=$PWD/stage flags --cflags --libs >flags
grep -q -- "-I$PWD/stage/opt/vvfat/include/vvfat " flags
grep -q -- "-L$PWD/stage/opt/vvfat/lib " flags
[ "$(flags --variable=libdir)" = /opt/vvfat/lib ]
[ "$(flags --define-prefix --variable=libdir)" = "$PWD/stage/opt/vvfat/lib" ]

# What others have put there stays.
touch root/lib/libvvfat.so.9 root/include/vvfat/block/of-another.h
install uninstall "$root"
install uninstall /opt/vvfat DESTDIR="$PWD/stage"
find root stage -not -type d | sort >left
printf '%s\n' root/include/vvfat/block/of-another.h root/lib/libvvfat.so.9 |
    diff - left
[ ! -e stage/opt/vvfat/include/vvfat ]

# Every directory can be another one.
apart=(/p DESTDIR="$PWD/apart" BINDIR=/b LIBDIR=/l/64 MANDIR=/m DATADIR=/d
    ZSHDIR=/z INCLUDEDIR=/i NBDKIT_PLUGINDIR=/n)
install install "${apart[@]}"
cat >places <<'END'
^./b/vvfat-img$
^./d/bash-completion/completions/vvfat-img$
^./i/vvfat/block/
^./l/64/libvvfat\.
^./l/64/pkgconfig/vvfat\.pc$
^./m/man[0-9]/
^./n/nbdkit-vvfat-plugin\.so$
^./z/_vvfat-img$
END
(cd apart && find . -type f) | grep -v -f places >astray || :
diff /dev/null astray
PKG_CONFIG_PATH=$PWD/apart/l/64/pkgconfig pkg-config --cflags --libs vvfat |
    grep -q -- '-I/i/vvfat .*-L/l/64 '
install uninstall "${apart[@]}"
find apart -not -type d >left
diff /dev/null left
