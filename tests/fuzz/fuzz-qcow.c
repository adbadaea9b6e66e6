/* SPDX-License-Identifier: MIT */
/*
 * Any qcow image: opened, checked, mapped, read, and written to.
 *
 * The input makes a small image with a table and a few clusters, one of them
 * compressed, and then patches it: so short inputs reach deep. What can be
 * opened for writing is written to, and what was written must be read again
 * if nothing in the image was used twice.
 *
 * Input: byte 0, clusters (bits 0-2: 512 bytes to 64 KiB) and tables (bits
 * 3-5: 512 bytes to 64 KiB); byte 1, what is done (bits 0-1: written, written
 * compressed, zeroed; bit 2: emptied; bit 3: the file is cut off in the middle
 * of its last cluster; bit 4: discarded before); then patches: byte 0, length - 1 (bits 0-4), place
 * (bits 5-6: header, L1, L2, data); bytes 1-2, offset; then the bytes.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "block/block.h"
#include "block/deflate.h"
#include "block/qcow/qcow-format.h"

#define MAX_READ (INT64_C(1) << 20)
#define L1_ENTRIES INT64_C(4)

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

typedef struct Image {
    int fd;
    int64_t place[4]; /* header, L1, L2, data */
    int64_t length;
    int64_t size; /* of the device */
    int64_t cluster;
} Image;

static void expect(bool good)
{
    if (!good) {
        abort();
    }
}

static void put(const Image *image, int64_t offset, const void *buf,
                size_t bytes)
{
    expect(pwrite(image->fd, buf, bytes, offset) == (ssize_t)bytes);
}

static void put_be64(const Image *image, int64_t offset, uint64_t value)
{
    be64 raw;

    be64_put(&raw, value);
    put(image, offset, &raw, sizeof(raw));
}

/* Header, L1, one L2 table, a compressed and two normal clusters. */
static void make_image(Image *image, unsigned cluster_bits, unsigned l2_bits)
{
    int64_t table = MAX(INT64_C(8) << l2_bits, INT64_C(1) << cluster_bits);
    QcowDiskHeader header = { .cluster_bits = (uint8_t)cluster_bits,
                              .l2_bits = (uint8_t)l2_bits };
    uint8_t stream[256];
    g_autofree uint8_t *zeroes = NULL;

    image->cluster = INT64_C(1) << cluster_bits;
    image->size = (L1_ENTRIES << (cluster_bits + l2_bits)) - 512;
    image->place[1] = sizeof(header);
    image->place[2] = table;
    image->place[3] = 2 * table;
    image->length = image->place[3] + 3 * image->cluster;
    expect(ftruncate(image->fd, image->length) == 0);
    be32_put(&header.magic, QCOW_MAGIC);
    be32_put(&header.version, QCOW_VERSION);
    be64_put(&header.size, (uint64_t)image->size);
    be64_put(&header.l1_table_offset, sizeof(header));
    put(image, 0, &header, sizeof(header));
    put_be64(image, image->place[1], (uint64_t)image->place[2]);

    zeroes = g_malloc0((gsize)image->cluster);
    int64_t bytes = deflate_cluster(stream, sizeof(stream), zeroes,
                                    image->cluster);
    expect(bytes > 0);
    put(image, image->place[3], stream, (size_t)bytes);
    put_be64(image, image->place[2],
             QCOW_COMPRESSED_BIT | (uint64_t)image->place[3] |
                 (uint64_t)bytes << (63 - cluster_bits));
    for (int i = 1; i < 3; i++) {
        put_be64(image, image->place[2] + (int64_t)i * 8,
                 (uint64_t)(image->place[3] + i * image->cluster));
    }
}

static void patch_image(const Image *image, const uint8_t *input, size_t size)
{
    while (size > 3) {
        size_t bytes = (input[0] & 31) + 1u;
        int64_t offset = image->place[input[0] >> 5 & 3] + input[1] +
                         input[2] * 256;

        bytes = MIN(bytes, size - 3);
        put(image, offset % image->length, input + 3, bytes);
        input += 3 + bytes;
        size -= 3 + bytes;
    }
}

static BlockBackend *open_image(const Image *image, unsigned flags)
{
    g_autoptr(Options) options = options_new();
    g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", image->fd);

    options_set(options, "driver", "qcow");
    options_set(options, "file.driver", "file");
    options_set(options, "file.locking", "off");
    options_set(options, "file.filename", path);
    flags |= BDRV_O_NO_BACKING | BDRV_O_NO_FLUSH | BDRV_O_UNMAP;
    return blk_open(NULL, options, flags, NULL);
}

/* Block status and contents of a range near `offset`. */
static void look(BlockBackend *blk, int64_t offset)
{
    int64_t length = blk_getlength(blk);
    g_autofree uint8_t *buf = g_malloc(MAX_READ);

    expect(length > 0);
    offset = offset % length;
    for (int i = 0; i < 20 && offset < length; i++) {
        g_auto(BdrvBlockStatus) status = { 0 };

        if (blk_block_status(blk, offset, length - offset, BDRV_WANT_PRECISE,
                             &status) < 0) {
            break;
        }
        expect(status.bytes > 0 && status.bytes <= length - offset);
        (void)!blk_pread(blk, offset, MIN(status.bytes, MAX_READ), buf, 0);
        offset += status.bytes;
    }
}

static int64_t check(BlockBackend *blk)
{
    BdrvCheckResult result = { 0 };

    expect(blk_check(blk, &result, 0, NULL) == 0);
    return result.corruptions + result.check_errors;
}

static int change(BlockBackend *blk, int64_t offset, int64_t bytes,
                  const uint8_t *buf, unsigned how)
{
    switch (how & 3) {
    case 0:
        return blk_pwrite(blk, offset, bytes, buf, 0);
    case 1:
        return blk_pwrite(blk, offset, bytes, buf, BDRV_REQ_WRITE_COMPRESSED);
    case 2:
        return blk_pwrite_zeroes(blk, offset, bytes, BDRV_REQ_MAY_UNMAP);
    default:
        return blk_flush(blk);
    }
}

/* Discard the first clusters, and see whether the others are as they were. */
static void discard_image(BlockBackend *blk, const Image *image, int64_t where,
                          bool sound)
{
    int64_t length = MIN(blk_getlength(blk), 8 * image->cluster);
    int64_t bytes = MIN(length, image->cluster * (1 + where % 4));
    g_autofree uint8_t *before = g_malloc((gsize)length);
    g_autofree uint8_t *after = g_malloc((gsize)length);
    int seen = blk_pread(blk, 0, length, before, 0);

    int ret = blk_pdiscard(blk, 0, bytes);
    (void)!blk_flush(blk);
    if (sound && seen == 0) {
        expect(ret == 0);
        expect(blk_pread(blk, 0, length, after, 0) == 0);
        expect(memcmp(before + bytes, after + bytes,
                      (size_t)(length - bytes)) == 0);
        expect(check(blk) == 0);
    }
}

/* Write somewhere, and see whether it is there. */
static void write_image(const Image *image, unsigned how, int64_t where)
{
    g_autoptr(BlockBackend) blk = open_image(image, BDRV_O_RDWR);
    g_autofree uint8_t *buf = g_malloc(200000);
    g_autofree uint8_t *got = g_malloc(200000);

    if (blk == NULL) {
        return;
    }
    bool sound = check(blk) == 0;
    int64_t length = blk_getlength(blk);
    int64_t offset = where % length;
    int64_t bytes = MIN(length - offset, 1 + where % 200000);
    memset(buf, 0x5a, (size_t)bytes);
    if ((how & 4) && blk_make_empty(blk, NULL) == 0) {
        sound = true;
    }
    if (how & 16) {
        discard_image(blk, image, where, sound);
    }
    int ret = change(blk, offset, bytes, buf, how);
    if (sound) {
        if ((how & 3) == 2) {
            memset(buf, 0, (size_t)bytes);
        }
        if (ret == 0 && (how & 3) < 3) {
            expect(blk_pread(blk, offset, bytes, got, 0) == 0);
            expect(memcmp(buf, got, (size_t)bytes) == 0);
        }
        expect(check(blk) == 0);
    }
    look(blk, where);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    Image image = { 0 };

    if (size < 2) {
        return 0;
    }
    image.fd = memfd_create("fuzz-qcow", MFD_CLOEXEC);
    expect(image.fd >= 0);
    make_image(&image, QCOW_MIN_CLUSTER_BITS + (input[0] & 7),
               QCOW_MIN_L2_BITS + (input[0] >> 3 & 7));
    patch_image(&image, input + 2, size - 2);
    if (input[1] & 8) {
        image.length -= image.cluster / 2;
        expect(ftruncate(image.fd, image.length) == 0);
    }
    BlockBackend *blk = open_image(&image, BDRV_O_CHECK);
    if (blk != NULL) {
        check(blk);
        look(blk, 0);
        look(blk, image.size / 2);
        blk_close(blk);
    }
    write_image(&image, input[1], input[size - 1] * INT64_C(7777));
    close(image.fd);
    return 0;
}
