/* SPDX-License-Identifier: MIT */
/*
 * For tests of applying plans: a host directory, the inodes of a guest that
 * knows it, and a plan made by hand. Everything on the host is made and looked
 * at through a HostFs, whichever it is. A failure fails the test.
 */
#ifndef TESTS_APPLY_FIXTURE_H
#define TESTS_APPLY_FIXTURE_H

#include "block/vvfat/apply.h"

typedef struct ApplyWorld {
    HostFs *fs; /* the one that plans are run through; not owned */
    Inode *root;
    GPtrArray *inodes; /* all */
    GPtrArray *saved;  /* of apply_world_save() */
    GHashTable *data;  /* Inode to GString: the guest's bytes of files */
    Plan plan;
    ApplyOptions options;
    GString *events; /* "conflict PATH: DETAIL" or "failed ...", a line each */
    int n_locked;    /* calls of lock() so far */
    bool is_locked;
    int read_error; /* that reading the guest's bytes gives */
    Apply *apply;   /* of the last run, on apply_fs */
    HostFs *apply_fs;
} ApplyWorld;

ApplyWorld *apply_world_new(HostFs *fs);
void apply_world_free(ApplyWorld *w);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ApplyWorld, apply_world_free)

/* On the host and in the guest's volume, without a change. */
Inode *apply_world_dir(ApplyWorld *w, Inode *parent, const char *name);
/* A directory that is on the host already. */
Inode *apply_world_mounted(ApplyWorld *w, Inode *parent, const char *name);
Inode *apply_world_file(ApplyWorld *w, Inode *parent, const char *name,
                        const char *text);
/* In the guest's volume alone. */
Inode *apply_world_add(ApplyWorld *w, Inode *parent, const char *name,
                       const char *text);

/* What the guest did. */
void apply_world_move(ApplyWorld *w, Inode *inode, Inode *parent,
                      const char *name);
void apply_world_remove(ApplyWorld *w, Inode *inode);
void apply_world_text(ApplyWorld *w, Inode *inode, InodeContent content,
                      const char *text);
void apply_world_bytes(ApplyWorld *w, Inode *inode, InodeContent content,
                       const void *data, size_t bytes);
void apply_world_time(ApplyWorld *w, Inode *inode, int64_t seconds);

void apply_world_op(ApplyWorld *w, PlanKind kind, Inode *inode, Inode *dir,
                    Inode *victim);

/* What is before a plan, and both steps, and what the last one returns. */
int apply_world_run(ApplyWorld *w);
/* Without an error and with nothing held. */
void apply_world_run_well(ApplyWorld *w);

/* Nothing is held any more. */
void apply_world_release(ApplyWorld *w);
/* The host sides and changes as they are now, and back to them. */
void apply_world_save(ApplyWorld *w);
void apply_world_restore(ApplyWorld *w);

/* All names below the root: "a/\n", "a/b: TEXT\n". g_free(). */
char *apply_world_tree(HostFs *fs);
void apply_world_check_tree(HostFs *fs, const char *expected);
/* That the inodes on the host are where and what they say. */
void apply_world_check_sides(ApplyWorld *w, HostFs *fs);

#endif
