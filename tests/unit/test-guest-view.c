/* SPDX-License-Identifier: MIT */
/* Sound volumes, made by mkfs.fat and mtools, as guest-view sees them. */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "block/vvfat/dirent.h"
#include "fat-volume.h"

/* ---- Helpers ---- */

static void make_volume(const char *dir, unsigned fat_type)
{
    const char *options = fat_type == 12   ? "512"
                          : fat_type == 16 ? "-s 1 4096"
                                           : "-s 1 36000";

    workdir_run(dir, "mkfs.fat -F %u -n 'TEST DISK' -C disk.img %s", fat_type,
                options);
}

/* Fails unless the view has no problem at all and fsck.fat agrees. */
static void must_be_clean(const char *dir, const FatVolume *v)
{
    g_autofree char *problems = fat_volume_describe(v);

    cr_assert_eq(workdir_status(dir, "fsck.fat -n disk.img"), 0);
    cr_assert_eq(v->view->problems->len, 0, "%s", problems);
    cr_assert_eq(v->view->n_damage, 0);
}

static const TreeNode *must_find(const FatVolume *v, const char *path)
{
    const TreeNode *node = tree_lookup(v->view->tree, path);

    cr_assert_not_null(node, "no '%s'", path);
    return node;
}

/* Fails unless the file's bytes are those of a host file. */
static void must_hold(const FatVolume *v, const char *path, const char *dir,
                      const char *host)
{
    g_autofree char *host_path = g_build_filename(dir, host, NULL);
    const TreeNode *node = must_find(v, path);
    g_autofree char *expected = NULL;
    g_autofree char *bytes = NULL;
    gsize size;

    cr_assert(g_file_get_contents(host_path, &expected, &size, NULL));
    cr_assert_eq(node->size, size);
    bytes = g_malloc(size + 1);
    cr_assert_eq(volume_read_file(v->volume, node, 0, size, bytes), 0);
    cr_assert_eq(memcmp(bytes, expected, size), 0, "'%s' differs", path);
}

/* ---- Trees ---- */

ParameterizedTestParameters(guest_view, tree)
{
    static unsigned types[] = { 12, 16, 32 };

    return cr_make_param_array(unsigned, types, G_N_ELEMENTS(types));
}

ParameterizedTest(unsigned *fat_type, guest_view, tree)
{
    g_autoptr(FatVolume) v = NULL;
    char *dir = workdir_new();
    const TreeNode *node;

    make_volume(dir, *fat_type);
    workdir_run(dir, "mkdir -p 'src/A long directory/inner' src/EMPTY.DIR && "
                     "head -c 5000 /dev/urandom >src/README.TXT && "
                     "head -c 70000 /dev/urandom >'src/A long directory/"
                     "inner/some data.bin' && : >src/empty && "
                     "touch -d '2021-03-04 05:06:08' src/README.TXT && "
                     "mcopy -m -s -i disk.img src/* ::/");
    v = fat_volume_open(dir, "disk.img", true);
    must_be_clean(dir, v);
    cr_assert_eq(volume_boot_info(v->volume)->fat_type, *fat_type);
    cr_assert_eq(v->view->tree->n_files, 3);
    cr_assert_eq(v->view->tree->n_directories, 4);
    cr_assert(v->view->tree->has_label);
    cr_assert_eq(memcmp(v->view->tree->label, "TEST DISK  ", 11), 0);
    must_hold(v, "README.TXT", dir, "src/README.TXT");
    must_hold(v, "A long directory/inner/some data.bin", dir,
              "src/A long directory/inner/some data.bin");
    must_hold(v, "empty", dir, "src/empty");
    node = must_find(v, "readme.txt");
    cr_assert_eq(dirent_time_to_unix(node->mtime, true), 1614834368);
    cr_assert_eq(node->attr, FAT_ATTR_ARCHIVE);
    cr_assert_str_eq(node->host_name, "README.TXT");
    cr_assert_eq(must_find(v, "EMPTY.DIR")->n_children, 0);
    workdir_free(dir);
}

Test(guest_view, counts_are_those_of_fsck)
{
    g_autoptr(FatVolume) v = NULL;
    g_autofree char *summary = NULL;
    g_autofree char *expected = NULL;
    char *dir = workdir_new();

    make_volume(dir, 16);
    workdir_run(dir, "mkdir src src/sub && "
                     "for i in $(seq 40); do "
                     "head -c ${i}00 /dev/zero >src/sub/file-number-$i; done "
                     "&& mcopy -s -i disk.img src/sub ::/");
    v = fat_volume_open(dir, "disk.img", true);
    must_be_clean(dir, v);
    expected = g_strdup_printf(
        "%" G_GUINT64_FORMAT " files, %" G_GUINT64_FORMAT "/%u clusters",
        v->view->tree->n_files + v->view->tree->n_directories,
        v->view->used_clusters, volume_boot_info(v->volume)->cluster_count);
    summary = workdir_output(dir, "fsck.fat -n disk.img");
    /* fsck counts the label as a file, and not the root */
    cr_assert_not_null(strstr(summary, expected), "%s not in:\n%s", expected,
                       summary);
    cr_assert_eq(v->view->used_clusters + v->view->free_clusters +
                     v->view->bad_clusters,
                 volume_boot_info(v->volume)->cluster_count);
    workdir_free(dir);
}

Test(guest_view, names_of_all_kinds)
{
    g_autoptr(FatVolume) v = NULL;
    char *dir = workdir_new();
    g_autofree char *longest = g_strnfill(255, 'x');
    GString *wide = g_string_new(NULL);

    for (int i = 0; i < 80; i++) {
        g_string_append(wide, "\xe3\x81\x82"); /* hiragana a */
    }
    make_volume(dir, 32);
    workdir_run(dir,
                "mkdir src && cd src && : >'%s' && : >'%s' && "
                ": >'gr\xc3\xbc\xc3\x9f.txt' && "
                ": >lower.txt && : >MiXeD.TxT && : >.hidden && "
                ": >'thirteen unit' && : >'a.b.c.d' && "
                "mcopy -i ../disk.img * .hidden ::/",
                longest, wide->str);
    v = fat_volume_open(dir, "disk.img", true);
    must_be_clean(dir, v);
    cr_assert_eq(v->view->tree->n_files, 8);
    cr_assert_str_eq(must_find(v, longest)->host_name, longest);
    cr_assert_str_eq(must_find(v, wide->str)->host_name, wide->str);
    must_find(v, "gr\xc3\xbc\xc3\x9f.txt");
    cr_assert_str_eq(must_find(v, "LOWER.TXT")->name, "lower.txt");
    cr_assert_str_eq(must_find(v, "mixed.txt")->name, "MiXeD.TxT");
    must_find(v, ".hidden");
    must_find(v, "thirteen unit");
    must_find(v, "a.b.c.d");
    g_string_free(wide, TRUE);
    workdir_free(dir);
}

Test(guest_view, surrogates)
{
    g_autoptr(FatVolume) v = NULL;
    char *dir = workdir_new();

    make_volume(dir, 16);
    workdir_run(dir, ": >x && mcopy -i disk.img x ::/PQ-penguin && "
                     "mcopy -i disk.img x ::/R-half-a-penguin");
    workdir_replace(dir, "disk.img", "P\0Q", "\x3d\xd8\x27\xdc", 4);
    workdir_replace(dir, "disk.img", "\1R\0-", "\1\x3d\xd8-", 4);
    v = fat_volume_open(dir, "disk.img", true);
    must_be_clean(dir, v);
    must_find(v, "\xf0\x9f\x90\xa7-penguin");
    must_find(v, "\xed\xa0\xbd-half-a-penguin");
    workdir_free(dir);
}

Test(guest_view, name_too_long_for_a_host_is_a_note)
{
    g_autoptr(FatVolume) v = NULL;
    g_autofree char *problems = NULL;
    g_autofree char *plain = g_strnfill(100, 'q');
    GString *wide = g_string_new(NULL);
    char *dir = workdir_new();

    for (int i = 0; i < 100; i++) {
        g_string_append(wide, "\xe3\x81\x82"); /* 300 bytes, 100 units */
    }
    make_volume(dir, 16);
    workdir_run(dir, ": >x && mcopy -i disk.img x '::/%s'", plain);
    workdir_replace(dir, "disk.img", "q", "\x42\x30", 2);
    v = fat_volume_open(dir, "disk.img", true);
    problems = fat_volume_describe(v);
    cr_assert_eq(v->view->n_damage, 0, "%s", problems);
    cr_assert_eq(fat_volume_problems(v, PROBLEM_UNSAFE_NAME, wide->str), 1,
                 "%s", problems);
    cr_assert_null(must_find(v, wide->str)->host_name);
    g_string_free(wide, TRUE);
    workdir_free(dir);
}

Test(guest_view, deep_tree)
{
    g_autoptr(FatVolume) v = NULL;
    char *dir = workdir_new();
    GString *path = g_string_new("src");

    for (int i = 0; i < 60; i++) {
        g_string_append_printf(path, "/level-%d", i);
    }
    make_volume(dir, 16);
    workdir_run(dir,
                "mkdir -p %s && echo deep >%s/file && "
                "mcopy -s -i disk.img src/level-0 ::/",
                path->str, path->str);
    v = fat_volume_open(dir, "disk.img", true);
    must_be_clean(dir, v);
    cr_assert_eq(v->view->tree->n_directories, 61);
    g_string_append(path, "/file");
    must_hold(v, path->str + 4, dir, path->str);
    g_string_free(path, TRUE);
    workdir_free(dir);
}

Test(guest_view, fragmented_files)
{
    g_autoptr(FatVolume) v = NULL;
    char *dir = workdir_new();
    const TreeNode *node;
    uint8_t piece[700], whole[60000];

    make_volume(dir, 16);
    /* Fill the volume, make a hole of every other file, and fill those. */
    workdir_run(dir, "mkdir src && head -c 3000 /dev/urandom >x && "
                     "for i in $(seq 1000 1290); do cp x src/f$i; done && "
                     "(mcopy -i disk.img src/* ::/; "
                     "head -c 3000000 /dev/zero >pad; "
                     "mcopy -i disk.img pad ::/; true) && "
                     "mdel -i disk.img '::/f???[13579]' && "
                     "head -c 60000 /dev/urandom >big && "
                     "mcopy -i disk.img big ::/");
    v = fat_volume_open(dir, "disk.img", true);
    must_be_clean(dir, v);
    node = must_find(v, "big");
    cr_assert_gt(node->chain.n_runs, 5);
    must_hold(v, "big", dir, "big");
    must_hold(v, "f1004", dir, "x");
    cr_assert_null(tree_lookup(v->view->tree, "f1005"));
    /* Pieces that begin and end anywhere. */
    cr_assert_eq(volume_read_file(v->volume, node, 0, sizeof(whole), whole),
                 0);
    for (int64_t offset = 0; offset < 59000; offset += 937) {
        cr_assert_eq(
            volume_read_file(v->volume, node, offset, sizeof(piece), piece),
            0);
        cr_assert_eq(memcmp(piece, whole + offset, sizeof(piece)), 0);
    }
    cr_assert_lt(volume_read_file(v->volume, node, 59999, 2, piece), 0);
    workdir_free(dir);
}

Test(guest_view, deleted_and_moved)
{
    g_autoptr(FatVolume) v = NULL;
    char *dir = workdir_new();

    make_volume(dir, 12);
    workdir_run(dir, "echo one >'first long name'; echo two >second; "
                     "mcopy -i disk.img 'first long name' second ::/ && "
                     "mmd -i disk.img ::/sub && mdel -i disk.img ::/second && "
                     "mmove -i disk.img '::/first long name' ::/sub && "
                     "mren -i disk.img '::/sub/first long name' "
                     "'::/sub/another long name' && "
                     "mmd -i disk.img ::/gone && mrd -i disk.img ::/gone");
    v = fat_volume_open(dir, "disk.img", true);
    must_be_clean(dir, v);
    cr_assert_eq(v->view->tree->n_files, 1);
    cr_assert_eq(v->view->tree->n_directories, 2);
    must_hold(v, "sub/another long name", dir, "first long name");
    workdir_free(dir);
}

Test(guest_view, attributes_and_label)
{
    g_autoptr(FatVolume) v = NULL;
    char *dir = workdir_new();

    make_volume(dir, 16);
    workdir_run(dir, "echo x >x && mcopy -i disk.img x ::/x && "
                     "mcopy -i disk.img x ::/plain && "
                     "mattrib -i disk.img +r +h +s -a ::/x && "
                     "mlabel -i disk.img ::RENAMED");
    v = fat_volume_open(dir, "disk.img", true);
    must_be_clean(dir, v);
    cr_assert_eq(must_find(v, "x")->attr,
                 FAT_ATTR_READ_ONLY | FAT_ATTR_HIDDEN | FAT_ATTR_SYSTEM);
    cr_assert_eq(must_find(v, "plain")->attr, FAT_ATTR_ARCHIVE);
    cr_assert_eq(memcmp(v->view->tree->label, "RENAMED    ", 11), 0);
    workdir_free(dir);
}

/* ---- Volumes of other shapes ---- */

static void must_read_back(const char *dir)
{
    g_autoptr(FatVolume) v = NULL;

    workdir_run(dir, "mkdir -p src/sub && "
                     "head -c 100000 /dev/urandom >src/sub/data && "
                     "mcopy -s -i disk.img src/sub ::/");
    v = fat_volume_open(dir, "disk.img", true);
    must_be_clean(dir, v);
    must_hold(v, "sub/data", dir, "src/sub/data");
}

Test(guest_view, sectors_of_4096_bytes)
{
    char *dir = workdir_new();

    workdir_run(dir, "mkfs.fat -S 4096 -s 1 -F 16 -C disk.img 24000");
    must_read_back(dir);
    workdir_free(dir);
}

Test(guest_view, made_by_mformat)
{
    char *dir = workdir_new();

    workdir_run(dir, "truncate -s 1440K disk.img && "
                     "mformat -i disk.img -f 1440 ::");
    must_read_back(dir);
    workdir_free(dir);
}

Test(guest_view, one_fat_only)
{
    char *dir = workdir_new();

    workdir_run(dir, "mkfs.fat -f 1 -F 16 -s 1 -C disk.img 4096");
    must_read_back(dir);
    workdir_free(dir);
}

Test(guest_view, fat_larger_than_the_cache)
{
    g_autoptr(FatVolume) v = NULL;
    g_autoptr(GuestView) again = NULL;
    char *dir = workdir_new();

    /* 9 million clusters: a FAT of 36 MB. */
    workdir_run(dir, "truncate -s 4500M disk.img && "
                     "mkfs.fat -F 32 -s 1 disk.img && "
                     "head -c 3000 /dev/urandom >x && "
                     "mcopy -i disk.img x ::/");
    v = fat_volume_open(dir, "disk.img", true);
    cr_assert_gt(volume_boot_info(v->volume)->cluster_count, 9000000);
    must_be_clean(dir, v);
    /* The pages with the file's chain have gone, and come back. */
    again = guest_view_load(v->volume, true, NULL);
    cr_assert_not_null(again);
    cr_assert_eq(again->problems->len, 0);
    cr_assert_eq(again->used_clusters, 7);
    cr_assert_eq(again->free_clusters, v->view->free_clusters);
    workdir_free(dir);
}

/* ---- Failures ---- */

Test(guest_view, every_read_error_is_reported)
{
    g_autoptr(FatVolume) v = NULL;
    char *dir = workdir_new();
    int failures = 0;

    make_volume(dir, 32);
    workdir_run(dir, "mkdir -p src/sub && echo x >src/sub/x && "
                     "mcopy -s -i disk.img src/sub ::/");
    v = fat_volume_open(dir, "disk.img", true);
    for (int64_t k = 0;; k++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(Volume) volume = NULL;
        g_autoptr(GuestView) view = NULL;

        v->fail_after = k;
        volume = volume_open(fat_volume_read, v, v->bytes, NULL, &error);
        if (volume) {
            view = guest_view_load(volume, true, &error);
        }
        if (view) {
            break;
        }
        cr_assert_not_null(error);
        cr_assert_not_null(strstr(error->message, "Cannot read"), "%s",
                           error->message);
        failures++;
    }
    cr_assert_gt(failures, 10);
    workdir_free(dir);
}

Test(guest_view, problems_are_bounded)
{
    g_autoptr(FatVolume) v = NULL;
    g_autofree char *image = NULL;
    g_autofree char *bytes = NULL;
    char *dir = workdir_new();
    uint8_t *entry, others[21];
    gsize size;

    make_volume(dir, 16);
    workdir_run(dir, "mkdir src src/sub && echo x >src/first && "
                     "for i in $(seq 1000 3999); do : >src/sub/F$i; done && "
                     "touch -d '2021-03-04 05:06:08' src/sub/* && "
                     "mcopy -m -s -i disk.img src/first src/sub ::/");
    /* The empty files differ in their names alone. Let them all begin at the
     * cluster of the first. */
    image = g_build_filename(dir, "disk.img", NULL);
    cr_assert(g_file_get_contents(image, &bytes, &size, NULL));
    entry = memmem(bytes, size, "F2000      ", 11);
    cr_assert_not_null(entry);
    memcpy(others, entry + 11, sizeof(others));
    others[26 - 11] = 2;
    others[28 - 11] = 1;
    cr_assert_eq(
        workdir_replace(dir, "disk.img", entry + 11, others, sizeof(others)),
        3000);
    /* A lost cluster, in one FAT, which has to be said all the same. */
    workdir_run(dir,
                "printf '\\377\\377' | dd of=disk.img bs=1 conv=notrunc "
                "seek=%u",
                512 * le16_get(((const FatBpb *)bytes)->reserved_sectors) +
                    2 * 4000);
    v = fat_volume_open(dir, "disk.img", true);
    cr_assert_eq(v->view->problems->len, GUEST_VIEW_MAX_PROBLEMS + 2);
    cr_assert_eq(v->view->more_problems, 2000);
    cr_assert_eq(v->view->n_damage, 3002);
    cr_assert_eq(fat_volume_problems(v, PROBLEM_LOST_CLUSTERS, NULL), 1);
    cr_assert_eq(fat_volume_problems(v, PROBLEM_FAT_MIRROR, NULL), 1);
    cr_assert_eq(v->view->tree->n_files, 3001);
    workdir_free(dir);
}

Test(guest_view, what_is_no_volume_is_an_error)
{
    g_autoptr(GError) error = NULL;
    FatVolume v = { .fd = open("/dev/zero", O_RDONLY), .fail_after = -1 };

    cr_assert_null(volume_open(fat_volume_read, &v, 1 << 20, NULL, &error));
    cr_assert_not_null(error);
    g_clear_error(&error);
    cr_assert_null(volume_open(fat_volume_read, &v, 100, NULL, &error));
    cr_assert_not_null(error);
    close(v.fd);
}
