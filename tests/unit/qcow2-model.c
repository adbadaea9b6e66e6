/* SPDX-License-Identifier: MIT */
#include "tests/unit/qcow2-model.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "tests/unit/image-fixture.h"

#define SOURCE_BYTES (8 * 1024 * 1024)

void model_shell(const char *fmt, ...)
{
    va_list ap;
    int status;

    va_start(ap, fmt);
    g_autofree char *command = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    g_autofree char *output = image_shell(&status, "%s", command);
    cr_assert_eq(status, 0, "%s: %s", command, output);
}

/* ---- Opening ---- */

void model_dir_init(void)
{
    image_need_program("qemu-img");
    image_dir_init();
}

static void model_open(Model *m)
{
    g_autofree char *options =
        g_strdup_printf("driver=qcow2,file.filename=%%D/image%s%s",
                        m->setup->open[0] ? "," : "", m->setup->open);

    m->blk = image_open(MODEL_RW, options);
    cr_assert_eq(blk_getlength(m->blk), m->size);
}

void model_reopen(Model *m)
{
    cr_assert_eq(blk_flush(m->blk), 0);
    blk_close(m->blk);
    model_open(m);
}

void model_init(Model *m, const ModelSetup *setup, uint32_t seed)
{
    *m = (Model){ .setup = setup, .size = setup->size };
    m->rand = g_rand_new_with_seed(seed);
    m->bytes = g_malloc0((gsize)setup->size);
    m->buf = g_malloc((gsize)MAX(setup->size, setup->backing));
    image_make("source", SOURCE_BYTES, 5);
    if (setup->backing > 0) {
        image_make("base", setup->backing, 3);
        image_pattern(m->buf, (size_t)setup->backing, 3, 0);
        memcpy(m->bytes, m->buf, (size_t)MIN(setup->size, setup->backing));
    }
    model_shell("qemu-img create -q -f qcow2 -o %s %s image %" G_GINT64_FORMAT,
                setup->options, setup->backing > 0 ? "-b base -F raw" : "",
                setup->size);
    model_open(m);
    m->copy_source = image_open_name(0, "%D/source");
    g_autoptr(BdrvInfo) info = blk_get_info(m->blk, NULL);
    m->cluster = info->cluster_size;
}

void model_clear(Model *m)
{
    blk_close(m->blk);
    blk_close(m->copy_source);
    g_rand_free(m->rand);
    g_free(m->bytes);
    g_free(m->buf);
}

/* ---- Requests ---- */

void model_pick(Model *m, bool whole_clusters, int64_t *offset, int64_t *bytes)
{
    int64_t most = m->setup->max_bytes;

    if (g_rand_int_range(m->rand, 0, 20) == 0) {
        most = m->size;
    }
    *offset = g_rand_int_range(m->rand, 0, (gint32)m->size);
    *bytes = g_rand_int_range(m->rand, 1, (gint32)most + 1);
    if (whole_clusters) {
        *offset -= *offset % m->cluster;
        *bytes += m->cluster - 1;
        *bytes -= *bytes % m->cluster;
    }
    *bytes = MIN(*bytes, m->size - *offset);
}

/* A vector of up to five pieces over buf. */
static void make_vector(Model *m, IOVector *iov, int64_t bytes)
{
    int64_t at = 0;

    iov_init(iov);
    for (int i = 0; i < 4 && at < bytes && g_rand_boolean(m->rand); i++) {
        int64_t n = g_rand_int_range(m->rand, 0, (gint32)(bytes - at) + 1);

        iov_add(iov, m->buf + at, (size_t)n);
        at += n;
    }
    iov_add(iov, m->buf + at, (size_t)(bytes - at));
}

/* Data that compresses well, badly, or not at all; some of it zeroes. */
static void make_data(Model *m, int64_t bytes)
{
    int64_t at = 0;

    while (at < bytes) {
        int64_t n = g_rand_int_range(m->rand, 1, 100000);
        guint32 x = g_rand_int(m->rand) | 1;

        n = MIN(n, bytes - at);
        switch (g_rand_int_range(m->rand, 0, 4)) {
        case 0:
            memset(m->buf + at, 0, (size_t)n);
            break;
        case 1:
            image_pattern(m->buf + at, (size_t)n, (int)(x % 200), 0);
            break;
        default:
            for (int64_t i = 0; i < n; i++) {
                x ^= x << 13;
                x ^= x >> 17;
                x ^= x << 5;
                m->buf[at + i] = (uint8_t)x;
            }
        }
        at += n;
    }
}

static void write_data(Model *m, int64_t offset, int64_t bytes, unsigned flags)
{
    g_auto(IOVector) iov;

    make_data(m, bytes);
    make_vector(m, &iov, bytes);
    int ret = blk_pwritev(m->blk, offset, bytes, &iov, flags);
    g_autofree char *error = blk_strerror(ret);
    cr_assert_eq(ret, 0, "%s", error);
    memcpy(m->bytes + offset, m->buf, (size_t)bytes);
}

void model_write(Model *m, int64_t offset, int64_t bytes)
{
    write_data(m, offset, bytes,
               g_rand_int_range(m->rand, 0, 8) ? 0 : BDRV_REQ_FUA);
}

void model_write_compressed(Model *m, int64_t offset, int64_t bytes)
{
    write_data(m, offset, bytes, BDRV_REQ_WRITE_COMPRESSED);
}

void model_zero(Model *m, int64_t offset, int64_t bytes, unsigned flags)
{
    int ret = blk_pwrite_zeroes(m->blk, offset, bytes, flags);

    if (ret != -ENOTSUP || !(flags & BDRV_REQ_NO_FALLBACK)) {
        cr_assert_eq(ret, 0);
        memset(m->bytes + offset, 0, (size_t)bytes);
    }
}

/* Each byte is as it was, the backing file's, or zero; that it stays. */
void model_discard(Model *m, int64_t offset, int64_t bytes)
{
    cr_assert_eq(blk_pdiscard(m->blk, offset, bytes), 0);
    cr_assert_eq(blk_pread(m->blk, offset, bytes, m->buf, 0), 0);
    for (int64_t i = 0; i < bytes; i++) {
        cr_assert(m->buf[i] == m->bytes[offset + i] || m->buf[i] == 0,
                  "byte %" G_GINT64_FORMAT, offset + i);
    }
    memcpy(m->bytes + offset, m->buf, (size_t)bytes);
}

void model_copy(Model *m, int64_t offset, int64_t bytes)
{
    int64_t from = g_rand_int_range(m->rand, 0, SOURCE_BYTES / 2);

    if (g_rand_boolean(m->rand)) {
        from -= from % 4096;
    }
    bytes = MIN(bytes, SOURCE_BYTES - from);
    int ret = blk_copy_range(m->copy_source, from, m->blk, offset, bytes, 0);
    if (ret == 0) {
        image_pattern(m->bytes + offset, (size_t)bytes, 5, from);
    } else {
        cr_assert_eq(ret, -ENOTSUP);
    }
}

void model_read(Model *m, int64_t offset, int64_t bytes)
{
    g_auto(IOVector) iov;

    memset(m->buf, 0xa5, (size_t)bytes);
    make_vector(m, &iov, bytes);
    int ret = blk_preadv(m->blk, offset, bytes, &iov, 0);
    g_autofree char *error = blk_strerror(ret);
    cr_assert_eq(ret, 0, "%s", error);
    if (memcmp(m->buf, m->bytes + offset, (size_t)bytes) != 0) {
        int64_t i = 0;

        while (m->buf[i] == m->bytes[offset + i]) {
            i++;
        }
        cr_assert_fail("read %" G_GINT64_FORMAT "+%" G_GINT64_FORMAT
                       ": byte %" G_GINT64_FORMAT " is %u, not %u",
                       offset, bytes, offset + i, m->buf[i],
                       m->bytes[offset + i]);
    }
}

void model_status(Model *m, int64_t offset, int64_t bytes)
{
    unsigned want = g_rand_boolean(m->rand) ? BDRV_WANT_PRECISE : 0;

    while (bytes > 0) {
        g_auto(BdrvBlockStatus) status = { 0 };
        IOVector iov;

        cr_assert_eq(blk_block_status(m->blk, offset, bytes, want, &status),
                     0);
        cr_assert_geq(status.bytes, 1);
        cr_assert_leq(status.bytes, bytes);
        iov_init_buf(&iov, m->bytes + offset, (size_t)status.bytes);
        if (status.flags & BDRV_BLOCK_ZERO) {
            cr_assert(iov_is_zero(&iov, 0, (size_t)status.bytes));
        } else {
            cr_assert(status.flags & BDRV_BLOCK_DATA);
        }
        offset += status.bytes;
        bytes -= status.bytes;
    }
}

void model_step(Model *m)
{
    int kind = g_rand_int_range(m->rand, 0, 64);
    int64_t offset, bytes;

    model_pick(m, kind >= 20 && g_rand_boolean(m->rand), &offset, &bytes);
    if (kind < 20) {
        model_read(m, offset, bytes);
    } else if (kind < 38) {
        model_write(m, offset, bytes);
    } else if (kind < 44) {
        model_zero(m, offset, bytes,
                   (g_rand_boolean(m->rand) ? BDRV_REQ_MAY_UNMAP : 0) |
                       (g_rand_boolean(m->rand) ? BDRV_REQ_NO_FALLBACK : 0));
    } else if (kind < 49) {
        model_discard(m, offset, bytes);
    } else if (kind < 53) {
        model_status(m, offset, bytes);
    } else if (kind < 57) {
        model_copy(m, offset, bytes);
    } else if (kind < 62) {
        model_pick(m, true, &offset, &bytes);
        model_write_compressed(m, offset, bytes);
    } else if (kind < 63) {
        cr_assert_eq(blk_flush(m->blk), 0);
    } else {
        model_reopen(m);
    }
}

/* ---- At the end ---- */

void model_verify(Model *m)
{
    g_autofree char *raw = image_path("model");

    cr_assert_eq(blk_flush(m->blk), 0);
    blk_close(m->blk);
    m->blk = NULL;
    model_shell("qemu-img check -q image");
    cr_assert(g_file_set_contents(raw, (const char *)m->bytes, (gssize)m->size,
                                  NULL));
    model_shell("qemu-img compare -q -f qcow2 -F raw image model");
    model_open(m);
    model_read(m, 0, m->size);
}
