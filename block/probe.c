/* SPDX-License-Identifier: MIT */
/*
 * Probing. Every driver that can tells how sure it is (0..100); raw says 1 to
 * everything, so that it is what remains; not for images that are known to be
 * of a format that no driver here reads.
 */
#include "block/probe.h"

#include <errno.h>
#include <string.h>

#include "block/drain.h"
#include "block/drivers.h"
#include "block/io.h"
#include "block/probe-foreign.h"
#include "block/request.h"

typedef struct Probe {
    const uint8_t *buf;
    size_t size;
    const char *filename;
    const BlockDriver *best;
    int best_score;
} Probe;

static bool probe_visit(const BlockDriver *drv, void *opaque)
{
    Probe *probe = opaque;

    if (drv->probe) {
        int score = drv->probe(probe->buf, probe->size, probe->filename);

        if (score > probe->best_score) {
            probe->best = drv;
            probe->best_score = score;
        }
    }
    return true;
}

static const BlockDriver *probe_bytes(const uint8_t *buf, size_t size,
                                      const char *filename)
{
    Probe probe = { .buf = buf, .size = size, .filename = filename };

    driver_foreach(probe_visit, &probe);
    return probe.best;
}

/* The first bytes of a node; how many there are, or -errno. */
static int64_t read_start(BlockDriverState *bs, uint8_t *buf)
{
    int64_t size = MIN(node_length(bs), PROBE_BYTES);
    IOVector iov;

    iov_init_buf(&iov, buf, (size_t)size);
    int ret = size > 0 ? node_preadv(bs, 0, size, &iov) : 0;
    return ret < 0 ? ret : size;
}

const BlockDriver *probe_node(BlockDriverState *bs, const char *filename,
                              GError **errp)
{
    uint8_t buf[PROBE_BYTES] = { 0 };

    io_error_clear();
    node_enter(bs);
    int64_t size = read_start(bs, buf);
    node_leave(bs);
    if (size < 0) {
        g_autofree char *reason = blk_strerror((int)size);
        block_error_set(errp, (int)-size,
                        "Could not read '%s' to determine its format: %s",
                        filename, reason);
        return NULL;
    }
    const BlockDriver *drv = probe_bytes(buf, (size_t)size, filename);
    if (drv == NULL) {
        block_error_set(errp, EINVAL,
                        "Could not determine the format of '%s'; name it with "
                        "the option 'driver'",
                        filename);
    } else if (drv->writable_probe) {
        const char *foreign = probe_foreign(buf, (size_t)size);

        if (foreign) {
            block_error_set(errp, ENOTSUP,
                            "'%s' is a %s image, and that format is not "
                            "supported; convert it with a program that reads "
                            "it, or give raw as the format to take its bytes "
                            "as they are",
                            filename, foreign);
            return NULL;
        }
    }
    return drv;
}

bool probe_guard_covers(const BlockDriverState *bs, int64_t offset)
{
    return bs->probed && bs->drv->writable_probe && offset < PROBE_BYTES;
}

void probe_guard_begin(TrackedRequest *req, BlockDriverState *bs, int64_t end)
{
    /* Two changes at once must not make up a format between them. */
    request_begin(req, bs, 0, MAX(end, PROBE_BYTES), true);
}

int probe_guard_write(BlockDriverState *bs, int64_t offset, int64_t bytes,
                      const IOVector *iov)
{
    uint8_t buf[PROBE_BYTES] = { 0 };
    int64_t size = read_start(bs, buf);
    if (size < 0) {
        return (int)size;
    }
    int64_t part = MIN(bytes, PROBE_BYTES - offset);
    if (iov != NULL) {
        iov_to_buf(iov, 0, buf + offset, (size_t)part);
    } else {
        memset(buf + offset, 0, (size_t)part);
    }
    size = MAX(size, offset + part);
    const BlockDriver *drv = probe_bytes(buf, (size_t)size,
                                         bs->plain_filename);
    const char *format = drv == bs->drv ? probe_foreign(buf, (size_t)size)
                         : drv          ? drv->format_name
                                        : NULL;
    if (format == NULL) {
        return 0;
    }
    bdrv_set_io_error("The format of '%s' was guessed as %s, and this write "
                      "would make it look like %s; open it with driver=%s to "
                      "allow that",
                      bs->plain_filename ? bs->plain_filename : bs->node_name,
                      bs->drv->format_name, format, bs->drv->format_name);
    return -EPERM;
}
