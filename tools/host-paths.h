/* SPDX-License-Identifier: MIT */
/*
 * Which files and directories of the host an image is made of, to refuse
 * writing into what is being read.
 */
#ifndef TOOLS_HOST_PATHS_H
#define TOOLS_HOST_PATHS_H

#include <glib.h>
#include <stdbool.h>

#include "block/block.h"

typedef enum HostPathRelation {
    HOST_PATH_APART,
    HOST_PATH_SAME,   /* the path is a file or directory of the image */
    HOST_PATH_INSIDE, /* the path lies in a directory of the image */
    HOST_PATH_AROUND, /* a file or directory of the image lies in the path */
} HostPathRelation;

/* The path in the name of a file: what follows "file:", or all of it. */
const char *host_path_of(const char *name);

/*
 * How `path`, which need not exist yet, stands to what the image reads.
 * *what: the file or directory of the image that is concerned; g_free().
 */
HostPathRelation host_path_relation(BlockBackend *image, const char *path,
                                    char **what);

#endif
