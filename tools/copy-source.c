/* SPDX-License-Identifier: MIT */
#include "tools/copy-source.h"

#include <errno.h>

typedef struct Part {
    BlockBackend *blk;
    int64_t start, length;
    bool is_directory;
} Part;

static void part_clear(gpointer data)
{
    blk_close(((Part *)data)->blk);
}

CopySource *copy_source_new(void)
{
    CopySource *source = g_new0(CopySource, 1);

    source->parts = g_array_new(FALSE, FALSE, sizeof(Part));
    g_array_set_clear_func(source->parts, part_clear);
    return source;
}

void copy_source_free(CopySource *source)
{
    if (source) {
        g_array_free(source->parts, TRUE);
        g_free(source);
    }
}

int copy_source_add(CopySource *source, BlockBackend *blk)
{
    Part part = { .blk = blk,
                  .start = source->length,
                  .length = blk_getlength(blk),
                  .is_directory = g_str_equal(blk_get_format_name(blk),
                                              "vvfat") };

    g_array_append_val(source->parts, part);
    if (part.length < 0) {
        return (int)part.length;
    }
    if (__builtin_add_overflow(source->length, part.length, &source->length)) {
        source->length = part.start;
        return -EFBIG;
    }
    return 0;
}

guint copy_source_count(const CopySource *source)
{
    return source->parts->len;
}

BlockBackend *copy_source_image(const CopySource *source, guint index)
{
    return g_array_index(source->parts, Part, index).blk;
}

static const Part *part_at(const CopySource *source, int64_t offset)
{
    guint low = 0, high = source->parts->len;

    while (low < high) {
        guint middle = low + (high - low) / 2;
        const Part *part = &g_array_index(source->parts, Part, middle);
        if (offset < part->start) {
            high = middle;
        } else if (offset - part->start >= part->length) {
            low = middle + 1;
        } else {
            return part;
        }
    }
    return NULL;
}

BlockBackend *copy_source_locate(const CopySource *source, int64_t offset,
                                 int64_t *blk_offset)
{
    const Part *part = part_at(source, offset);

    *blk_offset = part ? offset - part->start : 0;
    return part ? part->blk : NULL;
}

int copy_source_read(const CopySource *source, int64_t offset, int64_t bytes,
                     char *buf, int64_t *failed)
{
    while (bytes > 0) {
        const Part *part = part_at(source, offset);
        *failed = offset;
        if (!part) {
            return -EINVAL;
        }
        int64_t blk_offset = offset - part->start;
        int64_t n = MIN(bytes, part->length - blk_offset);
        int ret = blk_pread(part->blk, blk_offset, n, buf, 0);
        if (ret < 0) {
            return ret;
        }
        offset += n;
        buf += n;
        bytes -= n;
    }
    return 0;
}

int copy_source_status(const CopySource *source, int64_t offset, int64_t bytes,
                       CopyRun *run)
{
    g_auto(BdrvBlockStatus) status = { 0 };
    const Part *part = part_at(source, offset);

    if (!part) {
        return -EINVAL;
    }
    int64_t blk_offset = offset - part->start;
    bytes = MIN(bytes, part->length - blk_offset);
    int ret = blk_block_status(part->blk, blk_offset, bytes, BDRV_WANT_PRECISE,
                               &status);
    if (ret < 0) {
        return ret;
    }
    *run = (CopyRun){
        .kind = RUN_DATA,
        .of_directory = part->is_directory,
        .offset = offset,
        .bytes = status.bytes,
        .blk = part->blk,
        .blk_offset = blk_offset,
    };
    if (source->backing_depth > 0 && status.depth >= source->backing_depth) {
        run->kind = RUN_BACKING;
    } else if (status.flags & BDRV_BLOCK_ZERO) {
        run->kind = RUN_ZERO;
    } else if (status.flags & BDRV_BLOCK_OFFSET_VALID) {
        run->kind = RUN_HOST;
    }
    return 0;
}

int64_t copy_source_count_data(const CopySource *source, int64_t offset,
                               int64_t bytes)
{
    int64_t data = 0;

    while (bytes > 0) {
        CopyRun run;
        int ret = copy_source_status(source, offset, bytes, &run);
        if (ret < 0) {
            return ret;
        }
        if (run.kind == RUN_DATA || run.kind == RUN_HOST) {
            data += run.bytes;
        }
        offset += run.bytes;
        bytes -= run.bytes;
    }
    return data;
}
