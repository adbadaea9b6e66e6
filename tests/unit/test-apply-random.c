/* SPDX-License-Identifier: MIT */
/*
 * Random trees and random changes of the guest, planned and applied: the host
 * ends as the guest has it, also when calls failed, the process died or the
 * power was cut on the way.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "apply-fixture.h"
#include "fault-hostfs.h"
#include "memory-hostfs.h"

#define RUNS 1500u
#define N_CHANGES 14u

typedef struct Case {
    FaultFs *fault;
    ApplyWorld *w;
    GRand *rand;
    uint32_t seed;
} Case;

static unsigned below(Case *c, unsigned n)
{
    return (unsigned)g_rand_int_range(c->rand, 0, (int)n);
}

static bool is_in_volume(const ApplyWorld *w, const Inode *inode)
{
    return inode == w->root || inode->parent;
}

static Inode *pick(Case *c, bool want_directory)
{
    GPtrArray *all = c->w->inodes;

    for (;;) {
        Inode *inode = all->pdata[below(c, all->len)];

        if (is_in_volume(c->w, inode) &&
            (!want_directory || inode->is_directory)) {
            return inode;
        }
    }
}

static Inode *find(Case *c, const Inode *dir, const char *name)
{
    for (guint i = 1; i < c->w->inodes->len; i++) {
        Inode *inode = c->w->inodes->pdata[i];

        if (inode->parent == dir && strcmp(inode->name, name) == 0) {
            return inode;
        }
    }
    return NULL;
}

static bool is_empty(Case *c, const Inode *dir)
{
    for (guint i = 0; i < c->w->inodes->len; i++) {
        if (((const Inode *)c->w->inodes->pdata[i])->parent == dir) {
            return false;
        }
    }
    return true;
}

static bool is_below(const Inode *inode, const Inode *above)
{
    while (inode && inode != above) {
        inode = inode->parent;
    }
    return inode != NULL;
}

static char *random_name(Case *c)
{
    return g_strdup_printf("%c", 'a' + (int)below(c, 6));
}

static char *random_text(Case *c)
{
    return g_strdup_printf("%x%.*s", g_rand_int(c->rand), (int)below(c, 20),
                           "--------------------");
}

static void make_tree(Case *c)
{
    for (unsigned i = 0; i < 14; i++) {
        Inode *dir = pick(c, true);
        g_autofree char *name = random_name(c);
        g_autofree char *text = random_text(c);

        if (find(c, dir, name)) {
            continue;
        }
        if (below(c, 2)) {
            apply_world_dir(c->w, dir, name);
        } else {
            apply_world_file(c->w, dir, name, text);
        }
    }
}

static void change_name(Case *c, Inode *inode)
{
    Inode *dir = pick(c, true);
    g_autofree char *name = random_name(c);
    Inode *there = find(c, dir, name);

    if (inode == c->w->root || is_below(dir, inode) || there == inode) {
        return;
    }
    if (there &&
        (there->is_directory ? !is_empty(c, there) : inode->is_directory)) {
        return;
    }
    if (there) {
        apply_world_remove(c->w, there);
    }
    apply_world_move(c->w, inode, dir, name);
}

static void change_contents(Case *c, Inode *inode)
{
    g_autofree char *text = random_text(c);
    bool whole = below(c, 2) || !inode_is_on_host(inode) ||
                 (inode->change && inode->change->content == CONTENT_WHOLE);

    if (inode->change && inode->change->ranges) {
        g_clear_pointer(&inode->change->ranges, g_array_unref);
    }
    apply_world_text(c->w, inode, whole ? CONTENT_WHOLE : CONTENT_RANGES,
                     text);
}

static void change_something(Case *c)
{
    Inode *inode = pick(c, false);
    g_autofree char *name = random_name(c);
    g_autofree char *text = random_text(c);

    switch (below(c, 6)) {
    case 0:
    case 1:
        change_name(c, inode);
        break;
    case 2:
        if (inode != c->w->root &&
            (!inode->is_directory || is_empty(c, inode))) {
            apply_world_remove(c->w, inode);
        }
        break;
    case 3:
        if (inode->is_directory && !find(c, inode, name)) {
            apply_world_add(c->w, inode, name, below(c, 3) ? text : NULL);
        }
        break;
    case 4:
        if (!inode->is_directory) {
            change_contents(c, inode);
        }
        break;
    default:
        if (inode != c->w->root) {
            apply_world_time(c->w, inode, 1000000000 + 2 * below(c, 1000));
        }
    }
}

/* All changes as they are now; the plan of the world. */
static void make_plan(Case *c)
{
    g_autoptr(GPtrArray) changes = g_ptr_array_new();
    Plan *plan;

    for (guint i = 1; i < c->w->inodes->len; i++) {
        Inode *inode = c->w->inodes->pdata[i];

        if (inode->change && (inode->parent || inode_is_on_host(inode))) {
            g_ptr_array_add(changes, inode);
        }
    }
    plan = plan_new(changes);
    g_array_set_size(c->w->plan.ops, 0);
    g_array_append_vals(c->w->plan.ops, plan->ops->data, plan->ops->len);
    plan_free(plan);
}

static int compare(gconstpointer a, gconstpointer b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static char *guest_tree(Case *c)
{
    g_autoptr(GPtrArray) lines = g_ptr_array_new_with_free_func(g_free);

    for (guint i = 1; i < c->w->inodes->len; i++) {
        const Inode *inode = c->w->inodes->pdata[i];
        const GString *data = g_hash_table_lookup(c->w->data, inode);
        g_autofree char *path = inode_path(inode);

        if (!inode->parent) {
            continue;
        }
        g_ptr_array_add(lines,
                        data ? g_strconcat(path, ": ", data->str, "\n", NULL)
                             : g_strconcat(path, "/\n", NULL));
    }
    g_ptr_array_sort(lines, compare);
    g_ptr_array_add(lines, NULL);
    return g_strjoinv(NULL, (char **)lines->pdata);
}

static Case case_new(uint32_t seed)
{
    Case c = {
        .fault = fault_fs_new(memory_hostfs_new()),
        .rand = g_rand_new_with_seed(seed),
        .seed = seed,
    };

    c.w = apply_world_new(&c.fault->fs);
    make_tree(&c);
    for (unsigned i = 0; i < N_CHANGES; i++) {
        change_something(&c);
    }
    cr_assert_eq(c.fault->fs.ops->sync_fs(&c.fault->fs), 0);
    make_plan(&c);
    c.fault->calls = 0;
    return c;
}

static void case_clear(Case *c)
{
    apply_world_free(c->w);
    hostfs_free(&c->fault->fs);
    g_rand_free(c->rand);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Case, case_clear)

static void check(Case *c, HostFs *fs)
{
    g_autofree char *want = guest_tree(c);
    g_autofree char *have = apply_world_tree(fs);

    cr_assert_str_eq(have, want, "seed %u: have\n%swant\n%s%s", c->seed, have,
                     want, c->w->events->str);
    apply_world_check_sides(c->w, fs);
}

/* Calls of a run without faults, of the same case. */
static int count_calls(uint32_t seed)
{
    g_auto(Case) c = case_new(seed);
    int n;

    apply_world_run_well(c.w);
    n = c.fault->calls;
    check(&c, &c.fault->fs);
    cr_assert_str_empty(c.w->events->str, "seed %u: %s", seed,
                        c.w->events->str);
    apply_world_run_well(c.w);
    check(&c, &c.fault->fs);
    return n;
}

Test(apply_random, whatever_the_guest_does)
{
    for (uint32_t seed = 1; seed <= RUNS; seed++) {
        cr_assert_geq(count_calls(seed), 0);
    }
}

Test(apply_random, a_new_plan_after_faults)
{
    for (uint32_t seed = 1; seed <= RUNS; seed++) {
        int n = count_calls(seed);
        g_auto(Case) c = case_new(seed);

        c.fault->error = below(&c, 2) ? -EIO : -ENOSPC;
        c.fault->fail_at = 1 + (int)below(&c, (unsigned)n + 1);
        c.fault->fail_on = below(&c, 2);
        cr_assert(apply_world_run(c.w) <= 0);
        c.fault->fail_at = 0;
        apply_world_release(c.w);
        make_plan(&c);
        apply_world_run_well(c.w);
        check(&c, &c.fault->fs);
    }
}

/* The second step is cut off, and the plan is run again by what was known
 * before it. */
static void check_crash(uint32_t seed, bool power)
{
    int n = count_calls(seed);
    g_auto(Case) c = case_new(seed);
    g_autoptr(HostFs) disk = NULL;
    guint n_ops = c.w->plan.ops->len;
    guint n_stage = 0;

    while (n_stage < n_ops &&
           g_array_index(c.w->plan.ops, PlanOp, n_stage).kind == PLAN_STAGE) {
        n_stage++;
    }
    c.w->plan.ops->len = n_stage;
    cr_assert_eq(apply_world_run(c.w), 0);
    c.w->plan.ops->len = n_ops;
    apply_world_save(c.w);
    c.fault->calls = 0;
    c.fault->fail_at = 1 + (int)below(&c, (unsigned)n + 1);
    c.fault->crash = true;
    cr_assert(apply_world_run(c.w) <= 0);
    disk = power ? memory_hostfs_crash(c.fault->inner, seed % 12)
                 : memory_hostfs_kill(c.fault->inner);
    apply_world_restore(c.w);
    c.w->fs = disk;
    cr_assert_eq(apply_world_run(c.w), 0);
    if (power) {
        /* A later rename may be on the disk and an earlier one not, of what is
         * in that directory: then it is held, and found by the next plan. */
        apply_world_release(c.w);
        make_plan(&c);
    }
    apply_world_run_well(c.w);
    check(&c, disk);
}

Test(apply_random, the_same_plan_after_the_process_died)
{
    for (uint32_t seed = 1; seed <= RUNS; seed++) {
        check_crash(seed, false);
    }
}

Test(apply_random, the_same_plan_after_a_power_cut)
{
    for (uint32_t seed = 1; seed <= RUNS; seed++) {
        check_crash(seed, true);
    }
}
