/* SPDX-License-Identifier: MIT */
/*
 * A connection and its requests: nbdkit's words into the block layer's. The
 * block layer takes requests from any thread, many at a time, so nbdkit may
 * run them all at once, and nothing is locked here.
 */
#include "tools/nbdkit-vvfat.h"

#include <errno.h>
#include <inttypes.h>

#define CACHED_AT_ONCE (1U << 20) /* bytes */

/* ---- Errors ---- */

/*
 * The protocol has few numbers, and nbdkit makes EINVAL of all others, which
 * tells a client that it asked for something senseless. What is not allowed
 * is EPERM, and what went wrong on the host is EIO.
 */
static int client_errno(int ret)
{
    switch (-ret) {
    case EPERM:
    case EACCES:
    case EROFS:
        return EPERM;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return ENOSPC;
    case ENOMEM:
    case EINVAL:
    case ENOTSUP:
        return -ret;
    default:
        return EIO;
    }
}

/* nbdkit's answer to a request that failed; the words are the driver's. */
static int request_failed(const char *what, int ret)
{
    g_autofree char *reason = blk_strerror(ret);

    plugin_log_failure(what, reason);
    errno = client_errno(ret);
    return -1;
}

/* ---- Exports ---- */

/* There is one, the default; a client that names another gets it, too. */
static int plugin_list_exports(int readonly, int is_tls,
                               struct nbdkit_exports *exports)
{
    (void)readonly;
    (void)is_tls;
    return nbdkit_add_export(exports, "", plugin_description());
}

static const char *plugin_default_export(int readonly, int is_tls)
{
    (void)readonly;
    (void)is_tls;
    return "";
}

static const char *plugin_export_description(void *handle)
{
    (void)handle;
    return plugin_description();
}

/* ---- A connection ---- */

static void *plugin_open(int readonly)
{
    (void)readonly; /* nbdkit itself sees to it */
    return plugin_backend();
}

static int64_t plugin_get_size(void *handle)
{
    int64_t size = blk_getlength(handle);

    return size < 0 ? request_failed("size of the image", (int)size) : size;
}

static int plugin_can_write(void *handle)
{
    return !blk_is_read_only(handle);
}

static int plugin_can_flush(void *handle)
{
    (void)handle;
    return 1;
}

static int plugin_can_fua(void *handle)
{
    (void)handle;
    return NBDKIT_FUA_NATIVE; /* by a flush where the driver has none */
}

/*
 * One backend behind all connections, which keep nothing of their own: what a
 * write has returned for, every connection reads, and a flush, whoever asks
 * for it, makes all of that durable.
 */
static int plugin_can_multi_conn(void *handle)
{
    (void)handle;
    return 1;
}

static int plugin_can_fast_zero(void *handle)
{
    (void)handle;
    return 1; /* or an error at once, which is as good */
}

static int plugin_block_size(void *handle, uint32_t *minimum,
                             uint32_t *preferred, uint32_t *maximum)
{
    BdrvLimits limits = blk_get_limits(handle);
    uint64_t preference = MAX(4096, limits.request_alignment);

    /* A power of two, as NBD wants it, and of a sane size. */
    while ((int64_t)preference < limits.opt_transfer &&
           preference < 32 * 1024 * 1024) {
        preference *= 2;
    }
    *minimum = 1; /* the block layer aligns, and keeps overlaps apart */
    *preferred = (uint32_t)preference;
    *maximum = UINT32_MAX; /* the block layer splits */
    return 0;
}

/* ---- Requests ---- */

static int request_done(const char *what, uint64_t offset, uint32_t count,
                        int ret)
{
    g_autofree char *request = NULL;

    if (ret >= 0) {
        return 0;
    }
    request = g_strdup_printf("%s %" PRIu32 " bytes at offset %" PRIu64, what,
                              count, offset);
    return request_failed(request, ret);
}

static unsigned request_flags(uint32_t flags)
{
    unsigned result = 0;

    if (flags & NBDKIT_FLAG_FUA) {
        result |= BDRV_REQ_FUA;
    }
    if (flags & NBDKIT_FLAG_MAY_TRIM) {
        result |= BDRV_REQ_MAY_UNMAP;
    }
    if (flags & NBDKIT_FLAG_FAST_ZERO) {
        result |= BDRV_REQ_NO_FALLBACK;
    }
    return result;
}

static int plugin_pread(void *handle, void *buf, uint32_t count,
                        uint64_t offset, uint32_t flags)
{
    (void)flags;
    return request_done("reading", offset, count,
                        blk_pread(handle, (int64_t)offset, count, buf, 0));
}

static int plugin_pwrite(void *handle, const void *buf, uint32_t count,
                         uint64_t offset, uint32_t flags)
{
    return request_done(
        "writing", offset, count,
        blk_pwrite(handle, (int64_t)offset, count, buf, request_flags(flags)));
}

static int plugin_zero(void *handle, uint32_t count, uint64_t offset,
                       uint32_t flags)
{
    int ret = blk_pwrite_zeroes(handle, (int64_t)offset, count,
                                request_flags(flags));

    if (ret == -ENOTSUP) {
        errno = ENOTSUP; /* to a fast zero, an answer and no error */
        return -1;
    }
    return request_done("zeroing", offset, count, ret);
}

static int plugin_trim(void *handle, uint32_t count, uint64_t offset,
                       uint32_t flags)
{
    int ret = blk_pdiscard(handle, (int64_t)offset, count);

    if (ret == -ENOTSUP) {
        ret = 0; /* a hint that nobody took */
    }
    if (ret == 0 && (flags & NBDKIT_FLAG_FUA)) {
        ret = blk_flush(handle);
    }
    return request_done("trimming", offset, count, ret);
}

static int plugin_flush(void *handle, uint32_t flags)
{
    int ret = blk_flush(handle);

    (void)flags;
    return ret < 0 ? request_failed("flushing", ret) : 0;
}

/* The host's cache, which is asked for by reading, holds it better than any
 * of ours. */
static int plugin_cache(void *handle, uint32_t count, uint64_t offset,
                        uint32_t flags)
{
    g_autofree char *buf = g_try_malloc(MIN(count, CACHED_AT_ONCE));
    int ret = buf || count == 0 ? 0 : -ENOMEM;

    (void)flags;
    while (ret >= 0 && count) {
        uint32_t n = MIN(count, CACHED_AT_ONCE);

        ret = blk_pread(handle, (int64_t)offset, n, buf, 0);
        offset += n;
        count -= n;
    }
    return request_done("caching", offset, count, ret);
}

static int plugin_extents(void *handle, uint32_t count, uint64_t offset,
                          uint32_t flags, struct nbdkit_extents *extents)
{
    uint64_t end = offset + count;

    while (offset < end) {
        g_auto(BdrvBlockStatus) status = { 0 };
        uint32_t type = 0;
        int ret = blk_block_status(handle, (int64_t)offset,
                                   (int64_t)(end - offset), BDRV_WANT_PRECISE,
                                   &status);

        if (ret < 0) {
            return request_done("status of", offset, (uint32_t)(end - offset),
                                ret);
        }
        if (!(status.flags & BDRV_BLOCK_DATA)) {
            type |= NBDKIT_EXTENT_HOLE;
        }
        if (status.flags & BDRV_BLOCK_ZERO) {
            type |= NBDKIT_EXTENT_ZERO;
        }
        if (nbdkit_add_extent(extents, offset, (uint64_t)status.bytes, type) <
            0) {
            return -1;
        }
        offset += (uint64_t)status.bytes;
        if (flags & NBDKIT_FLAG_REQ_ONE) {
            break;
        }
    }
    return 0;
}

void plugin_serve(struct nbdkit_plugin *plugin)
{
    plugin->list_exports = plugin_list_exports;
    plugin->default_export = plugin_default_export;
    plugin->export_description = plugin_export_description;
    plugin->open = plugin_open;
    plugin->get_size = plugin_get_size;
    plugin->block_size = plugin_block_size;
    plugin->can_write = plugin_can_write;
    plugin->can_flush = plugin_can_flush;
    plugin->can_fua = plugin_can_fua;
    plugin->can_multi_conn = plugin_can_multi_conn;
    plugin->can_trim = plugin_can_write;
    plugin->can_zero = plugin_can_write;
    plugin->can_fast_zero = plugin_can_fast_zero;
    plugin->pread = plugin_pread;
    plugin->pwrite = plugin_pwrite;
    plugin->zero = plugin_zero;
    plugin->trim = plugin_trim;
    plugin->flush = plugin_flush;
    plugin->cache = plugin_cache;
    plugin->extents = plugin_extents;
}
