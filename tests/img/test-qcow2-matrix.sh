#!/bin/bash
# SPDX-License-Identifier: MIT
# qcow2 images with every option, made by QEMU and by us, changed by QEMU and
# by us: both read the same and find nothing wrong.
# shellcheck source=tests/img/image-lib.sh
. "$(dirname "$0")/image-lib.sh"

# Requests in units of a cluster, and odd ones between.
requests() { # cluster size, first pattern, compressed or not
    local c=$1 p=$2
    REQUESTS=("write $p 0 $((3 * c))"
        "write $((p + 1)) $((5 * c + 100)) 700"
        "writez $((6 * c)) $((2 * c))"
        "writez -u $((c - 17)) 34"
        "write $((p + 2)) $((9 * c - 512)) 1024"
        "writez -u $((9 * c)) $c"
        "write $((p + 3)) $((9 * c + 11)) 5"
        "write 0 $((14 * c)) $c")
    [ "$3" = no ] ||
        REQUESTS+=("writec $((p + 4)) $((10 * c)) $((2 * c))"
            "writec $((p + 5)) $((12 * c)) $c"
            "write $((p + 6)) $((12 * c + 7)) 300")
}

check_both() { # image: sound, and as model.raw
    sound "$1"
    same_contents "$1" qcow2 model.raw
    img convert -f qcow2 -O raw "$1" out.raw
    cmp model.raw out.raw || fail "$1: convert gives other bytes"
}

one() { # options
    local cluster=65536 size compress=yes
    case $1 in
        *cluster_size=*)
            cluster=${1#*cluster_size=}
            cluster=$(numfmt --from=iec "$(tr a-z A-Z <<<"${cluster%%,*}")")
            ;;
    esac
    case $1 in
        # QEMU does not compress into clusters that are there.
        *preallocation=[mf]*) compress=no ;;
    esac
    size=$((20 * cluster + 512))
    for maker in qemu ours; do
        rm -f x.qcow2 model.raw
        truncate -s $size model.raw
        if [ $maker = qemu ]; then
            qemu-img create -q -f qcow2 -o "$1" x.qcow2 $size
        else
            img create -q -f qcow2 -o "$1" x.qcow2 $size
        fi
        check_both x.qcow2
        requests "$cluster" 1 $compress
        if [ $maker = qemu ]; then
            qemus x.qcow2 qcow2 "${REQUESTS[@]}"
        else
            ours x.qcow2 qcow2 "${REQUESTS[@]}"
        fi
        model model.raw "${REQUESTS[@]}"
        check_both x.qcow2
        # The other one goes on with it.
        requests "$cluster" 17 no
        if [ $maker = qemu ]; then
            ours x.qcow2 qcow2 "${REQUESTS[@]}"
        else
            qemus x.qcow2 qcow2 "${REQUESTS[@]}"
        fi
        model model.raw "${REQUESTS[@]}"
        check_both x.qcow2
    done
}

for options in compat=0.10 compat=1.1 \
    cluster_size=512 cluster_size=4k cluster_size=2M \
    compat=0.10,cluster_size=512 compat=0.10,cluster_size=4k \
    preallocation=off preallocation=metadata preallocation=falloc \
    preallocation=full cluster_size=512,preallocation=metadata \
    compat=0.10,preallocation=metadata,cluster_size=4k \
    lazy_refcounts=on lazy_refcounts=on,cluster_size=512 \
    refcount_bits=1 refcount_bits=2 refcount_bits=4 refcount_bits=8 \
    refcount_bits=32 refcount_bits=64 refcount_bits=1,cluster_size=512 \
    refcount_bits=64,cluster_size=512 refcount_bits=8,cluster_size=4k; do
    one "$options" || fail "with $options"
done
