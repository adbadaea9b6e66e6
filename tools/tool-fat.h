/* SPDX-License-Identifier: MIT */
/* The FAT volume of an image, for the commands that look into it. */
#ifndef TOOLS_TOOL_FAT_H
#define TOOLS_TOOL_FAT_H

#include <stdbool.h>

#include "block/vvfat/fat-image.h"
#include "tools/tool-image.h"

enum {
    KEY_CODEPAGE = KEY_COMMAND + 100,
};

#define TOOL_OPTION_PARTITION                                                 \
    {                                                                         \
        'P', "partition", "N", "Partition to look at; 0: disk without table"   \
    }
#define TOOL_OPTION_CODEPAGE                                                  \
    {                                                                         \
        KEY_CODEPAGE, "codepage", "N", "Code page of the short names (437)"   \
    }

typedef struct FatArgs {
    ImageArgs image;
    int partition;
    unsigned codepage;
} FatArgs;

#define FAT_ARGS_DEFAULT                                                      \
    ((FatArgs){ .partition = FAT_IMAGE_ANY_PARTITION, .codepage = 437 })

/* Take an option of an image or one of the above; false: it is none. */
bool fat_args_take(FatArgs *args, int key, const char *arg);

typedef struct FatSource {
    BlockBackend *blk;
    FatImage *fat;
    const GuestView *view;
} FatSource;

/* Open and load the tree; warn when the volume is damaged. False with the
 * error printed; close it in either case. */
bool fat_source_open(FatSource *source, const char *name, const FatArgs *args);
void fat_source_close(FatSource *source);

/* The node at a path, of names as `ls` prints them; NULL with the error
 * printed. */
const TreeNode *fat_source_lookup(const FatSource *source, const char *path);

/* The name that people see: the host's, where it can have one. */
const char *fat_node_name(const TreeNode *node);

/* The path of such names below `base`; "" for base itself. g_free(). */
char *fat_node_path(const TreeNode *node, const TreeNode *base);

/* "2026-01-31 13:59:58", or dashes for no time at all. */
void fat_time_format(FatTime time, char text[20]);

#endif
