# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# Writing into directories without a server, on top of lib.sh: mtools change a
# copy of the volume, which is then written over the disk.
#
# copy_disk DIR           disk.img is what fat:DIR shows
# on_disk COMMAND...      an mtools command on disk.img
# on_host [OPTION]... DIR COMMAND...
#                         the words of image-io on fat:rw:DIR; ends with a last
#                         commit. Sets STATUS, OUT, ERR.

# shellcheck source=tests/img/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

need mcopy mdel mren mmd mattrib mkfs.fat
IMAGE_IO=$(dirname "$VVFAT_IMG")/tests/tools/image-io
[ -x "$IMAGE_IO" ] || { echo "no $IMAGE_IO: run make test-programs"; exit 1; }
export SHAPE=size=8M:fat-type=12:partition=none:timezone=utc

copy_disk() {
    rm -f disk.img
    img convert "fat:$SHAPE:$1" disk.img
}

on_disk() {
    local command=$1
    shift
    "$command" -i disk.img "$@" || fail "$command $*"
}

on_host() {
    local options=$SHAPE
    while [[ $1 = *=* ]]; do
        options+=:$1
        shift
    done
    run "$IMAGE_IO" "fat:rw:$options:$1" "${@:2}"
}

# As on_host, and it must go well.
on_host_well() {
    on_host "$@"
    [ "$STATUS" = 0 ] || fail "$*: $ERR"
}

# facts_have PATTERN...: lines of OUT (extended regular expressions).
facts_have() {
    local pattern
    for pattern; do
        grep -Eqx -- "$pattern" <<<"$OUT" || fail "not among the facts: $pattern
$OUT"
    done
}

# content_is FILE TEXT
content_is() {
    [ -f "$1" ] || fail "there is no '$1'"
    [ "$(<"$1")" = "$2" ] || fail "'$1' holds: $(head -c 200 "$1")"
}

# only_in DIR NAME...: DIR holds these, and no more.
only_in() {
    local names
    names=$(cd "$1" && find . -mindepth 1 -printf '%P\n' | LC_ALL=C sort)
    [ "$names" = "$(printf '%s\n' "${@:2}" | LC_ALL=C sort)" ] ||
        fail "in '$1' is: $names"
}
