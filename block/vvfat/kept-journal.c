/* SPDX-License-Identifier: MIT */
/*
 * A commit's journal in the overlay that is kept.
 *
 * Before a plan is run, everything that the guest wrote is flushed, so after a
 * crash the overlay has at least the volume that the plan was made from. Units
 * leave the overlay only behind a DONE record: until then it has every byte
 * that the host was to get.
 */
#include <errno.h>

#include "block/vvfat/writable-int.h"

/* ---- Where it is kept ---- */

static int store_read(void *opaque, int64_t offset, int64_t bytes, void *buf)
{
    return bdrv_pread(((Kept *)opaque)->child, offset, bytes, buf, 0);
}

static int store_write(void *opaque, int64_t offset, int64_t bytes,
                       const void *buf)
{
    return bdrv_pwrite(((Kept *)opaque)->child, offset, bytes, buf, 0);
}

static int store_flush(void *opaque)
{
    return bdrv_flush(bdrv_child_bs(((Kept *)opaque)->child));
}

static void store_discard(void *opaque, int64_t offset, int64_t bytes)
{
    /* Space alone. */
    (void)!bdrv_pdiscard(((Kept *)opaque)->child, offset, bytes);
}

Kept *kept_new(BdrvChild *child)
{
    Kept *kept = g_new0(Kept, 1);
    JournalStore store = {
        .read = store_read,
        .write = store_write,
        .flush = store_flush,
        .discard = store_discard,
        .opaque = kept,
        .supers = { 0, JOURNAL_SUPER_BYTES },
        .areas = { KEPT_AREAS, KEPT_AREAS + KEPT_AREA_BYTES },
        .area_bytes = KEPT_AREA_BYTES,
    };

    kept->child = child;
    kept->journal = journal_new(&store);
    kept->redo = redo_new(child, KEPT_REDO);
    kept->planned = g_hash_table_new(NULL, NULL);
    return kept;
}

void kept_free(Kept *kept)
{
    if (kept) {
        journal_free(kept->journal);
        redo_free(kept->redo);
        g_hash_table_unref(kept->planned);
        g_free(kept);
    }
}

/* ---- Commits ---- */

static int checkpoint(Writable *w)
{
    g_autoptr(GPtrArray) inodes = guest_state_inodes(w->state);

    return journal_checkpoint(w->kept->journal, inodes);
}

static void add_inode(GHashTable *set, GPtrArray *list, Inode *inode)
{
    if (inode && g_hash_table_add(set, inode)) {
        g_ptr_array_add(list, inode);
    }
}

/* Inodes beyond symbolic links whose host side has changed by the way. */
static void add_linked(Writable *w, GHashTable *set, GPtrArray *list)
{
    g_autoptr(GPtrArray)
        noted = linked_take_noted(guest_state_linked(w->state));

    for (guint i = 0; i < noted->len; i++) {
        add_inode(set, list, g_ptr_array_index(noted, i));
    }
}

/* Inodes of a plan that was run and is not done, since it could not be made
 * durable then: this one's record takes its place. All of them wait. */
static void add_former(Writable *w, GPtrArray *list)
{
    const GPtrArray *changes = guest_state_changes(w->state);
    g_autoptr(GHashTable) former = g_steal_pointer(&w->kept->planned);

    w->kept->planned = g_hash_table_new(NULL, NULL);
    for (guint i = 0; i < changes->len; i++) {
        Inode *inode = g_ptr_array_index(changes, i);

        if (g_hash_table_contains(former, inode)) {
            add_inode(w->kept->planned, list, inode);
        }
    }
}

int kept_begin(const Plan *plan, void *opaque)
{
    Writable *w = opaque;
    Kept *kept = w->kept;
    g_autoptr(GPtrArray) inodes = g_ptr_array_new();
    int ret = overlay_flush(w->overlay);

    if (ret == 0 && journal_wants_checkpoint(kept->journal)) {
        ret = checkpoint(w);
    }
    if (ret < 0) {
        return ret;
    }
    add_former(w, inodes);
    for (guint i = 0; i < plan->ops->len; i++) {
        const PlanOp *op = &g_array_index(plan->ops, PlanOp, i);

        add_inode(kept->planned, inodes, op->inode);
        add_inode(kept->planned, inodes, op->victim);
    }
    add_linked(w, kept->planned, inodes);
    return journal_plan(kept->journal, plan, inodes);
}

int kept_staged(const Plan *plan, void *opaque)
{
    Writable *w = opaque;

    return journal_staged(w->kept->journal, plan);
}

void kept_lost(Inode *inode, void *opaque)
{
    g_hash_table_add(((Writable *)opaque)->kept->planned, inode);
}

/* About to be freed: no entry, no clusters, no file. */
static bool is_gone(const Writable *w, const Inode *inode)
{
    return inode != guest_state_root(w->state) && !inode->parent &&
           !inode->is_orphan && !inode_is_on_host(inode);
}

/* A record of what the commit did. */
static int write_done(Writable *w)
{
    const GPtrArray *changes = guest_state_changes(w->state);
    Kept *kept = w->kept;
    g_autoptr(GPtrArray) inodes = g_ptr_array_new();
    g_autoptr(GHashTable) listed = g_hash_table_new(NULL, NULL);
    g_autoptr(GArray) gone = g_array_new(FALSE, FALSE, sizeof(uint64_t));

    for (guint i = 0; i < changes->len; i++) {
        Inode *inode = g_ptr_array_index(changes, i);

        if (is_gone(w, inode) && !inode->change->held) {
            g_array_append_val(gone, inode->id);
        } else if (!inode->change->held ||
                   g_hash_table_contains(kept->planned, inode)) {
            add_inode(listed, inodes, inode);
        }
    }
    add_linked(w, listed, inodes);
    if (inodes->len == 0 && gone->len == 0) {
        return 0;
    }
    return journal_done(kept->journal, inodes, gone);
}

int kept_done(void *opaque)
{
    Writable *w = opaque;
    Journal *journal = w->kept->journal;
    int ret = journal_is_stale(journal) ? -EIO : write_done(w);

    g_hash_table_remove_all(w->kept->planned);
    return journal_is_stale(journal) ? checkpoint(w) : ret;
}
