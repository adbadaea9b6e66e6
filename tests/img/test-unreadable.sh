#!/bin/bash
# SPDX-License-Identifier: MIT
# Files and directories that may not be read: an error that names them, or
# left out with unsupported=skip.
# shellcheck source=tests/img/lib.sh
. "$(dirname "$0")/lib.sh"

mkdir -p tree/closed
echo open >tree/open
echo secret >tree/secret
echo deep >tree/closed/deep
chmod 000 tree/secret tree/closed

# Root may read everything: be somebody else then.
as_user=()
if [ "$(id -u)" = 0 ]; then
    need setpriv
    as_user=(setpriv --reuid=65534 --regid=65534 --clear-groups)
    chown -R 65534:65534 "$WORK"
    cp "$VVFAT_IMG" tool && VVFAT_IMG=$WORK/tool
    chmod 755 tool
    "${as_user[@]}" "$VVFAT_IMG" --version >/dev/null ||
        skip 'cannot run as another user'
fi

expect_error 1 "'(secret|closed)' may not be read.*unsupported=skip" \
    "${as_user[@]}" "$VVFAT_IMG" convert fat:tree tree.img
[ ! -e tree.img ] || fail 'a target was made'

run "${as_user[@]}" "$VVFAT_IMG" convert fat:unsupported=skip:tree tree.img
[ "$STATUS" = 0 ] || fail "unsupported=skip: $ERR"
for name in secret closed; do
    grep -q "warning: skipped '$name'" <<<"$ERR" ||
        fail "'$name' is not named: $ERR"
done
expect_output open "${as_user[@]}" "$VVFAT_IMG" ls tree.img

chmod 000 tree
expect_error 1 "tree.*[Pp]ermission denied" \
    "${as_user[@]}" "$VVFAT_IMG" convert fat:tree no.img
chmod 755 tree
