/* SPDX-License-Identifier: MIT */
/* Whole volumes: judged by fsck.fat, mtools, sfdisk and sgdisk. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "block/error.h"
#include "vvfat-fixture.h"

/* A bit of everything that a volume can hold. */
static TempTree *sample_tree(void)
{
    TempTree *t = temp_tree_new();

    temp_tree_text(t, "README.TXT", "read me\n");
    temp_tree_text(t, "empty", "");
    temp_tree_text(t, "A long name with spaces.text", "long");
    temp_tree_text(t, "\xc3\xbcml\xc3\xa4ut and \xf0\x9f\x98\x80", "u");
    temp_tree_text(t, "a:b*c", "mapped");
    temp_tree_text(t, "Case", "1");
    temp_tree_text(t, "cASE", "2");
    temp_tree_pattern(t, "sizes/511", 511, 1);
    temp_tree_pattern(t, "sizes/512", 512, 2);
    temp_tree_pattern(t, "sizes/513", 513, 3);
    temp_tree_pattern(t, "sizes/8191", 8191, 4);
    temp_tree_pattern(t, "sizes/8192", 8192, 5);
    temp_tree_pattern(t, "sizes/8193", 8193, 6);
    temp_tree_mkdir(t, "hollow");
    temp_tree_text(t, "d/e/e/p/e/r/file", "deep");
    for (unsigned i = 0; i < 300; i++) {
        g_autofree char *name =
            g_strdup_printf("many/some file of many, number %u", i);

        temp_tree_text(t, name, "x");
    }
    return t;
}

/* fsck.fat finds nothing, and mtools gives back every file; the names left out
 * below are those that it or the tree cannot have: mapped, renamed, beyond the
 * basic plane. */
static void check_volume(TestDisk *disk, const TempTree *t)
{
    g_autofree char *image = temp_tree_beside(t, "volume");
    g_autofree char *back = temp_tree_beside(t, "back");
    g_autofree char *out = NULL, *diff = NULL;

    test_disk_save(disk, image, true);
    cr_assert_eq(run_command(&out, "fsck.fat -n '%s'", image), 0, "%s", out);
    cr_assert_null(strstr(out, "Differences"), "%s", out);
    cr_assert_null(strstr(out, "wrong"), "%s", out);
    g_free(g_steal_pointer(&out));
    cr_assert_eq(run_command(&out,
                             "rm -rf '%s'; mkdir '%s'; "
                             "mcopy -s -m -Q -i '%s' :: '%s'",
                             back, back, image, back),
                 0, "%s", out);
    run_command(&diff,
                "diff -r '%s' '%s' | grep -v '^Only in .*: "
                "\\(a:b\\*c\\|a.*b.*c\\|cASE\\|cASE~2\\|.*ut and .*\\)$'",
                t->dir, back);
    cr_assert_str_eq(diff, "", "%s", diff);
}

static void check_tables(TestDisk *disk, const TempTree *t)
{
    g_autofree char *image = temp_tree_beside(t, "disk");
    g_autofree char *out = NULL;

    test_disk_save(disk, image, false);
    cr_assert_eq(run_command(&out, "sfdisk --verify '%s'", image), 0, "%s",
                 out);
    cr_assert_null(strstr(out, "arning"), "%s", out);
    if (layout_geometry(disk->layout)->partition == PARTITION_GPT) {
        g_free(g_steal_pointer(&out));
        cr_assert_eq(run_command(&out, "sgdisk -v '%s'", image), 0);
        cr_assert_not_null(strstr(out, "No problems found"), "%s", out);
    }
}

Test(layout, every_type_and_partition_kind_is_sound, .timeout = 300)
{
    static const unsigned types[] = { 0, 12, 16, 32 };
    static const uint64_t sizes[] = { 0, 8 << 20, 40 << 20, 600 << 20 };
    g_autoptr(TempTree) t = sample_tree();
    unsigned made = 0;

    need_program("fsck.fat");
    need_program("mcopy");
    need_program("sfdisk");
    need_program("sgdisk");
    for (unsigned i = 0; i < 4 * 4 * 3; i++) {
        LayoutRequest request = layout_request_default();
        g_autoptr(TestDisk) disk = NULL;

        request.geometry.fat_type = types[i % 4];
        request.geometry.size = sizes[i / 4 % 4];
        request.geometry.partition_given = true;
        request.geometry.partition = (PartitionTable)(i / 16);
        disk = test_disk_try(hostfs_posix_new(t->dir, NULL), NULL, &request,
                             NULL);
        if (disk) {
            check_volume(disk, t);
            made++;
            if (request.geometry.partition != PARTITION_NONE) {
                check_tables(disk, t);
            }
        }
    }
    cr_assert_geq(made, 30);
}

Test(layout, floppies_are_sound, .timeout = 120)
{
    static const uint64_t sizes[] = { 0,          160 << 10, 720 << 10,
                                      1440 << 10, 300 << 10, 5 << 20 };
    g_autoptr(TempTree) t = temp_tree_new();

    need_program("fsck.fat");
    need_program("mcopy");
    temp_tree_text(t, "FILE.TXT", "file");
    temp_tree_pattern(t, "dir/long name", 5000, 1);
    for (unsigned i = 0; i < 6 * 2; i++) {
        LayoutRequest request = layout_request_default();
        g_autoptr(TestDisk) disk = NULL;

        request.geometry.floppy = true;
        request.geometry.fat_type = i % 2 ? 12 : 0;
        request.geometry.size = sizes[i / 2];
        disk = test_disk_new(t, &request);
        check_volume(disk, t);
    }
}

Test(layout, empty_directory_is_sound)
{
    static const unsigned types[] = { 12, 16, 32 };
    g_autoptr(TempTree) t = temp_tree_new();

    need_program("fsck.fat");
    need_program("mcopy");
    for (unsigned i = 0; i < 3; i++) {
        LayoutRequest request = layout_request_default();
        g_autoptr(TestDisk) disk = NULL;

        request.geometry.fat_type = types[i];
        disk = test_disk_new(t, &request);
        check_volume(disk, t);
        memset(request.label, ' ', sizeof(request.label)); /* no label */
        test_disk_free(disk);
        disk = test_disk_new(t, &request);
        cr_assert_eq(layout_tree(disk->layout)->has_label, false);
        check_volume(disk, t);
    }
}

Test(layout, a_full_volume_is_sound)
{
    g_autoptr(TempTree) t = temp_tree_new();
    LayoutRequest request = layout_request_default();
    g_autoptr(TestDisk) disk = NULL;

    need_program("fsck.fat");
    need_program("mcopy");
    temp_tree_pattern(t, "fills it", 2847 * 512, 1);
    request.geometry.floppy = true;
    request.geometry.fat_type = 12;
    disk = test_disk_new(t, &request);
    cr_assert_eq(layout_free_clusters(disk->layout), 0);
    check_volume(disk, t);
}

/* ---- Regions ---- */

Test(layout, regions_tile_the_disk)
{
    g_autoptr(TempTree) t = sample_tree();

    for (unsigned i = 0; i < 8; i++) {
        static const unsigned types[] = { 12, 16, 32, 0 };
        LayoutRequest request = layout_request_default();
        g_autoptr(TestDisk) disk = NULL;
        int64_t at = 0, file_bytes = 0;

        request.geometry.fat_type = types[i % 4];
        request.geometry.partition_given = true;
        request.geometry.partition = i < 4 ? PARTITION_MBR : PARTITION_GPT;
        disk = test_disk_new(t, &request);
        while (at < layout_disk_bytes(disk->layout)) {
            Region region, inner;
            int64_t middle;

            layout_region(disk->layout, at, &region);
            cr_assert_eq(region.start, at);
            cr_assert_gt(region.end, at);
            middle = at + (region.end - at) / 2;
            layout_region(disk->layout, middle, &inner);
            cr_assert_eq(inner.start, region.start);
            cr_assert_eq(inner.end, region.end);
            cr_assert_eq(inner.kind, region.kind);
            if (region.kind == REGION_FILE) {
                cr_assert_eq(region.file_offset, 0);
                cr_assert_eq(region.end - region.start, region.node->size);
                file_bytes += region.end - region.start;
            }
            at = region.end;
        }
        cr_assert_eq(at, layout_disk_bytes(disk->layout));
        cr_assert_eq(file_bytes, 8 + 4 + 1 + 6 + 1 + 1 + 511 + 512 + 513 +
                                     8191 + 8192 + 8193 + 4 + 300);
    }
}

Test(layout, free_space_is_zero_to_the_end)
{
    g_autoptr(TempTree) t = temp_tree_new();
    g_autoptr(TestDisk) disk = NULL;
    Region region;
    int64_t at = 0;
    unsigned n = 0;

    temp_tree_pattern(t, "file", 100, 1);
    disk = test_disk_new(t, NULL);
    for (; at < layout_disk_bytes(disk->layout); at = region.end) {
        layout_region(disk->layout, at, &region);
        n++;
    }
    /* MBR, gap, boot sector, FAT and its rest twice, root and its rest, the
     * file and its rest, everything else. */
    cr_assert_eq(n, 12);
    cr_assert_eq(region.kind, REGION_ZERO);
    cr_assert_gt(region.end - region.start, 500 << 20);
}

Test(layout, metadata_reads_the_same_in_any_pieces)
{
    g_autoptr(TempTree) t = sample_tree();
    g_autoptr(TestDisk) disk = test_disk_new(t, NULL);
    int64_t end = layout_disk_bytes(disk->layout);
    unsigned pieces = 0;

    for (int64_t at = 0; at < end;) {
        Region region;
        uint8_t whole[3000], part[3000];

        layout_region(disk->layout, at, &region);
        if (region.kind == REGION_METADATA) {
            int64_t n = MIN(region.end - region.start, 3000);

            layout_read_metadata(disk->layout, at, n, whole);
            for (int64_t i = 0; i < n; i += 7) {
                layout_read_metadata(disk->layout, at + i, MIN(7, n - i),
                                     part + i);
            }
            cr_assert_arr_eq(whole, part, (size_t)n);
            pieces++;
        }
        at = region.end;
    }
    cr_assert_geq(pieces, 10);
}

Test(layout, reading_the_disk_reads_files_in_the_order_of_their_paths)
{
    g_autoptr(TempTree) t = temp_tree_new();
    g_autoptr(TestDisk) disk = NULL;
    g_autoptr(GString) order = g_string_new(NULL);

    temp_tree_text(t, "b/2", "x");
    temp_tree_text(t, "a", "x");
    temp_tree_text(t, "b/1/x", "x");
    temp_tree_text(t, "c", "x");
    disk = test_disk_new(t, NULL);
    for (int64_t at = 0; at < layout_disk_bytes(disk->layout);) {
        Region region;

        layout_region(disk->layout, at, &region);
        if (region.kind == REGION_FILE) {
            g_autofree char *path = tree_host_path(region.node);

            g_string_append_printf(order, "%s ", path);
        }
        at = region.end;
    }
    cr_assert_str_eq(order->str, "a b/1/x b/2 c ");
}

/* ---- Code, limits ---- */

Test(layout, code_is_placed_and_our_parameters_kept)
{
    g_autoptr(TempTree) t = temp_tree_new();
    LayoutRequest request = layout_request_default();
    uint8_t code[512], sector[512];
    g_autoptr(TestDisk) disk = NULL;

    need_program("fsck.fat");
    need_program("mcopy");
    memset(code, 0xcc, sizeof(code));
    code[0] = 0xeb, code[1] = 0x58, code[2] = 0x90;
    request.boot_code = request.mbr_code = code;
    request.boot_code_bytes = request.mbr_code_bytes = sizeof(code);
    disk = test_disk_new(t, &request);
    cr_assert_eq(test_disk_read(disk, 0, 512, sector), 0);
    cr_assert_eq(sector[0], 0xeb);
    cr_assert_eq(sector[439], 0xcc);
    cr_assert_eq(sector[446], 0x80, "the partition is active");
    cr_assert_eq(test_disk_read(disk, 63 * 512, 512, sector), 0);
    cr_assert_eq(sector[509], 0xcc);
    cr_assert_arr_eq(sector + 510, "\x55\xaa", 2);
    check_volume(disk, t);
}

static int layout_refused(const TempTree *t, const LayoutRequest *request,
                          const char *words)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(TestDisk) disk = test_disk_try(hostfs_posix_new(t->dir, NULL),
                                             NULL, request, &error);

    cr_assert_null(disk);
    cr_assert_not_null(error);
    cr_assert_not_null(strstr(error->message, words), "%s", error->message);
    return error->code;
}

Test(layout, code_that_cannot_be_used_is_refused)
{
    g_autoptr(TempTree) t = temp_tree_new();
    LayoutRequest request = layout_request_default();
    uint8_t code[1024] = { 0xeb, 0x3c, 0x90 };

    request.boot_code = code;
    request.boot_code_bytes = sizeof(code);
    cr_assert_eq(layout_refused(t, &request, "63 to 512 bytes"), EINVAL);
    request.geometry.fat_type = 32;
    cr_assert_eq(layout_refused(t, &request, "not for FAT32"), EINVAL);
    code[1] = 0x58;
    test_disk_free(test_disk_new(t, &request));
    request.boot_code = NULL;
    request.boot_code_bytes = 0;
    request.mbr_code = code;
    request.mbr_code_bytes = 100;
    request.geometry.floppy = true;
    request.geometry.fat_type = 12;
    cr_assert_eq(layout_refused(t, &request, "'mbr-code'"), EINVAL);
}

Test(layout, a_directory_of_too_many_entries_is_refused_by_name,
     .timeout = 120)
{
    g_autoptr(TempTree) t = temp_tree_new();
    g_autofree char *pad = g_strnfill(200, 'x');

    cr_assert_eq(run_command(NULL,
                             "mkdir '%s/crowd' && cd '%s/crowd' && "
                             "seq -f '%s%%g' 4000 | xargs touch",
                             t->dir, t->dir, pad),
                 0);
    /* 17 entries each: 68,000 */
    cr_assert_eq(layout_refused(t, NULL, "'crowd'"), EFBIG);
}

Test(layout, the_same_tree_gives_the_same_bytes)
{
    g_autoptr(TempTree) t = sample_tree();
    g_autoptr(TempTree) copy = temp_tree_new();
    g_autofree char *a = temp_tree_beside(t, "disk");
    g_autofree char *b = temp_tree_beside(copy, "disk");
    LayoutRequest request = layout_request_default();
    g_autoptr(TestDisk) disk = NULL, other = NULL;

    /* Made in the opposite order, under another umask, so read in another. */
    cr_assert_eq(run_command(NULL,
                             "umask 077; cd '%s' && find . -type d | sort -r |"
                             " cpio -pdm --quiet '%s' && find . -type f | "
                             "sort -r | cpio -pdm --quiet '%s' && "
                             "find . -type d | sort -r | cpio -pdm --quiet "
                             "'%s' && touch -r . '%s'",
                             t->dir, copy->dir, copy->dir, copy->dir,
                             copy->dir),
                 0);
    request.geometry.esp = true;
    disk = test_disk_new(t, &request);
    other = test_disk_new(copy, &request);
    test_disk_save(disk, a, false);
    test_disk_save(other, b, false);
    cr_assert_eq(run_command(NULL, "cmp '%s' '%s'", a, b), 0);
}
