# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# What the tests of image formats have in common, on top of lib.sh. Beside each
# image stands a raw model file, which gets the same requests.

# shellcheck source=tests/img/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

need qemu-img qemu-io

IMAGE_IO=$(dirname "$VVFAT_IMG")/tests/tools/image-io
[ -x "$IMAGE_IO" ] || { echo "no $IMAGE_IO: run make test-programs"; exit 1; }

# ours IMAGE FORMAT COMMAND...: our library does requests (image-io's words).
ours() {
    local image=$1 format=$2
    shift 2
    "$IMAGE_IO" -f "$format" "$image" "$@" || fail "image-io $image: $*"
}

# qemus IMAGE FORMAT COMMAND...: qemu-io does them, in the same words.
qemus() {
    local image=$1 format=$2 command arguments=()
    shift 2
    for command; do
        # A pattern is an option there; "compressed" and "zeroes" are, too.
        # shellcheck disable=SC2086 # words of a command
        set -- $command
        case $1 in
            write) command="write -P $2 $3 $4" ;;
            writec) command="write -c -P $2 $3 $4" ;;
            writez) shift; command="write -z $*" ;;
        esac
        arguments+=(-c "$command")
    done
    run qemu-io -f "$format" -d unmap "${arguments[@]}" "$image"
    [ "$STATUS" = 0 ] || fail "qemu-io $image ${arguments[*]}: $OUT $ERR"
    ! grep -qi 'fail\|error' <<<"$OUT$ERR" ||
        fail "qemu-io $image ${arguments[*]}: $OUT $ERR"
}

# model FILE COMMAND...: the same on a raw file; compressed or not is the same.
model() {
    local file=$1 command commands=()
    shift
    for command; do
        commands+=("${command/#writec/write}")
    done
    ours "$file" raw "${commands[@]}"
}

# sound IMAGE: neither qemu-img nor we find a fault or a leak in it (qcow2).
sound() {
    run qemu-img check -f qcow2 "$1"
    [ "$STATUS" = 0 ] || fail "qemu-img check $1 ($STATUS): $OUT $ERR"
    run img check -f qcow2 "$1"
    [ "$STATUS" = 0 ] || fail "our check of $1 ($STATUS): $OUT $ERR"
}

# same_contents IMAGE FORMAT RAW: both programs see that.
same_contents() {
    run qemu-img compare -f "$2" -F raw "$1" "$3"
    [ "$STATUS" = 0 ] || fail "qemu-img compare $1 $3: $OUT $ERR"
    run img compare -f "$2" -F raw "$1" "$3"
    [ "$STATUS" = 0 ] || fail "our comparison of $1 with $3: $OUT $ERR"
}
