/* SPDX-License-Identifier: MIT */
#include "tools/tool-backing.h"

#include <errno.h>

#include "block/driver.h"
#include "tools/host-paths.h"

bool backing_is_supported(const char *format)
{
    const BlockDriver *drv = bdrv_find_format(format);

    return drv && drv->supports_backing;
}

bool backing_is_directory(const char *name, const char *format)
{
    return g_strcmp0(format, "vvfat") == 0 || g_str_has_prefix(name, "fat:");
}

BlockBackend *backing_open(const char *target, const char *backing,
                           const char *format, GError **errp)
{
    g_autoptr(Options) options = options_new();
    g_autofree char *full = bdrv_full_backing_filename(target, backing, errp);

    if (!full) {
        return NULL;
    }
    if (format) {
        if (!bdrv_find_format(format)) {
            block_error_set(errp, EINVAL, "Unknown driver '%s'", format);
            return NULL;
        }
        options_set(options, "driver", format);
    }
    g_autoptr(BlockBackend)
        blk = blk_open(full, options, BDRV_O_BACKING, errp);
    if (!blk) {
        return NULL;
    }
    g_autofree char *what = NULL;
    if (host_path_relation(blk, host_path_of(target), &what) !=
        HOST_PATH_APART) {
        block_error_set(errp, ELOOP,
                        "Error: Trying to create an image with the same "
                        "filename as the backing file");
        return NULL;
    }
    return g_steal_pointer(&blk);
}
