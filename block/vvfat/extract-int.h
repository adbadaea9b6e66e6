/* SPDX-License-Identifier: MIT */
/* Inside extract: what the walk and the files share. */
#ifndef VVFAT_EXTRACT_INT_H
#define VVFAT_EXTRACT_INT_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "block/vvfat/extract-host.h"
#include "block/vvfat/extract.h"

#define EXTRACT_BUFFER (1024u * 1024)

typedef struct Extract {
    Volume *volume;
    const ExtractOptions *options;
    ExtractResult *result;
    GError **errp;
    const char *target; /* the host directory's name */
    GArray *levels;     /* Level */
    int dir;            /* the last level's directory; owned */
    GHashTable *made;   /* FileId of what was made; only when overwriting */
    uint8_t *buffer;
    uint64_t total; /* bytes of all files */
} Extract;

/* ---- Reports (extract.c) ---- */

/* Tell the caller, without counting. */
void extract_say(const Extract *x, const char *path, const char *text);

/* A problem with one node. */
void extract_report(const Extract *x, const TreeNode *node, const char *fmt,
                    ...) G_GNUC_PRINTF(3, 4);

/*
 * A call to the host failed for a node; `what` was to be done: "create". True
 * if the rest can go on: the problem is reported; else *x->errp is set.
 */
bool extract_host_failed(Extract *x, const TreeNode *node, const char *what,
                         int ret) G_GNUC_WARN_UNUSED_RESULT;

/* Note that a file or directory is one of ours. Returns fd, or -errno with fd
 * closed; fd may be a -errno itself. */
int extract_remember(Extract *x, int fd);

/* ---- Files (extract-file.c) ---- */

/* Extract a file into the directory being filled. True if the rest can go
 * on. */
bool extract_file(Extract *x, const TreeNode *node);

/* What the mode cannot say; what cannot be stored is reported once. */
void extract_store_attributes(Extract *x, int fd, const TreeNode *node);

/* 0 or -errno. */
int extract_store_times(const Extract *x, int fd, const TreeNode *node);

#endif
