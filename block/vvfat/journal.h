/* SPDX-License-Identifier: MIT */
/*
 * What is known of a volume and its directory, kept through crashes: which
 * inode is which file on the host, and what a commit was about.
 *
 * There are two places for superblocks and two areas. The newer one of the
 * valid superblocks says which area counts. An area holds records, one behind
 * the other: a checkpoint (all inodes), and then the log. Each has a checksum,
 * its place in the order, and the number of the superblock that it belongs to,
 * so nothing older is taken for it.
 *
 *   PLAN    operations on the host that are about to be run, and the inodes
 *           that they are about; before the first of them
 *   STAGED  names and identities of the temporary files; before anything else
 *           is changed, and only where there were any to be made
 *   DONE    the inodes as they are after that; which are gone
 *
 * A log ends at the first record that is not whole. A PLAN without its DONE
 * was interrupted: reconcile.h finds out how far it got. A new checkpoint goes
 * to the other area, whole and flushed, before a superblock names it.
 *
 * Any failure to write leaves the journal behind what is so: it is *stale*,
 * and takes a checkpoint before anything else.
 *
 * One thread.
 */
#ifndef VVFAT_JOURNAL_H
#define VVFAT_JOURNAL_H

#include "block/vvfat/journal-tree.h"

/* Where it is kept. Functions give 0 or -errno; what was never written reads
 * as zeroes. All offsets are multiples of 512. */
typedef struct JournalStore {
    int (*read)(void *opaque, int64_t offset, int64_t bytes, void *buf);
    int (*write)(void *opaque, int64_t offset, int64_t bytes, const void *buf);
    int (*flush)(void *opaque);
    void (*discard)(void *opaque, int64_t offset, int64_t bytes);
    void *opaque;
    int64_t supers[2]; /* JOURNAL_SUPER_BYTES each */
    int64_t areas[2];  /* area_bytes each */
    int64_t area_bytes;
} JournalStore;

#define JOURNAL_SUPER_BYTES 65536u
#define JOURNAL_MAX_IDENTITY 32768u

typedef struct Journal Journal;

Journal *journal_new(const JournalStore *store);
void journal_free(Journal *journal);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Journal, journal_free)

typedef enum JournalState {
    JOURNAL_NONE,  /* nothing was ever written here */
    JOURNAL_BEGUN, /* it was being made, and is of no use */
    JOURNAL_READY,
    JOURNAL_DAMAGED, /* there is something, and it is no superblock */
} JournalState;

/* Look at the superblocks. READY: *identity is what journal_begin() was told,
 * for g_byte_array_unref(). 0 or -errno. */
int journal_probe(Journal *journal, JournalState *state, GByteArray **identity)
    G_GNUC_WARN_UNUSED_RESULT;

/* A new one: whose it is, before anything else is written. */
int journal_begin(Journal *journal, const GByteArray *identity)
    G_GNUC_WARN_UNUSED_RESULT;

/*
 * READY: what it has, to be linked (journal_tree_link()), and the plan that
 * was interrupted, or NULL. False, and *errp, when that cannot be read, or is
 * damaged where it may not be.
 */
bool journal_load(Journal *journal, uint32_t clusters_end, JournalTree *tree,
                  JournalPlan **plan, GError **errp) G_GNUC_WARN_UNUSED_RESULT;

/* All inodes, durably, in the place of all records. */
int journal_checkpoint(Journal *journal, const GPtrArray *inodes)
    G_GNUC_WARN_UNUSED_RESULT;

/* Whether one is due: the log has become longer than what it amends, or is
 * stale. */
bool journal_wants_checkpoint(const Journal *journal);
bool journal_is_stale(const Journal *journal);

/* Records, durable when 0 is returned. inodes: whole. -EFBIG: it does not fit
 * behind the last checkpoint and what came since. */
int journal_plan(Journal *journal, const Plan *plan, const GPtrArray *inodes)
    G_GNUC_WARN_UNUSED_RESULT;
int journal_staged(Journal *journal, const Plan *plan)
    G_GNUC_WARN_UNUSED_RESULT;
/* gone: numbers (uint64_t). */
int journal_done(Journal *journal, const GPtrArray *inodes, const GArray *gone)
    G_GNUC_WARN_UNUSED_RESULT;

#endif
