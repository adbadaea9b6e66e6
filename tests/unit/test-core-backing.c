/* SPDX-License-Identifier: MIT */
/* Backing files: which one is opened, what is said of it, and growing. */
#include <criterion/criterion.h>
#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#include "block/block-int.h"
#include "tests/unit/core-fixture.h"
#include "tests/unit/image-fixture.h"

#define UNIT 4096

static void init(void)
{
    core_init();
    image_dir_init();
    cr_assert_eq(chdir(image_dir), 0);
}

TestSuite(core_backing, .init = init, .fini = image_dir_fini);

/* A file of three units that begins with `start` and goes on with `fill`. */
static void put_file(const char *name, const char *start, char fill)
{
    char data[3 * UNIT];

    memset(data, fill, sizeof(data));
    memcpy(data, start, strlen(start));
    cr_assert(g_file_set_contents(name, data, sizeof(data), NULL));
}

static void put_overlay(const char *name, const char *record)
{
    g_autofree char *start = g_strdup_printf("COW!%s\n", record);

    put_file(name, start, 'o');
}

static BlockDriverState *backing_of(BlockBackend *blk)
{
    BdrvChild *child = bdrv_backing(blk_bs(blk));

    return child ? bdrv_child_bs(child) : NULL;
}

/* What an open of `name` shows below it: "format filename", or "none". */
static void check_backing(unsigned flags, const char *name,
                          const char *options, const char *wanted)
{
    g_autoptr(BlockBackend) blk = core_open_name(flags, name, options);
    BlockDriverState *backing = backing_of(blk);
    g_autofree char *text =
        backing ? g_strdup_printf("%s %s", bdrv_driver(backing)->format_name,
                                  backing->plain_filename)
                : g_strdup("none");

    cr_assert_str_eq(text, wanted, "%s, not %s", text, wanted);
    if (backing) {
        cr_assert(bdrv_is_read_only(backing));
    }
}

static void check_fails(unsigned flags, const char *name, const char *options,
                        const char *part)
{
    g_autofree char *message = core_open_error(flags, name, options);

    core_check_text(message, part);
}

/* ---- Names ---- */

static void check_full(const char *image, const char *backing,
                       const char *wanted)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *full = bdrv_full_backing_filename(image, backing, &error);

    if (wanted) {
        cr_assert_not_null(full, "%s", error ? error->message : "");
        cr_assert_str_eq(full, wanted, "%s, not %s", full, wanted);
    } else {
        cr_assert_null(full);
        core_check_text(error->message, "give an absolute name");
    }
}

Test(core_backing, names_are_relative_to_the_image)
{
    check_full("over", "base", "base");
    check_full("d/over", "base", "d/base");
    check_full("d/over", "../e/base", "d/../e/base");
    check_full("/a/b/over", "c/base", "/a/b/c/base");
    check_full("/a/over", "/base", "/base");
    check_full("json:{\"driver\": \"raw\"}", "/base", "/base");
    check_full("json:{\"driver\": \"raw\"}", "base", NULL);
    check_full("json:{\"file\": \"/x/y\"}", "base", NULL);
}

Test(core_backing, names_with_a_protocol)
{
    check_full("d/over", "fat:dir", "fat:dir");
    check_full("d/over", "nbd://host/x", "nbd://host/x");
    check_full("d/over", "json:{}", "json:{}");
    check_full("d/over", "file:base", "d/base");
    check_full("d/over", "file:/base", "/base");
    check_full("file:d/over", "base", "d/base");
    check_full("file:a:b", "base", "base");
    check_full("a/b:c/over", "base", "a/b:c/base");
    check_full("over", "file:a:b", "file:a:b");
    check_full("nbd://host/d/over", "base", "nbd://host/d/base");
    check_full("mem:over", "base", "mem:base");
}

/* ---- What is opened ---- */

Test(core_backing, the_recorded_file)
{
    put_file("base", "", 'b');
    put_overlay("over", "base|raw");
    check_backing(0, "over", NULL, "raw base");
    check_backing(BDRV_O_RDWR, "over", NULL, "raw base");
    check_backing(BDRV_O_FORCE_SHARE, "over", NULL, "raw base");
    check_backing(BDRV_O_NO_BACKING, "over", NULL, "none");
    check_backing(0, "over", "driver=raw", "none");
    check_backing(0, NULL, "driver=cow,file.filename=over", "raw base");

    g_autofree char *absolute = g_build_filename(image_dir, "over", NULL);
    g_autofree char *wanted = g_strdup_printf("raw %s/base", image_dir);
    check_backing(0, absolute, NULL, wanted);
}

Test(core_backing, relative_to_the_file_when_the_name_is_long)
{
    cr_assert_eq(g_mkdir("d", 0755), 0);
    put_file("d/base", "", 'b');
    put_overlay("d/over", "base|raw");
    check_backing(0, NULL, "driver=cow,map=ud,file.filename=d/over",
                  "raw d/base");
}

Test(core_backing, the_format_is_probed_when_none_is_recorded)
{
    put_file("base", "", 'b');
    put_overlay("middle", "base");
    put_overlay("over", "middle");
    check_backing(0, "middle", NULL, "raw base");
    check_backing(0, "over", NULL, "cow middle");
    put_overlay("strict", "middle|raw");
    check_backing(0, "strict", NULL, "raw middle");
}

Test(core_backing, no_record)
{
    put_file("over", "COW!", 'o');
    check_backing(0, "over", NULL, "none");
    put_overlay("empty", "");
    check_backing(0, "empty", NULL, "none");
}

Test(core_backing, options_come_first)
{
    put_file("base", "", 'b');
    put_overlay("middle", "base|raw");
    put_overlay("over", "middle|cow");
    check_backing(0, "over", "backing=", "none");
    check_backing(0, "over", "backing.driver=raw", "raw middle");
    check_backing(0, "over", "backing.backing=", "cow (null)");
    check_backing(0, "over", "backing.driver=raw,backing.file.filename=base",
                  "raw base");
    check_backing(0, "over", "backing.file.filename=middle", "cow middle");
    check_backing(0, "over", "backing.driver=mem", "mem (null)");
    check_backing(0, "over", "backing.node-name=b", "cow middle");
    put_file("none", "COW!", 'o');
    check_backing(0, "none", "backing.file.filename=base", "raw base");
    check_fails(0, "over", "backing=,backing.driver=raw", "no backing file");
    check_fails(0, "over", "backing=nosuch", "no node 'nosuch'");
    check_fails(0, "over", "backing.nosuch=1", "nosuch");
    check_fails(0, "base", "backing.driver=raw", "backing");
}

Test(core_backing, a_node_by_its_name)
{
    put_overlay("over", "nosuch|raw");
    g_autoptr(BlockBackend)
        node = core_open(0, "driver=mem,node-name=base,size=8k");
    g_autoptr(BlockBackend) blk = core_open_name(0, "over", "backing=base");
    cr_assert_eq(backing_of(blk), blk_bs(node));
}

/* A write needs the permission of everybody, and the sharing. */
Test(core_backing, a_writable_node)
{
    g_autoptr(Options) options = options_new();
    g_autoptr(GError) error = NULL;
    char data[UNIT] = "new";

    put_file("base", "", 'b');
    put_overlay("over", "base|raw");
    options_set(options, "driver", "raw");
    options_set(options, "node-name", "base");
    g_autoptr(BlockBackend) base = blk_open_with_perm(
        "base", options, BDRV_O_RDWR,
        BLK_PERM_CONSISTENT_READ | BLK_PERM_WRITE, BLK_PERM_ALL, &error);
    cr_assert(base, "%s", error ? error->message : "");
    check_fails(BDRV_O_RDWR, "over", "backing=base", "Conflicts");
    options = (options_free(options), options_new());
    options_set(options, "backing", "base");
    options_set(options, "map", "uuu");
    g_autoptr(BlockBackend) over = blk_open_with_perm(
        "over", options, BDRV_O_RDWR,
        BLK_PERM_CONSISTENT_READ | BLK_PERM_WRITE, BLK_PERM_ALL, &error);
    cr_assert(over, "%s", error ? error->message : "");
    cr_assert_eq(blk_pwrite(base, 0, UNIT, data, 0), 0);
    memset(data, 0, sizeof(data));
    cr_assert_eq(blk_pread(over, 0, UNIT, data, 0), 0);
    cr_assert_str_eq(data, "new");
}

Test(core_backing, reopening_leaves_it_read_only)
{
    g_autoptr(GError) error = NULL;

    put_file("base", "", 'b');
    put_overlay("over", "base|raw");
    g_autoptr(BlockBackend) blk = core_open_name(0, "over", NULL);
    cr_assert(blk_set_read_only(blk, false, &error), "%s",
              error ? error->message : "");
    cr_assert(!blk_is_read_only(blk));
    cr_assert(bdrv_is_read_only(backing_of(blk)));
    cr_assert(bdrv_is_read_only(backing_of(blk)->primary->bs));
}

/* ---- What is said when it fails ---- */

Test(core_backing, the_whole_chain_is_named)
{
    put_overlay("a", "b|cow");
    put_overlay("b", "c|cow");
    put_overlay("c", "d|raw");
    check_fails(0, "a", NULL,
                "Could not open backing file 'b' of 'a': "
                "Could not open backing file 'c' of 'b': "
                "Could not open backing file 'd' of 'c': ");
    check_fails(0, "a", NULL, "No such file or directory");
    check_fails(0, "a", "backing.backing.backing.file.filename=e",
                "Could not open backing file 'c' of 'b': "
                "Could not open the backing file of 'c': ");
}

Test(core_backing, unknown_formats_and_protocols)
{
    put_file("base", "", 'b');
    put_overlay("over", "base|zip");
    check_fails(0, "over", NULL,
                "Could not open backing file 'base' of 'over': The format "
                "that the image records for it: Unknown driver 'zip'");
    check_backing(0, "over", "backing.driver=raw", "raw base");
    put_overlay("over", "zip:base");
    check_fails(0, "over", NULL, "Unknown protocol 'zip'");
}

Test(core_backing, a_relative_name_needs_a_directory)
{
    check_fails(0, NULL, "driver=cow,file.driver=mem,file.magic=COW!base\n",
                "give an absolute name");
}

Test(core_backing, loops_are_refused)
{
    put_overlay("self", "self|cow");
    check_fails(0, "self", NULL,
                "Backing file 'self' of 'self' creates a loop");
    put_overlay("a", "./b");
    put_overlay("b", "c");
    put_overlay("c", "b|cow");
    check_fails(0, "a", NULL,
                "Could not open backing file './b' of 'a': Could not open "
                "backing file './c' of './b': Backing file './b' of './c' "
                "creates a loop");
    check_fails(BDRV_O_RDWR, "b", NULL, "Backing file 'b' of 'c' creates");
    check_backing(0, "b", "backing.backing=", "cow (null)");
}

Test(core_backing, loops_under_other_names)
{
    put_overlay("a", "soft");
    cr_assert_eq(symlink("a", "soft"), 0);
    check_fails(0, "a", NULL, "'soft' of 'a' creates a loop");
    put_overlay("b", "hard");
    cr_assert_eq(link("b", "hard"), 0);
    check_fails(0, "b", NULL, "'hard' of 'b' creates a loop");
    put_overlay("c", "json:{\"driver\": \"cow\", \"file.filename\": \"c\"}");
    check_fails(0, "c", NULL, "'c' of 'c' creates a loop");
}

/* One base under two names in two windows is no loop, nor is an open that
 * comes after one that failed. */
Test(core_backing, no_loops)
{
    put_overlay("over", "json:{\"driver\": \"raw\", \"size\": 4096, \"file\": "
                        "{\"driver\": \"file\", \"filename\": \"over\"}}");
    check_backing(0, "over", NULL, "raw (null)");
    put_overlay("bad", "nosuch");
    check_fails(0, "bad", NULL, "nosuch");
    put_file("nosuch", "", 'b');
    check_backing(0, "bad", NULL, "raw nosuch");
}

Test(core_backing, chains_end_somewhere)
{
    put_file("0", "", 'b');
    for (int i = 1; i <= 120; i++) {
        g_autofree char *name = g_strdup_printf("%d", i);
        g_autofree char *record = g_strdup_printf("%d|%s", i - 1,
                                                  i == 1 ? "raw" : "cow");

        put_overlay(name, record);
    }
    check_backing(0, "90", NULL, "cow 89");
    check_fails(0, "120", NULL, "more than 100 nodes");
}

/* ---- What is known of it ---- */

static void check_info(const char *name, unsigned flags, const char *options,
                       const char *backing, const char *format,
                       const char *full)
{
    g_autoptr(BlockBackend) blk = core_open_name(flags, name, options);
    g_autoptr(GError) error = NULL;
    g_autoptr(BdrvInfo) info = blk_get_info(blk, &error);

    cr_assert(info, "%s", error ? error->message : "");
    cr_assert_str_eq(info->backing_filename, backing);
    cr_assert_str_eq(info->full_backing_filename, full);
    if (format) {
        cr_assert_str_eq(info->backing_format, format);
    } else {
        cr_assert_null(info->backing_format);
    }
}

Test(core_backing, information)
{
    cr_assert_eq(g_mkdir("d", 0755), 0);
    put_file("d/base", "", 'b');
    put_overlay("d/over", "base|raw");
    put_overlay("d/probed", "base");
    check_info("d/over", 0, NULL, "base", "raw", "d/base");
    check_info("d/probed", 0, NULL, "base", NULL, "d/base");
    check_info("d/over", BDRV_O_NO_BACKING, NULL, "base", "raw", "d/base");
    check_info("d/over", 0, "driver=pass,file.driver=cow", "base", "raw",
               "d/base");
    g_autoptr(BlockBackend) none = core_open_name(0, "d/base", NULL);
    g_autoptr(BdrvInfo) info = blk_get_info(none, NULL);
    cr_assert_null(info->backing_filename);
    cr_assert_null(info->full_backing_filename);
}

static void check_name(const char *name, const char *options,
                       const char *wanted)
{
    g_autoptr(BlockBackend) blk = core_open_name(0, name, options);
    g_autofree char *opened = blk_get_filename(blk);

    cr_assert_str_eq(opened, wanted, "%s, not %s", opened, wanted);
    g_autoptr(BlockBackend) again = core_open_name(0, opened, NULL);
    cr_assert_eq(backing_of(again) == NULL, backing_of(blk) == NULL);
    g_autofree char *reopened = blk_get_filename(again);
    cr_assert_str_eq(reopened, wanted);
}

Test(core_backing, only_what_was_asked_for_is_in_the_name)
{
    put_file("base", "", 'b');
    put_file("other", "", 'b');
    put_overlay("over", "base|raw");
    check_name("over", NULL, "over");
    check_name("over", "backing.driver=raw,backing.file.filename=base",
               "over");
    check_name("over", "backing=",
               "json:{\"driver\": \"cow\", \"file\": {\"driver\": \"file\", "
               "\"filename\": \"over\"}, \"backing\": null}");
    check_name("over", "backing.driver=raw,backing.file.filename=other",
               "json:{\"driver\": \"cow\", \"file\": {\"driver\": \"file\", "
               "\"filename\": \"over\"}, \"backing\": {\"driver\": \"raw\", "
               "\"file\": {\"driver\": \"file\", \"filename\": \"other\"}}}");
}

/* Not opened, it is in the name all the same. */
Test(core_backing, the_name_when_it_is_not_opened)
{
    put_file("base", "", 'b');
    put_file("other", "", 'b');
    put_overlay("over", "base|raw");
    static const struct {
        const char *options, *wanted;
    } cases[] = {
        { NULL, "over" },
        { "backing=", "\"backing\": null" },
        { "backing.driver=raw,backing.file.filename=other",
          "\"backing\": {\"driver\": \"raw\", "
          "\"file\": {\"filename\": \"other\"}}" },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(BlockBackend)
            blk = core_open_name(BDRV_O_NO_BACKING, "over", cases[i].options);
        g_autofree char *name = blk_get_filename(blk);
        core_check_text(name, cases[i].wanted);
        g_autoptr(BlockBackend)
            with = core_open_name(0, "over", cases[i].options);
        g_autoptr(BlockBackend) again = core_open_name(0, name, NULL);
        g_autofree char *opened = blk_get_filename(with);
        g_autofree char *reopened = blk_get_filename(again);
        cr_assert_str_eq(reopened, opened);
    }
}

Test(core_backing, changing_the_record)
{
    g_autofree char *long_name = g_strnfill(1000, 'x');
    g_autoptr(GError) error = NULL;

    put_file("base", "", 'b');
    put_file("other", "", 'b');
    put_overlay("over", "base|raw");
    BlockBackend *blk = core_open_name(BDRV_O_RDWR, "over", "driver=cow");
    const BlockDriverState *before = backing_of(blk);
    cr_assert_eq(blk_change_backing_file(blk, "other", "raw", &error), 0);
    g_autoptr(BdrvInfo) info = blk_get_info(blk, NULL);
    cr_assert_str_eq(info->backing_filename, "other");
    cr_assert_eq(backing_of(blk), before);
    cr_assert_eq(blk_change_backing_file(blk, NULL, "raw", &error), -EINVAL);
    core_check_text(error->message, "needs a backing file");
    g_clear_error(&error);
    cr_assert_eq(blk_change_backing_file(blk, long_name, NULL, &error),
                 -EINVAL);
    g_clear_error(&error);
    blk_close(blk);
    check_backing(0, "over", NULL, "raw other");

    blk = core_open_name(BDRV_O_RDWR, "over", "driver=cow");
    cr_assert_eq(blk_change_backing_file(blk, NULL, NULL, &error), 0);
    blk_close(blk);
    check_backing(0, "over", NULL, "none");
}

Test(core_backing, a_record_that_cannot_be_changed)
{
    g_autoptr(GError) error = NULL;

    put_overlay("over", "");
    put_file("base", "", 'b');
    g_autoptr(BlockBackend) blk = core_open_name(0, "over", NULL);
    cr_assert_eq(blk_change_backing_file(blk, "base", NULL, &error), -EACCES);
    core_check_text(error->message, "read-only");
    g_clear_error(&error);
    g_autoptr(BlockBackend) raw = core_open_name(BDRV_O_RDWR, "base", NULL);
    cr_assert_eq(blk_change_backing_file(raw, "over", NULL, &error), -ENOTSUP);
    core_check_text(error->message, "'raw' have no backing file");
}

Test(core_backing, zero_init)
{
    put_file("base", "", 'b');
    put_overlay("over", "base|raw");
    g_autoptr(BlockBackend) with = core_open_name(0, "over", NULL);
    cr_assert(!blk_has_zero_init(with));
    g_autoptr(BlockBackend) without = core_open_name(0, "over", "backing=");
    cr_assert(blk_has_zero_init(without));
}

Test(core_backing, limits_are_those_of_the_image)
{
    g_autoptr(BlockBackend) blk = core_open(
        0, "driver=cow,file.driver=mem,file.max-transfer=64K,"
           "backing.driver=mem,backing.align=4096,backing.max-transfer=4096");

    cr_assert_eq(blk_get_limits(blk).request_alignment, 1);
    cr_assert_eq(blk_get_limits(blk).max_transfer, 65536);
}

/* ---- Growing over a backing file that is longer ---- */

static void check_bytes(BlockBackend *blk, int64_t offset, int64_t bytes,
                        uint8_t wanted)
{
    g_autofree uint8_t *buf = g_malloc((gsize)bytes);

    cr_assert_eq(blk_pread(blk, offset, bytes, buf, 0), 0);
    for (int64_t i = 0; i < bytes; i++) {
        cr_assert_eq(buf[i], wanted, "%d at %d", buf[i], (int)(offset + i));
    }
}

/* An overlay of 1000 bytes below a filter, on 64 KiB of 'b'. */
static BlockBackend *open_short_overlay(BlockBackend **base)
{
    const char *all = "driver=pass,file.driver=cow,file.map=d,"
                      "file.file.driver=mem,file.file.size=1000,"
                      "file.backing=base";

    *base = core_open(0, "driver=mem,node-name=base,size=64K");
    memset(core_disk(*base)->data, 'b', 65536);
    BlockBackend *blk = core_open(BDRV_O_RDWR | BDRV_O_RESIZE, all);
    memset(core_disk(blk)->data, 'o', 1000);
    return blk;
}

Test(core_backing, resizing_shows_zeroes)
{
    g_autoptr(BlockBackend) base = NULL;
    g_autoptr(BlockBackend) blk = open_short_overlay(&base);
    BdrvChild *file = bdrv_child(blk_bs(blk), "file");
    g_autoptr(GError) error = NULL;

    cr_assert_eq(bdrv_truncate(file, 20000, false, PREALLOC_MODE_OFF, &error),
                 0);
    check_bytes(blk, 0, 1000, 'o');
    check_bytes(blk, 1000, 19000, 0);
    cr_assert_eq(bdrv_truncate(file, 100000, false, PREALLOC_MODE_OFF, &error),
                 0);
    check_bytes(blk, 1000, 99000, 0);
}

/* The filter passes on what its own parents cannot ask of it. */
Test(core_backing, a_parents_write_past_the_end_shows_zeroes)
{
    g_autoptr(BlockBackend) base = NULL;
    g_autoptr(BlockBackend) blk = open_short_overlay(&base);
    BdrvChild *file = bdrv_child(blk_bs(blk), "file");

    cr_assert_eq(bdrv_pwrite(file, 20000, 5, "12345", 0), 0);
    cr_assert_eq(blk_getlength(blk), 20005);
    check_bytes(blk, 0, 1000, 'o');
    check_bytes(blk, 1000, 19000, 0);
    check_bytes(blk, 20000, 1, '1');
    cr_assert_eq(bdrv_pwrite_zeroes(file, 30000, 10000, BDRV_REQ_FUA), 0);
    cr_assert_eq(blk_getlength(blk), 40000);
    check_bytes(blk, 20005, 40000 - 20005, 0);
    cr_assert_eq(bdrv_pwrite_zeroes(file, 19990, 50010, 0), 0);
    cr_assert_eq(blk_getlength(blk), 70000);
    check_bytes(blk, 1000, 69000, 0);
}

Test(core_backing, growing_fails_as_a_whole)
{
    g_autoptr(BlockBackend) base = NULL;
    g_autoptr(BlockBackend) blk = open_short_overlay(&base);
    BdrvChild *file = bdrv_child(blk_bs(blk), "file");
    MemDisk *disk = core_disk(blk);
    g_autoptr(GError) error = NULL;

    disk->fail[MEM_WRITE] = ENOSPC;
    cr_assert_eq(bdrv_truncate(file, 20000, false, PREALLOC_MODE_OFF, &error),
                 -ENOSPC);
    core_check_text(error->message, "Could not complete resizing");
    cr_assert_eq(blk_getlength(blk), 1000);
    cr_assert_eq(disk->length, 1000);
    cr_assert_eq(bdrv_pwrite(file, 20000, 5, "12345", 0), -ENOSPC);
    cr_assert_eq(blk_getlength(blk), 1000);

    disk->fail[MEM_WRITE] = 0;
    disk->fail[MEM_TRUNCATE] = EFBIG;
    cr_assert_eq(bdrv_pwrite(file, 20000, 5, "12345", 0), -EFBIG);
    g_autofree char *words = blk_strerror(-EFBIG);
    core_check_text(words, "mem does not get 20005 bytes");
}

typedef struct Growing {
    BdrvChild *file;
    int64_t offset;
} Growing;

static gpointer grow_thread(gpointer opaque)
{
    const Growing *growing = opaque;
    uint8_t byte = 'w';

    return GINT_TO_POINTER(
        bdrv_pwrite(growing->file, growing->offset, 1, &byte, 0));
}

/* Each writes one byte behind the end; none may undo what another wrote. */
Test(core_backing, growing_by_many_at_once)
{
    g_autoptr(BlockBackend) base = NULL;
    g_autoptr(BlockBackend) blk = open_short_overlay(&base);
    BdrvChild *file = bdrv_child(blk_bs(blk), "file");
    Growing growing[8];
    GThread *threads[8];

    core_disk(blk)->delay_us = 200;
    for (int i = 0; i < 8; i++) {
        growing[i] = (Growing){ file, 50000 - 6000 * ((i * 5) % 8) };
        threads[i] = g_thread_new("grow", grow_thread, &growing[i]);
    }
    for (int i = 0; i < 8; i++) {
        cr_assert_eq(GPOINTER_TO_INT(g_thread_join(threads[i])), 0);
    }
    cr_assert_eq(blk_getlength(blk), 50001);
    for (int64_t at = 8000; at <= 50000; at += 6000) {
        check_bytes(blk, at, 1, 'w');
        check_bytes(blk, at - 2000, 2000, 0);
    }
}
