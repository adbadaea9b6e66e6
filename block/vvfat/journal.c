/* SPDX-License-Identifier: MIT */
#include "block/vvfat/journal.h"

#include <errno.h>

#include "block/error.h"
#include "block/vvfat/journal-int.h"

#define CHECKPOINT_PART (1u << 20) /* bytes of inodes a record, about */
#define MIN_LOG (INT64_C(4) << 20) /* before it is compacted */

Journal *journal_new(const JournalStore *store)
{
    Journal *j = g_new0(Journal, 1);

    j->store = *store;
    j->identity = g_byte_array_new();
    return j;
}

void journal_free(Journal *j)
{
    if (j) {
        g_byte_array_unref(j->identity);
        g_free(j);
    }
}

bool journal_is_stale(const Journal *j)
{
    return j->is_stale;
}

bool journal_wants_checkpoint(const Journal *j)
{
    return j->is_stale || j->end - j->checkpoint > MAX(j->checkpoint, MIN_LOG);
}

/* ---- Loading ---- */

/* Inodes from the reader to the tree, as many as the first number says. */
static void load_inodes(JournalReader *in, uint32_t clusters_end,
                        JournalTree *tree)
{
    uint32_t n = journal_get_u32(in);

    for (uint32_t i = 0; i < n && !in->bad; i++) {
        JournalInode *inode = journal_get_inode(in, clusters_end);

        if (inode) {
            journal_tree_put(tree, inode);
        }
    }
}

static void load_gone(JournalReader *in, JournalTree *tree)
{
    uint32_t n = journal_get_u32(in);

    for (uint32_t i = 0; i < n && !in->bad; i++) {
        uint64_t number = journal_get_u64(in);

        if (!in->bad && number != 1) {
            journal_tree_drop(tree, number);
        }
    }
}

static bool load_checkpoint(Journal *j, uint32_t clusters_end,
                            JournalTree *tree, GError **errp)
{
    JournalRecordType type = RECORD_INODES;
    JournalReader in = { 0 };
    int ret = 0;

    while (type == RECORD_INODES && j->end < j->checkpoint) {
        g_autoptr(GByteArray) payload = NULL;

        ret = journal_read_record(j, &type, &payload);
        if (ret < 0 || !payload) {
            break;
        }
        in = (JournalReader){ .at = payload->data, .left = payload->len };
        if (type == RECORD_INODES) {
            load_inodes(&in, clusters_end, tree);
        } else if (type == RECORD_CHECKPOINT && j->end == j->checkpoint &&
                   journal_get_u64(&in) == journal_tree_size(tree) &&
                   !in.bad) {
            return true;
        }
        if (in.bad) {
            break;
        }
    }
    if (ret < 0) {
        block_error_set_errno(errp, -ret,
                              "Could not read what is recorded of "
                              "the directory");
    } else {
        block_error_set(errp, EIO,
                        "What is recorded of the directory is damaged, so "
                        "what the guest wrote cannot be told from what the "
                        "directory has. To go on with the directory as it "
                        "is, move the file away");
    }
    return false;
}

/* One record of the log. False: the log ends here. */
static bool load_log_record(JournalRecordType type, const GByteArray *payload,
                            uint32_t clusters_end, JournalTree *tree,
                            JournalPlan **plan)
{
    JournalReader in = { .at = payload->data, .left = payload->len };

    switch (type) {
    case RECORD_PLAN:
        g_clear_pointer(plan, journal_plan_free);
        *plan = journal_plan_new();
        journal_get_ops(&in, *plan);
        load_inodes(&in, clusters_end, tree);
        break;
    case RECORD_STAGED:
        if (*plan) {
            journal_get_staged(&in, *plan);
        }
        break;
    case RECORD_DONE:
        g_clear_pointer(plan, journal_plan_free);
        load_inodes(&in, clusters_end, tree);
        load_gone(&in, tree);
        break;
    case RECORD_INODES:
    case RECORD_CHECKPOINT:
    default:
        return false;
    }
    return !in.bad;
}

bool journal_load(Journal *j, uint32_t clusters_end, JournalTree *tree,
                  JournalPlan **plan, GError **errp)
{
    g_autoptr(JournalPlan) open = NULL;
    bool more = true;

    *plan = NULL;
    j->end = 0;
    j->number = 0;
    if (!load_checkpoint(j, clusters_end, tree, errp)) {
        return false;
    }
    while (more) {
        g_autoptr(GByteArray) payload = NULL;
        JournalRecordType type;
        int ret = journal_read_record(j, &type, &payload);

        if (ret < 0) {
            block_error_set_errno(errp, -ret,
                                  "Could not read what is recorded of the "
                                  "last commits");
            return false;
        }
        more = payload &&
               load_log_record(type, payload, clusters_end, tree, &open);
    }
    /* What is behind the end is not to be appended to. */
    j->is_stale = true;
    *plan = g_steal_pointer(&open);
    return true;
}

/* ---- Writing ---- */

static void put_inodes(GByteArray *out, const GPtrArray *inodes, guint from,
                       guint to)
{
    journal_put_u32(out, to - from);
    for (guint i = from; i < to && !journal_is_full(out); i++) {
        journal_put_inode(out, g_ptr_array_index(inodes, i));
    }
}

/* Inodes from `from` on that make one record. */
static guint part_end(const GPtrArray *inodes, guint from, GByteArray *out)
{
    guint to = from;

    g_byte_array_set_size(out, 0);
    journal_put_u32(out, 0); /* their number, known at the end */
    while (to < inodes->len && out->len < CHECKPOINT_PART) {
        journal_put_inode(out, g_ptr_array_index(inodes, to++));
    }
    le32_put((le32 *)out->data, to - from);
    return to;
}

static int write_checkpoint(Journal *j, unsigned area, uint64_t sequence,
                            const GPtrArray *inodes)
{
    g_autoptr(GByteArray) out = g_byte_array_new();
    int ret = 0;

    for (guint at = 0; ret == 0 && at < inodes->len;) {
        at = part_end(inodes, at, out);
        ret = journal_write_record(j, area, sequence, RECORD_INODES, out);
    }
    if (ret == 0) {
        g_byte_array_set_size(out, 0);
        journal_put_u64(out, inodes->len);
        ret = journal_write_record(j, area, sequence, RECORD_CHECKPOINT, out);
    }
    return ret < 0 ? ret : j->store.flush(j->store.opaque);
}

int journal_checkpoint(Journal *j, const GPtrArray *inodes)
{
    unsigned area = 1 - j->area;
    int64_t old_end = j->end;
    int ret;

    j->is_stale = true;
    j->end = 0;
    j->number = 0;
    ret = write_checkpoint(j, area, j->sequence + 1, inodes);
    if (ret == 0) {
        ret = journal_write_super(j, true, area, j->end);
    }
    if (ret == 0) {
        j->is_stale = false;
        j->store.discard(j->store.opaque, j->store.areas[1 - area],
                         MAX(old_end, JOURNAL_ALIGN));
    }
    return ret;
}

/* A record of the log, durable. */
static int append(Journal *j, JournalRecordType type, const GByteArray *out)
{
    int ret = j->is_stale
                  ? -EIO
                  : journal_write_record(j, j->area, j->sequence, type, out);

    if (ret == 0) {
        ret = j->store.flush(j->store.opaque);
    }
    j->is_stale |= ret < 0;
    return ret;
}

int journal_plan(Journal *j, const Plan *plan, const GPtrArray *inodes)
{
    g_autoptr(GByteArray) out = g_byte_array_new();

    journal_put_ops(out, plan);
    put_inodes(out, inodes, 0, inodes->len);
    return append(j, RECORD_PLAN, out);
}

int journal_staged(Journal *j, const Plan *plan)
{
    g_autoptr(GByteArray) out = g_byte_array_new();

    /* Where none was made this says that the other operations have begun. */
    journal_put_staged(out, plan);
    return journal_plan_stages(plan) ? append(j, RECORD_STAGED, out) : 0;
}

int journal_done(Journal *j, const GPtrArray *inodes, const GArray *gone)
{
    g_autoptr(GByteArray) out = g_byte_array_new();

    put_inodes(out, inodes, 0, inodes->len);
    journal_put_u32(out, gone->len);
    for (guint i = 0; i < gone->len; i++) {
        journal_put_u64(out, g_array_index(gone, uint64_t, i));
    }
    return append(j, RECORD_DONE, out);
}
