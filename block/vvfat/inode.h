/* SPDX-License-Identifier: MIT */
/*
 * A file or directory of a writable volume, with its two sides: the entry that
 * the guest's volume has for it, and the file that the host's directory has
 * for it as of the last commit. Where the two differ there is a change to be
 * committed.
 *
 * An inode stays the same through renames, moves and rewrites, on both sides.
 * One without a guest side was deleted by the guest (or is on its way from one
 * directory to another); one without a host side is new.
 *
 * Not locked: the commit thread owns all inodes. What other threads look at
 * (host side, for reading data) is changed under the namespace lock of the
 * file map (data-map.h).
 */
#ifndef VVFAT_INODE_H
#define VVFAT_INODE_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "block/vvfat/cluster.h"
#include "block/vvfat/fat-format.h"

typedef struct Inode Inode;
typedef struct InodeChange InodeChange;

/* Why an inode cannot be committed now. Bits; the first set one, from the
 * lowest, is the one that is told. */
#define INODE_CHAIN_BAD 0x001u /* runs into a free, bad or no cluster */
#define INODE_CHAIN_LOOP 0x002u
#define INODE_CROSS_LINK 0x004u  /* shares clusters with another entry */
#define INODE_CHAIN_SHORT 0x008u /* fewer clusters than its size needs */
#define INODE_FATS_DIFFER 0x010u /* its entries in the two FATs do */
#define INODE_DOTS 0x020u        /* a directory without "." and ".." */
#define INODE_NAME_UNSAFE 0x040u /* no host file can have the name */
#define INODE_NAME_TWICE 0x080u  /* an earlier entry has the name */
#define INODE_LOST_CHAIN 0x100u  /* no entry, but still allocated */
#define INODE_PARENT_HELD 0x200u /* its directory is not on the host */
#define INODE_PROTECTED 0x400u   /* the host does not allow to write it */
#define INODE_CONFLICT 0x800u    /* changed on the host meanwhile */
#define INODE_IO_ERROR 0x1000u   /* a host call or a read failed */
#define INODE_DAMAGED                                                         \
    0x2000u                      /* a directory entry with a size, a file
                                     without a chain, and the like */
#define INODE_NAME_TAKEN 0x4000u /* what has the name on the host is held */
#define INODE_NOT_EMPTY 0x8000u  /* a directory to go that holds what stays */
#define INODE_SUCCESSOR 0x10000u /* to go, but what has its name now waits */
#define INODE_WAITS 0x20000u     /* nothing was committed yet */

/* Words for the lowest bit set; static. NULL for 0. */
const char *inode_held_text(unsigned held);

/* What the host said of a file when it was last looked at. */
typedef struct InodeHostId {
    uint64_t dev, ino;
    int64_t size;     /* bytes */
    int64_t mtime_ns; /* nanoseconds since 1970, saturated */
} InodeHostId;

/* What of an entry the host has as well. */
typedef struct InodeHostEntry {
    uint8_t attr;
    le16 mtime, mdate;
} InodeHostEntry;

/* There are as many as there are files: what few of them need stands
 * elsewhere (InodeChange, guest-state-int.h, linked.h). */
struct Inode {
    /* ---- The guest's side ---- */
    Inode *parent;      /* NULL: the root, or no entry (deleted) */
    Inode **children;   /* directories: in the order of their entries */
    const char *name;   /* long name, UTF-8 (names.h); the root: "" */
    ClusterChain chain; /* the sound part of its clusters */
    uint32_t n_children;
    unsigned defects;    /* INODE_CHAIN_BAD .. INODE_NAME_TWICE, LOST_CHAIN,
                            DAMAGED; IO_ERROR: a directory that could not be
                            read */
    uint32_t stale_from; /* first index of its chain to be followed again */
    uint16_t slot;       /* first of its 32-byte entries in the parent */
    uint8_t n_slots;
    FatDirent entry; /* the short entry as it stands */

    /* ---- Both ---- */
    bool is_directory : 1;
    bool is_linked_to : 1; /* reached through a symbolic link */
    bool is_detached : 1;  /* a file reached so: what its host file had is in
                              the overlay, where that was changed since */
    bool is_stale : 1;     /* guest-state.c: to be looked at again */
    bool is_orphan : 1;    /* no entry, and its clusters not free yet */
    bool is_unsynced : 1;  /* a sync of the host file failed: what the overlay
                              has of it is written anew, whatever the host
                              shows (apply-sync.c) */
    bool is_known : 1;     /* a directory: guest-dir-parts.c */
    bool owns_name : 1;    /* inode.c */
    bool owns_host_name : 1;

    /* ---- The host's side ---- */
    /* Requests look at these two, while the bits change. */
    bool is_protected;         /* the host did not allow writing when opened */
    bool is_sparse;            /* the host file may have holes */
    InodeHostEntry host_entry; /* what it corresponds to */
    Inode *host_parent;        /* directory that holds it; NULL: the root, or
                                  not on the host */
    const char *host_name;     /* NULL: not on the host; the root: "" */
    char *link_path;           /* path below the root that a symbolic link in
                                  its place stands for, or that what it shows,
                                  below a link, was moved to; or NULL */
    char *alias;               /* guest name of this host name where it is not
                                  what names_unmap() makes of it, or NULL */
    InodeHostId host;
    ClusterChain host_chain; /* clusters whose bytes the host file holds, in
                                the file's order; only in the map (data-map)
                                as far as nothing else took them */
    uint64_t mapped_at;      /* when host_chain was mapped: what was mapped
                                later has the clusters (data-map.h) */

    InodeChange *change; /* while it is in the list of changes, else NULL */
    uint64_t id;         /* unique among the inodes of a volume; root: 1 */
};

_Static_assert(sizeof(Inode) <= 200, "an inode has grown");

/* What is known of the contents of a file, compared to its host file. */
typedef enum InodeContent {
    CONTENT_SAME,
    CONTENT_RANGES, /* some ranges, or the size: written in place */
    CONTENT_WHOLE,  /* no cluster of the host file is left: written anew */
} InodeContent;

typedef struct InodeRange {
    int64_t offset, bytes; /* of the file */
} InodeRange;

/* An inode in the list of changes. */
struct InodeChange {
    unsigned held;        /* INODE_*: why it waits; 0: it can be committed */
    int error;            /* -errno of INODE_IO_ERROR */
    char *detail;         /* more words about it, or NULL */
    InodeContent content; /* applying makes it CONTENT_SAME as soon as the
                             host file has the guest's bytes */
    guint index;          /* in the list */
    GArray *ranges;    /* InodeRange, ascending, for CONTENT_RANGES; or NULL */
    char *target_name; /* host name that it is to have; NULL: it is to go */
    /* Between staging and placing. */
    Inode *temp_dir; /* directory of the temporary file */
    char *temp_name; /* NULL: none */
    InodeHostId staged;
    bool staged_sparse : 1; /* it may have holes */
    /* Its host file is, or was when this process or the one before it ended,
     * being written in place: size and time of the file say nothing. */
    bool is_torn : 1;
};

Inode *inode_new(bool is_directory);
/* Frees the inode alone; children are not its own. */
void inode_free(Inode *inode);

void inode_change_free(InodeChange *change);

/*
 * Give it another name, on the guest's side, or on the host's: a copy; NULL:
 * none. The other side's stays what and where it is. Names that are the same
 * bytes are one string.
 */
void inode_set_name(Inode *inode, const char *name);
void inode_set_host_name(Inode *inode, const char *host_name);

/* The names of one that has none; both strings outlive it. */
void inode_borrow_names(Inode *inode, const char *name, const char *host_name);

/* What a host side that is like the entry has of it. */
InodeHostEntry inode_host_entry(const FatDirent *entry);

/* Whether the host has the entry's time, as far as is known. */
bool inode_has_entry_time(const Inode *inode);

/* Whether its change is held since its directory is protected: unlike those of
 * protected inodes, the guest's write was not refused. */
static inline bool inode_is_shut_out(const Inode *inode)
{
    return !inode->is_protected && inode->change &&
           (inode->change->held & INODE_PROTECTED);
}

static inline bool inode_is_on_host(const Inode *inode)
{
    return inode->host_name != NULL;
}

/* Whether its host side leads up to the root: not so below a directory that
 * turned out to be gone. */
bool inode_is_reachable(const Inode *inode);

/* Not on the host any more. host_chain stays. */
void inode_leave_host(Inode *inode);

/* For one in the list of changes: held back, in the guest's tree, so the host
 * has not what the guest has. What has lost its entry is on the host still, or
 * nobody's. */
bool inode_is_loss(const Inode *inode);

/* First cluster that the entry names; 0: none. fat_type: 12, 16 or 32. */
uint32_t inode_entry_cluster(const FatDirent *entry, unsigned fat_type);

/* Bytes of a file as its entry has it; 0 for a directory. */
uint32_t inode_size(const Inode *inode);

/* Path below the root, "" for the root, on the guest's side (long names) and
 * on the host's (through link_path; NULL when not on the host). g_free(). */
char *inode_path(const Inode *inode);
char *inode_host_path(const Inode *inode);

/* The path of `name` in a directory on the host. g_free(). */
char *inode_host_path_at(const Inode *dir, const char *name);

#endif
