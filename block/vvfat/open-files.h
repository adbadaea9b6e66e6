/* SPDX-License-Identifier: MIT */
/*
 * Open host files, a bounded number of them, shared by all readers.
 * Any number of threads.
 */
#ifndef VVFAT_OPEN_FILES_H
#define VVFAT_OPEN_FILES_H

#include "block/vvfat/hostfs.h"
#include "block/vvfat/tree.h"

typedef struct OpenFiles OpenFiles;
typedef struct OpenFile OpenFile;

/* tree and fs must outlive it. At most `max` files stay open while nobody
 * reads them. */
OpenFiles *open_files_new(const Tree *tree, HostFs *fs, unsigned max);

/* No file is in use any more. */
void open_files_free(OpenFiles *files);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(OpenFiles, open_files_free)

/*
 * The open file of a node, and the right to use it until open_files_put().
 * -EIO, with a message for the user, when the host's file is not the one that
 * was scanned any more: gone, replaced, or shorter.
 */
int open_files_get(OpenFiles *files, const TreeNode *node, OpenFile **file)
    G_GNUC_WARN_UNUSED_RESULT;
void open_files_put(OpenFiles *files, OpenFile *file);

HostFile *open_file_host(const OpenFile *file);

#endif
