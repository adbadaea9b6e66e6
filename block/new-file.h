/* SPDX-License-Identifier: MIT */
/*
 * The file of an image that is being made. When that fails it is removed again,
 * but only if it was not there before, and is what was made: for as long as it
 * is open here, it is locked, and nobody else's.
 */
#ifndef BLOCK_NEW_FILE_H
#define BLOCK_NEW_FILE_H

#include <sys/stat.h>

#include "block/driver.h"

typedef struct NewFile {
    char *path; /* without links; NULL: not ours to remove */
    struct stat st;
} NewFile;

/* Make or empty it; clear *file in any case. */
bool new_file_create(NewFile *file, const char *filename, bool nocow,
                     GError **errp) G_GNUC_WARN_UNUSED_RESULT;
/* What was made at `path` otherwise, and was not there before. */
void new_file_note(NewFile *file, const char *path);
void new_file_clear(NewFile *file);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(NewFile, new_file_clear)

/* While it is open, as a file or as the file of an image. */
void new_file_remove(const NewFile *file);

#endif
