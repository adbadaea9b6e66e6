/* SPDX-License-Identifier: MIT */
/*
 * For tests of applying plans: a host directory, the inodes of a guest that
 * knows it, and a plan made by hand. Everything on the host is made and looked
 * at through a HostFs, whichever it is. A failure fails the test.
 */
#ifndef TESTS_APPLY_FIXTURE_H
#define TESTS_APPLY_FIXTURE_H

#include "block/vvfat/apply.h"

typedef struct World {
    HostFs *fs; /* the one that plans are run through; not owned */
    Inode *root;
    GPtrArray *inodes; /* all */
    GPtrArray *saved;  /* of world_save() */
    GHashTable *data;  /* Inode to GString: the guest's bytes of files */
    Plan plan;
    ApplyOptions options;
    GString *events; /* "conflict PATH: DETAIL" or "failed ...", a line each */
    int n_locked;    /* calls of lock() so far */
    bool is_locked;
    int read_error; /* that reading the guest's bytes gives */
} World;

World *world_new(HostFs *fs);
void world_free(World *w);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(World, world_free)

/* On the host and in the guest's volume, without a change. */
Inode *world_dir(World *w, Inode *parent, const char *name);
Inode *world_file(World *w, Inode *parent, const char *name, const char *text);
/* In the guest's volume alone. */
Inode *world_add(World *w, Inode *parent, const char *name, const char *text);

/* What the guest did. */
void world_move(World *w, Inode *inode, Inode *parent, const char *name);
void world_remove(World *w, Inode *inode);
void world_text(World *w, Inode *inode, InodeContent content,
                const char *text);
void world_bytes(World *w, Inode *inode, InodeContent content,
                 const void *data, size_t bytes);
void world_time(World *w, Inode *inode, int64_t seconds);

void world_op(World *w, PlanKind kind, Inode *inode, Inode *dir,
              Inode *victim);

/* Both steps, and what the second one returns. */
int world_run(World *w);
/* Without an error and with nothing held. */
void world_run_well(World *w);

/* Nothing is held any more. */
void world_release(World *w);
/* The host sides and changes as they are now, and back to them. */
void world_save(World *w);
void world_restore(World *w);

/* All names below the root: "a/\n", "a/b: TEXT\n". g_free(). */
char *world_tree(HostFs *fs);
void world_check_tree(HostFs *fs, const char *expected);
/* That the inodes on the host are where and what they say. */
void world_check_sides(World *w, HostFs *fs);

#endif
