/* SPDX-License-Identifier: MIT */
/*
 * The images that crash. Clusters are small, so that tables get full soon, and
 * each kind of cluster is there to be written over.
 */
#include "tests/crash/workload.h"

/* Compressed clusters side by side, zeroes of both kinds, data. */
#define QCOW2_MIX(options, size)                                              \
    "rm -f start.img && qemu-img create -q -f qcow2 -o " options              \
    " start.img " size " && qemu-io -f qcow2 -c 'write -P 1 0 192k' "         \
    "-c 'write -c -P 2 256k 64k' -c 'write -c -P 3 320k 64k' "                \
    "-c 'write -z 384k 64k' -c 'write -P 4 448k 64k' "                        \
    "-c 'write -z -u 448k 20k' -c 'discard 64k 64k' start.img"
#define BACKED "backing_file=$PWD/base.raw,backing_fmt=raw,"

const Scenario qcow2_scenarios[] = {
    {
        /* A refcount block counts 32k, the refcount table's first cluster
         * 2M; an L2 table describes 32k, the L1 table's first cluster 2M. */
        .name = "small-clusters",
        .format = "qcow2",
        .prepare = QCOW2_MIX(BACKED "cluster_size=512,refcount_bits=64",
                             "1900k") " && qemu-io -f qcow2 "
                                      "-c 'write -P 5 500k 1100k' start.img",
        .requests = "write 1600k 64k; flush; write 1664k 100k; "
                    "write 1764k 136k; flush; unmap 1k 31k; write 512 4k; "
                    "flush; truncate 2200k; write 1900k 300k; flush; "
                    "random 30 11; truncate 1000k; random 6 12; flush; "
                    "truncate 1200k; write 1100k 8k; flush; random 6 13",
        .unit = 512,
        .backed = true,
    },
    {
        /* The file gets shorter, and refcount blocks go with its end. */
        .name = "shrinking",
        .format = "qcow2",
        .prepare = "rm -f start.img && qemu-img create -q -f qcow2 -o "
                   "cluster_size=512,refcount_bits=64 start.img 700k && "
                   "qemu-io -f qcow2 -c 'write -P 1 0 600k' start.img",
        .requests = "truncate 350k; write 0 1k; flush; truncate 100k; flush; "
                    "truncate 500k; write 100k 300k; truncate 110k; reopen; "
                    "write 90k 2k; truncate 0; flush; truncate 64k; "
                    "write 0 64k",
        .unit = 512,
    },
    {
        .name = "version-2",
        .format = "qcow2",
        .prepare = QCOW2_MIX(BACKED "compat=0.10,cluster_size=4k", "900k"),
        .requests = "random 60 21; truncate 700k; flush; truncate 1m; "
                    "random 10 22; flush",
        .unit = 4096,
        .backed = true,
    },
    {
        .name = "snapshot",
        .format = "qcow2",
        .prepare = QCOW2_MIX("cluster_size=4k", "700k") " && qemu-img "
                                                        "snapshot -c snap "
                                                        "start.img",
        .requests = "write 0 4k; flush; unmap 4k 8k; flush; discard 256k 40k; "
                    "flush; write 300k 512; flush; random 60 31; flush",
        .unit = 4096,
        .snapshot = true,
    },
    {
        .name = "lazy-refcounts",
        .format = "qcow2",
        .prepare = QCOW2_MIX("cluster_size=4k,lazy_refcounts=on", "700k"),
        .requests =
            "write 100k 5k; reopen; write 40k 9k; reopen; unmap 256k 9k; "
            "reopen; random 50 41; flush; truncate 500k; random 5 42; flush",
        .unit = 4096,
        .lazy_refcounts = true,
    },
    {
        .name = "overlay",
        .format = "qcow2",
        .prepare = QCOW2_MIX(BACKED "cluster_size=64k", "1999k"),
        .requests = "random 30 51; flush; empty; flush; random 15 52; empty; "
                    "random 5 53; truncate 1001k; flush; random 5 54; "
                    "truncate 3m; random 10 55; flush; truncate 0; flush",
        .unit = 65536,
        .backed = true,
    },
    {
        .name = "one-bit-refcounts",
        .format = "qcow2",
        .prepare = QCOW2_MIX("cluster_size=1k,refcount_bits=1", "600k"),
        .requests = "random 50 61; flush; empty; random 10 62; flush",
        .unit = 1024,
    },
    { .name = NULL },
};

const Scenario qcow_scenarios[] = {
    {
        .name = "qcow",
        .format = "qcow",
        .prepare = "rm -f start.img && qemu-img create -q -f qcow start.img "
                   "700k && qemu-io -f qcow -c 'write -P 1 0 100k' "
                   "-c 'write -c -P 2 100k 4k' -c 'write -c -P 3 104k 4k' "
                   "-c 'write -c -P 4 108k 4k' start.img",
        .requests = "random 60 71; flush; empty; random 10 72; flush",
        .unit = 4096,
    },
    {
        .name = "qcow-backed",
        .format = "qcow",
        .prepare = "rm -f start.img && qemu-img create -q -f qcow -o " BACKED
                   "size=5m start.img && qemu-io -f qcow -c 'write -P 1 0 9k' "
                   "start.img",
        .requests = "write 4m 5k; flush; random 30 81; flush; empty; "
                    "random 10 82; flush",
        .unit = 512,
        .backed = true,
    },
    { .name = NULL },
};

/* Shorter: each is run some hundred times. */
const Scenario qcow2_fault_scenarios[] = {
    {
        .name = "fault-small-clusters",
        .format = "qcow2",
        .prepare = QCOW2_MIX(BACKED "cluster_size=512,refcount_bits=64",
                             "2000k") " && qemu-io -f qcow2 "
                                      "-c 'write -P 5 500k 1400k' start.img",
        .requests = "write 1900k 70k; flush; unmap 1k 3k; write 512 2k; "
                    "compress 300k 2k; truncate 2100k; write 2000k 40k; "
                    "reopen; discard 100k 20k; truncate 1990k; durable 99k 3k",
        .unit = 512,
        .backed = true,
    },
    {
        .name = "fault-snapshot",
        .format = "qcow2",
        .prepare = QCOW2_MIX("cluster_size=4k", "700k") " && qemu-img "
                                                        "snapshot -c snap "
                                                        "start.img",
        .requests = "write 0 5k; flush; unmap 8k 8k; discard 256k 20k; "
                    "write 300k 512; compress 400k 8k; flush; zero 410k 9k; "
                    "write 430k 30k",
        .unit = 4096,
        .snapshot = true,
    },
    {
        .name = "fault-overlay",
        .format = "qcow2",
        .prepare = QCOW2_MIX(BACKED "cluster_size=64k,lazy_refcounts=on",
                             "999k"),
        .requests = "write 500k 70k; flush; write 600k 1k; empty; "
                    "write 64k 70k; flush; zero 0 70k; reopen; write 1k 1k",
        .unit = 65536,
        .backed = true,
        .lazy_refcounts = true,
    },
    { .name = NULL },
};

const Scenario qcow_fault_scenarios[] = {
    {
        .name = "fault-qcow",
        .format = "qcow",
        .prepare = "rm -f start.img && qemu-img create -q -f qcow -o " BACKED
                   "size=5m start.img && qemu-io -f qcow -c 'write -P 1 0 9k' "
                   "start.img",
        .requests = "write 4m 5k; flush; write 2k 1k; compress 1m 8k; "
                    "zero 3k 3k; flush; reopen; write 4609k 512; empty; "
                    "write 2m 9k",
        .unit = 512,
        .backed = true,
    },
    { .name = NULL },
};
