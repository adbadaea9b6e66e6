/* SPDX-License-Identifier: MIT */
/*
 * Chains of clusters as lists of runs.
 *
 * `many` has room for a power of two of runs, at least four, which follows
 * from n_runs alone. Behind the runs of one allocation stand as many
 * uint64_t: end[i] is the number of clusters in runs 0..i. They make
 * chain_length() constant and chain_locate() logarithmic, so that reading a
 * badly fragmented file does not become quadratic.
 */
#include "block/vvfat/cluster.h"

#include <string.h>

#define RUNS_MIN 4u

/* Room for runs in a chain of n_runs > 1. */
static size_t runs_capacity(uint32_t n_runs)
{
    size_t capacity = RUNS_MIN;

    while (capacity < n_runs) {
        capacity *= 2;
    }
    return capacity;
}

static uint64_t *run_ends(const ClusterChain *chain)
{
    return (uint64_t *)(chain->many + runs_capacity(chain->n_runs));
}

/* An allocation for `capacity` runs and their ends. */
static ClusterRun *runs_try_new(size_t capacity)
{
    return g_try_malloc_n(capacity, sizeof(ClusterRun) + sizeof(uint64_t));
}

/* Make room for one run more than there are (1 or more). */
static bool chain_reserve(ClusterChain *chain)
{
    size_t old_capacity = runs_capacity(chain->n_runs);
    bool is_one = chain->n_runs == 1;
    size_t capacity = is_one ? RUNS_MIN : 2 * old_capacity;
    ClusterRun *runs;
    uint64_t *ends;

    if (!is_one && chain->n_runs < old_capacity) {
        return true;
    }
    runs = runs_try_new(capacity);
    if (!runs) {
        return false;
    }
    ends = (uint64_t *)(runs + capacity);
    memcpy(runs, chain_runs(chain), chain->n_runs * sizeof(*runs));
    if (is_one) {
        ends[0] = chain->one.count;
    } else {
        memcpy(ends, run_ends(chain), chain->n_runs * sizeof(*ends));
        g_free(chain->many);
    }
    chain->many = runs;
    return true;
}

uint64_t chain_length(const ClusterChain *chain)
{
    if (chain->n_runs > 1) {
        return run_ends(chain)[chain->n_runs - 1];
    }
    return chain->n_runs ? chain->one.count : 0;
}

static bool run_continues(const ClusterRun *last, const ClusterRun *run)
{
    return (uint64_t)last->first + last->count == run->first &&
           run->count <= UINT32_MAX - last->count;
}

bool chain_append(ClusterChain *chain, ClusterRun run)
{
    uint32_t n = chain->n_runs;

    if (n == 0) {
        chain->one = run;
        chain->n_runs = 1;
        return true;
    }
    if (n == 1 && run_continues(&chain->one, &run)) {
        chain->one.count += run.count;
        return true;
    }
    if (n > 1 && run_continues(&chain->many[n - 1], &run)) {
        chain->many[n - 1].count += run.count;
        run_ends(chain)[n - 1] += run.count;
        return true;
    }
    if (n == UINT32_MAX || !chain_reserve(chain)) {
        return false;
    }
    chain->many[n] = run;
    chain->n_runs = n + 1;
    run_ends(chain)[n] = run_ends(chain)[n - 1] + run.count;
    return true;
}

bool chain_locate(const ClusterChain *chain, uint64_t index, ClusterRun *run)
{
    const ClusterRun *runs = chain_runs(chain);
    const uint64_t *ends;
    uint32_t low = 0, high;
    uint64_t skip = index;

    if (index >= chain_length(chain)) {
        return false;
    }
    if (chain->n_runs > 1) {
        ends = run_ends(chain);
        high = chain->n_runs - 1;
        while (low < high) {
            uint32_t middle = low + (high - low) / 2;

            if (ends[middle] > index) {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        skip = index - (low ? ends[low - 1] : 0);
    }
    run->first = runs[low].first + (uint32_t)skip;
    run->count = runs[low].count - (uint32_t)skip;
    return true;
}

void chain_truncate(ClusterChain *chain, uint64_t length)
{
    ClusterRun *many = chain->many;
    uint64_t *ends;
    uint64_t before;
    uint32_t n = 0;

    if (length >= chain_length(chain)) {
        return;
    }
    if (length == 0) {
        chain_clear(chain);
        return;
    }
    if (chain->n_runs == 1) {
        chain->one.count = (uint32_t)length;
        return;
    }
    ends = run_ends(chain);
    while (ends[n] < length) {
        n++;
    }
    before = n ? ends[n - 1] : 0;
    many[n].count = (uint32_t)(length - before);
    ends[n] = length;
    if (n == 0) {
        *chain = (ClusterChain){ .n_runs = 1, .one = many[0] };
        g_free(many);
        return;
    }
    chain->n_runs = n + 1;
    memmove(run_ends(chain), ends, (n + 1) * sizeof(*ends));
}

bool chain_copy(ClusterChain *to, const ClusterChain *from)
{
    for (uint32_t i = 0; i < from->n_runs; i++) {
        if (!chain_append(to, chain_runs(from)[i])) {
            chain_clear(to);
            return false;
        }
    }
    return true;
}

void chain_clear(ClusterChain *chain)
{
    if (chain->n_runs > 1) {
        g_free(chain->many);
    }
    *chain = (ClusterChain){ 0 };
}
