#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Requests on qcow2 images, and conversions to and from them, here and with
# qemu-img. Run by `make bench`. Every row is a command that both programs
# understand; the ratio is qemu-img's time by ours, so above 1 we are faster.
#
#   BENCH_MIB  size of the images in MiB (512)
#   and those of lib.sh

. "$(dirname "$0")/lib.sh"

MIB=${BENCH_MIB:-512}
LIMIT=120

if ! command -v qemu-img >/dev/null; then
    echo 'without qemu-img there is nothing to compare qcow2 images with'
    exit 0
fi

# Half of it can be compressed.
make_source() {
    awk -v mib="$MIB" 'BEGIN {
        srand(1)
        for (i = 0; i < mib * 16; i++) {
            for (j = 0; j < 512; j++) {
                printf "%08x a line of text, again %6d\n",
                    rand() * 4294967296, i
            }
        }
    }' | head -c "${MIB}M" >source.raw
    qemu-img convert -O qcow2 source.raw full.qcow2
    qemu-img convert -c -W -O qcow2 source.raw packed.qcow2
}

# A step that is no divisor of the size visits 4 KiB blocks all over it.
scattered=$((4096 * 40503))
whole=$((MIB * 1048576))

# fresh.qcow2 is empty before each run, own.qcow2 a copy of full.qcow2.
prepare() {
    rm -f out.img
    case $* in
        *fresh.qcow2*)
            rm -f fresh.qcow2
            qemu-img create -q -f qcow2 fresh.qcow2 "${MIB}M"
            ;;
        *own.qcow2*) cp full.qcow2 own.qcow2 ;;
    esac
}

# compare TITLE ARGUMENTS...: of vvfat-img and of qemu-img.
compare() {
    local title=$1 ours=() theirs=() run
    shift
    for ((run = 0; run < RUNS; run++)); do
        prepare "$@"
        timed $LIMIT "$IMG" "$@"
        ours+=("$SECONDS_TAKEN")
        prepare "$@"
        timed $LIMIT qemu-img "$@"
        theirs+=("$SECONDS_TAKEN")
    done
    awk -v t="$title" -v a="$(median "${ours[@]}")" \
        -v b="$(median "${theirs[@]}")" 'BEGIN {
            if (a == "-" || b == "-") printf "%-34s failed\n", t
            else printf "%-34s%8.3f s%9.3f s%8.2f\n", t, a, b, b / a
        }'
}

make_source
printf '\nqcow2, %d MiB, median of %s\n%-34s%10s%11s%8s\n' "$MIB" "$RUNS" '' \
    vvfat-img qemu-img ratio
four=(-f qcow2 -s 4096 -S "$scattered")
compare 'random reads of 4 KiB' bench -c 200000 "${four[@]}" full.qcow2
compare 'random reads of 4 KiB, depth 1' \
    bench -c 100000 -d 1 "${four[@]}" full.qcow2
compare 'random writes of 4 KiB' bench -w -c 200000 "${four[@]}" own.qcow2
compare 'random writes of 4 KiB, fresh' \
    bench -w -c 20000 "${four[@]}" fresh.qcow2
compare 'the same, a flush for each 100' bench -w -c 5000 --flush-interval=100 \
    "${four[@]}" fresh.qcow2
compare 'stream of reads of 1 MiB' \
    bench -c $((4 * MIB)) -f qcow2 -s 1048576 full.qcow2
compare 'stream of writes of 64 KiB, fresh' \
    bench -w -c $((whole / 65536)) -f qcow2 -s 65536 fresh.qcow2
compare 'stream of writes of 1 MiB, fresh' \
    bench -w -c "$MIB" -f qcow2 -s 1048576 fresh.qcow2
compare 'convert to qcow2' convert -f raw -O qcow2 source.raw out.img
compare 'convert to raw' convert -f qcow2 -O raw full.qcow2 out.img
compare 'convert to compressed' convert -c -f raw -O qcow2 source.raw out.img
compare 'the same, any order' \
    convert -c -W -m 8 -f raw -O qcow2 source.raw out.img
compare 'convert from compressed' convert -f qcow2 -O raw packed.qcow2 out.img
