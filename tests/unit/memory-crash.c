/* SPDX-License-Identifier: MIT */
/*
 * What is on the disk: by syncing, and after a power cut.
 *
 * An op of names concerns the directories whose entries it changes. With
 * `ordered` it concerns as well the directory that it makes, removes or
 * replaces, so that one is never gone before what was in it has left, and
 * never used before it is there. Syncing a directory takes its ops to the
 * disk, and since a rename is whole, what came before it in the other
 * directory, too.
 */
#include "tests/unit/memory-hostfs-int.h"

#define MAX_DIRS 3
#define SWEEP_AFTER 256 /* syncs of everything, or of the last thing pending */

static unsigned op_dirs(const MemoryFs *m, const MemoryOp *op,
                        uint64_t dirs[MAX_DIRS])
{
    unsigned n = 0;

    for (unsigned i = 0; i < op->n_entries; i++) {
        dirs[n++] = op->entries[i].dir;
    }
    if (m->ordered && op->other_dir) {
        dirs[n++] = op->other_dir;
    }
    return n;
}

static bool concerns(const MemoryFs *m, const MemoryOp *op, GHashTable *set)
{
    uint64_t dirs[MAX_DIRS];
    unsigned n = op_dirs(m, op, dirs);

    for (unsigned i = 0; i < n; i++) {
        if (g_hash_table_contains(set, GSIZE_TO_POINTER(dirs[i]))) {
            return true;
        }
    }
    return false;
}

static void add_dirs(const MemoryFs *m, const MemoryOp *op, GHashTable *set)
{
    uint64_t dirs[MAX_DIRS];
    unsigned n = op_dirs(m, op, dirs);

    for (unsigned i = 0; i < n; i++) {
        g_hash_table_add(set, GSIZE_TO_POINTER(dirs[i]));
    }
}

/* ---- Syncing ---- */

/* Bring the ops that are marked to the disk. */
static void retire(MemoryFs *m, const bool *marked)
{
    GPtrArray *rest = g_ptr_array_new_with_free_func(memory_op_unref);

    for (unsigned i = 0; i < m->pending->len; i++) {
        MemoryOp *op = m->pending->pdata[i];

        if (marked[i]) {
            memory_image_apply(m->durable, op);
        } else {
            g_ptr_array_add(rest, memory_op_ref(op));
        }
    }
    g_ptr_array_unref(m->pending);
    m->pending = rest;
    /* Pending ops may refer to nodes without a name. */
    if (rest->len == 0 &&
        g_hash_table_size(m->durable->nodes) >
            g_hash_table_size(m->live->nodes) + SWEEP_AFTER) {
        memory_image_sweep(m->durable);
    }
}

void memory_sync_node(MemoryFs *m, uint64_t ino)
{
    g_autofree bool *marked = g_new0(bool, m->pending->len + 1);

    for (unsigned i = 0; i < m->pending->len; i++) {
        const MemoryOp *op = m->pending->pdata[i];

        marked[i] = op->kind != MEMORY_ENTRIES && op->ino == ino;
    }
    retire(m, marked);
}

void memory_sync_names(MemoryFs *m, uint64_t dir)
{
    g_autoptr(GHashTable) set = g_hash_table_new(NULL, NULL);
    g_autofree bool *marked = g_new0(bool, m->pending->len + 1);

    g_hash_table_add(set, GSIZE_TO_POINTER(dir));
    for (unsigned i = m->pending->len; i-- > 0;) {
        const MemoryOp *op = m->pending->pdata[i];

        if (op->kind == MEMORY_ENTRIES && concerns(m, op, set)) {
            marked[i] = true;
            add_dirs(m, op, set);
        }
    }
    retire(m, marked);
}

void memory_sync_all(MemoryFs *m)
{
    g_autofree bool *marked = g_new0(bool, m->pending->len + 1);

    for (unsigned i = 0; i < m->pending->len; i++) {
        marked[i] = true;
    }
    retire(m, marked);
}

static bool is_on_root_device(const MemoryFs *m, const MemoryOp *op)
{
    uint64_t dev = m->live->root->dev;
    const MemoryNode *node = memory_image_find(m->live, op->ino);

    if (op->kind == MEMORY_ENTRIES) {
        return op->entries[0].dev == dev;
    }
    return !node || node->dev == dev;
}

void memory_sync_device(MemoryFs *m)
{
    g_autofree bool *marked = g_new0(bool, m->pending->len + 1);

    for (unsigned i = 0; i < m->pending->len; i++) {
        marked[i] = is_on_root_device(m, m->pending->pdata[i]);
    }
    retire(m, marked);
}

void memory_lose_data(MemoryFs *m, uint64_t ino)
{
    for (unsigned i = m->pending->len; i-- > 0;) {
        const MemoryOp *op = m->pending->pdata[i];

        if (op->kind == MEMORY_DATA && (ino == 0 || op->ino == ino)) {
            g_ptr_array_remove_index(m->pending, i);
        }
    }
}

/* ---- Power cuts ---- */

typedef struct Crash {
    GRand *rand;
    uint32_t seed;
    unsigned keep_names, keep_contents; /* of 100 */
    GHashTable *cut; /* directories, of which an op was lost */
} Crash;

static bool chance(Crash *crash, unsigned percent)
{
    return (unsigned)g_rand_int_range(crash->rand, 0, 100) < percent;
}

static void choose_chances(Crash *crash)
{
    static const unsigned percent[] = { 0, 10, 50, 80, 95, 100 };
    const int n = G_N_ELEMENTS(percent);

    crash->keep_names = percent[g_rand_int_range(crash->rand, 0, n)];
    crash->keep_contents = percent[g_rand_int_range(crash->rand, 0, n)];
    if (crash->seed < MEMORY_CRASH_RANDOM) {
        crash->keep_names = crash->seed == MEMORY_CRASH_ALL ||
                                    crash->seed == MEMORY_CRASH_NAMES
                                ? 100
                                : 0;
        crash->keep_contents = crash->seed == MEMORY_CRASH_ALL ||
                                       crash->seed == MEMORY_CRASH_CONTENTS
                                   ? 100
                                   : 0;
    }
}

/* Each piece for itself. */
static void tear(Crash *crash, MemoryImage *image, const MemoryOp *op)
{
    size_t bytes = g_bytes_get_size(op->bytes);
    size_t piece = g_rand_boolean(crash->rand) ? 512 : 4096;

    for (size_t at = 0; at < bytes;) {
        /* Pieces of the file, and so of the disk. */
        size_t n = piece - ((size_t)op->offset + at) % piece;

        n = MIN(n, bytes - at);
        if (g_rand_boolean(crash->rand)) {
            memory_image_apply_data(image, op, at, at + n);
        }
        at += n;
    }
}

static void crash_contents(Crash *crash, MemoryImage *image,
                           const MemoryOp *op)
{
    bool is_random = crash->keep_contents % 100 != 0;

    if (op->kind == MEMORY_DATA && is_random && chance(crash, 25)) {
        tear(crash, image, op);
    } else if (chance(crash, crash->keep_contents)) {
        if (is_random && g_rand_boolean(crash->rand)) {
            memory_image_apply_bare(image, op);
        } else {
            memory_image_apply(image, op);
        }
    }
}

static void crash_names(Crash *crash, const MemoryFs *m, MemoryImage *image,
                        const MemoryOp *op)
{
    if (m->ordered && concerns(m, op, crash->cut)) {
        add_dirs(m, op, crash->cut);
    } else if (chance(crash, crash->keep_names)) {
        memory_image_apply(image, op);
    } else {
        add_dirs(m, op, crash->cut);
    }
}

void memory_crash_apply(const MemoryFs *m, MemoryImage *image, uint32_t seed)
{
    Crash crash = {
        .rand = g_rand_new_with_seed(seed),
        .seed = seed,
        .cut = g_hash_table_new(NULL, NULL),
    };

    choose_chances(&crash);
    for (unsigned i = 0; i < m->pending->len; i++) {
        const MemoryOp *op = m->pending->pdata[i];

        if (op->kind == MEMORY_ENTRIES) {
            crash_names(&crash, m, image, op);
        } else {
            crash_contents(&crash, image, op);
        }
    }
    g_hash_table_unref(crash.cut);
    g_rand_free(crash.rand);
}
