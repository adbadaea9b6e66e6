/* SPDX-License-Identifier: MIT */
/* Chains of backing files: finding an image in one, and writing to one. */
#ifndef TOOLS_IMAGE_CHAIN_H
#define TOOLS_IMAGE_CHAIN_H

#include <stdbool.h>

#include "block/block.h"
#include "tools/tool-image.h"

/*
 * How deep below blk the image `name` lies: 1 for its backing file, and so on;
 * 0: it is not in the chain. A relative name is relative to the image above
 * it, as a recorded one is, or else to the working directory.
 */
int image_chain_find(BlockBackend *blk, const char *name);

/* Whether two names lead to one image: equal, or of one file. */
bool image_chain_is_same(const char *a, const char *b);

/*
 * Whether `image` is the image `name`, of this format (NULL: to be found out),
 * or lies below it, as far as the images say. For names that are not opened
 * yet, and possibly cannot be.
 */
bool image_chain_leads_to(const char *name, const char *format,
                          const char *image);

/* How many images lie below blk. */
int image_chain_length(BlockBackend *blk);

/* The format of the image `depth` below blk; static. */
const char *image_chain_format(BlockBackend *blk, int depth);

/*
 * Open the image `name` for writing and its chain, with the image `depth`
 * below it writable, too: that is *base. base_options: further options of
 * that, or NULL. False with the error printed.
 */
bool image_chain_open(const char *name, const ImageArgs *args, int depth,
                      const Options *base_options, BlockBackend **top,
                      BlockBackend **base);

#endif
