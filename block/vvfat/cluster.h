/* SPDX-License-Identifier: MIT */
/*
 * Runs of clusters, and the chain of a file as a list of runs.
 *
 * Most files stand in one run, which needs no allocation. Cluster numbers are
 * those of the FAT: the first data cluster is 2.
 */
#ifndef VVFAT_CLUSTER_H
#define VVFAT_CLUSTER_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct ClusterRun {
    uint32_t first; /* cluster number, >= 2 */
    uint32_t count; /* >= 1 */
} ClusterRun;

/* Zeroed: no clusters. */
typedef struct ClusterChain {
    uint32_t n_runs;
    union {
        ClusterRun one;   /* n_runs == 1 */
        ClusterRun *many; /* n_runs > 1: owned; made by chain_append() alone,
                             which keeps more behind it (cluster.c) */
    };
} ClusterChain;

static inline const ClusterRun *chain_runs(const ClusterChain *chain)
{
    return chain->n_runs > 1 ? chain->many : &chain->one;
}

/* First cluster as a directory entry has it; 0 for an empty chain. */
static inline uint32_t chain_first(const ClusterChain *chain)
{
    return chain->n_runs ? chain_runs(chain)->first : 0;
}

/* Number of clusters. */
uint64_t chain_length(const ClusterChain *chain);

/* Append; joins a run that continues the last one. False, with the chain as
 * it was, when there is no memory: only possible from the second run on. */
bool chain_append(ClusterChain *chain, ClusterRun run);

/* The cluster at `index` (0-based) and how many follow it in its run,
 * itself included. False past the end. Logarithmic in the number of runs. */
bool chain_locate(const ClusterChain *chain, uint64_t index, ClusterRun *run);

/* Keep the first `length` clusters (of as many, or more). */
void chain_truncate(ClusterChain *chain, uint64_t length);

void chain_clear(ClusterChain *chain);

/* A copy of `from` in `to`, which is empty. False without memory. */
bool chain_copy(ClusterChain *to, const ClusterChain *from)
    G_GNUC_WARN_UNUSED_RESULT;

#endif
