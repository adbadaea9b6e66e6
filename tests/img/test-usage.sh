#!/bin/bash
# SPDX-License-Identifier: MIT
# The command line: help for everything, hints for what is wrong.
# shellcheck source=tests/img/lib.sh
. "$(dirname "$0")/lib.sh"

expect_error 1 'Not enough arguments' img
expect_error 1 "Command not found: foo" img foo
expect_error 1 "Command not found: convrt; did you mean 'convert'" img convrt
expect_error 1 "Try 'vvfat-img --help'" img foo
run img --version
case $OUT in
    "vvfat-img version "[0-9]*) ;;
    *) fail "--version prints: $OUT" ;;
esac
run img --help
commands=$(printf '%s\n' "$OUT" | sed -n 's/^  \([a-z]*\)  .*/\1/p')
for command in bench cat check commit compare convert create dd extract help info \
    ls map measure rebase resize; do
    grep -qx $command <<<"$commands" ||
        fail "--help does not list $command"
    run img $command --help
    [ "$STATUS" = 0 ] || fail "$command --help ends with $STATUS"
    case $OUT in
        "usage: vvfat-img $command "*) ;;
        *) fail "$command --help prints: $OUT" ;;
    esac
    expect_output "$OUT" img help $command
    run img $command --no-such-option
    [ "$STATUS" = "$([ $command = compare ] && echo 2 || echo 1)" ] ||
        fail "$command --no-such-option ends with $STATUS"
    case $ERR in
        *"unrecognized option '--no-such-option'"*"--help"*) ;;
        *) fail "$command --no-such-option: $ERR" ;;
    esac
done

expect_error 1 "did you mean '--image-opts'" img info --image-opt x --imageopts
expect_error 1 "did you mean '--image-opts'" img info --imageopts x
expect_error 1 "unrecognized option '-Z'" img convert -Z a b
expect_error 1 "requires an argument -- 'f'" img info -f
expect_error 1 "'--output' requires an argument" img info --output
expect_error 1 "takes no argument" img info --image-opts=yes x
expect_error 1 "human or json" img info --output=xml x
expect_error 1 "mutually exclusive" img info --image-opts -f raw x

expect_error 1 "Must specify image file name" img convert
expect_error 1 "Must specify image file name" img convert a
expect_error 1 "Invalid number of coroutines" img convert -m 0 a b
expect_error 1 "Invalid number of coroutines" img convert -m 17 a b
expect_error 1 "Invalid number of coroutines" img convert -m x a b
expect_error 1 "multiples of 512" img convert -S 1000 a b
expect_error 1 "multiples of 512" img convert -S 1G a b
expect_error 1 "may use k, M" img convert -S x a b
expect_error 1 "Invalid cache option: x" img convert -t x a b
expect_error 1 "Invalid source cache option: x" img convert -T x a b
expect_error 1 "requires use of -n" img convert --target-image-opts a b
expect_error 1 "requires use of -n" img convert --target-is-zero a b
expect_error 1 "no effect when skipping" img convert -n -o size=1 a b
expect_error 1 "Compression not supported" img convert -c a b
expect_error 1 '-l is not supported: internal snapshots' img convert -l s a b
expect_error 1 '-l is not supported: internal snapshots' img measure -l s a
expect_error 1 '--bitmaps is not supported' img convert --bitmaps a b
expect_error 1 '-n .* is not supported' img bench -n a
expect_error 1 'Invalid aio option: io_uring' img bench -i io_uring a
expect_error 1 "Expecting one image file name" img info
expect_error 1 "Expecting one image file name" img info a b
expect_error 1 "Expecting one image file name" img map
expect_error 1 "Expecting one image file name" img check
expect_error 2 "Expecting two image file names" img compare a
expect_error 1 "Expecting image file name" img create
expect_error 1 "Must specify both input and output" img dd if=a
expect_error 1 "unrecognized operand foo" img dd foo=1 if=a of=b
expect_error 1 "between 1 and 2147483647" img dd bs=0 if=a of=b
expect_error 1 "either|Either" img measure
expect_error 1 "cannot be used together" img measure --size 1G a
expect_error 1 "Invalid partition" img ls -P x a
expect_error 1 "no command and no format" img help nothing

# The options of every format, those of vvfat with their help.
run img help vvfat
for option in dir fat-type floppy label rw size cluster-size free partition \
    align esp volume-id boot-code mbr-code timezone codepage symlinks \
    unsupported hidden; do
    grep -q "^ *$option=" <<<"$OUT" ||
        fail "help vvfat does not list $option"
done
run img convert -O raw -o help
grep -q 'size=' <<<"$OUT" || fail "-o help prints: $OUT"
output_has '^  cluster_size=' img measure -O qcow2 -o help

# Output that gets lost is an error.
expect_error 1 'standard output' sh -c "'$VVFAT_IMG' --help >/dev/full"
