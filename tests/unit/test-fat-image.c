/* SPDX-License-Identifier: MIT */
/* FAT volumes on devices: which partition, and what is said when there is
 * none. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "block/error.h"
#include "block/vvfat/fat-image.h"
#include "fat-volume.h"

static BlockBackend *open_disk(const char *dir)
{
    g_autofree char *path = g_build_filename(dir, "disk.img", NULL);
    g_autoptr(GError) error = NULL;
    g_autoptr(Options) options = options_new();
    BlockBackend *blk;

    options_set(options, "driver", "raw");
    blk = blk_open(path, options, 0, &error);
    cr_assert_not_null(blk, "%s", error ? error->message : "");
    return blk;
}

/* Four partitions: Linux, FAT16 with "one", FAT12 with "two", no FAT in one
 * that should have it. */
static void make_disk(const char *dir, const char *label)
{
    workdir_run(dir,
                "truncate -s 40M disk.img && "
                "printf 'label: %s\\n,4M,L\\n,8M,%s\\n,1M,%s\\n,4M,%s\\n' | "
                "sfdisk -q disk.img && "
                "mkfs.fat -F 16 -s 1 --offset 10240 disk.img 8192 && "
                "mkfs.fat -F 12 --offset 26624 disk.img 1024 && "
                "echo one >one && echo two >two && "
                "mcopy -i disk.img@@5M one ::/ && "
                "mcopy -i disk.img@@13M two ::/",
                label, *label == 'g' ? "U" : "6", *label == 'g' ? "U" : "1",
                *label == 'g' ? "U" : "c");
}

static void must_hold(BlockBackend *blk, int partition, unsigned number,
                      unsigned fat_type, const char *name)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(FatImage) image = fat_image_open(blk, partition, 437, &error);
    const GuestView *view;
    const TreeNode *node;
    char text[4] = "";

    cr_assert_not_null(image, "%s", error ? error->message : "");
    cr_assert_eq(fat_image_partition(image)->number, number);
    cr_assert_eq(volume_boot_info(fat_image_volume(image))->fat_type,
                 fat_type);
    view = fat_image_load(image, false, &error);
    cr_assert_not_null(view);
    cr_assert_eq(fat_image_load(image, false, &error), view);
    view = fat_image_load(image, true, &error);
    cr_assert_not_null(view);
    cr_assert_eq(fat_image_load(image, false, &error), view);
    cr_assert_eq(view->n_damage, 0);
    cr_assert_gt(view->free_clusters, 0);
    node = tree_lookup(view->tree, name);
    cr_assert_not_null(node);
    cr_assert_eq(volume_read_file(fat_image_volume(image), node, 0, 4, text),
                 0);
    cr_assert_eq(memcmp(text, name, 3), 0);
}

static void must_fail(BlockBackend *blk, int partition, int code,
                      const char *words)
{
    g_autoptr(GError) error = NULL;

    cr_assert_null(fat_image_open(blk, partition, 437, &error));
    cr_assert_eq(error->code, code, "%s", error->message);
    cr_assert_not_null(strstr(error->message, words), "%s", error->message);
}

Test(fat_image, mbr_partitions)
{
    g_autoptr(BlockBackend) blk = NULL;
    g_autoptr(PartitionList) list = NULL;
    char *dir = workdir_new();

    make_disk(dir, "dos");
    blk = open_disk(dir);
    list = fat_image_list(blk, NULL);
    cr_assert_eq(list->partitions->len, 4);
    cr_assert_not(fat_image_holds_fat(
        blk, &g_array_index(list->partitions, Partition, 0)));
    cr_assert(fat_image_holds_fat(
        blk, &g_array_index(list->partitions, Partition, 1)));
    must_hold(blk, FAT_IMAGE_ANY_PARTITION, 2, 16, "one");
    must_hold(blk, 3, 3, 12, "two");
    must_fail(blk, 1, EMEDIUMTYPE, "Partition 1: ");
    must_fail(blk, 4, EINVAL, "Partition 4: ");
    must_fail(blk, 7, ENOENT, "no partition 7");
    workdir_free(dir);
}

Test(fat_image, gpt_partitions)
{
    g_autoptr(BlockBackend) blk = NULL;
    char *dir = workdir_new();

    make_disk(dir, "gpt");
    blk = open_disk(dir);
    must_hold(blk, FAT_IMAGE_ANY_PARTITION, 2, 16, "one");
    must_hold(blk, 3, 3, 12, "two");
    must_fail(blk, 1, EMEDIUMTYPE, "Partition 1: ");
    workdir_free(dir);
}

Test(fat_image, bare_volume)
{
    g_autoptr(BlockBackend) blk = NULL;
    char *dir = workdir_new();

    workdir_run(dir, "mkfs.fat -F 16 -s 1 -C disk.img 8192 && echo one >one "
                     "&& mcopy -i disk.img one ::/");
    blk = open_disk(dir);
    must_hold(blk, FAT_IMAGE_ANY_PARTITION, 0, 16, "one");
    must_hold(blk, 0, 0, 16, "one");
    workdir_free(dir);
}

Test(fat_image, no_volume_anywhere)
{
    g_autoptr(BlockBackend) blk = NULL;
    char *dir = workdir_new();

    workdir_run(dir, "truncate -s 1M disk.img");
    blk = open_disk(dir);
    must_fail(blk, FAT_IMAGE_ANY_PARTITION, EMEDIUMTYPE, "Not a FAT volume");
    blk_close(g_steal_pointer(&blk));
    workdir_run(dir, "printf 'label: dos\\n,,L\\n' | sfdisk -q disk.img");
    blk = open_disk(dir);
    must_fail(blk, FAT_IMAGE_ANY_PARTITION, EMEDIUMTYPE,
              "No partition of the disk");
    workdir_free(dir);
}

Test(fat_image, volume_that_ought_to_be_there)
{
    g_autoptr(BlockBackend) blk = NULL;
    char *dir = workdir_new();

    workdir_run(dir, "truncate -s 8M disk.img && "
                     "printf 'label: dos\\n,,c\\n' | sfdisk -q disk.img");
    blk = open_disk(dir);
    must_fail(blk, FAT_IMAGE_ANY_PARTITION, EINVAL, "Partition 1: Not a FAT");
    blk_close(g_steal_pointer(&blk));
    workdir_run(dir, "printf 'label: gpt\\n,,U\\n' | sfdisk -q disk.img");
    blk = open_disk(dir);
    must_fail(blk, FAT_IMAGE_ANY_PARTITION, EINVAL, "Partition 1: Not a FAT");
    workdir_free(dir);
}

Test(fat_image, code_page_of_short_names)
{
    g_autoptr(BlockBackend) blk = NULL;
    g_autoptr(FatImage) image = NULL;
    g_autoptr(GError) error = NULL;
    const GuestView *view;
    char *dir = workdir_new();

    workdir_run(dir, "mkfs.fat -F 16 -s 1 -C disk.img 8192 && echo one >one "
                     "&& mcopy -i disk.img one ::/ONE");
    workdir_replace(dir, "disk.img", "ONE     ", "\x82NE     ", 8);
    blk = open_disk(dir);
    image = fat_image_open(blk, FAT_IMAGE_ANY_PARTITION, 866, &error);
    cr_assert_not_null(image, "%s", error ? error->message : "");
    view = fat_image_load(image, false, NULL);
    cr_assert_not_null(tree_lookup(view->tree, "\xd0\x92NE"));
    fat_image_free(g_steal_pointer(&image));
    image = fat_image_open(blk, FAT_IMAGE_ANY_PARTITION, 437, &error);
    view = fat_image_load(image, false, NULL);
    cr_assert_not_null(tree_lookup(view->tree, "\xc3\xa9NE"));
    fat_image_free(g_steal_pointer(&image));
    image = fat_image_open(blk, FAT_IMAGE_ANY_PARTITION, 99999, &error);
    cr_assert_null(image);
    cr_assert_not_null(error);
    workdir_free(dir);
}
