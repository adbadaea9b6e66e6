/* SPDX-License-Identifier: MIT */
/* Preparing an image for another backing file. */
#ifndef TOOLS_REBASE_COPY_H
#define TOOLS_REBASE_COPY_H

#include <stdbool.h>

#include "block/block.h"

typedef struct RebaseCopy {
    BlockBackend *image;       /* on its old backing file; read-write */
    BlockBackend *new_backing; /* NULL: none */
    int depth; /* of the new backing file in the chain of the image; 0: it is
                  not in it */
    bool wants_progress;
} RebaseCopy;

/*
 * Give the image what it needs to show the same on the new backing file, and
 * flush it. It shows the same on the old one, too, also after a failure. False
 * with the error printed; or with none when partial_file_interrupted().
 */
bool rebase_copy(const RebaseCopy *copy);

#endif
