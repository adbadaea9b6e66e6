/* SPDX-License-Identifier: MIT */
/* Reserved sectors: written, judged by fsck.fat, and read. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "block/vvfat/boot.h"
#include "block/vvfat/fat.h"
#include "tests/unit/fat-volume.h"

#define KIB 1024ull
#define MIB (1024 * KIB)

static uint64_t few_clusters(uint32_t cluster_size, bool with_root,
                             const void *opaque)
{
    (void)cluster_size;
    (void)opaque;
    return with_root ? 1 : 0;
}

static Geometry choose(unsigned fat_type, bool floppy, uint64_t size)
{
    GeometryRequest request = {
        .fat_type = fat_type,
        .floppy = floppy,
        .size = size,
        .clusters_needed = few_clusters,
        .root_entries = 1,
    };
    g_autoptr(GError) error = NULL;
    Geometry g;

    cr_assert(geometry_choose(&g, &request, &error), "%s",
              error ? error->message : "");
    return g;
}

static BootParams params_default(const Geometry *g)
{
    BootParams params = {
        .volume_id = BOOT_VOLUME_ID_DEFAULT,
        .free_clusters = g->cluster_count - 1,
        .next_free = 3,
    };

    memcpy(params.label, "QEMU VVFAT ", sizeof(params.label));
    return params;
}

static uint16_t at16(const uint8_t *p, size_t offset)
{
    return (uint16_t)(p[offset] | p[offset + 1] << 8);
}

static uint32_t at32(const uint8_t *p, size_t offset)
{
    return at16(p, offset) | (uint32_t)at16(p, offset + 2) << 16;
}

/* ---- Written ---- */

Test(boot, fat16_sector_field_by_field)
{
    Geometry g = choose(16, false, 0);
    BootParams params = params_default(&g);
    uint8_t s[SECTOR_SIZE];

    boot_render(&g, &params, 0, s);
    cr_assert_arr_eq(s, "\xeb\x3e\x90MSWIN4.1", 11);
    cr_assert_eq(at16(s, 11), 512);
    cr_assert_eq(s[13], 16);
    cr_assert_eq(at16(s, 14), 1);
    cr_assert_eq(s[16], 2);
    cr_assert_eq(at16(s, 17), 512);
    cr_assert_eq(at16(s, 19), 0);
    cr_assert_eq(s[21], 0xf8);
    cr_assert_eq(at16(s, 22), g.sectors_per_fat);
    cr_assert_eq(at16(s, 24), 63);
    cr_assert_eq(at16(s, 26), 16);
    cr_assert_eq(at32(s, 28), 63);
    cr_assert_eq(at32(s, 32), g.volume_sectors);
    cr_assert_eq(s[36], 0x80);
    cr_assert_eq(s[37], 0);
    cr_assert_eq(s[38], 0x29);
    cr_assert_eq(at32(s, 39), 0xfabe1afd);
    cr_assert_arr_eq(s + 43, "QEMU VVFAT FAT16   ", 19);
    cr_assert_eq(s[0x40], 0x31, "the code the jump leads to");
    cr_assert_eq(at16(s, 510), 0xaa55);
}

Test(boot, floppy_has_no_hidden_sectors_and_16_bit_size)
{
    Geometry g = choose(12, true, 0);
    BootParams params = params_default(&g);
    uint8_t s[SECTOR_SIZE];

    boot_render(&g, &params, 0, s);
    cr_assert_eq(at16(s, 19), 2880);
    cr_assert_eq(at32(s, 32), 0);
    cr_assert_eq(s[21], 0xf0);
    cr_assert_eq(at32(s, 28), 0);
    cr_assert_eq(s[36], 0);
    cr_assert_arr_eq(s + 54, "FAT12   ", 8);
}

Test(boot, fat32_sectors_and_their_copies)
{
    Geometry g = choose(32, false, 1024 * MIB);
    BootParams params = params_default(&g);
    uint8_t s[SECTOR_SIZE], copy[SECTOR_SIZE];

    boot_render(&g, &params, 0, s);
    cr_assert_arr_eq(s, "\xeb\x58\x90MSWIN4.1", 11);
    cr_assert_eq(at16(s, 17), 0);
    cr_assert_eq(at16(s, 19), 0);
    cr_assert_eq(at16(s, 22), 0);
    cr_assert_eq(at32(s, 32), g.volume_sectors);
    cr_assert_eq(at32(s, 36), g.sectors_per_fat);
    cr_assert_eq(at32(s, 40), 0);
    cr_assert_eq(at32(s, 44), 2);
    cr_assert_eq(at16(s, 48), 1);
    cr_assert_eq(at16(s, 50), 6);
    cr_assert_eq(s[66], 0x29);
    cr_assert_arr_eq(s + 71, "QEMU VVFAT FAT32   ", 19);
    boot_render(&g, &params, 1, s);
    cr_assert_arr_eq(s, "RRaA", 4);
    cr_assert_arr_eq(s + 484, "rrAa", 4);
    cr_assert_eq(at32(s, 488), g.cluster_count - 1);
    cr_assert_eq(at32(s, 492), 3);
    cr_assert_eq(at32(s, 508), 0xaa550000);
    for (uint32_t i = 0; i < g.reserved_sectors; i++) {
        boot_render(&g, &params, i, s);
        if (i < 3) {
            boot_render(&g, &params, i + 6, copy);
            cr_assert_arr_eq(s, copy, SECTOR_SIZE);
        }
        cr_assert_eq(at16(s, 510), i < 3 || (i > 5 && i < 9) ? 0xaa55 : 0);
    }
}

static void put(FILE *file, uint64_t sector, const void *data, size_t n)
{
    cr_assert_eq(fseeko(file, (off_t)(sector * SECTOR_SIZE), SEEK_SET), 0);
    cr_assert_eq(fwrite(data, 1, n, file), n);
}

/* An empty volume: reserved sectors, FATs, a label for the root. */
static void write_volume(const Geometry *g, const char *dir)
{
    g_autofree char *path = g_build_filename(dir, "volume", NULL);
    FILE *file = fopen(path, "w");
    BootParams params = params_default(g);
    uint8_t s[SECTOR_SIZE] = { 0 };
    uint32_t root = g->root_start;

    fat_entry_put(g->fat_type, s, sizeof(s), 0, 0,
                  fat_entry_0(g->fat_type, g->media));
    fat_entry_put(g->fat_type, s, sizeof(s), 0, 1, fat_entry_1(g->fat_type));
    if (g->fat_type == 32) {
        fat_entry_put(32, s, sizeof(s), 0, 2, FAT_ENTRY_EOC);
        root = g->data_start;
    }
    put(file, g->reserved_sectors, s, sizeof(s));
    put(file, g->reserved_sectors + g->sectors_per_fat, s, sizeof(s));
    put(file, root, "QEMU VVFAT \x08", 12);
    for (uint32_t i = 0; i < g->reserved_sectors; i++) {
        boot_render(g, &params, i, s);
        put(file, i, s, sizeof(s));
    }
    cr_assert_eq(fflush(file), 0);
    cr_assert_eq(
        ftruncate(fileno(file), (off_t)(g->volume_sectors * SECTOR_SIZE)), 0);
    cr_assert_eq(fclose(file), 0);
}

static const struct {
    unsigned fat_type;
    bool floppy;
    uint64_t size;
} shapes[] = {
    { 12, true, 0 },           { 0, true, 0 },
    { 12, false, 0 },          { 16, false, 0 },
    { 32, false, 0 },          { 12, false, 64 * KIB },
    { 16, false, 20 * MIB },   { 32, false, 40 * MIB },
    { 32, false, 5000 * MIB },
};

Test(boot, fsck_accepts_volumes_of_every_shape)
{
    char *dir = workdir_new();

    for (size_t i = 0; i < G_N_ELEMENTS(shapes); i++) {
        Geometry g = choose(shapes[i].fat_type, shapes[i].floppy,
                            shapes[i].size);

        write_volume(&g, dir);
        workdir_run(dir, "fsck.fat -n volume >out || { cat out; false; }");
        cr_assert_neq(workdir_status(dir, "grep -i 'differ\\|wrong\\|fix' "
                                          "out"),
                      0);
    }
    workdir_free(dir);
}

Test(boot, what_is_written_is_read)
{
    for (size_t i = 0; i < G_N_ELEMENTS(shapes); i++) {
        Geometry g = choose(shapes[i].fat_type, shapes[i].floppy,
                            shapes[i].size);
        BootParams params = params_default(&g);
        g_autoptr(GError) error = NULL;
        uint8_t s[SECTOR_SIZE];
        BootInfo info;

        boot_render(&g, &params, 0, s);
        cr_assert(boot_parse(s, g.volume_sectors * SECTOR_SIZE, &info, &error),
                  "%s", error ? error->message : "");
        cr_assert_eq(info.fat_type, g.fat_type);
        cr_assert_eq(info.cluster_count, g.cluster_count);
        cr_assert_eq(info.data_start, g.data_start);
        cr_assert_eq(info.root_sectors, g.root_sectors);
        cr_assert_eq(info.sectors_per_fat, g.sectors_per_fat);
        cr_assert_eq(info.hidden_sectors, g.volume_start);
        cr_assert_eq(info.total_sectors, g.volume_sectors);
        cr_assert_eq(info.root_cluster, g.fat_type == 32 ? 2 : 0);
        cr_assert(info.has_ext && info.mirrored && !info.dirty);
        cr_assert_eq(info.volume_id, BOOT_VOLUME_ID_DEFAULT);
        cr_assert_arr_eq(info.label, "QEMU VVFAT ", 11);
        cr_assert_str_eq(info.oem_name, "MSWIN4.1");
    }
}

/* ---- Boot code ---- */

Test(boot, code_is_placed_around_our_parameters)
{
    Geometry g = choose(16, false, 0);
    BootParams params = params_default(&g);
    uint8_t code[SECTOR_SIZE], s[SECTOR_SIZE], plain[SECTOR_SIZE];

    memset(code, 0xcc, sizeof(code));
    memcpy(code, "\xeb\x3c\x90", 3);
    cr_assert(boot_code_check(16, 1, code, sizeof(code), NULL));
    boot_render(&g, &params, 0, plain);
    params.code = code;
    params.code_bytes = sizeof(code);
    boot_render(&g, &params, 0, s);
    cr_assert_arr_eq(s, "\xeb\x3c\x90", 3);
    cr_assert_arr_eq(s + 3, plain + 3, 59);
    cr_assert_arr_eq(s + 62, code + 62, 448);
    cr_assert_eq(at16(s, 510), 0xaa55);
    params.code_bytes = 100; /* short: zeroes behind it */
    boot_render(&g, &params, 0, s);
    cr_assert_eq(s[99], 0xcc);
    cr_assert_eq(s[100], 0);
}

Test(boot, fat32_code_goes_on_around_fsinfo_and_copies)
{
    Geometry g = choose(32, false, 1024 * MIB);
    BootParams params = params_default(&g);
    g_autofree uint8_t *code = g_malloc(20 * SECTOR_SIZE);
    uint8_t s[SECTOR_SIZE], copy[SECTOR_SIZE];

    for (size_t i = 0; i < 20 * SECTOR_SIZE; i++) {
        code[i] = (uint8_t)(0x80 + i / SECTOR_SIZE);
    }
    memcpy(code, "\xe9\x80\x00", 3);
    cr_assert(boot_code_check(32, g.reserved_sectors, code,
                              20 * SECTOR_SIZE - 100, NULL));
    params.code = code;
    params.code_bytes = 20 * SECTOR_SIZE - 100;
    for (uint32_t i = 0; i < 20; i++) {
        boot_render(&g, &params, i, s);
        if (i == 1 || i == 7) {
            cr_assert_arr_eq(s, "RRaA", 4);
        } else if (i == 0 || i == 6) {
            cr_assert_eq(s[90], 0x80);
            cr_assert_eq(s[509], 0x80);
            cr_assert_eq(at32(s, 44), 2);
        } else {
            uint8_t want = (uint8_t)(0x80 + (i == 8 ? 2 : i));

            cr_assert_eq(s[0], want);
            cr_assert_eq(s[400], want);
            cr_assert_eq(s[511], i == 19 ? 0 : want);
        }
    }
    boot_render(&g, &params, 0, s);
    boot_render(&g, &params, 6, copy);
    cr_assert_arr_eq(s, copy, SECTOR_SIZE);
}

static void check_code_refused(unsigned fat_type, const char *start,
                               size_t bytes, const char *word)
{
    g_autofree uint8_t *code = g_malloc0(bytes + 3);
    g_autoptr(GError) error = NULL;

    memcpy(code, start, 3);
    cr_assert_not(boot_code_check(fat_type, 32, code, bytes, &error));
    cr_assert_not_null(strstr(error->message, word), "%s", error->message);
}

Test(boot, code_that_cannot_work_is_refused)
{
    check_code_refused(16, "\xfa\x31\xc0", 512, "jump");
    check_code_refused(16, "\xeb\x81\x90", 512, "jump");
    check_code_refused(32, "\xeb\x3c\x90", 512, "not for FAT32");
    check_code_refused(16, "\xeb\x10\x90", 512, "not for FAT16");
    check_code_refused(16, "\xe9\xfb\x01", 512, "jumps to byte 510");
    check_code_refused(12, "\xeb\x3c\x90", 513, "63 to 512");
    check_code_refused(32, "\xeb\x58\x90", 32 * 512 + 1, "16384");
    check_code_refused(16, "\xeb\x3c\x90", 62, "62 bytes");
    check_code_refused(16, "\xeb\x3c\x90", 0, "0 bytes");
}

/* ---- Read ---- */

/* Volumes that mkfs.fat makes, with the numbers that fsck.fat sees. */
Test(boot, volumes_of_mkfs_are_read)
{
    static const char *const options[] = {
        "-F 12 -C v 1440",
        "-F 12 -f 1 -C v 720",
        "-F 16 -C v 20000",
        "-F 16 -S 4096 -C v 80000",
        "-F 32 -C v 40000",
        "-F 32 -S 2048 -C v 200000",
        "-F 16 -r 1024 -R 7 -C v 30000",
        "-F 32 -s 1 -C v 64000",
        "-F 32 -b 0 -C v 64000",
    };
    char *dir = workdir_new();

    for (size_t i = 0; i < G_N_ELEMENTS(options); i++) {
        g_autoptr(GError) error = NULL;
        g_autofree char *path = g_build_filename(dir, "v", NULL);
        g_autofree char *bytes = NULL;
        g_autofree char *seen = NULL;
        BootInfo info;
        gsize n;

        workdir_run(dir, "rm -f v && mkfs.fat -n LABEL %s >/dev/null",
                    options[i]);
        cr_assert(g_file_get_contents(path, &bytes, &n, NULL));
        cr_assert(boot_parse((const uint8_t *)bytes, n, &info, &error),
                  "%s: %s", options[i], error ? error->message : "");
        seen = workdir_output(dir, "fsck.fat -nv v | awk '/data clusters/ "
                                   "{ print $1 }'");
        cr_assert_eq(info.cluster_count, g_ascii_strtoull(seen, NULL, 10),
                     "%s: %u, not %s", options[i], info.cluster_count, seen);
        cr_assert_arr_eq(info.label, "LABEL      ", 11);
        cr_assert_eq(info.fat_type,
                     g_ascii_strtoull(options[i] + 3, NULL, 10));
    }
    workdir_free(dir);
}

static void check_refused(const uint8_t *good, uint64_t bytes, size_t offset,
                          uint32_t value, size_t size, const char *word)
{
    g_autoptr(GError) error = NULL;
    uint8_t s[SECTOR_SIZE];
    BootInfo info;

    memcpy(s, good, sizeof(s));
    for (size_t i = 0; i < size; i++) {
        s[offset + i] = (uint8_t)(value >> (8 * i));
    }
    cr_assert_not(boot_parse(s, bytes, &info, &error), "%s", word);
    cr_assert_not_null(strstr(error->message, word), "%s: %s", word,
                       error->message);
}

Test(boot, volumes_that_cannot_be_are_refused)
{
    Geometry g16 = choose(16, false, 0), g32 = choose(32, false, 1024 * MIB);
    BootParams p16 = params_default(&g16), p32 = params_default(&g32);
    uint64_t n16 = g16.volume_sectors * SECTOR_SIZE;
    uint64_t n32 = g32.volume_sectors * SECTOR_SIZE;
    uint8_t s16[SECTOR_SIZE], s32[SECTOR_SIZE];

    boot_render(&g16, &p16, 0, s16);
    boot_render(&g32, &p32, 0, s32);
    check_refused(s16, n16, 11, 0, 2, "sectors have 0 bytes");
    check_refused(s16, n16, 11, 256, 2, "sectors have 256 bytes");
    check_refused(s16, n16, 11, 768, 2, "sectors have 768 bytes");
    check_refused(s16, n16, 11, 8192, 2, "sectors have 8192 bytes");
    check_refused(s16, n16, 13, 0, 1, "power of two");
    check_refused(s16, n16, 13, 3, 1, "power of two");
    check_refused(s16, n16, 14, 0, 2, "reserved");
    check_refused(s16, n16, 16, 0, 1, "no FAT");
    check_refused(s16, n16, 17, 0, 2, "root directory");
    check_refused(s16, n16, 21, 0, 1, "media");
    check_refused(s16, n16, 22, 1, 2, "too small");
    check_refused(s16, n16, 13, 1, 1, "too many for FAT16");
    check_refused(s16, n16, 32, 100, 4, "no room for data");
    check_refused(s16, n16, 32, g16.data_start + 1, 4, "one cluster");
    check_refused(s16, n16 - 512, 3, 'X', 1, "cut off");
    check_refused(s16, 0, 3, 'X', 1, "cut off");
    check_refused(s32, n32, 36, 0, 4, "no sectors");
    check_refused(s32, n32, 36, 0xffffffff, 4, "no room for data");
    check_refused(s32, n32, 42, 1, 2, "version 0.1");
    check_refused(s32, n32, 17, 512, 2, "fixed root");
    check_refused(s32, n32, 40, 0x82, 2, "active FAT");
    check_refused(s32, n32, 44, 0, 4, "cluster 0");
    check_refused(s32, n32, 44, 1, 4, "cluster 1");
    check_refused(s32, n32, 44, g32.cluster_count + 2, 4, "root directory");
    /* No jump and no mark are needed. */
    BootInfo info;
    memset(s16, 0, 3);
    memset(s16 + 510, 0, 2);
    cr_assert(boot_parse(s16, n16, &info, NULL));
}

Test(boot, fat32_details_are_read)
{
    Geometry g = choose(32, false, 1024 * MIB);
    BootParams params = params_default(&g);
    uint64_t bytes = g.volume_sectors * SECTOR_SIZE;
    FatBootSector32 b;
    BootInfo info;

    boot_render(&g, &params, 0, (uint8_t *)&b);
    le16_put(&b.flags, 0x81);
    b.ext.dirty = FAT_BOOT_DIRTY;
    le16_put(&b.fsinfo_sector, 0xffff);
    le16_put(&b.backup_boot_sector, (uint16_t)g.reserved_sectors);
    memcpy(b.bpb.oem_name, "a\0\xff/b   ", 8);
    cr_assert(boot_parse((uint8_t *)&b, bytes, &info, NULL));
    cr_assert_not(info.mirrored);
    cr_assert_eq(info.active_fat, 1);
    cr_assert(info.dirty);
    cr_assert_eq(info.fsinfo_sector, 0);
    cr_assert_eq(info.backup_sector, 0);
    cr_assert_str_eq(info.oem_name, "a../b   ");
    b.ext.signature = 0x28;
    cr_assert(boot_parse((uint8_t *)&b, bytes, &info, NULL));
    cr_assert_not(info.has_ext);
    cr_assert_arr_eq(info.label, "           ", 11);
    b.ext.signature = 0;
    cr_assert(boot_parse((uint8_t *)&b, bytes, &info, NULL));
    cr_assert_not(info.dirty);
}

/* Random fields never give a volume whose regions do not fit in it. */
Test(boot, whatever_passes_lies_within_the_volume)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(5);
    Geometry g = choose(32, false, 1024 * MIB);
    BootParams params = params_default(&g);
    uint64_t bytes = g.volume_sectors * SECTOR_SIZE;
    unsigned passed = 0;

    for (int round = 0; round < 300000; round++) {
        uint8_t s[SECTOR_SIZE];
        BootInfo info;

        boot_render(&g, &params, 0, s);
        for (int i = g_rand_int_range(rand, 1, 4); i > 0; i--) {
            s[g_rand_int_range(rand, 11, 66)] =
                (uint8_t)(1u << g_rand_int_range(rand, 0, 9));
        }
        if (!boot_parse(s, bytes, &info, NULL)) {
            continue;
        }
        passed++;
        cr_assert_leq(info.reserved_sectors +
                          (uint64_t)info.fat_count * info.sectors_per_fat,
                      info.root_start);
        cr_assert_eq(info.root_start + info.root_sectors, info.data_start);
        cr_assert_leq((info.data_start + (uint64_t)info.cluster_count *
                                             info.sectors_per_cluster) *
                          info.bytes_per_sector,
                      bytes);
        cr_assert_leq(fat_bytes(info.fat_type, info.cluster_count),
                      (uint64_t)info.sectors_per_fat * info.bytes_per_sector);
        cr_assert_lt(info.active_fat, info.fat_count);
    }
    cr_assert_gt(passed, 1000);
}
