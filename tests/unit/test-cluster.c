/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>

#include "block/vvfat/cluster.h"

Test(cluster, empty_chain_has_no_cluster)
{
    ClusterChain chain = { 0 };
    ClusterRun run;

    cr_assert_eq(chain_length(&chain), 0);
    cr_assert_eq(chain_first(&chain), 0);
    cr_assert_not(chain_locate(&chain, 0, &run));
    chain_clear(&chain);
}

Test(cluster, adjacent_runs_join)
{
    ClusterChain chain = { 0 };

    cr_assert(chain_append(&chain, (ClusterRun){ 5, 3 }));
    cr_assert(chain_append(&chain, (ClusterRun){ 8, 2 }));
    cr_assert_eq(chain.n_runs, 1);
    cr_assert_eq(chain.one.count, 5);
    cr_assert(chain_append(&chain, (ClusterRun){ 2, 1 }));
    cr_assert(chain_append(&chain, (ClusterRun){ 3, 1 }));
    cr_assert_eq(chain.n_runs, 2);
    cr_assert_eq(chain_length(&chain), 7);
    cr_assert_eq(chain_first(&chain), 5);
    chain_clear(&chain);
    cr_assert_eq(chain.n_runs, 0);
}

Test(cluster, locate_gives_the_rest_of_the_run)
{
    ClusterChain chain = { 0 };
    ClusterRun run;

    chain_append(&chain, (ClusterRun){ 10, 4 });
    cr_assert(chain_locate(&chain, 1, &run));
    cr_assert_eq(run.first, 11);
    cr_assert_eq(run.count, 3);
    chain_append(&chain, (ClusterRun){ 100, 2 });
    cr_assert(chain_locate(&chain, 3, &run));
    cr_assert_eq(run.first, 13);
    cr_assert_eq(run.count, 1);
    cr_assert(chain_locate(&chain, 4, &run));
    cr_assert_eq(run.first, 100);
    cr_assert_eq(run.count, 2);
    cr_assert_not(chain_locate(&chain, 6, &run));
    chain_clear(&chain);
}

/* Every cluster of a chain of many runs, around each growth of the array. */
Test(cluster, fragmented_chain_is_found_cluster_by_cluster)
{
    ClusterChain chain = { 0 };
    ClusterRun run;
    uint64_t index = 0;

    for (uint32_t i = 0; i < 1000; i++) {
        cr_assert(chain_append(&chain, (ClusterRun){ 2 + 10 * i, 1 + i % 5 }));
        cr_assert_eq(chain.n_runs, i + 1);
    }
    for (uint32_t i = 0; i < 1000; i++) {
        for (uint32_t j = 0; j < 1 + i % 5; j++, index++) {
            cr_assert(chain_locate(&chain, index, &run));
            cr_assert_eq(run.first, 2 + 10 * i + j);
            cr_assert_eq(run.count, 1 + i % 5 - j);
        }
    }
    cr_assert_eq(chain_length(&chain), index);
    cr_assert_not(chain_locate(&chain, index, &run));
    chain_clear(&chain);
}

/* A run that goes backwards (a loop) stays a run of its own. */
Test(cluster, runs_that_go_back_do_not_join)
{
    ClusterChain chain = { 0 };

    chain_append(&chain, (ClusterRun){ 5, 1 });
    chain_append(&chain, (ClusterRun){ 5, 1 });
    chain_append(&chain, (ClusterRun){ 4, 1 });
    cr_assert_eq(chain.n_runs, 3);
    chain_clear(&chain);
}
