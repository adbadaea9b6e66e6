# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# What the tests share that install: every directory below one. What was built
# is what is tested: nothing is built again, whatever flags it was built with.

install() { # install or uninstall, the prefix, [variable=...]
    make --no-print-directory -C "$SRCDIR" -o all BUILD="$BUILD" "$1" \
        PREFIX="$2" BINDIR="$2/bin" LIBDIR="$2/lib" DATADIR="$2/share" \
        MANDIR="$2/share/man" ZSHDIR="$2/share/zsh/site-functions" \
        INCLUDEDIR="$2/include" NBDKIT_PLUGINDIR="$2/lib/nbdkit/plugins" \
        "${@:3}" >>install.log 2>&1 || { cat install.log; return 1; }
}
