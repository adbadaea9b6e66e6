/* SPDX-License-Identifier: MIT */
/* Telling an overlay that a writable directory keeps from other images. */
#ifndef VVFAT_KEPT_PROBE_H
#define VVFAT_KEPT_PROBE_H

#include "block/block.h"

/*
 * The options that open the directory of an overlay with it: driver, dir, rw,
 * overlay (that is `filename`) and those that the volume was made with. NULL:
 * the image is no such overlay, or cannot be read.
 */
Options *kept_probe(BlockBackend *blk, const char *filename);

#endif
