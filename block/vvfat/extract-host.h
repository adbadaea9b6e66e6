/* SPDX-License-Identifier: MIT */
/*
 * Inside extract: the calls to the host, one name in one directory at a time.
 *
 * Every name is checked again here: it must be a single component, and none
 * of "." and "..". No call follows a symbolic link. Functions return 0 (or a
 * descriptor) or -errno.
 */
#ifndef VVFAT_EXTRACT_HOST_H
#define VVFAT_EXTRACT_HOST_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* What a file is, whatever its name. */
typedef struct FileId {
    dev_t dev;
    ino_t ino;
} FileId;

guint file_id_hash(gconstpointer id);
gboolean file_id_equal(gconstpointer a, gconstpointer b);

int extract_identify(int fd, FileId *id);

/* Open the directory that all goes into; made when it is missing. */
int extract_open_target(const char *dir);

/* Whether a directory is empty: 1, 0 or -errno. */
int extract_is_empty(int dir);

/* Make a directory, and open it. With `reuse` it may be there already. */
int extract_make_dir(int dir, const char *name, bool reuse);

/* Open the directory above `dir`; -ESTALE if that is not `expected`. */
int extract_open_parent(int dir, const FileId *expected);

/* Create a file, for writing. -EEXIST if the name is taken. */
int extract_create(int dir, const char *name);

/* Make room for a file: remove the file or link that has the name, unless it
 * is a directory (-EISDIR) or in `spare` (-EEXIST), a set of FileId. */
int extract_remove_old(int dir, const char *name, GHashTable *spare);

void extract_remove(int dir, const char *name);

/* Write all of buf; blocks of zeroes become holes of a new file. */
int extract_write(int fd, int64_t offset, const uint8_t *buf, size_t bytes);

/* Store DOS attributes (FAT_ATTR_* bits) in user.DOSATTRIB. */
int extract_set_dos_attributes(int fd, unsigned attributes);

int extract_clear_write_mode(int fd);

/* Seconds since 1970. */
int extract_set_times(int fd, int64_t access, int64_t modification);

#endif
