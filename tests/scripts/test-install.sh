#!/bin/bash
# SPDX-License-Identifier: MIT
#
# What `make install` puts down is enough to build and run a program that
# embeds the library, and `make uninstall` takes all of it away.

set -euo pipefail

make=(make --no-print-directory -C "$SRCDIR" BUILD="$BUILD" DESTDIR="$PWD/root"
    PREFIX=/opt/vvfat BINDIR=/opt/vvfat/bin LIBDIR=/opt/vvfat/lib
    INCLUDEDIR=/opt/vvfat/include MANDIR=/opt/vvfat/share/man
    NBDKIT_PLUGINDIR=/opt/vvfat/lib/nbdkit/plugins)
"${make[@]}" install >install.log
root=$PWD/root/opt/vvfat

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
export PKG_CONFIG_SYSROOT_DIR=$PWD/root
# shellcheck disable=SC2046 # lists of flags
cc -Wall -Werror embedder.c -o embedder \
    $(pkg-config --define-variable=prefix=/opt/vvfat --cflags --libs vvfat |
        sed "s|$PWD/root/usr|/usr|g")

mkdir source
echo hello >source/hello.txt
[ "$(LD_LIBRARY_PATH=$root/lib ./embedder fat:source)" = 55aa ]
if LD_LIBRARY_PATH=$root/lib ./embedder fat:missing 2>messages; then
    exit 1
fi
grep -q missing messages
"$root/bin/vvfat-img" info fat:source >info.txt
grep -q 'file format: vvfat' info.txt

"${make[@]}" uninstall >uninstall.log
find root -not -type d >left
diff /dev/null left
