/* SPDX-License-Identifier: MIT */
/* What is kept of a volume: as bytes and back, whatever the bytes are. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "block/vvfat/journal.h"

#define END 1000u /* behind the last cluster */
#define AREA (INT64_C(1) << 20)
#define STORE (2 * AREA + 2 * (int64_t)JOURNAL_SUPER_BYTES)

/* ---- A store in memory ---- */

typedef struct Store {
    uint8_t *data;
    unsigned writes, fail_from; /* writes and flushes; 0: none fails */
} Store;

static bool store_fails(Store *s)
{
    return s->fail_from && ++s->writes >= s->fail_from;
}

static int store_read(void *opaque, int64_t offset, int64_t bytes, void *buf)
{
    memcpy(buf, ((Store *)opaque)->data + offset, (size_t)bytes);
    return 0;
}

static int store_write(void *opaque, int64_t offset, int64_t bytes,
                       const void *buf)
{
    Store *s = opaque;

    if (store_fails(s)) {
        return -ENOSPC;
    }
    memcpy(s->data + offset, buf, (size_t)bytes);
    return 0;
}

static int store_flush(void *opaque)
{
    return store_fails(opaque) ? -EIO : 0;
}

static void store_discard(void *opaque, int64_t offset, int64_t bytes)
{
    memset(((Store *)opaque)->data + offset, 0xdd, (size_t)bytes);
}

static Journal *journal_on(Store *s)
{
    JournalStore store = {
        .read = store_read,
        .write = store_write,
        .flush = store_flush,
        .discard = store_discard,
        .opaque = s,
        .supers = { 0, JOURNAL_SUPER_BYTES },
        .areas = { 2 * (int64_t)JOURNAL_SUPER_BYTES,
                   2 * (int64_t)JOURNAL_SUPER_BYTES + AREA },
        .area_bytes = AREA,
    };

    if (!s->data) {
        s->data = g_malloc0(STORE);
    }
    return journal_new(&store);
}

/* ---- Inodes ---- */

static Inode *make_inode(uint64_t id, Inode *parent, const char *name,
                         bool is_directory)
{
    Inode *inode = inode_new(is_directory);

    inode->id = id;
    inode_set_name(inode, name);
    inode_set_host_name(inode, name);
    inode->parent = inode->host_parent = parent;
    inode->slot = (uint32_t)id * 3;
    inode->n_slots = 2;
    inode->host = (InodeHostId){ .dev = 8, .ino = id, .size = 5 };
    return inode;
}

static GPtrArray *make_tree(void)
{
    GPtrArray *inodes =
        g_ptr_array_new_with_free_func((GDestroyNotify)inode_free);
    Inode *root = make_inode(1, NULL, "", true);
    Inode *dir = make_inode(2, root, "dir", true);
    Inode *file = make_inode(3, dir, "file", false);

    chain_append(&file->chain, (ClusterRun){ 5, 3 });
    chain_append(&file->chain, (ClusterRun){ 20, 1 });
    chain_append(&file->host_chain, (ClusterRun){ 5, 2 });
    file->alias = g_strdup("alias");
    file->is_unsynced = true;
    g_ptr_array_add(inodes, root);
    g_ptr_array_add(inodes, dir);
    g_ptr_array_add(inodes, file);
    return inodes;
}

static void free_taken(JournalTree *tree)
{
    g_autoptr(GPtrArray) inodes = journal_tree_take(tree);

    for (guint i = 0; i < inodes->len; i++) {
        inode_free(g_ptr_array_index(inodes, i));
    }
}

static void begin(Journal *j, const GPtrArray *inodes)
{
    g_autoptr(GByteArray) identity = g_byte_array_new();

    g_byte_array_append(identity, (const guint8 *)"me", 2);
    cr_assert_eq(journal_begin(j, identity), 0);
    cr_assert_eq(journal_checkpoint(j, inodes), 0);
}

/* What a new process finds. NULL: it may not be opened. */
static JournalTree *reopen(Store *s, JournalPlan **plan)
{
    g_autoptr(Journal) j = journal_on(s);
    g_autoptr(JournalTree) tree = journal_tree_new();
    g_autoptr(GByteArray) identity = NULL;
    g_autoptr(GError) error = NULL;
    JournalState state;

    cr_assert_eq(journal_probe(j, &state, &identity), 0);
    if (state != JOURNAL_READY || !journal_load(j, END, tree, plan, &error) ||
        !journal_tree_link(tree)) {
        return NULL;
    }
    return g_steal_pointer(&tree);
}

Test(journal, inodes_come_back_as_they_were)
{
    g_autoptr(GPtrArray) inodes = make_tree();
    Store s = { 0 };
    g_autoptr(Journal) j = journal_on(&s);
    g_autoptr(JournalPlan) plan = NULL;
    g_autoptr(JournalTree) tree = NULL;
    const Inode *file;

    begin(j, inodes);
    tree = reopen(&s, &plan);
    cr_assert(tree && !plan);
    file = journal_tree_get(tree, 3);
    cr_assert(file && !file->is_directory);
    cr_assert_str_eq(file->name, "file");
    cr_assert_str_eq(file->alias, "alias");
    cr_assert(file->is_unsynced);
    cr_assert_eq(file->parent, journal_tree_get(tree, 2));
    cr_assert_eq(file->parent->children[0], file);
    cr_assert_eq(file->host_parent, file->parent);
    cr_assert_eq(chain_length(&file->chain), 4);
    cr_assert_eq(chain_length(&file->host_chain), 2);
    cr_assert_eq(file->host.ino, 3);
    g_free(s.data);
}

/* ---- The log ---- */

static void make_plan(Plan *plan, GPtrArray *inodes)
{
    PlanOp op = {
        .kind = PLAN_RENAME,
        .inode = g_ptr_array_index(inodes, 2),
        .dir = g_ptr_array_index(inodes, 0),
        .name = "new name",
    };

    plan->ops = g_array_new(FALSE, FALSE, sizeof(PlanOp));
    g_array_append_val(plan->ops, op);
}

Test(journal, a_plan_is_open_until_it_is_done)
{
    g_autoptr(GPtrArray) inodes = make_tree();
    g_autoptr(GArray) gone = g_array_new(FALSE, FALSE, sizeof(uint64_t));
    const uint64_t two = 2;
    Store s = { 0 };
    g_autoptr(Journal) j = journal_on(&s);
    Plan plan;

    begin(j, inodes);
    make_plan(&plan, inodes);
    cr_assert_eq(journal_plan(j, &plan, inodes), 0);
    {
        g_autoptr(JournalPlan) open = NULL;
        g_autoptr(JournalTree) tree = reopen(&s, &open);

        cr_assert(tree && open);
        cr_assert_eq(open->ops->len, 1);
        cr_assert_str_eq(g_array_index(open->ops, JournalOp, 0).name,
                         "new name");
        cr_assert_eq(g_array_index(open->ops, JournalOp, 0).inode, 3);
    }
    ((Inode *)inodes->pdata[2])->parent = inodes->pdata[0];
    ((Inode *)inodes->pdata[2])->host_parent = inodes->pdata[0];
    g_array_append_val(gone, two);
    cr_assert_eq(journal_done(j, inodes, gone), 0);
    {
        g_autoptr(JournalPlan) open = NULL;
        g_autoptr(JournalTree) tree = reopen(&s, &open);

        cr_assert(tree && !open);
        cr_assert_null(journal_tree_get(tree, 2));
        cr_assert_eq(journal_tree_get(tree, 3)->parent,
                     journal_tree_get(tree, 1));
    }
    g_array_unref(plan.ops);
    g_free(s.data);
}

/* It stays where it was, and the journal takes smaller ones. */
Test(journal, a_plan_that_does_not_fit_is_refused)
{
    g_autoptr(GPtrArray) inodes = make_tree();
    Store s = { 0 };
    g_autoptr(Journal) j = journal_on(&s);
    Plan plan = { .ops = g_array_new(FALSE, FALSE, sizeof(PlanOp)) };
    PlanOp op = { .kind = PLAN_WRITE, .inode = inodes->pdata[2] };

    begin(j, inodes);
    while (plan.ops->len < AREA / 29) { /* bytes of an op without a name */
        g_array_append_val(plan.ops, op);
    }
    cr_assert_eq(journal_plan(j, &plan, inodes), -EFBIG);
    cr_assert_eq(journal_checkpoint(j, inodes), 0);
    g_array_set_size(plan.ops, 1);
    cr_assert_eq(journal_plan(j, &plan, inodes), 0);
    {
        g_autoptr(JournalPlan) open = NULL;
        g_autoptr(JournalTree) tree = reopen(&s, &open);

        cr_assert(tree && open);
        cr_assert_eq(open->ops->len, 1);
    }
    g_array_unref(plan.ops);
    g_free(s.data);
}

Test(journal, a_failed_write_takes_a_checkpoint)
{
    g_autoptr(GPtrArray) inodes = make_tree();
    g_autoptr(GArray) gone = g_array_new(FALSE, FALSE, sizeof(uint64_t));
    Store s = { 0 };
    g_autoptr(Journal) j = journal_on(&s);

    begin(j, inodes);
    s.fail_from = 1;
    cr_assert_eq(journal_done(j, inodes, gone), -ENOSPC);
    s.fail_from = 0;
    cr_assert(journal_is_stale(j));
    cr_assert_neq(journal_done(j, inodes, gone), 0);
    cr_assert_eq(journal_checkpoint(j, inodes), 0);
    cr_assert_eq(journal_done(j, inodes, gone), 0);
    g_free(s.data);
}

/* Each write and flush of a checkpoint fails in turn: the one before counts. */
Test(journal, a_checkpoint_that_fails_leaves_the_old_one)
{
    for (unsigned k = 1; k < 6; k++) {
        g_autoptr(GPtrArray) inodes = make_tree();
        g_autoptr(JournalPlan) open = NULL;
        g_autoptr(JournalTree) tree = NULL;
        Store s = { 0 };
        g_autoptr(Journal) j = journal_on(&s);

        begin(j, inodes);
        s.fail_from = k;
        (void)!journal_checkpoint(j, inodes);
        s.fail_from = 0;
        tree = reopen(&s, &open);
        cr_assert(tree, "%u", k);
        cr_assert_eq(journal_tree_size(tree), 3);
        g_free(s.data);
    }
}

/* ---- Damage ---- */

/* Any byte of the log: it ends there, and what is before it counts. */
Test(journal, a_damaged_log_ends_at_the_damage)
{
    g_autoptr(GPtrArray) inodes = make_tree();
    Store s = { 0 };
    g_autoptr(Journal) j = journal_on(&s);
    Plan plan;
    uint8_t *before = g_malloc(STORE);
    int64_t first = -1, last = 0;

    begin(j, inodes);
    make_plan(&plan, inodes);
    memcpy(before, s.data, STORE);
    cr_assert_eq(journal_plan(j, &plan, inodes), 0);
    for (int64_t i = 0; i < STORE; i++) {
        if (before[i] != s.data[i]) {
            first = first < 0 ? i : first;
            last = i;
        }
    }
    cr_assert(first > 0);
    for (int64_t i = first; i <= last; i++) {
        g_autoptr(JournalPlan) open = NULL;
        g_autoptr(JournalTree) tree = NULL;

        s.data[i] ^= 0x5a;
        tree = reopen(&s, &open);
        cr_assert(tree && !open, "byte %d", (int)(i - first));
        s.data[i] ^= 0x5a;
    }
    g_array_unref(plan.ops);
    g_free(before);
    g_free(s.data);
}

/* Any byte in use of a checkpoint: it is refused. */
Test(journal, a_damaged_checkpoint_is_refused)
{
    g_autoptr(GPtrArray) inodes = make_tree();
    Store s = { 0 };
    g_autoptr(Journal) j = journal_on(&s);
    int64_t area = 2 * (int64_t)JOURNAL_SUPER_BYTES + AREA;
    unsigned n = 0;

    begin(j, inodes);
    for (int64_t i = area; i < area + 2048; i++) {
        g_autoptr(JournalPlan) open = NULL;
        g_autoptr(JournalTree) tree = NULL;

        if (s.data[i] == 0) {
            continue;
        }
        s.data[i] ^= 0x5a;
        tree = reopen(&s, &open);
        cr_assert_null(tree, "byte %d", (int)(i - area));
        s.data[i] ^= 0x5a;
        n++;
    }
    cr_assert(n > 50);
    g_free(s.data);
}

/* ---- Trees that cannot be ---- */

static JournalInode *decode(const Inode *inode)
{
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    JournalReader in;

    journal_put_inode(bytes, inode);
    in = (JournalReader){ .at = bytes->data, .left = bytes->len };
    return journal_get_inode(&in, END);
}

Test(journal, a_circle_of_directories_on_the_host_is_refused)
{
    g_autoptr(GPtrArray) inodes = make_tree();
    g_autoptr(JournalTree) tree = journal_tree_new();
    Inode *dir = inodes->pdata[1], *other = make_inode(4, dir, "x", true);

    g_ptr_array_add(inodes, other);
    dir->host_parent = other;
    for (guint i = 0; i < inodes->len; i++) {
        journal_tree_put(tree, decode(inodes->pdata[i]));
    }
    cr_assert_not(journal_tree_link(tree));
}

Test(journal, a_circle_in_the_volume_becomes_an_orphan)
{
    g_autoptr(GPtrArray) inodes = make_tree();
    g_autoptr(JournalTree) tree = journal_tree_new();
    Inode *dir = inodes->pdata[1], *other = make_inode(4, dir, "x", true);

    g_ptr_array_add(inodes, other);
    dir->parent = other;
    for (guint i = 0; i < inodes->len; i++) {
        journal_tree_put(tree, decode(inodes->pdata[i]));
    }
    cr_assert(journal_tree_link(tree));
    free_taken(tree);
}

Test(journal, names_that_lead_elsewhere_are_refused)
{
    static const char *const names[] = { "..", ".", "", "a/b" };

    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autoptr(GPtrArray) inodes = make_tree();
        Inode *file = inodes->pdata[2];

        inode_set_host_name(file, names[i]);
        cr_assert_null(decode(file), "%s", names[i]);
    }
}

Test(journal, links_that_lead_elsewhere_are_refused)
{
    static const char *const good[] = { "real", "a/b/c", "..a/b.." };
    static const char *const bad[] = { "",     "..",   "../x",  "a/../b",
                                       "/etc", "a//b", "a/./b", "a/" };

    for (size_t i = 0; i < G_N_ELEMENTS(good) + G_N_ELEMENTS(bad); i++) {
        bool is_good = i < G_N_ELEMENTS(good);
        const char *path = is_good ? good[i] : bad[i - G_N_ELEMENTS(good)];
        g_autoptr(GPtrArray) inodes = make_tree();
        Inode *file = inodes->pdata[2];
        g_autoptr(JournalInode) decoded = NULL;

        file->link_path = g_strdup(path);
        decoded = decode(file);
        cr_assert((decoded != NULL) == is_good, "%s", path);
    }
}

Test(journal, clusters_behind_the_end_are_refused)
{
    g_autoptr(GPtrArray) inodes = make_tree();
    Inode *file = inodes->pdata[2];

    chain_append(&file->chain, (ClusterRun){ END - 1, 2 });
    cr_assert_null(decode(file));
}

Test(journal, what_is_cut_off_is_refused)
{
    g_autoptr(GPtrArray) inodes = make_tree();
    g_autoptr(GByteArray) bytes = g_byte_array_new();

    journal_put_inode(bytes, inodes->pdata[2]);
    for (guint n = 0; n < bytes->len; n++) {
        JournalReader in = { .at = bytes->data, .left = n };

        cr_assert_null(journal_get_inode(&in, END), "%u", n);
    }
}
