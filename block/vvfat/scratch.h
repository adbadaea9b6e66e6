/* SPDX-License-Identifier: MIT */
/*
 * Room for bytes that nobody else is to see: a temporary file without a name,
 * in the directory for temporary files ($TMPDIR), made when it is first
 * written. Any number of threads.
 */
#ifndef VVFAT_SCRATCH_H
#define VVFAT_SCRATCH_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Scratch Scratch;

Scratch *scratch_new(void);
void scratch_free(Scratch *scratch);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Scratch, scratch_free)

/* 0 or -errno. What was never written reads as zeroes. */
int scratch_read(Scratch *scratch, int64_t offset, void *buf, size_t bytes)
    G_GNUC_WARN_UNUSED_RESULT;
int scratch_write(Scratch *scratch, int64_t offset, const void *buf,
                  size_t bytes) G_GNUC_WARN_UNUSED_RESULT;

/* Forget all bytes, and give their room back. Not beside other calls. */
void scratch_clear(Scratch *scratch);

/*
 * A new empty file in the directory for temporary files, for somebody who has
 * to open it by its name: the caller removes it. The pattern ends in XXXXXX.
 * g_free(). NULL and *errp.
 */
char *scratch_named(const char *pattern, GError **errp);

/* A new empty file of that name, for its owner alone: bytes of others may go
 * into it. 0 or -errno; -EEXIST: there is something. */
int scratch_claim(const char *path) G_GNUC_WARN_UNUSED_RESULT;

/*
 * A file that gets the name `path` when it is complete, and is not there
 * before: a descriptor, or -errno. -EEXIST: there is something of that name;
 * -EOPNOTSUPP: the file system has no files without a name. *as: a name under
 * which this process can open it meanwhile; g_free().
 */
int scratch_unpublished(const char *path, char **as) G_GNUC_WARN_UNUSED_RESULT;

/* Give it its name, and close the descriptor. The file is durable, its name is
 * not yet. 0 or -errno; -EEXIST: somebody else was faster. */
int scratch_publish(int fd, const char *path) G_GNUC_WARN_UNUSED_RESULT;

/* Close it without a name: it is no more. */
void scratch_abandon(int fd);

/* Make the name of a file durable: 0 or -errno. */
int scratch_sync_name(const char *path) G_GNUC_WARN_UNUSED_RESULT;

/* Whether there is something of that name. */
bool scratch_exists(const char *path);

void scratch_remove(const char *path);

#endif
