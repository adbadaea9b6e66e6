/* SPDX-License-Identifier: MIT */
/* Trees of files behind any HostFs: make them, and show and compare them as
 * text. Not for trees that somebody else changes meanwhile. */
#ifndef TESTS_HOST_TREE_H
#define TESTS_HOST_TREE_H

#include "block/vvfat/hostfs.h"

/* A file with these contents, new or in place of the old ones, and the
 * directories above it; a directory. Nothing is synced. 0 or -errno. */
int host_tree_file(HostFs *fs, const char *path, const void *data,
                   size_t bytes);
int host_tree_text(HostFs *fs, const char *path, const char *text);
int host_tree_dir(HostFs *fs, const char *path);

/* Remove a file, or a directory with all below. 0 or -errno. */
int host_tree_remove(HostFs *fs, const char *path);

/* The contents of a file, with a NUL behind them that does not count, or
 * NULL. g_free(). */
char *host_tree_read(HostFs *fs, const char *path, size_t *bytes);

/* What host_tree_dump() shows beside names and contents. */
enum {
    HOST_TREE_MODES = 1 << 0,
    HOST_TREE_TIMES = 1 << 1, /* of modification */
    HOST_TREE_ATTRS = 1 << 2, /* DOS attributes, where there are some */
    HOST_TREE_INODES = 1 << 3,
};

/*
 * A line for each entry, in the order of their paths, each directory before
 * what is in it: "path/", "path -> ?" (a link), "path 4 'text'" or "path
 * 123456 sha1" (of what is long or no text), and what was asked for behind it.
 * What cannot be read has "error N" there. g_free().
 */
char *host_tree_dump(HostFs *fs, unsigned show);

/* NULL when two dumps are equal, or their lines that differ, "-" before those
 * of the first and "+" before those of the second. g_free(). */
char *host_tree_diff(const char *a, const char *b);

#endif
