/* SPDX-License-Identifier: MIT */
#include "block/vvfat/rescue-image.h"

#include <errno.h>
#include <string.h>

#include "block/block.h"
#include "block/driver.h"
#include "block/error.h"
#include "block/vvfat/scratch.h"

#define MAX_SAME_TIME 1000 /* images of one second */

struct RescueImage {
    char *path;
    BlockBackend *blk;
    bool is_new; /* never flushed: what was not written is zeroes */
};

/* An empty file of a new name: what an earlier one keeps is not to be lost. */
static char *claim_name(const char *dir, const char *where, GError **errp)
{
    g_autoptr(GDateTime) now = g_date_time_new_now_utc();
    g_autofree char *time = g_date_time_format(now, "%Y%m%dT%H%M%SZ");
    g_autofree char *absolute = g_canonicalize_filename(dir, NULL);
    g_autofree char *base = g_path_get_basename(absolute);
    g_autofree char *parent = g_path_get_dirname(absolute);
    g_autofree char *start =
        g_strdup_printf("%s/%s.vvfat-rescue-%s", where ? where : parent,
                        strcmp(base, "/") ? base : "root", time);
    int ret = -EEXIST;

    for (unsigned i = 1; ret == -EEXIST && i <= MAX_SAME_TIME; i++) {
        g_autofree char *path = i == 1
                                    ? g_strdup_printf("%s.qcow2", start)
                                    : g_strdup_printf("%s-%u.qcow2", start, i);

        ret = scratch_claim(path);
        if (ret == 0) {
            return g_steal_pointer(&path);
        }
    }
    block_error_set_errno(errp, -ret, "Could not create '%s.qcow2'", start);
    return NULL;
}

static BlockBackend *create(const char *path, int64_t bytes, GError **errp)
{
    g_autoptr(Options) create = options_new();
    g_autoptr(Options) options = options_new();

    options_set_int(create, "size", bytes);
    if (!bdrv_create("qcow2", path, create, errp)) {
        return NULL;
    }
    options_set(options, "driver", "qcow2");
    options_set(options, "file.driver", "file");
    options_set(options, "file.filename", path);
    return blk_open(NULL, options, BDRV_O_RDWR, errp);
}

RescueImage *rescue_image_new(const char *dir, const char *where,
                              int64_t disk_bytes, GError **errp)
{
    g_autofree char *path = claim_name(dir, where, errp);
    BlockBackend *blk = path ? create(path, disk_bytes, errp) : NULL;
    RescueImage *image;

    if (!blk) {
        if (path) {
            scratch_remove(path);
        }
        return NULL;
    }
    image = g_new0(RescueImage, 1);
    image->path = g_steal_pointer(&path);
    image->blk = blk;
    image->is_new = true;
    return image;
}

void rescue_image_free(RescueImage *image)
{
    if (image) {
        blk_close(image->blk);
        g_free(image->path);
        g_free(image);
    }
}

void rescue_image_remove(RescueImage *image)
{
    if (image) {
        scratch_remove(image->path);
        rescue_image_free(image);
    }
}

const char *rescue_image_path(const RescueImage *image)
{
    return image->path;
}

bool rescue_image_is_there(const RescueImage *image)
{
    return scratch_exists(image->path);
}

int rescue_image_write(RescueImage *image, int64_t offset, int64_t bytes,
                       const void *buf)
{
    const uint8_t *in = buf;

    if (image->is_new && in[0] == 0 &&
        memcmp(in, in + 1, (size_t)bytes - 1) == 0) {
        return 0;
    }
    return blk_pwrite(image->blk, offset, bytes, buf, 0);
}

int rescue_image_flush(RescueImage *image)
{
    int ret = blk_flush(image->blk);

    if (ret == 0 && image->is_new) {
        ret = scratch_sync_name(image->path);
        image->is_new = ret < 0;
    }
    return ret;
}
