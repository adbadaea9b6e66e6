/* SPDX-License-Identifier: MIT */
/*
 * A tree of files and directories: what a host directory holds (scan), or
 * what a FAT volume holds (guest-view). Names and attributes are those of the
 * volume; host_* is where the bytes come from.
 *
 * Nodes and strings live in the tree's arena. A tree is built by one thread;
 * once built, any number may read it.
 */
#ifndef VVFAT_TREE_H
#define VVFAT_TREE_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "block/vvfat/cluster.h"
#include "block/vvfat/fat-format.h"
#include "util/arena.h"

/* Date and time as FAT packs them; see dirent.h for the conversion. */
typedef struct FatTime {
    uint16_t date; /* year - 1980 (7 bits), month (4), day (5) */
    uint16_t time; /* hour (5), minute (6), second / 2 (5) */
} FatTime;

typedef struct TreeNode TreeNode;

struct TreeNode {
    TreeNode *parent;      /* NULL: the root */
    TreeNode **children;   /* directories: n_children, g_malloc()ed, in the
                               order of their entries */
    const char *name;      /* long name, UTF-8 (names.h); root: "" */
    const char *host_name; /* bytes of the name in the host's directory; may
                               be the same pointer as name; NULL: no host */
    ClusterChain chain;    /* where it stands in the volume */
    uint64_t host_ino;     /* inode number, to notice a replaced file */
    int64_t host_mtime;    /* nanoseconds since 1970 */
    uint32_t host_dev;     /* index into Tree.devices */
    uint32_t n_children;
    uint32_t size; /* bytes of a file; 0 for directories */
    uint16_t slot; /* first of its 32-byte entries in the parent */
    FatTime mtime, ctime;
    uint16_t adate;     /* FatTime.date of the last access */
    uint8_t ctime_10ms; /* 0..199 */
    uint8_t attr;       /* FAT_ATTR_* */
    uint8_t case_flags; /* FAT_CASE_*; 0 in trees from a host */
    uint8_t short_name[FAT_SHORT_NAME_SIZE];
    bool is_link : 1;         /* reached through a symbolic link */
    bool has_long_name : 1;   /* long-name entries precede the short one */
    bool is_sparse : 1;       /* the host file may have holes */
    bool is_write_denied : 1; /* the host does not let us write it */
};

/* There are as many as there are files. */
_Static_assert(sizeof(TreeNode) <= 104, "a node has grown");

typedef struct Tree {
    TreeNode *root;
    Arena *arena;
    uint64_t n_files, n_directories;    /* the root counts */
    uint8_t label[FAT_SHORT_NAME_SIZE]; /* space padded */
    bool has_label;
    FatTime label_time;
    GArray *devices;     /* uint64_t: st_dev values that host_dev indexes */
    GHashTable *targets; /* TreeNode* -> char*: path below the root that a
                            node with is_link stands for */
} Tree;

/* A tree with a root directory alone. */
Tree *tree_new(void);
void tree_free(Tree *tree);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Tree, tree_free)

/* A zeroed node in the tree's arena, not yet linked to anything. */
TreeNode *tree_node_new(Tree *tree, const char *name, bool is_directory);

/* Give a directory its children (moved; n may be 0) and set their parent. */
void tree_set_children(TreeNode *dir, TreeNode **children, uint32_t n);

static inline bool tree_is_directory(const TreeNode *node)
{
    return node->attr & FAT_ATTR_DIRECTORY;
}

/* Path below the root, of long names or host names, "/" between, no "/" in
 * front; "" for the root. g_free(). */
char *tree_path(const TreeNode *node);
char *tree_host_path(const TreeNode *node);

/* Path below the root under which the host file is to be opened: as
 * tree_host_path(), with symbolic links replaced by what they stand for. */
char *tree_real_path(const Tree *tree, const TreeNode *node);

/* The node at a path of long names, compared as FAT does (without regard to
 * case; short names count too); extra slashes are ignored. NULL: none. */
TreeNode *tree_lookup(const Tree *tree, const char *path);

/* Visit in order, parents before children. Return false to stop. Does not
 * recurse: depth is limited by memory alone. */
typedef bool TreeVisitor(TreeNode *node, void *opaque);
bool tree_walk(const Tree *tree, TreeVisitor *visit, void *opaque);

#endif
