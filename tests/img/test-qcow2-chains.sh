#!/bin/bash
# SPDX-License-Identifier: MIT
# Backing files, internal snapshots, resizing and discards of qcow2 images:
# what QEMU made we read and change, what we made QEMU reads and finds sound.
# shellcheck source=tests/img/image-lib.sh
. "$(dirname "$0")/image-lib.sh"

check_both() { # image: sound, and as QEMU reads it
    sound "$1"
    qemu-img convert -f qcow2 -O raw "$1" qemu.raw
    img convert -f qcow2 -O raw "$1" out.raw
    cmp qemu.raw out.raw || fail "$1: convert gives other bytes"
    img compare -q -f qcow2 -F raw "$1" qemu.raw || fail "$1: compare differs"
}

# as_model IMAGE: as both read it, and as model.raw
as_model() {
    check_both "$1"
    cmp model.raw out.raw || fail "$1 is not as it should be"
}

# Chains of three, the lowest of each format, shorter and longer than those
# above it.
for low in raw qcow2 qcow; do
    for options in compat=1.1 compat=0.10 cluster_size=4k \
        cluster_size=512,refcount_bits=1; do
        rm -f low mid top model.raw
        qemu-img create -q -f $low low 700k
        ours low $low 'write s1 0 300k' 'write s2 500k 200k'
        qemu-img create -q -f qcow2 -o $options -b low -F $low mid 1000k
        qemus mid qcow2 'write 2 100k 100k' 'writez 250k 100k' \
            'write 3 650k 100k'
        img create -q -f qcow2 -o $options -b mid -F qcow2 top 900k
        qemu-img convert -f qcow2 -O raw top model.raw
        as_model top
        # Parts of clusters: the rest comes from below.
        for command in 'write s3 150100 50' 'write 7 299999 70001' \
            'writez 10000 3000' 'writez -u 600k 20k' 'writec 8 320k 64k' \
            'write s9 699k 3k'; do
            ours top qcow2 "$command"
            model model.raw "$command"
        done
        as_model top
        qemus top qcow2 'write 5 40001 70000' 'writez 500000 4000'
        model model.raw 'write 5 40001 70000' 'writez 500000 4000'
        as_model top
        # Resized by either: what is below does not come to light.
        ours top qcow2 'truncate 400k' 'truncate 1000k'
        model model.raw 'truncate 400k' 'truncate 1000k'
        as_model top
        qemu-img resize -q -f qcow2 --shrink top 333k
        case $options in
            # QEMU cannot hide what is below with version 2.
            compat=0.10) ours top qcow2 'truncate 2000k' ;;
            *) qemu-img resize -q -f qcow2 top 2000k ;;
        esac
        model model.raw 'truncate 333k' 'truncate 2000k'
        as_model top
        ours top qcow2 'write 4 333k 100k' 'write s4 1900k 100k'
        model model.raw 'write 4 333k 100k' 'write s4 1900k 100k'
        as_model top
        # Emptied, it is as what is below, up to the end of that.
        ours top qcow2 empty
        qemu-img convert -f qcow2 -O raw mid model.raw
        model model.raw 'truncate 2000k'
        as_model top
    done
done

# Snapshots stay as they are, whoever writes.
for options in compat=1.1 compat=0.10,cluster_size=4k \
    cluster_size=512,refcount_bits=8; do
    rm -f x.qcow2 model.raw
    qemu-img create -q -f qcow2 -o $options x.qcow2 1M
    truncate -s 1M model.raw
    for i in 1 2 3; do
        if [ $i = 2 ]; then
            qemus x.qcow2 qcow2 "write $i ${i}00k 200k" 'writez 150k 20k'
        else
            ours x.qcow2 qcow2 "write $i ${i}00k 200k" 'writez 150k 20k'
        fi
        model model.raw "write $i ${i}00k 200k" 'writez 150k 20k'
        cp model.raw model-$i.raw
        qemu-img snapshot -c snap$i x.qcow2
    done
    ours x.qcow2 qcow2 'write 9 50k 500k' 'writec 8 640k 64k' \
        'writez -u 600k 30k' 'discard 0 50k' 'writez 0 50k'
    model model.raw 'write 9 50k 500k' 'writec 8 640k 64k' \
        'writez -u 600k 30k' 'writez 0 50k'
    as_model x.qcow2
    for i in 1 2 3; do
        qemu-img convert -l snap$i -f qcow2 -O raw x.qcow2 snap.raw
        cmp snap.raw model-$i.raw || fail "snapshot $i has changed"
    done
    # One goes, one is taken up again, and work goes on.
    qemu-img snapshot -d snap2 x.qcow2
    qemu-img snapshot -a snap1 x.qcow2
    cp model-1.raw model.raw
    as_model x.qcow2
    ours x.qcow2 qcow2 'write 6 120k 333k' 'writec 5 512k 128k'
    model model.raw 'write 6 120k 333k' 'writec 5 512k 128k'
    as_model x.qcow2
    for i in 1 3; do
        qemu-img convert -l snap$i -f qcow2 -O raw x.qcow2 snap.raw
        cmp snap.raw model-$i.raw || fail "snapshot $i has changed"
        qemu-img snapshot -d snap$i x.qcow2
    done
    as_model x.qcow2
done

# Compressed as a whole, by either; read and written over by the other.
rm -f model.raw
truncate -s 3M model.raw
model model.raw 'write s1 0 400k' 'write 2 400k 800k' 'writez 600k 100k' \
    'write s3 2900k 100k'
for options in compat=1.1 compat=0.10 cluster_size=4k cluster_size=2M \
    cluster_size=512; do
    for maker in qemu ours; do
        rm -f x.qcow2
        if [ $maker = qemu ]; then
            qemu-img convert -c -f raw -O qcow2 -o $options model.raw x.qcow2
        else
            img convert -c -f raw -O qcow2 -o $options model.raw x.qcow2
        fi
        as_model x.qcow2
        cp model.raw saved.raw
        ours x.qcow2 qcow2 'write 4 390k 33k'
        model model.raw 'write 4 390k 33k'
        # What QEMU and we write compressed goes beside each other.
        case $options in
            *2M*) ;;
            *)
                qemus x.qcow2 qcow2 'discard 64k 64k' 'writec 6 64k 64k'
                model model.raw 'writec 6 64k 64k'
                ours x.qcow2 qcow2 'writec 5 0 64k' 'writec 7 128k 64k'
                model model.raw 'writec 5 0 64k' 'writec 7 128k 64k'
                ;;
        esac
        as_model x.qcow2
        mv saved.raw model.raw
    done
done
