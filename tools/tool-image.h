/* SPDX-License-Identifier: MIT */
/* Opening images with the options that all commands have in common. */
#ifndef TOOLS_TOOL_IMAGE_H
#define TOOLS_TOOL_IMAGE_H

#include <glib.h>
#include <stdbool.h>

#include "block/block.h"
#include "tools/command.h"

/* Keys of options without a letter. */
enum {
    KEY_IMAGE_OPTS = 256,
    KEY_OUTPUT,
    KEY_COMMAND, /* a command's own options count from here */
};

/* Rows for the option tables of commands that open an image. */
#define TOOL_OPTION_FORMAT                                                    \
    {                                                                         \
        'f', NULL, "FMT", "Format of the image; probed when not given"        \
    }
#define TOOL_OPTION_IMAGE_OPTS                                                \
    {                                                                         \
        KEY_IMAGE_OPTS, "image-opts", NULL,                                   \
            "Images are given as options (driver=...,dir=...), not names"     \
    }
#define TOOL_OPTION_FORCE_SHARE                                               \
    {                                                                         \
        'U', "force-share", NULL, "Read an image that another program writes" \
    }
#define TOOL_OPTION_OUTPUT                                                    \
    {                                                                         \
        KEY_OUTPUT, "output", "human|json", "Print for people, or as JSON"    \
    }
#define TOOL_OPTION_QUIET                                                     \
    {                                                                         \
        'q', NULL, NULL, "Print errors only"                                  \
    }
#define TOOL_OPTION_PROGRESS                                                  \
    {                                                                         \
        'p', NULL, NULL, "Show the progress on a terminal"                    \
    }
#define TOOL_OPTION_SNAPSHOT                                                  \
    {                                                                         \
        'l', NULL, "SNAPSHOT", "Not supported"                                \
    }
#define TOOL_OPTION_SRC_CACHE                                                 \
    {                                                                         \
        'T', NULL, "CACHE", "Cache mode for reading (writeback)"              \
    }

typedef struct ImageArgs {
    const char *format; /* -f, or NULL */
    const char *cache;  /* -T, or NULL */
    bool image_opts;
    bool force_share;
} ImageArgs;

/* Take one of the options above; false when the key is none of them. Exits
 * with a usage error for one that is not supported. */
bool image_args_take(ImageArgs *args, int key, const char *arg);

/* Exit with a usage error when the options contradict each other. */
void image_args_check(const ImageArgs *args);

/* The options that open the image, with its name when that is options; NULL
 * with the error printed. */
Options *image_options_new(const char *name, const char *format,
                           bool image_opts);

/* The BDRV_O_* flags that a cache mode means. */
unsigned image_cache_flags(const char *cache);

/* Open for reading; NULL with the error printed. */
BlockBackend *image_open_source(const char *name, const ImageArgs *args);

/* Open with these BDRV_O_* flags; NULL with the error printed. */
BlockBackend *image_open_flags(const char *name, const ImageArgs *args,
                               unsigned flags);

/*
 * Open an existing image for writing; NULL with the error printed. name: a
 * file name, or options when image_opts. cache: a mode of qemu-img.
 */
BlockBackend *image_open_target(const char *name, const char *format,
                                bool image_opts, const char *cache);

/* A target that was created just now, for giving it its size too. */
BlockBackend *image_open_created(const char *name, const char *format,
                                 const char *cache);

/*
 * Nothing more will be written to an image that was opened for it: what it has
 * to bring elsewhere (a writable directory) is brought there. To be called
 * before blk_close(), after failures, too. blk may be NULL. False with the
 * error printed, which tells what is not there and where it is.
 */
bool image_finish(BlockBackend *blk, const char *name)
    G_GNUC_WARN_UNUSED_RESULT;

/* Exit with a usage error unless `cache` is a cache mode; `what` names the
 * option. */
void image_check_cache(const char *what, const char *cache);

/* Warn about everything the driver skipped, renamed or clamped. */
void image_warn_report(BlockBackend *blk);

/* "'x': the host does not allow to write it" for entry i of what waits to be
 * committed, or NULL behind the last. g_free(). */
char *image_pending_line(const BdrvInfo *info, unsigned i);

/* "skipped 'x': a socket" for entry i of the report, or NULL behind the last.
 * g_free(). */
char *image_report_line(const BdrvInfo *info, unsigned i);

/* Memory for requests, which begins with a page: what the kernel copies there
 * arrives in up to half the time. bytes: from 1. free(); NULL: there is none. */
void *image_try_buffer(size_t bytes);

/* bdrv_find_format() by another name: whether there is such a driver. */
bool image_format_exists(const char *format);

#endif
