#!/bin/bash
# SPDX-License-Identifier: MIT
# Symbolic links and special files: followed inside, left out otherwise, and
# always told.
# shellcheck source=tests/img/lib.sh
. "$(dirname "$0")/lib.sh"
need fsck.fat mcopy

mkdir -p tree/sub outside
echo inside >tree/sub/file
echo secret >outside/secret
ln -s sub/file tree/link
ln -s sub tree/dirlink
ln -s link tree/chain
ln -s ../outside/secret tree/out
ln -s /etc/passwd tree/absolute
ln -s nothing tree/dangling
ln -s loop tree/loop
ln -s loop2 tree/loop1
ln -s loop1 tree/loop2
ln -s . tree/self
ln -s .. tree/sub/up
mkfifo tree/fifo
if command -v perl >/dev/null; then
    perl -MIO::Socket::UNIX -e \
        'IO::Socket::UNIX->new(Local => "tree/socket", Listen => 1)'
fi
[ "$(id -u)" != 0 ] || mknod tree/null c 1 3

run timeout 20 "$VVFAT_IMG" convert fat:tree tree.img
[ "$STATUS" = 0 ] || fail "ended with $STATUS: $ERR"
for name in out absolute dangling loop loop1 loop2 self sub/up fifo; do
    grep -q "warning: skipped '$name'" <<<"$ERR" ||
        fail "'$name' is not reported: $ERR"
done
for name in socket null; do
    [ ! -e tree/$name ] || grep -q "warning: skipped '$name'" <<<"$ERR" ||
        fail "'$name' is not reported"
done
warnings=$ERR
fsck_clean tree.img
mtools_tree tree.img mtools
expect_output "chain
dirlink
dirlink/file
link
sub
sub/file" sh -c 'cd mtools && find . -mindepth 1 | sed "s,^./,," | sort'
cmp mtools/chain tree/sub/file
cmp mtools/dirlink/file tree/sub/file

# Once, and in info; not with -q.
[ "$(grep -c "'fifo'" <<<"$warnings")" = 1 ] || fail 'told twice'
output_has "skipped 'fifo'" img info fat:tree
output_has '"path": "fifo"' img info --output=json fat:tree
run img convert -q fat:tree quiet.img
[ -z "$ERR$OUT" ] || fail "-q is not quiet: $ERR$OUT"

run img convert fat:symlinks=skip:tree none.img
expect_output sub/ img ls none.img
expect_error 1 "'(absolute|chain|.*)' is a symbolic link" \
    img convert fat:symlinks=error:tree error.img
[ ! -e error.img ] || fail 'a target was made'

run img convert -q fat:hidden=off:tree hidden.img
[ "$STATUS" = 0 ] || fail "$ERR"
