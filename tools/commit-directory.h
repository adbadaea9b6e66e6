/* SPDX-License-Identifier: MIT */
/*
 * A directory as the base of a commit (fat:rw:DIR). While files are written
 * into it, its disk becomes another one than the image was made for. So the
 * disk is kept as it is in an overlay beside the image until all is done: a
 * commit that is interrupted, or that could not write everything, goes on
 * where it was when it is repeated.
 */
#ifndef TOOLS_COMMIT_DIRECTORY_H
#define TOOLS_COMMIT_DIRECTORY_H

#include "block/block.h"
#include "tools/tool-image.h"

typedef struct CommitDirectory CommitDirectory;

/* Whether a commit of this image into a directory may have been interrupted:
 * until it is repeated, the image can be opened with BDRV_O_ANY_BACKING alone.
 */
bool commit_directory_is_interrupted(const char *name, const ImageArgs *args);

/*
 * What the base, `depth` below blk, needs if it is a directory. False with the
 * error printed; true and *directory NULL: it is none.
 */
bool commit_directory_new(BlockBackend *blk, int depth,
                          CommitDirectory **directory);

/* Remove the overlay if it is of no use: nothing was written into the
 * directory, or everything. After the base was closed. NULL is none. */
void commit_directory_free(CommitDirectory *directory);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CommitDirectory, commit_directory_free)

/* Options that the base is to be opened with. */
const Options *commit_directory_options(const CommitDirectory *directory);

/* The base has everything: write it into the directory. False with the error
 * printed, and what waits. */
bool commit_directory_write(CommitDirectory *directory, BlockBackend *base,
                            const char *base_name);

/* The image is not needed any more. */
void commit_directory_done(CommitDirectory *directory);

#endif
