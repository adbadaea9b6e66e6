#!/bin/bash
# SPDX-License-Identifier: MIT
#
# What a directory to a raw image costs here and elsewhere, and how the cost
# grows with the number of files. Run by `make bench`.
#
# Medians are shown, and how many times as long as ours each takes. Who takes
# longer than BENCH_PATIENCE seconds for one run does not run again.
#
#   BENCH_PATIENCE  seconds (20); four times that ends a run
#   BENCH_WORK      workloads (big small flat5k flat20k)
#   and those of lib.sh

. "$(dirname "$0")/lib.sh"

PLUGIN=$BUILD/nbdkit-vvfat-plugin.so
PATIENCE=${BENCH_PATIENCE:-20}
WORK=${BENCH_WORK:-big small flat5k flat20k}

# ---- Workloads ----

make_big() {
    mkdir big
    local n
    for n in 1 2 3 4; do
        head -c 110M /dev/urandom >big/file$n
    done
}

# 100 directories of 200 files of 0 to 4 KiB, with long names.
make_small() {
    awk 'BEGIN {
        srand(1)
        for (d = 0; d < 100; d++) {
            dir = sprintf("small/directory number %03d", d)
            system("mkdir -p \"" dir "\"")
            for (f = 0; f < 200; f++) {
                name = sprintf("%s/a file with a long name %05d", dir, f)
                printf "%*s", int(rand() * 4097), "" > name
                close(name)
            }
        }
    }'
}

# make_flat DIR FILES: of one byte, alike in their first characters.
make_flat() {
    mkdir -p "$1"
    (cd "$1" && awk -v n="$2" 'BEGIN {
        for (i = 1; i <= n; i++) {
            name = "alike-name-" i ".text"
            printf "x" > name
            close(name)
        }
    }')
}

# ---- Contenders: each makes out.img, or out, of the directory $1 ----

run_vvfat() {
    "$IMG" convert "fat:$1" out.img
}
run_vvfat_nbd() {
    nbdcopy -- [ nbdkit --exit-with-parent "$PLUGIN" "dir=$1" ] out.img
}
run_qemu() {
    qemu-img convert -O raw "fat:$1" out.img
}
run_floppy() {
    nbdcopy -- [ nbdkit --exit-with-parent floppy "$1" ] out.img
}
run_mtools() {
    truncate -s 1G out.img
    mkfs.fat -F 32 out.img >/dev/null
    mcopy -s -i out.img "$1" ::
}
run_cp() {
    cp -a "$1" out
}

CONTENDERS=(vvfat)
offer() {
    local contender=$1 program
    shift
    for program; do
        if ! command -v "$program" >/dev/null; then
            echo "without $contender: $program is not installed"
            return
        fi
    done
    CONTENDERS+=("$contender")
}

# ---- Measuring ----

declare -A TIMES
measure() {
    local work=$1 run contender key
    for ((run = 0; run < RUNS; run++)); do
        for contender in "${CONTENDERS[@]}"; do
            key=$work/$contender
            if [ $run -gt 0 ] && awk -v t="${TIMES[$key]##* }" \
                -v p="$PATIENCE" 'BEGIN { exit !(t == "-" || t > p) }'; then
                continue
            fi
            rm -rf out out.img
            timed $((4 * PATIENCE)) "run_$contender" "$work"
            TIMES[$key]="${TIMES[$key]:-} $SECONDS_TAKEN"
        done
    done
    rm -rf out out.img
}

print_row() {
    local work=$1 contender ours value
    # shellcheck disable=SC2086 # several numbers
    ours=$(median ${TIMES[$work/vvfat]})
    printf '%-10s' "$work"
    for contender in "${CONTENDERS[@]}"; do
        # shellcheck disable=SC2086 # several numbers
        value=$(median ${TIMES[$work/$contender]})
        awk -v v="$value" -v o="$ours" 'BEGIN {
            if (v == "-" || v == 0) printf "%16s", "too long"
            else printf "%8.2f s %5.1f", v, v / o
        }'
    done
    printf '\n'
}

compare_all() {
    local work contender
    for work in $WORK; do
        case $work in
            big) make_big ;;
            small) make_small ;;
            flat*k) make_flat "$work" "${work//[!0-9]/}000" ;;
            *) echo "no workload $work" >&2; exit 1 ;;
        esac
    done
    printf '\nDirectory to raw image: median of %s, and times ours\n' "$RUNS"
    printf '%-10s' ''
    for contender in "${CONTENDERS[@]}"; do
        printf '%16s' "$contender"
    done
    printf '\n'
    for work in $WORK; do
        measure "$work"
        print_row "$work"
        rm -rf "$work"
    done
}

# ---- Growth ----

open_it() {
    "$IMG" info -q "fat:$1"
}
convert_it() {
    "$IMG" convert -q "fat:$1" out.img
}

show_growth() {
    local work files run
    printf '\nMicroseconds for each file, alike names, %s\n' \
        '20,000 in a directory'
    printf '%10s%12s%12s\n' files open convert
    for files in 20000 200000; do
        work=files$files
        for ((run = 0; run < files / 20000; run++)); do
            make_flat "$work/d$run" 20000
        done
        TIMES[$work/open]='' TIMES[$work/convert]=''
        for ((run = 0; run < RUNS; run++)); do
            timed $((4 * PATIENCE)) open_it "$work"
            TIMES[$work/open]+=" $SECONDS_TAKEN"
            rm -f out.img
            timed $((4 * PATIENCE)) convert_it "$work"
            TIMES[$work/convert]+=" $SECONDS_TAKEN"
        done
        # shellcheck disable=SC2086 # several numbers
        awk -v n=$files -v o="$(median ${TIMES[$work/open]})" \
            -v c="$(median ${TIMES[$work/convert]})" \
            'BEGIN { printf "%10d%12.1f%12.1f\n", n, o / n * 1e6,
                c / n * 1e6 }'
        rm -rf "$work" out.img
    done
}

export IMG PLUGIN
export -f run_vvfat run_vvfat_nbd run_qemu run_floppy run_mtools run_cp \
    open_it convert_it
[ ! -e "$PLUGIN" ] || offer vvfat_nbd nbdkit nbdcopy
offer qemu qemu-img
offer floppy nbdkit nbdcopy
offer mtools mkfs.fat mcopy
offer cp cp
compare_all
show_growth
