/* SPDX-License-Identifier: MIT */
#include "tools/tool-image.h"

#include <errno.h>
#include <stdlib.h>

#include "block/driver.h"
#include "tools/tool-args.h"
#include "tools/tool-output.h"

#define OPEN_ATTEMPTS 6
#define OPEN_PAUSE_MAX_US 8000

/* They differ in nothing that a program which flushes once, at its end, could
 * notice; the page cache is used in all of them. */
static const char *const cache_modes[] = {
    "writeback", "writethrough", "none", "off", "directsync", "unsafe", NULL
};

void image_check_cache(const char *what, const char *cache)
{
    if (!g_strv_contains(cache_modes, cache)) {
        tool_args_usage("Invalid %s: %s", what, cache);
    }
}

bool image_format_exists(const char *format)
{
    return bdrv_find_format(format) != NULL;
}

bool image_args_take(ImageArgs *args, int key, const char *arg)
{
    switch (key) {
    case 'f':
        args->format = arg;
        return true;
    case 'T':
        args->cache = arg;
        return true;
    case 'U':
        args->force_share = true;
        return true;
    case 'l':
        tool_args_usage("-l is not supported: internal snapshots are listed "
                        "by 'info', but what they hold cannot be read");
    case KEY_IMAGE_OPTS:
        args->image_opts = true;
        return true;
    default:
        return false;
    }
}

void image_args_check(const ImageArgs *args)
{
    if (args->image_opts && args->format) {
        tool_args_usage("--image-opts and --format are mutually exclusive");
    }
    if (args->cache) {
        image_check_cache("source cache option", args->cache);
    }
}

/* Two that lock an image at the same moment may refuse each other: with more
 * than one attempt, one of them gets it. */
static BlockBackend *open_attempts(const char *name, const Options *options,
                                   unsigned flags, int attempts, GError **errp)
{
    for (;;) {
        GError *error = NULL;
        BlockBackend *blk = blk_open(name, options, flags, &error);

        if (blk) {
            return blk;
        }
        if (error->code != EAGAIN || --attempts <= 0) {
            g_propagate_error(errp, error);
            return NULL;
        }
        g_error_free(error);
        g_usleep((gulong)g_random_int_range(1, OPEN_PAUSE_MAX_US));
    }
}

Options *image_options_new(const char *name, const char *format,
                           bool image_opts)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Options) options = options_new();

    if (image_opts && !options_parse_keyval(options, name, NULL, &error)) {
        tool_error("%s", error->message);
        return NULL;
    }
    if (format) {
        if (!image_format_exists(format)) {
            tool_error("Could not open '%s': Unknown driver '%s'", name,
                       format);
            return NULL;
        }
        options_set(options, "driver", format);
    }
    return g_steal_pointer(&options);
}

unsigned image_cache_flags(const char *cache)
{
    return g_strcmp0(cache, "unsafe") == 0 ? BDRV_O_NO_FLUSH : 0;
}

static BlockBackend *open_image(const char *name, const char *format,
                                bool image_opts, const char *cache,
                                unsigned flags, int attempts)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Options) options = image_options_new(name, format, image_opts);
    BlockBackend *blk = NULL;

    if (!options) {
        return NULL;
    }
    blk = open_attempts(image_opts ? NULL : name, options,
                        flags | image_cache_flags(cache), attempts, &error);
    if (!blk) {
        tool_error("%s", error->message);
    }
    return blk;
}

BlockBackend *image_open_source(const char *name, const ImageArgs *args)
{
    return image_open_flags(name, args, 0);
}

BlockBackend *image_open_flags(const char *name, const ImageArgs *args,
                               unsigned flags)
{
    if (args->force_share) {
        flags |= BDRV_O_FORCE_SHARE;
    }
    return open_image(name, args->format, args->image_opts, args->cache, flags,
                      1);
}

BlockBackend *image_open_target(const char *name, const char *format,
                                bool image_opts, const char *cache)
{
    return open_image(name, format, image_opts, cache,
                      BDRV_O_RDWR | BDRV_O_UNMAP, 1);
}

BlockBackend *image_open_created(const char *name, const char *format,
                                 const char *cache)
{
    return open_image(name, format, false, cache,
                      BDRV_O_RDWR | BDRV_O_RESIZE | BDRV_O_UNMAP,
                      OPEN_ATTEMPTS);
}

bool image_finish(BlockBackend *blk, const char *name)
{
    g_autoptr(GError) error = NULL;

    if (blk && blk_commit(blk, true, &error) < 0) {
        tool_error("%s: %s", name, error->message);
        return false;
    }
    return true;
}

static const char *list_field(const BdrvInfo *info, const char *list,
                              unsigned i, const char *field)
{
    char key[64];

    g_snprintf(key, sizeof(key), "%s.%u.%s", list, i, field);
    return options_get(info->specific, key);
}

char *image_pending_line(const BdrvInfo *info, unsigned i)
{
    const char *path = list_field(info, "pending", i, "path");
    const char *reason = list_field(info, "pending", i, "reason");

    if (!path || !reason) {
        return NULL;
    }
    g_autofree char *clean_path = tool_escape(path, false);
    g_autofree char *clean_reason = tool_escape(reason, false);
    return g_strdup_printf("'%s': %s", clean_path, clean_reason);
}

char *image_report_line(const BdrvInfo *info, unsigned i)
{
    const char *kind = list_field(info, "report", i, "kind");
    const char *path = list_field(info, "report", i, "path");
    const char *detail = list_field(info, "report", i, "detail");

    if (!kind || !path) {
        return NULL;
    }
    g_autofree char *clean_path = tool_escape(path, false);
    g_autofree char *clean_detail = detail ? tool_escape(detail, false) : NULL;
    return g_strdup_printf("%s '%s'%s%s", kind, clean_path, detail ? ": " : "",
                           detail ? clean_detail : "");
}

void image_warn_report(BlockBackend *blk)
{
    g_autoptr(BdrvInfo) info = blk_get_info(blk, NULL);

    if (!info || !info->specific) {
        return;
    }
    for (unsigned i = 0;; i++) {
        g_autofree char *line = image_report_line(info, i);
        if (!line) {
            return;
        }
        tool_warning("%s", line);
    }
}

void *image_try_buffer(size_t bytes)
{
    const size_t page = 4096;
    void *buf = NULL;

    return posix_memalign(&buf, page, bytes) == 0 ? buf : NULL;
}
