#!/bin/bash
# SPDX-License-Identifier: MIT
#
# A program that has functions and data of the library's names, and exports
# them, as emulators with a block layer of QEMU's do, loads the library: that
# uses its own. Once it took the program's child_of_bds.

set -euo pipefail

if nm -D "$BUILD/libvvfat.so" | grep -q '__[at]san_init\|__ubsan_'; then
    echo 'programs without a sanitizer cannot use a library with one'
    exit 77
fi

"$VVFAT_IMG" create -q -f qcow2 disk.qcow2 64M
cat >program.c <<'END'
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define OWN(name)                                                             \
    void name(void);                                                          \
    void name(void)                                                           \
    {                                                                         \
        puts(#name);                                                          \
        abort();                                                              \
    }
END
awk '$1 == "function" { print "OWN(" $2 ")" }
    $1 == "data" { print "long " $2 " = 1;" }' \
    "$SRCDIR/include/libvvfat.abi" >>program.c
cat >>program.c <<'END'

int main(int argc, char **argv)
{
    void *lib = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    void *(*open)(const char *, void *, unsigned, void *);
    int (*pread)(void *, int64_t, int64_t, void *, unsigned);
    void (*close)(void *);

    if (lib == NULL) {
        puts(dlerror());
        return 1;
    }
    *(void **)&open = dlsym(lib, "blk_open");
    *(void **)&pread = dlsym(lib, "blk_pread");
    *(void **)&close = dlsym(lib, "blk_close");
    for (int i = 2; i < argc; i++) {
        unsigned char sector[512];
        void *blk = open(argv[i], NULL, 1, NULL);

        if (blk == NULL || pread(blk, 0, 512, sector, 0) < 0) {
            return 1;
        }
        printf("%02x%02x\n", sector[510], sector[511]);
        close(blk);
    }
    return 0;
}
END
cc -rdynamic program.c -o program -ldl
[ "$(nm -D --defined-only program | grep -c ' bdrv_')" -gt 20 ]
mkdir source
./program "$BUILD/libvvfat.so" disk.qcow2 fat:rw:source >printed
diff - printed <<'END'
0000
55aa
END
