/* SPDX-License-Identifier: MIT */
/*
 * What the files of apply share.
 *
 * Functions that run an operation return nothing: what became of it stands in
 * the inode, or in its change (apply_fail(), apply_hold()). The others return
 * 0 or -errno, and leave it to the caller to say so.
 */
#ifndef VVFAT_APPLY_INT_H
#define VVFAT_APPLY_INT_H

#include "block/vvfat/apply.h"

/* Bytes read, compared and written at a time, and for which the lock of the
 * readers is held at most. */
#define APPLY_CHUNK (UINT32_C(1) << 20)
/* What is all zeroes of this size and alignment becomes a hole; the unit in
 * which files are compared. */
#define APPLY_BLOCK 4096u
/* Up to so many files and directories are made durable one by one. */
#define APPLY_SYNC_EACH 8

#define NS_A_SECOND INT64_C(1000000000)

typedef struct ApplyAside {
    Inode *inode;
    char *name;  /* that it had, */
    char *alias; /* and the guest's name for that, or NULL */
} ApplyAside;

typedef struct ApplySource {
    char *path;
    InodeHostId id;
} ApplySource;

struct Apply {
    HostFs *fs;
    ApplyOptions options;
    ApplyHooks hooks;
    Plan *plan;              /* the one that is being run */
    GHashTable *dirty;       /* inodes whose host side is not durable: since
                                the last sync that did not fail */
    GArray *asides;          /* Aside: what was put aside in this run */
    GPtrArray *leftovers;    /* paths of what was made in vain, and could not
                                be removed yet */
    GArray *sources;         /* ApplySource: what was copied, and could not be
                                removed yet */
    uint8_t *guest, *host;   /* APPLY_CHUNK bytes each */
    bool told_no_attributes; /* the host keeps no DOS attributes */
    bool told_not_ours;      /* times and modes of others' files stay */
    GHashTable *told_behind; /* what stays behind of replaced files */
};

/* ---- What came of it (apply.c) ---- */

void apply_hold(Apply *apply, Inode *inode, unsigned why);
/* A host call (or "read" of the guest's bytes) failed. -EIDRM, what is read is
 * gone from the host, is a conflict. */
void apply_fail(Apply *apply, Inode *inode, int error, const char *call,
                const char *path);
/* Hold with words of its own. */
void apply_hold_text(Apply *apply, Inode *inode, unsigned why, int error,
                     const char *path, const char *text);
void apply_event(Apply *apply, ApplyEventKind kind, const char *path,
                 const char *detail);
/* A conflict at `path`: the guest's version has this name there. */
void apply_event_beside(Apply *apply, const char *path, const char *name);
/* Whether `dir` is on the host; the inode is held when it is not. */
bool apply_has_dir(Apply *apply, Inode *inode, const Inode *dir);

void apply_lock(Apply *apply);
void apply_unlock(Apply *apply);

/* ---- Where things are (apply-look.c) ---- */

typedef enum ApplyLook {
    LOOK_SAME,    /* what the host side says */
    LOOK_CHANGED, /* that file, with other contents (never a directory) */
    LOOK_OTHER,   /* something else has the name */
    LOOK_GONE,
} ApplyLook;

/* The entry of the inode in its directory: where a link stands for another
 * file, the link's. g_free(). */
char *apply_entry_path(const Inode *inode);
/* What is there; -errno. st may be NULL. For links: of what they lead to. */
int apply_look(Apply *apply, const Inode *inode, HostStat *st);
/* What `st`, which was found somewhere, is to an inode that is no link. */
ApplyLook apply_judge(const Inode *inode, const HostStat *st);
bool apply_same_file(const HostStat *st, const InodeHostId *id);
bool apply_same_version(const HostStat *st, const InodeHostId *id);
/* Whether the host side says that the inode is there. */
bool apply_stands_at(const Inode *inode, const Inode *dir, const char *name);
/* Whether it is there below a conflict name, as of this run. */
bool apply_is_beside(const Inode *inode, const Inode *dir, const char *name);
/* The name in `dir` that a file has already (`name` or a conflict name of it),
 * from a run that ended before it could say so. g_free(). NULL: none. */
char *apply_find_at(Apply *apply, const InodeHostId *id, bool is_directory,
                    const Inode *dir, const char *name);
/* Another inode of the plan that is there, since its own operation failed. */
bool apply_is_planned_at(Apply *apply, const Inode *inode, const Inode *dir,
                         const char *name);

/* Between lock and unlock: the inode is there now, is nowhere. */
void apply_settle(Apply *apply, Inode *inode, Inode *dir, const char *name);
void apply_forget(Apply *apply, Inode *inode);
/* The times that the entry of the host's side stands for. */
void apply_note_times(Apply *apply, Inode *inode, const HostStat *st);

/* "NAME (guest).EXT", "NAME (guest 2).EXT" (n is 1, 2..), at most 255 bytes.
 * g_free(). */
char *apply_conflict_name(const char *name, unsigned n, bool is_directory);
#define APPLY_CONFLICT_NAMES 1000u
#define APPLY_ASIDE_PREFIX ".vvfat-aside-"

/* ---- Moving (apply-move.c) ---- */

typedef struct ApplyMove {
    Inode *inode;
    const char *from; /* path: of its temporary file, or of itself */
    Inode *dir;
    const char *name;
    Inode *victim;   /* to be replaced if it stands there unchanged */
    const char *temp_name; /* apply_place_guest(): for its temporary file */
    bool is_placing; /* `from` is the temporary file */
    bool is_beside;  /* under a conflict name at once */
} ApplyMove;

/*
 * Move to the name, or to a conflict name where something else has it; the
 * inode's host side says which. True when it is done; else the inode is held,
 * or *exdev is set (when it is not NULL) and nothing has happened.
 */
bool apply_move(Apply *apply, const ApplyMove *move, bool *exdev);

/* Unlink a file that has been replaced. False: it is there, and the inode that
 * has replaced it is held. */
bool apply_remove_old(Apply *apply, Inode *inode, const char *old);

/*
 * Remove what a new file has taken the place of, under another name, without
 * a rename from the one to the other: the new name is made durable first, or
 * a power cut in between could leave neither. Where one of the two fails, the
 * inode is held, and the next apply_sweep() tries again.
 */
void apply_remove_source(Apply *apply, Inode *inode, const char *path);

/*
 * The guest's version, staged now and durable, moved as `move` says (`from`
 * and is_placing are set here): where a host file changed, is gone, or may not
 * be written in place. True when it is done; else the inode is held.
 */
bool apply_place_guest(Apply *apply, ApplyMove *move);

/* ---- Operations ---- */

void apply_op_stage(Apply *apply, const PlanOp *op, Inode *victim);
void apply_op_mkdir(Apply *apply, const PlanOp *op);
void apply_op_aside(Apply *apply, const PlanOp *op);
void apply_op_rename(Apply *apply, const PlanOp *op);
void apply_op_place(Apply *apply, const PlanOp *op);
/* A file or directory that is not where it was has its new name already, from
 * a run that was cut off: then the inode says so now. */
bool apply_is_renamed(Apply *apply, const PlanOp *op);
void apply_op_write(Apply *apply, const PlanOp *op);
void apply_op_unlink(Apply *apply, const PlanOp *op);
void apply_op_rmdir(Apply *apply, const PlanOp *op);
void apply_op_attributes(Apply *apply, const PlanOp *op);
void apply_op_times(Apply *apply, const PlanOp *op);

/* Give back their names to those that were put aside and are held. */
void apply_end_asides(Apply *apply);

/* ---- Temporary files (apply-stage.c) ---- */

/* The guest's whole file to a temporary file in `dir`. from: whose mode and
 * attributes it gets, or NULL; name: that it is to have, or NULL. False: the
 * inode is held. */
bool apply_stage_guest(Apply *apply, Inode *inode, Inode *dir,
                       const Inode *from, const char *name);
/* The same of a host file; its time as well. 0 or -errno. */
int apply_stage_copy(Apply *apply, Inode *inode, Inode *dir, const char *from);
/* Whether its temporary file is there as it was made; -errno. */
int apply_is_staged(Apply *apply, const Inode *inode);
char *apply_temp_path(const Inode *inode);
/* Make it durable before it gets a name. */
int apply_sync_temp(Apply *apply, const Inode *inode);
/* The change has none any more: it is removed, now or by a later sweep. */
void apply_drop_temp(Apply *apply, Inode *inode);
/* Remove a temporary file, or (another name) an empty directory, that was just
 * made in vain; now or by a later sweep. */
void apply_remove_made(Apply *apply, const char *path);
/* Remove leftovers and sources; those that cannot be removed stay in their
 * lists. Whatever was done is durable. */
void apply_sweep(Apply *apply);

/* ---- Durability (apply-sync.c) ---- */

void apply_set_dirty(Apply *apply, Inode *inode);
/* Those of the set, together. The first error: then all stay in the set. */
int apply_sync_dirty(Apply *apply);
/* The temporary files of inodes (those that fail are held). */
void apply_sync_staged(Apply *apply, const GPtrArray *inodes);

#endif
