/* SPDX-License-Identifier: MIT */
/*
 * Open host files, a bounded number of them, shared by all readers.
 * Any number of threads.
 */
#ifndef VVFAT_OPEN_FILES_H
#define VVFAT_OPEN_FILES_H

#include "block/vvfat/hostfs.h"

typedef struct OpenFiles OpenFiles;
typedef struct OpenFile OpenFile;

/* What the files are known by, each by an address. Any thread. */
typedef struct OpenFilesSource {
    /* The path of a file below the root, links resolved; g_free(). NULL: the
     * host has it no more. */
    char *(*path)(const void *key, const void *opaque);
    /* Why what was opened is not the file that is meant ("has shrunk"), or
     * NULL. Static. */
    const char *(*changed)(const void *key, const HostStat *st,
                           const void *opaque);
    const void *opaque;
} OpenFilesSource;

/* source (copied), what it refers to, and fs must outlive it. At most `max`
 * files stay open while nobody reads them. */
OpenFiles *open_files_new(const OpenFilesSource *source, HostFs *fs,
                          unsigned max);

/* No file is in use any more. */
void open_files_free(OpenFiles *files);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(OpenFiles, open_files_free)

/*
 * The open file of a key, and the right to use it until open_files_put().
 * With a message for the user: -EIDRM, which no call to the host gives, when
 * the host's file is not the one that was scanned any more: gone, replaced, or
 * shorter; -EIO when it cannot be opened.
 */
int open_files_get(OpenFiles *files, const void *key, OpenFile **file)
    G_GNUC_WARN_UNUSED_RESULT;
void open_files_put(OpenFiles *files, OpenFile *file);

/*
 * Read exactly `bytes` bytes of the file of a key into the vector, from
 * `iov_offset` of it on. -EIDRM or -EIO, as above, or the -errno of reading,
 * with a message for the user.
 */
int open_files_read(OpenFiles *files, const void *key, int64_t offset,
                    const IOVector *iov, size_t iov_offset, size_t bytes)
    G_GNUC_WARN_UNUSED_RESULT;

/* The same for bytes of a file that has no key any more, since the host has
 * deleted it: -EIDRM. */
int open_files_deleted(void) G_GNUC_WARN_UNUSED_RESULT;

/* The same result for a guest, whose disk has no such thing: -EIDRM is -EIO.
 * All others stay. */
int open_files_guest_error(int r);

/* The key stands for another file now, or none. Nobody uses it. */
void open_files_forget(OpenFiles *files, const void *key);

HostFile *open_file_host(const OpenFile *file);

#endif
