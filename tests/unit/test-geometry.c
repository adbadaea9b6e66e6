/* SPDX-License-Identifier: MIT */
/* The shape of disks and floppies: the original's tables, growing, limits. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "block/error.h"
#include "block/vvfat/fat.h"
#include "block/vvfat/geometry.h"

typedef struct Content {
    uint64_t bytes; /* in one file */
    uint64_t files; /* besides, of one byte each */
} Content;

static uint64_t content_clusters(uint32_t cluster_size, bool with_root,
                                 const void *opaque)
{
    const Content *c = opaque;

    return (c->bytes + cluster_size - 1) / cluster_size + c->files + with_root;
}

static GeometryRequest request_for(const Content *content)
{
    return (GeometryRequest){
        .clusters_needed = content_clusters,
        .opaque = content,
        .root_entries = 10,
    };
}

static Geometry choose(const GeometryRequest *request)
{
    g_autoptr(GError) error = NULL;
    Geometry g;

    cr_assert(geometry_choose(&g, request, &error), "%s",
              error ? error->message : "?");
    return g;
}

static char *refused(const GeometryRequest *request, int code)
{
    GError *error = NULL;
    Geometry g;
    char *message;

    cr_assert_not(geometry_choose(&g, request, &error));
    cr_assert_not_null(error);
    cr_assert_eq(error->code, code, "%s", error->message);
    message = g_strdup(error->message);
    g_error_free(error);
    return message;
}

/* ---- The original's shapes ---- */

static const Content small = { .bytes = 100000 };

static void check_disk(const Geometry *g, unsigned type, uint32_t cylinders,
                       uint64_t sectors, uint32_t spc)
{
    cr_assert_eq(g->fat_type, type);
    cr_assert_eq(g->cylinders, cylinders);
    cr_assert_eq(g->heads, 16);
    cr_assert_eq(g->sectors_per_track, 63);
    cr_assert_eq(g->disk_sectors, sectors);
    cr_assert_eq(g->volume_start, 63);
    cr_assert_eq(g->sectors_per_cluster, spc);
    cr_assert_eq(g->partition, PARTITION_MBR);
    cr_assert_eq(g->media, 0xf8);
    cr_assert_eq(g->drive_number, 0x80);
}

Test(geometry, disk_is_the_originals_504_mib_fat16)
{
    GeometryRequest request = request_for(&small);
    Geometry g = choose(&request);

    check_disk(&g, 16, 1024, 1032192, 16);
    cr_assert_eq(g.reserved_sectors, 1);
    cr_assert_eq(g.root_entries, 512);
    cr_assert_eq(g.sectors_per_fat, 252);
    cr_assert_eq(g.cluster_count, 64474);
    cr_assert_eq(g.volume_sectors, 1 + 2 * 252 + 32 + 64474 * 16);
}

Test(geometry, disk_with_fat12_is_the_originals_31_mib)
{
    GeometryRequest request = request_for(&small);
    Geometry g;

    request.fat_type = 12;
    g = choose(&request);
    check_disk(&g, 12, 64, 64512, 16);
    cr_assert_eq(g.reserved_sectors, 1);
    cr_assert_eq(g.root_entries, 512);
    cr_assert_eq(g.sectors_per_fat, 12);
    cr_assert_eq(g.cluster_count, 4024);
}

Test(geometry, disk_with_fat32_has_aligned_clusters_of_4_kib)
{
    GeometryRequest request = request_for(&small);
    Geometry g;

    request.fat_type = 32;
    g = choose(&request);
    check_disk(&g, 32, 1024, 1032192, 8);
    cr_assert_geq(g.reserved_sectors, 32);
    cr_assert_eq(geometry_cluster_offset(&g, 2) % 4096, 0);
    cr_assert_geq(g.cluster_count, 65525 + 16);
    cr_assert_eq(g.root_entries, 0);
}

static void check_floppy(uint64_t size, unsigned type, uint64_t sectors,
                         uint32_t cylinders, uint32_t heads, uint32_t spt,
                         uint32_t spc, uint32_t root, uint32_t spf,
                         uint8_t media)
{
    GeometryRequest request = request_for(&(Content){ .bytes = 1000 });
    Geometry g;

    request.floppy = true;
    request.fat_type = type;
    request.size = size;
    g = choose(&request);
    cr_assert_eq(g.disk_sectors, sectors);
    cr_assert_eq(g.volume_sectors, sectors);
    cr_assert_eq(g.volume_start, 0);
    cr_assert_eq(g.partition, PARTITION_NONE);
    cr_assert_eq(g.cylinders, cylinders);
    cr_assert_eq(g.heads, heads);
    cr_assert_eq(g.sectors_per_track, spt);
    cr_assert_eq(g.sectors_per_cluster, spc);
    cr_assert_eq(g.reserved_sectors, 1);
    cr_assert_eq(g.root_entries, root);
    cr_assert_eq(g.sectors_per_fat, spf);
    cr_assert_eq(g.media, media);
    cr_assert_eq(g.drive_number, 0);
    cr_assert_eq(g.fat_type, type ? type : 12);
}

Test(geometry, floppies_have_the_standard_parameters)
{
    check_floppy(0, 0, 5760, 80, 2, 36, 2, 240, 9, 0xf0);
    check_floppy(0, 12, 2880, 80, 2, 18, 1, 224, 9, 0xf0);
    check_floppy(0, 16, 5760, 80, 2, 36, 1, 240, 23, 0xf0);
    check_floppy(160 << 10, 0, 320, 40, 1, 8, 1, 64, 1, 0xfe);
    check_floppy(180 << 10, 0, 360, 40, 1, 9, 1, 64, 2, 0xfc);
    check_floppy(320 << 10, 0, 640, 40, 2, 8, 2, 112, 1, 0xff);
    check_floppy(360 << 10, 0, 720, 40, 2, 9, 2, 112, 2, 0xfd);
    check_floppy(640 << 10, 0, 1280, 80, 2, 8, 2, 112, 2, 0xfb);
    check_floppy(720 << 10, 0, 1440, 80, 2, 9, 2, 112, 3, 0xf9);
    check_floppy(1200 << 10, 0, 2400, 80, 2, 15, 1, 224, 7, 0xf9);
    check_floppy(1440 << 10, 12, 2880, 80, 2, 18, 1, 224, 9, 0xf0);
    check_floppy(2880 << 10, 0, 5760, 80, 2, 36, 2, 240, 9, 0xf0);
}

Test(geometry, floppy_of_fat32_needs_a_size)
{
    GeometryRequest request = request_for(&small);
    g_autofree char *message = NULL;

    request.floppy = true;
    request.fat_type = 32;
    message = refused(&request, EINVAL);
    cr_assert_not_null(strstr(message, "'size'"));
    request.size = 64 << 20;
    cr_assert_eq(choose(&request).fat_type, 32);
}

Test(geometry, floppy_root_grows_with_its_entries)
{
    GeometryRequest request = request_for(&small);
    Geometry g;

    request.floppy = true;
    request.fat_type = 12;
    request.root_entries = 300;
    g = choose(&request);
    cr_assert_eq(g.root_entries, 304);
    cr_assert_eq(g.root_sectors, 19);
}

/* ---- Growing ---- */

Test(geometry, a_large_root_directory_makes_a_disk_fat32)
{
    GeometryRequest request = request_for(&small);
    Geometry g;

    request.root_entries = 513;
    g = choose(&request);
    cr_assert_eq(g.fat_type, 32);
    cr_assert_eq(g.volume_start, 2048);
}

Test(geometry, a_large_root_directory_grows_when_fat16_is_asked_for)
{
    GeometryRequest request = request_for(&small);
    Geometry g;

    request.root_entries = 513;
    request.fat_type = 16;
    g = choose(&request);
    cr_assert_eq(g.root_entries, 528);
    cr_assert_eq(g.volume_start, 63);
}

Test(geometry, grows_to_aligned_fat32_with_room_to_spare)
{
    static const uint64_t mib = 1 << 20;

    for (uint64_t size = 500 * mib; size < (UINT64_C(3) << 40) / 2;
         size = size * 3 / 2) {
        Content content = { .bytes = size, .files = 1000 };
        GeometryRequest request = request_for(&content);
        Geometry g = choose(&request);
        uint64_t need, spare;

        if (size < 503 * mib) {
            continue;
        }
        need = content_clusters(geometry_cluster_size(&g), true, &content) *
               geometry_cluster_size(&g);
        spare = (uint64_t)g.cluster_count * geometry_cluster_size(&g) - need;
        cr_assert_eq(g.fat_type, 32);
        cr_assert_eq(g.disk_sectors % 2048, 0);
        cr_assert_eq(g.volume_start, 2048);
        cr_assert_eq(
            geometry_cluster_offset(&g, 2) % geometry_cluster_size(&g), 0);
        cr_assert_geq(g.cluster_count, 65525 + 16);
        cr_assert_geq(spare, MAX(64 * mib, need / 8));
        cr_assert_leq(spare, MAX(64 * mib, need / 8) + need / 50 + 8 * mib);
    }
}

Test(geometry, free_is_left_free)
{
    Content content = { .bytes = 400 << 20 };
    GeometryRequest request = request_for(&content);
    Geometry g;

    request.free_given = true;
    request.free = 50 << 20;
    cr_assert_eq(choose(&request).disk_sectors, 1032192);
    request.free = UINT64_C(3) << 30;
    g = choose(&request);
    cr_assert_eq(g.fat_type, 32);
    cr_assert_geq((uint64_t)g.cluster_count * geometry_cluster_size(&g),
                  content.bytes + request.free);
    request.free = 200 << 20;
    request.fat_type = 16;
    g_free(refused(&request, ENOSPC));
}

Test(geometry, no_disk_is_larger_than_2_tib)
{
    Content content = { .bytes = UINT64_C(2) << 40 };
    GeometryRequest request = request_for(&content);

    g_free(refused(&request, ENOSPC));
    content.bytes -= UINT64_C(4) << 30;
    cr_assert_eq(choose(&request).disk_sectors, UINT64_C(1) << 32);
    content.bytes = UINT64_C(1) << 62;
    g_free(refused(&request, ENOSPC));
}

Test(geometry, says_how_much_fits_as_the_original_does)
{
    Content content = { .bytes = 600 << 20 };
    GeometryRequest request = request_for(&content);
    g_autofree char *message = NULL;

    request.fat_type = 16;
    message = refused(&request, ENOSPC);
    cr_assert(g_str_has_prefix(message, "Directory does not fit in FAT16 "
                                        "(capacity 516.06 MB)"),
              "%s", message);
    cr_assert_not_null(strstr(message, "'fat-type' 32"));
}

/* ---- Sizes asked for ---- */

Test(geometry, type_follows_from_the_size)
{
    static const struct {
        uint64_t mib;
        unsigned type;
    } cases[] = { { 1, 12 },   { 16, 12 },  { 17, 16 },
                  { 512, 16 }, { 513, 32 }, { 2097152, 32 } };
    GeometryRequest request = request_for(&small);

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        Geometry g;

        request.size = cases[i].mib << 20;
        g = choose(&request);
        cr_assert_eq(g.fat_type, cases[i].type, "%u MiB",
                     (unsigned)cases[i].mib);
        cr_assert_eq(g.disk_sectors * 512, request.size);
    }
}

Test(geometry, content_that_does_not_fit_takes_smaller_clusters_or_next_type)
{
    Content content = { .files = 6000 };
    GeometryRequest request = request_for(&content);
    Geometry g;

    request.size = 16 << 20; /* FAT12 has no more than 4,068 clusters */
    g = choose(&request);
    cr_assert_eq(g.fat_type, 16);
    content.files = 300000;
    request.size = 300 << 20;
    g = choose(&request);
    cr_assert_eq(g.fat_type, 32);
    cr_assert_geq(g.cluster_count, 300001);
    request.size = 100 << 20;
    g_free(refused(&request, ENOSPC));
}

Test(geometry, large_clusters_make_a_large_disk_fat16)
{
    GeometryRequest request = request_for(&small);

    request.size = UINT64_C(1) << 30;
    request.cluster_size = 32768;
    cr_assert_eq(choose(&request).fat_type, 16);
}

Test(geometry, gpt_partition_has_room_to_end_on_a_boundary)
{
    GeometryRequest request = request_for(&small);
    Geometry g;

    request.partition_given = true;
    request.partition = PARTITION_GPT;
    for (uint64_t mib = 33; mib < 2000; mib += 41) {
        request.size = mib << 20;
        g = choose(&request);
        cr_assert_leq((g.volume_start + g.volume_sectors + 2047) / 2048 * 2048,
                      g.disk_sectors - 33);
    }
}

Test(geometry, contradictions_are_refused)
{
    GeometryRequest request = request_for(&small);

    request.fat_type = 12;
    request.size = UINT64_C(1) << 30;
    g_free(refused(&request, EINVAL));
    request.fat_type = 32;
    request.size = 16 << 20;
    g_free(refused(&request, EINVAL));
    request.fat_type = 16;
    request.size = 0;
    request.cluster_size = 512;
    g_free(refused(&request, EINVAL));
    request.cluster_size = 1000;
    g_free(refused(&request, EINVAL));
    request.cluster_size = 0;
    request.align = 100;
    g_free(refused(&request, EINVAL));
    request.align = 0;
    request.floppy = true;
    request.esp = true;
    g_free(refused(&request, EINVAL));
    request.esp = false;
    request.partition_given = true;
    request.partition = PARTITION_GPT;
    g_free(refused(&request, EINVAL));
    request.floppy = false;
    request.partition = PARTITION_NONE;
    request.align = 1 << 20;
    g_free(refused(&request, EINVAL));
    request.align = 0;
    request.esp = true;
    g_free(refused(&request, EINVAL));
    request = request_for(&small);
    request.fat_type = 7;
    g_free(refused(&request, EINVAL));
}

Test(geometry, esp_means_gpt)
{
    GeometryRequest request = request_for(&small);
    Geometry g;

    request.esp = true;
    g = choose(&request);
    cr_assert_eq(g.partition, PARTITION_GPT);
    cr_assert_eq(g.volume_start, 2048);
    cr_assert_leq(g.volume_start + g.volume_sectors, g.disk_sectors - 33);
}

/* ---- Everything, together ---- */

static void check_shape(const GeometryRequest *r, const Geometry *g)
{
    uint32_t min = g->fat_type == 12 ? 1 : g->fat_type == 16 ? 4101 : 65541;
    uint32_t max = g->fat_type == 12   ? 4068
                   : g->fat_type == 16 ? 65508
                                       : FAT32_MAX_CLUSTERS;
    uint64_t end = g->volume_start + g->volume_sectors;
    uint64_t last = g->volume_start + g->data_start +
                    (uint64_t)g->cluster_count * g->sectors_per_cluster;

    cr_assert_geq(g->cluster_count, min);
    cr_assert_leq(g->cluster_count, max);
    cr_assert_eq(fat_type_of(g->cluster_count), g->fat_type);
    cr_assert_leq(fat_bytes(g->fat_type, g->cluster_count),
                  (uint64_t)g->sectors_per_fat * 512);
    cr_assert_eq(g->root_start, g->reserved_sectors + 2 * g->sectors_per_fat);
    cr_assert_eq(g->data_start, g->root_start + g->root_sectors);
    cr_assert_eq(g->root_sectors * 16, g->root_entries);
    cr_assert_leq(last, end);
    cr_assert_lt(end - last, g->sectors_per_cluster);
    cr_assert_leq(end,
                  g->disk_sectors - (g->partition == PARTITION_GPT ? 33 : 0));
    cr_assert_leq(g->volume_sectors, UINT32_MAX);
    cr_assert_leq(g->cylinders, 65535);
    cr_assert_leq(g->reserved_sectors, 65535);
    if (r->fat_type) {
        cr_assert_eq(g->fat_type, r->fat_type);
    }
    if (r->cluster_size) {
        cr_assert_eq(geometry_cluster_size(g), r->cluster_size);
    }
    if (r->align) {
        cr_assert_eq(g->volume_start * 512 % r->align, 0);
    }
    if (r->size && !r->floppy && g->volume_sectors >= 8192) {
        cr_assert_eq(geometry_cluster_offset(g, 2) % 4096, 0);
    }
}

Test(geometry, every_answer_is_a_sound_volume)
{
    static const unsigned types[] = { 0, 12, 16, 32 };
    static const PartitionTable tables[] = { PARTITION_NONE, PARTITION_MBR,
                                             PARTITION_GPT };
    GeometryRequest request = request_for(&(Content){ .bytes = 1 });
    unsigned answers = 0;

    for (uint64_t size = 64 << 10; size <= UINT64_C(2) << 40;
         size += size / 5 + 511) {
        for (unsigned i = 0; i < 4 * 9 * 4 * 2; i++) {
            unsigned table = i / 36 % 4;
            Geometry g;

            request.size = size;
            request.fat_type = types[i % 4];
            request.cluster_size = i / 4 % 9 ? 256u << i / 4 % 9 : 0;
            request.floppy = table == 3;
            request.partition_given = table != 3;
            request.partition = tables[table % 3];
            request.align = i / 144 && table && table != 3 ? 32256 : 0;
            if (geometry_choose(&g, &request, NULL)) {
                check_shape(&request, &g);
                answers++;
            }
        }
    }
    cr_assert_gt(answers, 5000);
}

Test(geometry, chs_saturates)
{
    GeometryRequest request = request_for(&small);
    Geometry g = choose(&request);
    uint8_t chs[3];

    geometry_lba_to_chs(&g, 63, chs);
    cr_assert_arr_eq(chs, ((uint8_t[]){ 1, 1, 0 }), 3);
    geometry_lba_to_chs(&g, 1032191, chs);
    cr_assert_arr_eq(chs, ((uint8_t[]){ 15, 0xc0 | 63, 0xff }), 3);
    geometry_lba_to_chs(&g, 1032192, chs);
    cr_assert_arr_eq(chs, ((uint8_t[]){ 0xff, 0xff, 0xff }), 3);
}
