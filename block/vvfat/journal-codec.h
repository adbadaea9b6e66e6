/* SPDX-License-Identifier: MIT */
/*
 * The inodes and plans of a journal as bytes, and back. All integers are
 * little-endian. Pure: bytes are not trusted, whatever they are.
 */
#ifndef VVFAT_JOURNAL_CODEC_H
#define VVFAT_JOURNAL_CODEC_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "block/vvfat/plan.h"

/* Bytes of the payload of a record. What is written stops somewhere behind
 * that, and is of no use then. */
#define JOURNAL_MAX_RECORD (UINT32_C(1) << 30)

static inline bool journal_is_full(const GByteArray *out)
{
    return out->len > JOURNAL_MAX_RECORD;
}

/* ---- Primitives ---- */

void journal_put_u8(GByteArray *out, uint8_t value);
void journal_put_u32(GByteArray *out, uint32_t value);
void journal_put_u64(GByteArray *out, uint64_t value);
void journal_put_raw(GByteArray *out, const void *data, size_t bytes);
/* NULL is told apart from "". */
void journal_put_string(GByteArray *out, const char *text);

/* Reading behind the end, or something that cannot be, sets `bad`; what is
 * read from then on is zero. */
typedef struct JournalReader {
    const uint8_t *at;
    size_t left;
    bool bad;
} JournalReader;

uint8_t journal_get_u8(JournalReader *in);
uint32_t journal_get_u32(JournalReader *in);
uint64_t journal_get_u64(JournalReader *in);
void journal_get_raw(JournalReader *in, void *data, size_t bytes);
/* g_free(). NULL, too, when bad. */
char *journal_get_string(JournalReader *in);

void journal_put_host_id(GByteArray *out, const InodeHostId *id);
void journal_get_host_id(JournalReader *in, InodeHostId *id);

/* ---- Inodes ---- */

/* An inode as it was read: its own, with the directories by number. */
typedef struct JournalInode {
    Inode *inode;    /* parent, host_parent and children are not set */
    uint64_t parent; /* inode numbers; 0: none */
    uint64_t host_parent;
    bool is_orphan;
} JournalInode;

void journal_inode_free(JournalInode *inode);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(JournalInode, journal_inode_free)

void journal_put_inode(GByteArray *out, const Inode *inode);
/* clusters_end: behind the last cluster of the volume. NULL: bad. */
JournalInode *journal_get_inode(JournalReader *in, uint32_t clusters_end);

/* ---- Plans ---- */

typedef struct JournalOp {
    PlanKind kind;
    uint64_t inode, dir, victim; /* numbers; 0: none */
    char *name;                  /* or NULL */
} JournalOp;

/* A temporary file that was made. */
typedef struct JournalStaged {
    uint64_t inode, dir;
    char *name;
    InodeHostId id;
} JournalStaged;

typedef struct JournalPlan {
    GArray *ops;    /* JournalOp */
    GArray *staged; /* JournalStaged */
    bool has_begun; /* to change what was there: staging is over, if any */
} JournalPlan;

JournalPlan *journal_plan_new(void);
void journal_plan_free(JournalPlan *plan);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(JournalPlan, journal_plan_free)

void journal_put_ops(GByteArray *out, const Plan *plan);
void journal_get_ops(JournalReader *in, JournalPlan *plan);

/* Whether files are to be staged, before anything else is done. */
bool journal_plan_stages(const Plan *plan);

/* What the inodes of the plan have staged. */
void journal_put_staged(GByteArray *out, const Plan *plan);
void journal_get_staged(JournalReader *in, JournalPlan *plan);

#endif
