/* SPDX-License-Identifier: MIT */
#include "tests/unit/qcow-fixture.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "block/qcow/qcow-format.h"
#include "tests/unit/image-fixture.h"

int64_t qcow_l1_offset(const char *backing)
{
    size_t name = backing ? strlen(backing) : 0;

    return (int64_t)(sizeof(QcowDiskHeader) + name + 7) & ~INT64_C(7);
}

void qcow_make(const char *name, unsigned cluster_bits, unsigned l2_bits,
               int64_t size, const char *backing)
{
    int64_t reach = INT64_C(1) << (cluster_bits + l2_bits);
    int64_t l1 = qcow_l1_offset(backing);
    QcowDiskHeader disk = { .cluster_bits = (uint8_t)cluster_bits,
                            .l2_bits = (uint8_t)l2_bits };

    be32_put(&disk.magic, QCOW_MAGIC);
    be32_put(&disk.version, QCOW_VERSION);
    be64_put(&disk.size, (uint64_t)size);
    be64_put(&disk.l1_table_offset, (uint64_t)l1);
    if (backing) {
        be64_put(&disk.backing_file_offset, sizeof(disk));
        be32_put(&disk.backing_file_size, (uint32_t)strlen(backing));
    }
    image_make(name, l1 + (size + reach - 1) / reach * 8, -1);
    qcow_poke(name, 0, &disk, sizeof(disk));
    if (backing) {
        qcow_poke(name, sizeof(disk), backing, strlen(backing));
    }
}

BlockBackend *qcow_open_rw(const char *name)
{
    g_autofree char *options =
        g_strdup_printf("driver=qcow,file.filename=%%D/%s", name);

    return image_open(BDRV_O_RDWR, options);
}

void qcow_poke(const char *name, int64_t offset, const void *bytes, size_t n)
{
    g_autofree char *path = image_path(name);
    int fd = open(path, O_WRONLY);

    cr_assert_geq(fd, 0);
    cr_assert_eq(pwrite(fd, bytes, n, offset), (ssize_t)n);
    close(fd);
}

void qcow_poke_be32(const char *name, int64_t offset, uint32_t value)
{
    be32 raw;

    be32_put(&raw, value);
    qcow_poke(name, offset, &raw, sizeof(raw));
}

void qcow_poke_be64(const char *name, int64_t offset, uint64_t value)
{
    be64 raw;

    be64_put(&raw, value);
    qcow_poke(name, offset, &raw, sizeof(raw));
}

uint64_t qcow_peek_be64(const char *name, int64_t offset)
{
    g_autofree char *path = image_path(name);
    int fd = open(path, O_RDONLY);
    be64 raw;

    cr_assert_geq(fd, 0);
    cr_assert_eq(pread(fd, &raw, sizeof(raw), offset), (ssize_t)sizeof(raw));
    close(fd);
    return be64_get(raw);
}

static void add_message(const char *text, void *opaque)
{
    if (opaque) {
        g_string_append_printf(opaque, "%s\n", text);
    }
}

int64_t qcow_corruptions(BlockBackend *blk, GString *text)
{
    BdrvCheckResult result = { .message = add_message, .opaque = text };
    g_autoptr(GError) error = NULL;

    cr_assert_eq(blk_check(blk, &result, 0, &error), 0);
    cr_assert_eq(result.check_errors, 0);
    cr_assert_eq(result.leaks, 0);
    return result.corruptions;
}
