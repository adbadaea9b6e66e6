/* SPDX-License-Identifier: MIT */
/*
 * Random trees on the host that a guest did random things to, with names so
 * few that they are fought for; some of the changes held. A difference is told
 * with the seed of its volume, and its lines (world_parse()).
 */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>

#include "tests/unit/plan-fixture.h"

typedef struct Setup {
    unsigned seed; /* of the first volume; the next has the next */
    unsigned n_worlds;
    int most_inodes, most_steps;
    double held; /* part of the changes, in one volume of two */
    int n_names;
} Setup;

static Setup setups[] = {
    { 1000000, 50000, 6, 6, 0.2, 3 },    { 2000000, 50000, 10, 10, 0.1, 4 },
    { 3000000, 50000, 14, 20, 0.3, 4 },  { 4000000, 50000, 14, 30, 0, 4 },
    { 5000000, 50000, 10, 6, 0.5, 6 },   { 6000000, 50000, 20, 20, 0.05, 5 },
    { 7000000, 3000, 60, 120, 0.03, 9 },
};

/* A guest's side that is being changed. In `names` for each inode; NULL: it
 * has no entry. */
typedef struct Guest {
    PlanWorld *world;
    const Setup *setup;
    GRand *rand;
    GPtrArray *names;
} Guest;

static int pick(Guest *guest, int n)
{
    return g_rand_int_range(guest->rand, 0, n);
}

static bool chance(Guest *guest, double p)
{
    return g_rand_double(guest->rand) < p;
}

static guint number_of(const Inode *inode)
{
    return (guint)inode->id - 2;
}

static const char *name_of(const Guest *guest, const Inode *inode)
{
    return guest->names->pdata[number_of(inode)];
}

static const char *pick_name(Guest *guest)
{
    static const char *const names[] = { "a", "b", "c", "A", "d",
                                         "e", "B", "f", "g" };

    return names[pick(guest, guest->setup->n_names)];
}

static void set_entry(Guest *guest, Inode *inode, Inode *parent,
                      const char *name)
{
    inode->parent = parent;
    guest->names->pdata[number_of(inode)] = (char *)name;
}

static Inode *entry_at(const Guest *guest, const Inode *dir, const char *name)
{
    for (guint i = 0; i < guest->world->inodes->len; i++) {
        Inode *inode = guest->world->inodes->pdata[i];

        if (name_of(guest, inode) && inode->parent == dir &&
            g_str_equal(name_of(guest, inode), name)) {
            return inode;
        }
    }
    return NULL;
}

/* One that the guest has an entry for, or NULL (no luck). */
static Inode *pick_inode(Guest *guest)
{
    GPtrArray *inodes = guest->world->inodes;
    Inode *inode = inodes->len ? inodes->pdata[pick(guest, (int)inodes->len)]
                               : NULL;

    return inode && name_of(guest, inode) ? inode : NULL;
}

static Inode *pick_dir(Guest *guest)
{
    Inode *dir = chance(guest, 0.3) ? NULL : pick_inode(guest);

    return dir && dir->is_directory ? dir : guest->world->root;
}

static bool is_within(const Inode *inode, const Inode *dir)
{
    while (inode && inode != dir) {
        inode = inode->parent;
    }
    return inode != NULL;
}

/* ---- What guests do ---- */

static void make_entry(Guest *guest, bool on_host)
{
    Inode *dir = pick_dir(guest);
    const char *name = pick_name(guest);
    Inode *inode;

    if (entry_at(guest, dir, name)) {
        return;
    }
    inode = world_add(guest->world, chance(guest, 0.5), on_host ? dir : NULL,
                      on_host ? name : NULL);
    g_ptr_array_add(guest->names, NULL);
    set_entry(guest, inode, dir, name);
}

static void create(Guest *guest)
{
    make_entry(guest, false);
}

static void remove_tree(Guest *guest, Inode *inode)
{
    for (guint i = 0; i < guest->world->inodes->len; i++) {
        Inode *below = guest->world->inodes->pdata[i];

        if (name_of(guest, below) && below->parent == inode) {
            remove_tree(guest, below);
        }
    }
    set_entry(guest, inode, NULL, NULL);
}

static void remove_one(Guest *guest)
{
    Inode *inode = pick_inode(guest);

    if (inode) {
        remove_tree(guest, inode);
    }
}

/* Over what has the name, be it a tree: two steps of a guest in one. */
static void move(Guest *guest)
{
    Inode *inode = pick_inode(guest);
    Inode *dir = pick_dir(guest);
    const char *name = pick_name(guest);
    Inode *other = entry_at(guest, dir, name);

    if (!inode || is_within(dir, inode) ||
        (other && is_within(inode, other))) {
        return;
    }
    if (other) {
        remove_tree(guest, other);
    }
    set_entry(guest, inode, dir, name);
}

static void swap(Guest *guest)
{
    Inode *one = pick_inode(guest), *other = pick_inode(guest);

    if (one && other && !is_within(one, other) && !is_within(other, one)) {
        Inode *parent = one->parent;
        const char *name = name_of(guest, one);

        set_entry(guest, one, other->parent, name_of(guest, other));
        set_entry(guest, other, parent, name);
    }
}

/* a/b becomes b/a, under the names a/b or their own. */
static void exchange_with_parent(Guest *guest)
{
    Inode *inode = pick_inode(guest);
    Inode *above = inode ? inode->parent : NULL;

    if (!above || !inode->is_directory || above == guest->world->root) {
        return;
    }
    const char *name = name_of(guest, inode);
    const char *name_above = name_of(guest, above);
    Inode *other = entry_at(guest, inode, name);

    if (!other) {
        set_entry(guest, inode, above->parent, name_above);
        set_entry(guest, above, inode, name);
    }
}

static void rotate(Guest *guest)
{
    Inode *dir = pick_dir(guest);
    Inode *a = entry_at(guest, dir, "a"), *b = entry_at(guest, dir, "b");
    Inode *c = entry_at(guest, dir, "c");

    if (a && b && c) {
        set_entry(guest, a, dir, "b");
        set_entry(guest, b, dir, "c");
        set_entry(guest, c, dir, "a");
    }
}

/* Another thing altogether under the name. */
static void replace(Guest *guest)
{
    Inode *old = pick_inode(guest);

    if (old) {
        Inode *dir = old->parent;
        const char *name = name_of(guest, old);

        remove_tree(guest, old);
        Inode *inode = world_add(guest->world, chance(guest, 0.5), NULL, NULL);
        g_ptr_array_add(guest->names, NULL);
        set_entry(guest, inode, dir, name);
    }
}

static void change_entries(Guest *guest)
{
    static void (*const steps[])(Guest *) = {
        create,  remove_one,           move, move, move, swap, rotate,
        replace, exchange_with_parent,
    };
    int n = pick(guest, guest->setup->most_steps + 1);

    for (int i = 0; i < n; i++) {
        steps[pick(guest, G_N_ELEMENTS(steps))](guest);
    }
}

/* ---- The list ---- */

static void change_looks(Guest *guest, Inode *inode)
{
    if (!inode->is_directory && inode_is_on_host(inode)) {
        inode->change->content = (InodeContent)pick(guest, 3);
    }
    if (chance(guest, 0.2)) {
        inode->entry.attr |= FAT_ATTR_HIDDEN;
    }
    if (inode_is_on_host(inode) && chance(guest, 0.2)) {
        inode->host_entry.attr |= FAT_ATTR_READ_ONLY;
    }
    if (chance(guest, 0.3)) {
        le16_put(&inode->entry.mtime, 0x6001);
    }
}

static void make_changes(Guest *guest)
{
    PlanWorld *world = guest->world;
    double held = chance(guest, 0.5) ? guest->setup->held : 0;

    for (guint i = 0; i < world->inodes->len; i++) {
        Inode *inode = world->inodes->pdata[i];
        const char *name = name_of(guest, inode);
        bool is_same = name && inode->parent == inode->host_parent &&
                       g_strcmp0(name, inode->host_name) == 0;

        if (is_same && chance(guest, 0.7)) {
            continue;
        }
        world_change(world, inode, inode->parent, name);
        change_looks(guest, inode);
        if (chance(guest, held)) {
            inode->change->held = INODE_CHAIN_BAD;
        }
    }
    for (guint i = world->changes->len; i > 1; i--) {
        int other = pick(guest, (int)i);
        gpointer last = world->changes->pdata[i - 1];

        world->changes->pdata[i - 1] = world->changes->pdata[other];
        world->changes->pdata[other] = last;
    }
}

static PlanWorld *random_world(const Setup *setup, unsigned seed)
{
    Guest guest = { .world = world_new(), .setup = setup };
    int n;

    guest.rand = g_rand_new_with_seed(seed);
    guest.names = g_ptr_array_new();
    n = pick(&guest, setup->most_inodes + 1);
    for (int i = 0; i < n; i++) {
        make_entry(&guest, true);
    }
    change_entries(&guest);
    make_changes(&guest);
    g_ptr_array_unref(guest.names);
    g_rand_free(guest.rand);
    return guest.world;
}

static void check_world(const Setup *setup, unsigned seed, gsize *counts)
{
    g_autoptr(PlanWorld) world = random_world(setup, seed);
    g_autoptr(Plan) plan = world_plan(world);
    g_autofree char *wrong = judge_plan(world, plan);

    if (!wrong) {
        wrong = judge_held(world);
    }
    if (wrong) {
        g_autofree char *lines = world_to_text(world);
        g_autofree char *text = plan_to_text(plan);
        cr_assert_fail("seed %u: %s\n%s\n%s", seed, wrong, lines, text);
    }
    for (guint i = 0; i < plan->ops->len; i++) {
        counts[g_array_index(plan->ops, PlanOp, i).kind]++;
    }
    for (guint i = 0; i < world->changes->len; i++) {
        const Inode *inode = world->changes->pdata[i];

        if (inode->change->held) {
            counts[PLAN_TIMES + __builtin_ctz(inode->change->held) + 1]++;
        }
    }
}

ParameterizedTestParameters(plan_random, whatever_a_guest_did)
{
    return cr_make_param_array(Setup, setups, G_N_ELEMENTS(setups));
}

ParameterizedTest(Setup *setup, plan_random, whatever_a_guest_did)
{
    gsize counts[PLAN_TIMES + 1 + 32] = { 0 };

    for (unsigned i = 0; i < setup->n_worlds; i++) {
        check_world(setup, setup->seed + i, counts);
    }
    for (int i = PLAN_STAGE; i <= PLAN_TIMES; i++) {
        cr_assert_gt(counts[i], 0, "no volume needed operation %d", i);
    }
    if (setup->held > 0) {
        const gsize *held = counts + PLAN_TIMES + 1;

        cr_assert_gt(held[__builtin_ctz(INODE_PARENT_HELD)], 0);
        cr_assert_gt(held[__builtin_ctz(INODE_NAME_TAKEN)], 0);
        cr_assert_gt(held[__builtin_ctz(INODE_NOT_EMPTY)], 0);
    }
}
