/* SPDX-License-Identifier: MIT */
/*
 * The guest's view kept up to date, against one that is loaded afresh from the
 * same bytes: a guest does operations at random, and writes some of what is
 * dirty in some order. Of every entry that the fresh view finds nothing wrong
 * with, and that does not wait, both have the same name, size and chain; when
 * everything is written, both have the same tree, and nothing waits.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "block/vvfat/guest-state.h"
#include "block/vvfat/guest-view.h"
#include "image-fixture.h"
#include "tests/model/fatvol.h"
#include "tests/unit/host-tree.h"
#include "tests/unit/memory-hostfs.h"
#include "vvfat-fixture.h"

#define MAX_ENTRIES 60

TestSuite(guest_state, .init = image_dir_init, .fini = image_dir_fini);

typedef struct Rig {
    TestDisk *layout;
    Disk *disk;
    FatVol *vol;
    uint8_t *initial;  /* the disk as it was opened */
    uint8_t *seen;     /* as the state has seen it */
    GHashTable *dirty; /* clusters written since they were committed */
    GuestState *state;
    int64_t bad; /* a byte of the volume that cannot be read; 0: none */
    Prng prng;
    uint64_t seed;
    unsigned round;
} Rig;

/* ---- Making one ---- */

static int read_now(void *opaque, int64_t offset, int64_t bytes, void *buf)
{
    const Rig *r = opaque;

    if (offset < 0 || offset + bytes > r->disk->size - r->vol->start ||
        (r->bad && offset <= r->bad && offset + bytes > r->bad)) {
        return -EIO;
    }
    memcpy(buf, r->disk->shadow + r->vol->start + offset, (size_t)bytes);
    return 0;
}

static int read_initial(void *opaque, int64_t offset, int64_t bytes, void *buf)
{
    const Rig *r = opaque;

    memcpy(buf, r->initial + r->vol->start + offset, (size_t)bytes);
    return 0;
}

static bool is_dirty(void *opaque, uint32_t cluster)
{
    const Rig *r = opaque;

    return g_hash_table_contains(r->dirty, GUINT_TO_POINTER(cluster));
}

static HostFs *make_host(void)
{
    HostFs *fs = memory_hostfs_new();
    char data[3000];

    memset(data, 'd', sizeof(data));
    cr_assert_eq(host_tree_file(fs, "file", data, sizeof(data)), 0);
    cr_assert_eq(host_tree_file(fs, "dir/one", data, 700), 0);
    cr_assert_eq(host_tree_text(fs, "dir/sub/two", "two"), 0);
    cr_assert_eq(host_tree_text(fs, "dir/sub/below/three", "three"), 0);
    cr_assert_eq(host_tree_dir(fs, "other"), 0);
    return fs;
}

static void make_state(Rig *r)
{
    GuestStateConfig config = {
        .volume_bytes = (uint64_t)(r->disk->size - r->vol->start),
        .read = read_now,
        .initial = read_initial,
        .is_dirty = is_dirty,
        .opaque = r,
    };
    static Codepage *codepage;

    codepage = codepage ? codepage : codepage_new(437, NULL);
    config.codepage = codepage;
    cr_assert(boot_parse(r->initial + r->vol->start, config.volume_bytes,
                         &config.boot, NULL));
    r->state = guest_state_new(&config);
    guest_state_add_layout(r->state, r->layout->layout);
}

static void rig_init(Rig *r, unsigned fat_type, uint64_t seed)
{
    LayoutRequest request = layout_request_default();
    g_autofree char *path = image_path("disk");
    g_autoptr(GError) error = NULL;
    char *why = NULL;

    request.geometry.fat_type = fat_type;
    request.geometry.size = fat_type == 12   ? 1 << 20
                            : fat_type == 16 ? 3 << 20
                                             : 36 << 20;
    request.geometry.cluster_size = 512;
    *r = (Rig){ .prng = { seed }, .seed = seed };
    r->layout = test_disk_try(make_host(), NULL, &request, &error);
    cr_assert_not_null(r->layout, "%s", error ? error->message : "");
    test_disk_save(r->layout, path, false);
    r->disk = disk_new(image_open(BDRV_O_RDWR | BDRV_O_NO_FLUSH,
                                  "driver=raw,file.driver=file,"
                                  "file.filename=%D/disk"),
                       &why);
    cr_assert_not_null(r->disk, "%s", why);
    r->vol = fatvol_open(r->disk, &why);
    cr_assert_not_null(r->vol, "%s", why);
    r->initial = g_memdup2(r->disk->shadow, (gsize)r->disk->size);
    r->seen = g_memdup2(r->disk->shadow, (gsize)r->disk->size);
    r->dirty = g_hash_table_new(NULL, NULL);
    make_state(r);
}

static void rig_clear(Rig *r)
{
    guest_state_free(r->state);
    g_hash_table_destroy(r->dirty);
    g_free(r->initial);
    g_free(r->seen);
    fatvol_free(r->vol);
    disk_free(r->disk);
    test_disk_free(r->layout);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Rig, rig_clear)

/* ---- The guest ---- */

/* Paths of all entries. */
static void list_paths(Rig *r, uint32_t dir, const char *path,
                       GPtrArray *paths)
{
    unsigned slot = 0;
    FatEntry e;

    while (fatvol_read_dir(r->vol, dir, &slot, &e)) {
        char *child = g_strconcat(path, *path ? "/" : "", e.name, NULL);

        g_ptr_array_add(paths, child);
        if (entry_is_dir(&e)) {
            list_paths(r, entry_cluster(r->vol, &e), child, paths);
        }
        fatvol_entry_clear(&e);
    }
}

static bool pick(Rig *r, FatEntry *e, char **path)
{
    g_autoptr(GPtrArray) paths = g_ptr_array_new_with_free_func(g_free);

    list_paths(r, 0, "", paths);
    if (paths->len == 0) {
        return false;
    }
    *path = g_strdup(paths->pdata[prng_below(&r->prng, paths->len)]);
    cr_assert(fatvol_walk(r->vol, *path, e));
    return true;
}

/* A directory that is not at or below a path (NULL: any). */
static uint32_t pick_dir(Rig *r, const char *not_below)
{
    for (int tries = 0; tries < 5; tries++) {
        g_autofree char *path = NULL;
        g_autofree char *above = NULL;
        FatEntry e;
        uint32_t dir;

        if (!pick(r, &e, &path)) {
            return 0;
        }
        above = not_below ? g_strconcat(not_below, "/", NULL) : NULL;
        dir = entry_is_dir(&e) ? entry_cluster(r->vol, &e) : 0;
        fatvol_entry_clear(&e);
        if (dir && (!above || (strcmp(path, not_below) != 0 &&
                               !g_str_has_prefix(path, above)))) {
            return dir;
        }
    }
    return 0;
}

static char *new_name(Rig *r)
{
    static const char *const forms[][2] = {
        { "F", "" }, { "a long name, number ", ".text" }, { "f", ".c" }
    };
    const char *const *form = forms[prng_below(&r->prng, 3)];

    return g_strdup_printf("%s%u%s", form[0], prng_below(&r->prng, 40),
                           form[1]);
}

static void stamp(Rig *r, FatEntry *e)
{
    entry_set_time(r->vol, e, 1600000000 + (int64_t)r->round * 2);
}

static void create(Rig *r)
{
    uint32_t dir = pick_dir(r, NULL);
    g_autofree char *name = new_name(r);
    uint8_t data[2000];
    FatEntry e;

    if (fatvol_find(r->vol, dir, name, &e)) {
        fatvol_entry_clear(&e);
        return;
    }
    if (!fatvol_add(r->vol, dir, name, true, SLOT_ANY, &e)) {
        return;
    }
    e.raw[E_ATTR] = ATTR_ARCHIVE;
    stamp(r, &e);
    if (prng_one_in(&r->prng, 3)) {
        cr_assert(fatvol_mkdir(r->vol, dir, &e));
    } else {
        prng_fill(&r->prng, data, sizeof(data));
        cr_assert(fatvol_write(r->vol, &e, 0, data,
                               prng_below(&r->prng, sizeof(data))));
    }
    fatvol_entry_clear(&e);
}

static void change(Rig *r, FatEntry *e)
{
    uint8_t data[900];

    if (entry_is_dir(e)) {
        fatvol_defragment(r->vol, e); /* if there is room */
        return;
    }
    prng_fill(&r->prng, data, sizeof(data));
    switch (prng_below(&r->prng, 4)) {
    case 0:
        cr_assert(fatvol_resize(r->vol, e, prng_below(&r->prng, 3000)));
        break;
    case 1:
        cr_assert(fatvol_resize(r->vol, e, 0));
        cr_assert(fatvol_write(r->vol, e, 0, data, sizeof(data)));
        break;
    case 2:
        fatvol_defragment(r->vol, e); /* if there is room */
        return;
    default:
        cr_assert(fatvol_write(r->vol, e, prng_below(&r->prng, 1500), data,
                               prng_below(&r->prng, sizeof(data)) + 1));
        break;
    }
    stamp(r, e);
}

static void move(Rig *r, FatEntry *e, const char *path)
{
    uint32_t dir = pick_dir(r, path);
    g_autofree char *name = new_name(r);
    FatEntry other;

    if (!fatvol_find(r->vol, dir, name, &other)) {
        fatvol_move(r->vol, e, dir, name, true, prng_one_in(&r->prng, 2));
        return;
    }
    if (other.raw != e->raw && !entry_is_dir(&other) && !entry_is_dir(e)) {
        if (prng_one_in(&r->prng, 2)) {
            fatvol_exchange(r->vol, e, &other);
        } else {
            fatvol_replace(r->vol, e, &other, prng_one_in(&r->prng, 2));
        }
    }
    fatvol_entry_clear(&other);
}

static void do_something(Rig *r)
{
    g_autoptr(GPtrArray) paths = g_ptr_array_new_with_free_func(g_free);
    g_autofree char *path = NULL;
    FatEntry e;

    r->vol->policy = (FatPolicy)prng_below(&r->prng, N_POLICIES);
    list_paths(r, 0, "", paths);
    if (paths->len < MAX_ENTRIES && prng_one_in(&r->prng, 3)) {
        create(r);
    }
    if (!pick(r, &e, &path)) {
        return;
    }
    switch (prng_below(&r->prng, paths->len > MAX_ENTRIES ? 4 : 8)) {
    case 0:
    case 1:
        fatvol_delete_tree(r->vol, &e);
        break;
    case 2:
    case 3:
    case 4:
        move(r, &e, path);
        break;
    default:
        change(r, &e);
        break;
    }
    fatvol_entry_clear(&e);
}

/* ---- Looking ---- */

static void update(Rig *r)
{
    for (int64_t at = 0; at < r->disk->size; at += SECTOR) {
        if (memcmp(r->seen + at, r->disk->shadow + at, SECTOR) == 0) {
            continue;
        }
        memcpy(r->seen + at, r->disk->shadow + at, SECTOR);
        guest_state_touch(r->state, at - r->vol->start, SECTOR);
        if (at >= r->vol->data) {
            int64_t index = (at - r->vol->data) / r->vol->cluster_size;

            g_hash_table_add(r->dirty, GUINT_TO_POINTER((guint)index + 2));
        }
    }
    cr_assert_eq(guest_state_update(r->state, false), 0);
    cr_assert_null(guest_state_suspended(r->state), "seed %lu, round %u: %s",
                   (unsigned long)r->seed, r->round,
                   guest_state_suspended(r->state));
}

/* Whether something is still in the directory on the host. */
static bool holds_something(const Rig *r, const Inode *dir)
{
    const GPtrArray *changes = guest_state_changes(r->state);

    for (guint i = 0; i < changes->len; i++) {
        const Inode *inode = changes->pdata[i];

        if (inode_is_on_host(inode) && inode->host_parent == dir) {
            return true;
        }
    }
    return false;
}

/* As if everything that does not wait had been brought to the host. */
static void commit(Rig *r)
{
    const GPtrArray *changes = guest_state_changes(r->state);

    for (guint i = changes->len; i > 0; i--) {
        Inode *inode = changes->pdata[i - 1];
        bool linked = guest_state_is_linked(r->state, inode);

        if (inode->defects || inode->is_orphan ||
            (!linked && (inode->parent || holds_something(r, inode)))) {
            continue;
        }
        if (linked && inode != guest_state_root(r->state)) {
            if (inode->parent != guest_state_root(r->state) &&
                !inode_is_on_host(inode->parent)) {
                continue;
            }
            inode_set_host_name(inode, inode->name);
            inode->host_parent = inode->parent;
        } else if (!linked) {
            inode_set_host_name(inode, NULL);
            inode->host_parent = NULL;
        }
        for (uint32_t k = 0; k < inode->chain.n_runs; k++) {
            ClusterRun run = chain_runs(&inode->chain)[k];

            for (uint32_t c = 0; c < run.count; c++) {
                g_hash_table_remove(r->dirty, GUINT_TO_POINTER(run.first + c));
            }
        }
        guest_state_settle(r->state, inode);
    }
}

static char *chain_text(const ClusterChain *chain)
{
    GString *text = g_string_new(NULL);

    for (uint32_t i = 0; i < chain->n_runs; i++) {
        g_string_append_printf(text, " %u+%u", chain_runs(chain)[i].first,
                               chain_runs(chain)[i].count);
    }
    return g_string_free(text, FALSE);
}

/* Path to Inode, of all that is linked; what is there twice is bad. */
static GHashTable *paths_of(const Rig *r, GHashTable *bad)
{
    GHashTable *found = g_hash_table_new_full(g_str_hash, g_str_equal, g_free,
                                              NULL);
    g_autoptr(GPtrArray) dirs = g_ptr_array_new();

    g_ptr_array_add(dirs, guest_state_root(r->state));
    while (dirs->len) {
        const Inode *dir = g_ptr_array_steal_index_fast(dirs, dirs->len - 1);

        for (uint32_t i = 0; i < dir->n_children; i++) {
            Inode *child = dir->children[i];
            g_autofree char *path = inode_path(child);

            cr_assert_eq(child->parent, dir);
            cr_assert(i == 0 || dir->children[i - 1]->slot < child->slot);
            if (!g_hash_table_insert(found, g_strdup(path), child)) {
                g_hash_table_add(bad, g_strdup(path));
            }
            if (child->is_directory) {
                g_ptr_array_add(dirs, child);
            }
        }
    }
    return found;
}

typedef struct Comparison {
    Rig *r;
    GHashTable *inodes;
    GHashTable *bad; /* paths that there is a problem with */
    bool all;        /* everything is written */
    unsigned n;
} Comparison;

static bool compare_node(TreeNode *node, void *opaque)
{
    Comparison *c = opaque;
    g_autofree char *path = tree_path(node);
    g_autofree char *ours = NULL;
    g_autofree char *theirs = chain_text(&node->chain);
    const Inode *inode = *path ? g_hash_table_lookup(c->inodes, path) : NULL;

    if (*path == '\0' || g_hash_table_contains(c->bad, path)) {
        return true;
    }
    c->n++;
    cr_assert(!c->all || inode, "seed %lu, round %u: there is no '%s'",
              (unsigned long)c->r->seed, c->r->round, path);
    if (!inode || inode->defects) {
        cr_assert(!c->all, "seed %lu, round %u: '%s' waits (%x)",
                  (unsigned long)c->r->seed, c->r->round, path,
                  inode ? inode->defects : 0);
        return true;
    }
    ours = chain_text(&inode->chain);
    cr_assert(inode->is_directory == tree_is_directory(node) &&
                  inode_size(inode) == node->size && strcmp(ours, theirs) == 0,
              "seed %lu, round %u: '%s' has%s, not%s",
              (unsigned long)c->r->seed, c->r->round, path, ours, theirs);
    return true;
}

static void compare(Rig *r, bool all)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Volume) volume = volume_open(
        read_now, r, (uint64_t)(r->disk->size - r->vol->start), NULL, &error);
    g_autoptr(GuestView) view = guest_view_load(volume, false, &error);
    g_autoptr(GHashTable)
        bad = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_autoptr(GHashTable) inodes = paths_of(r, bad);
    Comparison c = { r, inodes, bad, all, 0 };

    cr_assert_not_null(view, "%s", error ? error->message : "");
    for (guint i = 0; i < view->problems->len; i++) {
        const Problem *p = view->problems->pdata[i];

        if (p->path && p->is_damage) {
            g_hash_table_add(bad, g_strdup(p->path + (*p->path == '/')));
        }
    }
    cr_assert(!all || g_hash_table_size(bad) == 0);
    tree_walk(view->tree, compare_node, &c);
    cr_assert(!all || c.n == g_hash_table_size(inodes),
              "seed %lu, round %u: %u entries, not %u", (unsigned long)r->seed,
              r->round, g_hash_table_size(inodes), c.n);
}

static void run_rounds(unsigned fat_type, uint64_t seed, unsigned rounds)
{
    g_auto(Rig) r = { 0 };

    rig_init(&r, fat_type, seed);
    for (r.round = 0; r.round < rounds; r.round++) {
        bool all = prng_one_in(&r.prng, 4);
        unsigned n_ops = prng_below(&r.prng, 4);
        g_autofree char *why = NULL;
        unsigned n;

        for (unsigned i = 0; i < n_ops; i++) {
            do_something(&r);
        }
        n = disk_n_dirty(r.disk);
        n = all || n == 0 ? UINT32_MAX : prng_below(&r.prng, n) + 1;
        why = disk_write(r.disk, prng_below(&r.prng, N_ORDERS),
                         prng_below(&r.prng, N_STYLES), prng_next(&r.prng), n);
        cr_assert_null(why, "%s", why);
        if (!all && prng_one_in(&r.prng, 4)) {
            continue; /* not looked at yet */
        }
        update(&r);
        compare(&r, disk_n_dirty(r.disk) == 0);
        if (prng_one_in(&r.prng, 2)) {
            commit(&r);
        }
    }
}

Test(guest_state, same_as_loaded_afresh_fat12)
{
    for (uint64_t seed = 1; seed <= 40; seed++) {
        run_rounds(12, seed, 120);
    }
}

/* What was found at some time: a directory that came back to the tree in a
 * chain that had grown; two that were cross-linked one after the other; one
 * that had lost a file to another while it was without an entry. */
Test(guest_state, seeds_that_found_something)
{
    run_rounds(12, 135, 120);
    for (uint64_t seed = 1100; seed <= 1162; seed++) {
        run_rounds(12, seed, 60);
    }
}

Test(guest_state, same_as_loaded_afresh_fat16)
{
    for (uint64_t seed = 101; seed <= 110; seed++) {
        run_rounds(16, seed, 120);
    }
}

Test(guest_state, same_as_loaded_afresh_fat32)
{
    for (uint64_t seed = 201; seed <= 202; seed++) {
        run_rounds(32, seed, 60);
    }
}

/* ---- A directory that cannot be read ---- */

static Inode *child_of(Inode *dir, const char *name)
{
    for (uint32_t i = 0; i < dir->n_children; i++) {
        if (strcmp(dir->children[i]->name, name) == 0) {
            return dir->children[i];
        }
    }
    return NULL;
}

static void delete_file(Rig *r, const char *path)
{
    FatEntry e;

    cr_assert(fatvol_walk(r->vol, path, &e));
    fatvol_delete_tree(r->vol, &e);
    fatvol_entry_clear(&e);
}

/* It waits, the others do not; and as soon as it can be read it is. */
Test(guest_state, one_unreadable_directory_waits_alone)
{
    g_auto(Rig) r;
    g_autofree char *why = NULL;
    int64_t bytes;
    Inode *root, *dir;
    FatEntry e;

    rig_init(&r, 12, 1);
    bytes = r.disk->size - r.vol->start;
    root = guest_state_root(r.state);
    dir = child_of(root, "dir");
    cr_assert(fatvol_walk(r.vol, "dir", &e));
    r.bad = fatvol_cluster_at(r.vol, entry_cluster(r.vol, &e)) - r.vol->start;
    fatvol_entry_clear(&e);
    delete_file(&r, "dir/one");
    delete_file(&r, "file");
    why = disk_write(r.disk, ORDER_LINUX, 0, 0, UINT32_MAX);
    cr_assert_null(why, "%s", why);

    guest_state_touch(r.state, 0, bytes);
    cr_assert_eq(guest_state_update(r.state, false), -EIO);
    cr_assert_null(guest_state_suspended(r.state));
    cr_assert_eq(dir->defects, INODE_IO_ERROR);
    cr_assert_not_null(dir->change);
    cr_assert_not_null(child_of(dir, "one"));
    cr_assert_null(child_of(root, "file"));
    cr_assert_eq(guest_state_update(r.state, false), -EIO);

    r.bad = 0;
    cr_assert_eq(guest_state_update(r.state, false), 0);
    cr_assert_eq(dir->defects, 0);
    cr_assert_null(child_of(dir, "one"));
    cr_assert_not_null(child_of(dir, "sub"));
}
