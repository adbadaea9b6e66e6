# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# What the tests of vvfat-img have in common. A test sources this file first
# and then is in an empty directory of its own, which goes away at its end.
#
# The judges are other programs: fsck.fat, mtools, sfdisk, sgdisk, qemu-img.

set -euo pipefail
export LC_ALL=C.UTF-8 TZ=UTC
export MTOOLS_SKIP_CHECK=0 MTOOLS_NO_VFAT=0 MTOOLSRC=/dev/null
unset SOURCE_DATE_EPOCH CDPATH
umask 022

if [ -z "${VVFAT_IMG:-}" ]; then
    VVFAT_IMG=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." &&
        pwd)/${BUILD:-build}/vvfat-img
fi
case $VVFAT_IMG in
    /*) ;;
    *) VVFAT_IMG=$PWD/$VVFAT_IMG ;;
esac
[ -x "$VVFAT_IMG" ] || { echo "no $VVFAT_IMG: run make first"; exit 1; }

WORK=$(mktemp -d "${TMPDIR:-/tmp}/vvfat-test.XXXXXX")
cleanup() {
    cd /
    chmod -R u+rwX "$WORK" 2>/dev/null || true
    rm -rf "$WORK"
}
trap cleanup EXIT
cd "$WORK"

fail() {
    echo "FAILED: $*" >&2
    exit 1
}

skip() {
    echo "$*"
    exit 77
}

# need PROGRAM...: skip the test without them.
need() {
    local program
    for program; do
        PATH=$PATH:/usr/sbin:/sbin command -v "$program" >/dev/null ||
            skip "$program is not installed"
    done
}
PATH=$PATH:/usr/sbin:/sbin

img() {
    "$VVFAT_IMG" "$@"
}

# run COMMAND...: STATUS, OUT and ERR are what came of it.
run() {
    STATUS=0
    "$@" >"$WORK/.out" 2>"$WORK/.err" </dev/null || STATUS=$?
    OUT=$(tr -d '\0' <"$WORK/.out")
    ERR=$(tr -d '\0' <"$WORK/.err")
}

# expect_error STATUS PATTERN COMMAND...: it ends so, and says so (an extended
# regular expression).
expect_error() {
    local status=$1 pattern=$2
    shift 2
    run "$@"
    [ "$STATUS" = "$status" ] ||
        fail "'$*' ended with $STATUS, not $status: $OUT $ERR"
    grep -Eq -- "$pattern" <<<"$ERR" ||
        fail "'$*' did not say '$pattern' but: $ERR"
}

# expect_output TEXT COMMAND...: exactly that on standard output, status 0.
expect_output() {
    local text=$1
    shift
    run "$@"
    [ "$STATUS" = 0 ] || fail "'$*' ended with $STATUS: $ERR"
    [ "$OUT" = "$text" ] || fail "'$*' printed:
$OUT
and not:
$text"
}

# output_has PATTERN COMMAND...: standard output has a line like that (an
# extended regular expression), status 0.
output_has() {
    local pattern=$1
    shift
    run "$@"
    [ "$STATUS" = 0 ] || fail "'$*' ended with $STATUS: $ERR"
    grep -Eq -- "$pattern" <<<"$OUT" || fail "'$*' did not print '$pattern':
$OUT"
}

# same_as_qemu ARGUMENT...: the same output and status as qemu-img.
same_as_qemu() {
    local status out
    run qemu-img "$@"
    status=$STATUS out=$OUT
    run img "$@"
    [ "$STATUS" = "$status" ] ||
        fail "'$*' ended with $STATUS ($ERR), qemu-img with $status"
    [ "$OUT" = "$out" ] || fail "'$*' printed:
$OUT
and qemu-img:
$out"
}

# first_partition IMAGE start|size: of its first partition, in sectors.
first_partition() {
    sfdisk -J "$1" | sed -n "s/.*\"$2\": *\\([0-9]*\\).*/\\1/p" |
        awk 'NR == 1'
}

# has_table IMAGE: a boot sector of FAT begins with a jump.
has_table() {
    case $(xxd -l 1 -p "$1") in
        eb | e9) return 1 ;;
        *) return 0 ;;
    esac
}

# volume_of IMAGE: sets OFFSET (bytes) and VOLUME (a file with it alone).
volume_of() {
    OFFSET=0
    VOLUME=$1
    if has_table "$1"; then
        OFFSET=$(($(first_partition "$1" start) * 512))
        VOLUME=$WORK/.volume
        local sectors
        sectors=$(first_partition "$1" size)
        rm -f "$VOLUME"
        dd if="$1" of="$VOLUME" bs=1M conv=sparse status=none \
            iflag=skip_bytes,count_bytes skip="$OFFSET" \
            count=$((sectors * 512))
        truncate -s $((sectors * 512)) "$VOLUME"
    fi
}

# fsck_clean IMAGE: fsck.fat has nothing at all to say. Sets VOLUME, OFFSET.
fsck_clean() {
    volume_of "$1"
    run fsck.fat -n "$VOLUME"
    [ "$STATUS" = 0 ] || fail "fsck.fat on $1: $OUT $ERR"
    [ "$(printf '%s\n' "$OUT" | wc -l)" = 2 ] ||
        fail "fsck.fat has something to say about $1: $OUT"
}

# tables_clean IMAGE: sfdisk and sgdisk have nothing to complain about.
tables_clean() {
    has_table "$1" || return 0
    run sfdisk --verify "$1"
    [ "$STATUS" = 0 ] || fail "sfdisk --verify $1: $OUT $ERR"
    case $OUT$ERR in
        *"No errors detected"*) ;;
        *) fail "sfdisk --verify $1: $OUT $ERR" ;;
    esac
    if grep -q '"label": *"gpt"' <<<"$(sfdisk -J "$1")"; then
        run sgdisk -v "$1"
        case $STATUS$OUT in
            *"No problems found"*) ;;
            *) fail "sgdisk -v $1: $OUT $ERR" ;;
        esac
        case $OUT$ERR in
            *[Ww]arning* | *Caution* | *Problem:*)
                fail "sgdisk -v $1: $OUT $ERR" ;;
        esac
    fi
}

# same_tree A B: names, contents, types, and times to two seconds.
same_tree() {
    diff -r --no-dereference "$1" "$2" || fail "$1 and $2 differ"
    times_of "$1" >"$WORK/.times-a"
    times_of "$2" >"$WORK/.times-b"
    diff "$WORK/.times-a" "$WORK/.times-b" >"$WORK/.times-diff" ||
        fail "times of $1 and $2 differ: $(head -n 10 "$WORK/.times-diff")"
}

# Times of files, rounded down to the two seconds that FAT has.
times_of() {
    (cd "$1" && find . -type f -printf '%T@ %p\n' | LC_ALL=C sort -k 2 |
        awk '{ t = int($1); $1 = t - t % 2; print }')
}

# mtools_tree IMAGE DIR: all files of the volume, taken out by mtools.
mtools_tree() {
    volume_of "$1"
    mkdir -p "$2"
    [ -z "$(mdir -b -i "$1@@$OFFSET" ::/ 2>/dev/null)" ] ||
        mcopy -s -n -m -i "$1@@$OFFSET" '::*' "$2" ||
        fail "mcopy could not read $1"
}

# A tree with something of everything that is ordinary.
plain_tree() {
    mkdir -p "$1/Sub Directory/deeper" "$1/empty"
    : >"$1/EMPTY.TXT"
    printf 'x' >"$1/one.byte"
    seq 1 2000 >"$1/Sub Directory/A rather long name with blanks.text"
    head -c 70000 /dev/zero | tr '\0' 'z' >"$1/Sub Directory/deeper/70k.bin"
    printf 'hello\n' >"$1/hello.txt"
    touch -d '2001-02-03 04:05:06' "$1/hello.txt"
    touch -d '2020-12-31 23:59:58' "$1/Sub Directory/deeper/70k.bin"
}
