#!/bin/bash
# SPDX-License-Identifier: MIT
# QEMU and we take turns at changing a qcow2 image. After each turn it is sound
# and holds what a raw file does that got the same requests.
#
# TURNS=n of each image; SEED=n draws other requests.
# shellcheck source=tests/img/image-lib.sh
. "$(dirname "$0")/image-lib.sh"

TURNS=${TURNS:-24}
SEED=${SEED:-1}
RANDOM=$SEED

between() { # from, below: sets $drawn; a subshell would draw the same again
    drawn=$(($1 + (RANDOM * 32768 + RANDOM) % ($2 - $1)))
}

# Draws a request into REQUESTS; for QEMU a resize is in RESIZE.
draw() { # cluster size
    local c=$1 offset bytes unit kind
    between 0 20
    kind=$drawn
    unit=$c
    [ $((RANDOM % 2)) = 0 ] || unit=512
    between 0 $((size / unit))
    offset=$((drawn * unit))
    between 1 33
    bytes=$((drawn * unit))
    if [ $((offset + bytes)) -gt "$size" ]; then
        bytes=$((size - offset))
    fi
    pattern=$((pattern % 250 + 1))
    case $kind in
        [0-7]) REQUESTS+=("write $pattern $offset $bytes") ;;
        8 | 9) REQUESTS+=("writez $offset $bytes") ;;
        10 | 11) REQUESTS+=("writez -u $offset $bytes") ;;
        12 | 13)
            # What a discard leaves is not told, so something is put there.
            REQUESTS+=("discard $offset $bytes"
                "write $pattern $offset $bytes")
            ;;
        14 | 15 | 16)
            # QEMU compresses into clusters alone that are not allocated.
            # (With version 2 a discard leaves them be if there is a backing
            # file.)
            case $player,$options in
                qemu,*compat=0.10,backing*) return 0 ;;
            esac
            # Nor does QEMU 7.2 notice that a cluster it has compressed into
            # is gone, and goes on behind that, be it an L2 table by now:
            # one such write, then, while it has the image open.
            case $player,${REQUESTS[*]} in
                qemu,*writec*) return 0 ;;
            esac
            offset=$((offset / c * c))
            bytes=$(((bytes + c - 1) / c * c))
            [ $((offset + bytes)) -le "$size" ] || return 0
            REQUESTS+=("discard $offset $bytes"
                "writec $pattern $offset $bytes")
            ;;
        17)
            # Version 2 does not record the sizes of snapshots.
            case $options in
                *compat=0.10*) [ ${#kept[@]} = 0 ] || return 0 ;;
            esac
            between $((size / 1024)) $((size * 5 / 4 / 512))
            [ "$drawn" -lt 3000 ] || drawn=500
            # Nor has it zeroes for what is to hide a longer backing file;
            # QEMU 7.2 does not write them then.
            case $player,$options in
                qemu,*compat=0.10,backing*)
                    [ "$size" -ge $((500 * 1024)) ] ||
                        [ $((drawn * 512)) -le "$size" ] || return 0
                    ;;
            esac
            RESIZE=$((drawn * 512))
            ;;
        18 | 19) REQUESTS+=(flush) ;;
    esac
}

# What QEMU 7.2 has cut off it shows again, up to the end of the cluster.
qemus_resize() { # size, cluster size
    local tail=$((($2 - size % $2) % $2))
    qemu-img resize -q -f qcow2 --shrink x.qcow2 "$1"
    [ $((size + tail)) -le "$1" ] || tail=$(($1 - size))
    [ $tail -le 0 ] || qemus x.qcow2 qcow2 "writez $size $tail"
}

# One of the two does what was drawn, then resizes.
take_turn() { # qemu or ours, cluster size
    if [ "$1" = ours ]; then
        ours x.qcow2 qcow2 "${REQUESTS[@]}" \
            ${RESIZE:+"truncate $RESIZE"}
    else
        [ ${#REQUESTS[@]} = 0 ] || qemus x.qcow2 qcow2 "${REQUESTS[@]}"
        [ -z "$RESIZE" ] || qemus_resize "$RESIZE" "$2"
    fi
    model model.raw "${REQUESTS[@]}" ${RESIZE:+"truncate $RESIZE"}
    size=${RESIZE:-$size}
}

snapshots() { # now and then one is made or goes
    local n=$1
    case $((RANDOM % 6)) in
        0) qemu-img snapshot -c "s$n" x.qcow2 && kept+=("s$n") ;;
        1)
            [ ${#kept[@]} -gt 0 ] || return 0
            qemu-img snapshot -d "${kept[0]}" x.qcow2
            kept=("${kept[@]:1}")
            ;;
    esac
}

play() { # cluster size, options, snapshots or not
    local cluster=$1 options=cluster_size=$1$2 turn player=ours kept=()
    size=$((700 * 1024)) pattern=0
    rm -f x.qcow2 model.raw base.raw
    truncate -s $size model.raw
    case $options in
        *backing*)
            truncate -s 500k base.raw
            model base.raw 'write s9 0 400k'
            model model.raw 'write s9 0 400k'
            ;;
    esac
    qemu-img create -q -f qcow2 -o "$options" x.qcow2 $size
    for ((turn = 0; turn < TURNS; turn++)); do
        REQUESTS=() RESIZE=
        while [ ${#REQUESTS[@]} -lt 4 ] && [ -z "$RESIZE" ]; do
            draw "$cluster"
        done
        take_turn $player "$cluster"
        LAST="turn $turn of $options, $player: $(printf "'%s' " \
            "${REQUESTS[@]}") ${RESIZE:+truncate $RESIZE}"
        run qemu-img check -f qcow2 x.qcow2
        [ "$STATUS" = 0 ] || fail "qemu-img check ($STATUS): $OUT $ERR"
        same_contents x.qcow2 qcow2 model.raw
        [ "$3" = no ] || snapshots $turn
        if [ $player = ours ]; then player=qemu; else player=ours; fi
    done
    sound x.qcow2
}

said() {
    local status=$?
    [ $status = 0 ] || echo "SEED=$SEED; ${LAST:-}" >&2
    cleanup
}
trap said EXIT

play 512 '' yes
play 512 ,refcount_bits=64 yes
play 512 ,refcount_bits=1 no
play 4096 '' yes
play 4096 ,compat=0.10 yes
play 4096 ,backing_file=base.raw,backing_fmt=raw no
play 1024 ,compat=0.10,backing_file=base.raw,backing_fmt=raw no
play 4096 ,lazy_refcounts=on no
play 2048 ,preallocation=metadata,refcount_bits=8 yes
play 65536 '' yes
