#!/bin/bash
# SPDX-License-Identifier: MIT
#
# The Debian packages: a copy of the source gives them, without the programs
# that tests need; lintian finds no error; what is in them works, and is all
# that `make install` installs (dh_missing sees to that).

set -euo pipefail
shopt -s extglob

fail() {
    echo "$*"
    exit 1
}

# One version: the Makefile's.
version=$(sed -n 's/^VERSION := //p' "$SRCDIR/Makefile")
changelog=$(sed -n '1s/^vvfat (\(.*\)) .*/\1/p' "$SRCDIR/debian/changelog")
[ "$version" = "$changelog" ] ||
    fail "Makefile: $version, debian/changelog: $changelog"
[ "$("$VVFAT_IMG" --version)" = "vvfat-img version $version" ]

for program in dpkg-buildpackage dh; do
    command -v $program >/dev/null || {
        echo "$program is not installed"
        exit 77
    }
done

mkdir source
for name in configure Makefile README.md LICENSE block debian docs include \
    tests tools util; do
    cp -r "$SRCDIR/$name" source
done
# What a package built in the source itself has left.
rm -rf source/debian/{.debhelper,tmp,files,*.substvars,*.debhelper*} \
    source/debian/{libvvfat-dev,libvvfat0,nbdkit-plugin-vvfat,vvfat-img}/

cd source
find . | sort >../before
# Nothing of how these tests are run and built: PATH alone.
clean() { # options of a build: command...
    env -i PATH="$PATH" HOME="$PWD" LC_ALL=C.UTF-8 DEB_BUILD_OPTIONS="$1" \
        DEB_BUILD_PROFILES=nocheck "${@:2}"
}
if ! clean nocheck dpkg-checkbuilddeps 2>missing; then
    cat missing
    exit 77
fi
rm missing
clean 'parallel=2 nocheck' dpkg-buildpackage -us -uc -b >../build.log 2>&1 ||
    fail "$(tail -n 40 ../build.log)"

# Units are tested unless that is turned off.
tested=$(clean '' make -n -f debian/rules override_dh_auto_test)
[[ $tested == *check-unit* ]] || fail "a build without nocheck runs: $tested"
tested=$(clean nocheck make -n -f debian/rules override_dh_auto_test)
[[ $tested != *check-unit* ]] || fail "a build with nocheck runs: $tested"

# The source is as it was.
clean nocheck debian/rules clean >../clean.log 2>&1 || cat ../clean.log
find . | sort | diff ../before -
cd ..

if command -v lintian >/dev/null; then
    lintian --allow-root --fail-on error ./*.changes
fi

mkdir root
for package in vvfat-img nbdkit-plugin-vvfat libvvfat0 libvvfat-dev; do
    dpkg-deb -x ${package}_"$version"_*.deb root
done
dpkg-deb -f libvvfat-dev_*.deb Depends | grep -qF "libvvfat0 (= $version)"

# The tool.
mkdir photos
echo hello >photos/hello.txt
root/usr/bin/vvfat-img convert fat:photos disk.img
[ "$(root/usr/bin/vvfat-img cat disk.img hello.txt)" = hello ]

# The library, shared and static, with the manual's example.
libdir=$(echo root/usr/lib/*-*)
zcat root/usr/share/man/man3/libvvfat.3.gz |
    sed '1,/^\.Bd -literal/d; /^\.Ed/,$d; s/\\e/\\/g' >example.c
read -ra cflags < <(pkg-config --cflags glib-2.0)
read -ra libs < <(pkg-config --libs glib-2.0 zlib)
for library in -lvvfat -l:libvvfat.a; do
    cc -Wall -Werror -Iroot/usr/include/vvfat "${cflags[@]}" example.c \
        -o example "-L$libdir" $library "${libs[@]}"
    sector=$(LD_LIBRARY_PATH=$libdir ./example fat:photos)
    [[ $sector == *'55 aa' ]] || fail "the manual's example prints: $sector"
done
[ "$(PKG_CONFIG_PATH=$libdir/pkgconfig pkg-config --variable=libdir vvfat)" = \
    "${libdir#root}" ]

# The plugin.
if command -v nbdkit >/dev/null; then
    help=$(nbdkit "$libdir/nbdkit/plugins/nbdkit-vvfat-plugin.so" --help)
    [[ $help == *fat-type=* ]] || fail "the plugin's help: $help"
fi

# Completions and manuals, where the distribution has them.
for file in bash-completion/completions/vvfat-img \
    zsh/vendor-completions/_vvfat-img man/man1/vvfat-img.1.gz \
    man/man1/nbdkit-vvfat-plugin.1.gz man/man7/vvfat.7.gz; do
    [ -s "root/usr/share/$file" ] || fail "no $file"
done
