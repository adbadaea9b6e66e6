#!/bin/bash
# SPDX-License-Identifier: MIT
# Large qcow2 images: long L1 tables, clusters far apart, refcount tables that
# had to grow.
# shellcheck source=tests/img/image-lib.sh
. "$(dirname "$0")/image-lib.sh"

T=$((1 << 40))

# Far apart, in an image of 10 TB and in the largest that cluster sizes allow.
for maker in qemu ours; do
    for geometry in 65536:$((10 * T)) 4096:$((7 * T)) 2097152:$((10 * T)) \
        512:$((120 << 30)) 65536:$((2000 * T)); do
        cluster=${geometry%:*} size=${geometry#*:}
        rm -f x.qcow2
        if [ $maker = qemu ]; then
            run qemu-img create -q -f qcow2 -o cluster_size=$cluster x.qcow2 \
                $size
        else
            run img create -q -f qcow2 -o cluster_size=$cluster x.qcow2 $size
        fi
        [ "$STATUS" = 0 ] || fail "$maker, $geometry: $ERR"
        requests=('write 1 0 1000' "write 2 $((size - 5000)) 5000"
            "write 3 $((size / 2 - 700)) 1400" "write 4 $((size / 3)) 512"
            "writez $((size / 3 * 2)) 65536")
        for other in ours qemus; do
            $other x.qcow2 qcow2 "${requests[@]}"
            ours x.qcow2 qcow2 'read -P 1 0 1000' 'read -P 0 1000 1000' \
                "read -P 2 $((size - 5000)) 5000" \
                "read -P 3 $((size / 2 - 700)) 1400" \
                "read -P 4 $((size / 3)) 512" \
                "read -P 0 $((size / 3 * 2)) 65536"
            run qemu-io -r -f qcow2 -c 'read -P 1 0 1000' \
                -c "read -P 2 $((size - 5000)) 5000" \
                -c "read -P 3 $((size / 2 - 700)) 1400" x.qcow2
            case $STATUS$OUT in
                0*'verification failed'* | [1-9]*)
                    fail "QEMU reads other bytes: $OUT $ERR" ;;
            esac
            sound x.qcow2
        done
    done
done

# L1 tables that grow and shrink by resizing, from little to much.
for step in 512:300M 4096:20G 65536:1000G; do
    size=${step#*:}
    rm -f x.qcow2
    img create -q -f qcow2 -o cluster_size="${step%:*}" x.qcow2 1M
    ours x.qcow2 qcow2 'write 1 0 100k' 'truncate 10M' 'read -P 1 0 100k' \
        "truncate $size" 'read -P 1 0 100k'
    sound x.qcow2
    ours x.qcow2 qcow2 'truncate 203M'
    sound x.qcow2
    qemu-img resize -q -f qcow2 --shrink x.qcow2 200M
    ours x.qcow2 qcow2 'write 2 190M 1M' 'read -P 2 190M 1M' 'truncate 1M' \
        'read -P 1 0 100k' "truncate $size" 'read -P 0 190M 1M'
    sound x.qcow2
done

# More host clusters than the first refcount table counts, which QEMU and we
# enlarge.
for options in cluster_size=512,refcount_bits=64 cluster_size=512 \
    cluster_size=1k,refcount_bits=64; do
    rm -f x.qcow2 model.raw
    qemu-img create -q -f qcow2 -o $options x.qcow2 40M
    truncate -s 40M model.raw
    for offset in 0 6 12 18 24 30; do
        ours x.qcow2 qcow2 "write s1 ${offset}M 3M"
        qemus x.qcow2 qcow2 "write 2 $((offset + 3))M 3M"
        model model.raw "write s1 ${offset}M 3M" "write 2 $((offset + 3))M 3M"
        sound x.qcow2
    done
    same_contents x.qcow2 qcow2 model.raw
done
