/* SPDX-License-Identifier: MIT */
/* Names, options, protocols, probing; and what is said when it fails. */
#include <criterion/criterion.h>
#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/core-fixture.h"
#include "tests/unit/image-fixture.h"

static void init(void)
{
    core_init();
    image_dir_init();
    cr_assert_eq(chdir(image_dir), 0);
}

TestSuite(core_open, .init = init, .fini = image_dir_fini);

static void put_file(const char *name, const char *start, int64_t bytes)
{
    g_autofree char *data = g_malloc0((gsize)bytes + 1);

    memcpy(data, start, MIN(strlen(start), (size_t)bytes));
    cr_assert(g_file_set_contents(name, data, bytes, NULL));
}

static void check_open(const char *name, const char *options,
                       const char *format, const char *filename)
{
    g_autoptr(BlockBackend) blk = core_open_name(0, name, options);
    g_autofree char *opened = blk_get_filename(blk);

    cr_assert_str_eq(blk_get_format_name(blk), format);
    cr_assert_str_eq(opened, filename);

    /* The name must open the same again. */
    g_autoptr(BlockBackend) again = core_open_name(0, opened, NULL);
    g_autofree char *reopened = blk_get_filename(again);
    cr_assert_str_eq(reopened, filename);
    cr_assert_eq(blk_getlength(again), blk_getlength(blk));
}

static void check_fails(unsigned flags, const char *name, const char *options,
                        const char *part)
{
    g_autofree char *message = core_open_error(flags, name, options);

    core_check_text(message, part);
}

/* ---- Names ---- */

Test(core_open, a_plain_file)
{
    put_file("x.img", "", 5000);
    check_open("x.img", NULL, "raw", "x.img");
    check_open("./x.img", NULL, "raw", "./x.img");
    check_open("file:x.img", NULL, "raw", "x.img");
    check_open("x.img", "driver=file", "file", "x.img");
    check_open("file:x.img", "driver=file", "file", "x.img");
    check_open(NULL, "filename=x.img", "raw", "x.img");
    check_open(NULL, "file.filename=x.img", "raw", "x.img");
    check_open(NULL, "driver=raw,file.driver=file,file.filename=x.img", "raw",
               "x.img");
    check_open(NULL, "driver=file,filename=x.img", "file", "x.img");
}

Test(core_open, names_with_colons)
{
    put_file("a:b", "", 512);
    g_assert_cmpint(g_mkdir("d:e", 0755), ==, 0);
    put_file("d:e/f", "", 512);
    check_open("./a:b", NULL, "raw", "./a:b");
    check_open("file:a:b", NULL, "raw", "file:a:b");
    check_open("a:b", NULL, "raw", "file:a:b");
    check_open("./d:e/f", NULL, "raw", "./d:e/f");
    check_fails(0, "nosuch:thing", NULL,
                "Unknown protocol 'nosuch' in 'nosuch:thing' (known: ");
    check_fails(0, "nosuch:thing", NULL, "fat:, file:, mem:, null:");
    check_fails(0, "nosuch:thing", NULL, "a file of that name is './nosuch:");
    check_fails(0, "dir/x:y", NULL, "No such file");
}

Test(core_open, protocols)
{
    check_open("mem:4096", NULL, "raw",
               "json:{\"driver\": \"raw\", \"file\": {\"driver\": \"mem\", "
               "\"size\": \"4096\"}}");
    check_open("null:", NULL, "null", "json:{\"driver\": \"null\"}");
    check_open("null:", "driver=raw", "raw",
               "json:{\"driver\": \"raw\", \"file\": {\"driver\": \"null\"}}");
    check_fails(0, "mem:", NULL, "'mem:' lacks a size");
    check_fails(0, "mem:1z", NULL, "1z");
}

Test(core_open, a_name_only_fills_in_what_options_leave_open)
{
    g_autoptr(BlockBackend)
        blk = core_open_name(0, "mem:4096", "driver=mem,size=8192");

    cr_assert_eq(blk_getlength(blk), 8192);
}

Test(core_open, one_file_has_one_name)
{
    put_file("x.img", "", 512);
    check_fails(0, "x.img", "filename=y.img",
                "Both the name 'x.img' and the option filename=y.img");
    check_fails(0, "file:x.img", "driver=file,filename=y.img",
                "Both the name 'file:x.img' and");
    check_fails(0, "x.img", "driver=raw,filename=y.img", "no option");
}

Test(core_open, a_protocol_flag_keeps_formats_away)
{
    g_autoptr(BlockBackend)
        blk = core_open_name(BDRV_O_PROTOCOL, "mem:4096", NULL);

    cr_assert_str_eq(blk_get_format_name(blk), "mem");
}

Test(core_open, json)
{
    put_file("x.img", "", 5000);
    check_open("json:{\"driver\":\"raw\",\"size\":512,"
               "\"file\":{\"driver\":\"file\",\"filename\":\"x.img\"}}",
               NULL, "raw",
               "json:{\"driver\": \"raw\", \"size\": \"512\", \"file\": "
               "{\"driver\": \"file\", \"filename\": \"x.img\"}}");
    check_open("json:{\"file.filename\":\"x.img\"}", NULL, "raw", "x.img");
    check_open("json:{\"driver\":\"mem\",\"size\":100}", "size=200", "mem",
               "json:{\"driver\": \"mem\", \"size\": \"200\"}");
    check_open("json:{\"driver\":\"raw\"}", "file.filename=x.img", "raw",
               "x.img");
    check_fails(0, "json:{\"driver\":", NULL, "Could not parse 'json:");
    check_fails(0, "json:{}", NULL, "No image was named");
    check_fails(0, "json:{\"driver\":\"mem\",\"sise\":1}", NULL, "'size'");
}

/* ---- Options ---- */

Test(core_open, wrong_options)
{
    GString *deep = g_string_new(NULL);

    put_file("x.img", "", 512);
    check_fails(0, NULL, NULL, "No image was named: give a file name");
    check_fails(0, "x.img", "driver=qcow9", "Unknown driver 'qcow9' (known: ");
    check_fails(0, "x.img", "driver=raw,offsett=1", "offset");
    check_fails(0, "x.img", "file.filenam=y", "filename");
    check_fails(0, NULL, "driver=mem,read-onli=on", "read-only");
    check_fails(0, NULL, "driver=raw", "needs a file name or the option");
    check_fails(0, NULL, "driver=raw,file=nosuch",
                "There is no node 'nosuch'");
    check_fails(0, "x.img", "driver=raw,file=nosuch",
                "names a node, so neither");
    check_fails(0, "x.img", "driver=mem", "filename");
    check_fails(0, "x.img", "driver=mem,discard=maybe", "maybe");
    check_fails(0, "x.img", "detect-zeroes=unmap", "needs discard=unmap");
    check_fails(BDRV_O_RDWR, "x.img", "force-share=on", "read-only=on");
    check_fails(BDRV_O_RDWR | BDRV_O_FORCE_SHARE, "x.img", NULL,
                "force-share=on can only");
    check_fails(0, NULL, "driver=mem,align=3", "powers of two");
    check_fails(0, NULL, "driver=mem,align=0", "powers of two");
    for (int i = 0; i < 150; i++) {
        g_string_append(deep, "file.");
    }
    g_string_append(deep, "filename=x.img");
    check_fails(0, NULL, deep->str, "on top of each other");
    g_string_free(deep, TRUE);
}

Test(core_open, node_names)
{
    g_autofree char *longest = g_strnfill(63, 'n');
    g_autofree char *named = g_strconcat("driver=mem,node-name=", longest,
                                         NULL);
    g_autofree char *longer = g_strconcat(named, "n", NULL);
    g_autoptr(BlockBackend) a = core_open(0, "driver=mem,node-name=a.b-c_1");
    g_autoptr(BlockBackend) b = core_open(0, "driver=mem");
    g_autoptr(BlockBackend) c = core_open(0, named);

    cr_assert_str_eq(bdrv_node_name(blk_bs(a)), "a.b-c_1");
    cr_assert_eq(bdrv_node_name(blk_bs(b))[0], '#');
    cr_assert_str_eq(bdrv_node_name(blk_bs(c)), longest);
    check_fails(0, NULL, "driver=mem,node-name=a.b-c_1", "already");
    check_fails(0, NULL, "driver=mem,node-name=1a", "Invalid node-name '1a'");
    check_fails(0, NULL, "driver=mem,node-name=a b", "Invalid node-name");
    check_fails(0, NULL, "driver=mem,node-name=", "Invalid node-name");
    check_fails(0, NULL, longer, "Invalid node-name");
}

Test(core_open, a_closed_node_gives_its_name_back)
{
    for (int i = 0; i < 3; i++) {
        g_autoptr(BlockBackend) blk = core_open(0, "driver=mem,node-name=a");
        cr_assert(blk);
    }
    check_fails(0, NULL, "driver=raw,file=a", "There is no node 'a'");
}

Test(core_open, a_failed_open_leaves_nothing_behind)
{
    check_fails(0, NULL,
                "driver=raw,node-name=top,nosuch=1,file.driver=mem,"
                "file.node-name=a",
                "nosuch");
    g_autoptr(BlockBackend) blk = core_open(
        0, "driver=raw,node-name=top,file.driver=mem,file.node-name=a");
    cr_assert(blk);
}

Test(core_open, nodes_by_name)
{
    g_autoptr(BlockBackend)
        disk = core_open(0, "driver=mem,node-name=disk,size=8192");
    g_autoptr(BlockBackend)
        blk = core_open(0, "driver=raw,offset=4096,file=disk");

    cr_assert_eq(core_disk(blk), core_disk(disk));
    blk_close(g_steal_pointer(&disk));
    cr_assert_eq(blk_getlength(blk), 4096);
}

/* ---- Probing ---- */

Test(core_open, probing)
{
    put_file("cow.img", "COW!", 5000);
    put_file("short.img", "COW!", 4);
    put_file("shorter.img", "COW", 3);
    put_file("empty.img", "", 0);
    check_open("cow.img", NULL, "cow", "cow.img");
    check_open("short.img", NULL, "cow", "short.img");
    check_open("shorter.img", NULL, "raw", "shorter.img");
    check_open("empty.img", NULL, "raw", "empty.img");
    check_open("cow.img", "driver=raw", "raw", "cow.img");
    g_autoptr(BlockBackend) made = core_open(0, "driver=mem,magic=COW!");
    cr_assert_str_eq(blk_get_format_name(made), "mem");
    g_autoptr(BlockBackend)
        probed = core_open(0, "file.driver=mem,file.magic=COW!");
    cr_assert_str_eq(blk_get_format_name(probed), "cow");
    g_autoptr(BlockBackend)
        filtered = core_open_name(0, "cow.img", "driver=pass");
    cr_assert_str_eq(blk_get_format_name(filtered), "pass");
    cr_assert_str_eq(
        bdrv_driver(bdrv_child_bs(bdrv_child(blk_bs(filtered), "file")))
            ->format_name,
        "cow");
}

Test(core_open, an_image_that_cannot_be_read_cannot_be_probed)
{
    check_fails(0, NULL,
                "file.driver=blkdebug,file.image.driver=mem,"
                "file.inject-error.0.event=read",
                "to determine its format");
}

Test(core_open, images_of_other_programs_are_not_taken_for_raw)
{
    put_file("x.img", "KDMV", 5000);
    check_fails(0, "x.img", NULL, "'x.img' is a VMDK image");
    check_fails(0, "x.img", NULL, "give raw as the format");
    g_autoptr(BlockBackend) given = core_open_name(0, "x.img", "driver=raw");
    cr_assert_not_null(given);

    /* What is too short to hold the signature is none. */
    put_file("y.img", "QED", 3);
    g_autoptr(BlockBackend) raw = core_open_name(0, "y.img", NULL);
    cr_assert_str_eq(blk_get_format_name(raw), "raw");
}

Test(core_open, a_guest_cannot_choose_the_format)
{
    char buf[512] = "COW!";

    put_file("x.img", "", 5000);
    g_autoptr(BlockBackend)
        probed = core_open_name(BDRV_O_RDWR, "x.img", NULL);
    int ret = blk_pwrite(probed, 0, 512, buf, 0);
    g_autofree char *words = blk_strerror(ret);
    cr_assert_eq(ret, -EPERM);
    core_check_text(words, "guessed as raw");
    core_check_text(words, "look like cow");
    core_check_text(words, "driver=raw");
    cr_assert_eq(blk_pwrite(probed, 0, 2, "CO", 0), 0);
    cr_assert_eq(blk_pwrite(probed, 2, 2, "W!", 0), -EPERM);
    cr_assert_eq(blk_pwrite(probed, 2, 2, "W?", 0), 0);
    cr_assert_eq(blk_pwrite(probed, 64, 4, "\x7f\x10\xda\xbe", 0), -EPERM);
    cr_assert_eq(blk_pwrite(probed, 2048, 512, buf, 0), 0);
    blk_close(g_steal_pointer(&probed));

    g_autoptr(BlockBackend)
        given = core_open_name(BDRV_O_RDWR, "x.img", "driver=raw");
    cr_assert_eq(blk_pwrite(given, 0, 512, buf, 0), 0);
}

typedef struct GuardedWrite {
    BlockBackend *blk;
    int64_t offset;
    const char *text;
    int ret;
} GuardedWrite;

static gpointer guarded_write(gpointer opaque)
{
    GuardedWrite *w = opaque;

    w->ret = blk_pwrite(w->blk, w->offset, 2, w->text, 0);
    return NULL;
}

Test(core_open, two_writes_at_once_do_not_make_up_a_format)
{
    g_autoptr(BlockBackend)
        blk = core_open_name(BDRV_O_RDWR, "mem:4096", NULL);
    MemDisk *disk = core_disk(blk);
    GuardedWrite writes[2] = { { blk, 0, "CO", 1 }, { blk, 2, "W!", 1 } };
    GThread *thread[2];

    disk->delay_us = 30000; /* both look before either writes, if they can */
    for (int i = 0; i < 2; i++) {
        thread[i] = g_thread_new("write", guarded_write, &writes[i]);
    }
    for (int i = 0; i < 2; i++) {
        g_thread_join(thread[i]);
    }
    cr_assert_eq(writes[0].ret + writes[1].ret, -EPERM);
    cr_assert_neq(memcmp(disk->data, "COW!", 4), 0);
}

/* ---- Read-only ---- */

Test(core_open, auto_read_only_goes_up_the_chain)
{
    check_fails(BDRV_O_RDWR, NULL, "driver=mem,unwritable=on",
                "mem cannot be written");
    check_fails(BDRV_O_RDWR, NULL,
                "driver=raw,file.driver=mem,file.unwritable=on",
                "mem cannot be written");
    check_fails(BDRV_O_RDWR, NULL,
                "driver=raw,file.driver=mem,file.unwritable=on,"
                "file.auto-read-only=on",
                "is read-only; open it with read-only=on");
    g_autoptr(BlockBackend)
        blk = core_open(BDRV_O_RDWR | BDRV_O_AUTO_RDONLY,
                        "driver=raw,file.driver=mem,file.unwritable=on");
    cr_assert(blk_is_read_only(blk));
    cr_assert(!(core_disk(blk)->perm & BLK_PERM_WRITE));
    g_autoptr(BlockBackend) rw = core_open(BDRV_O_RDWR | BDRV_O_AUTO_RDONLY,
                                           "driver=raw,file.driver=mem");
    cr_assert(!blk_is_read_only(rw));
    g_autoptr(BlockBackend) option =
        core_open(BDRV_O_RDWR, "driver=raw,auto-read-only=on,file.driver=mem,"
                               "file.unwritable=on");
    cr_assert(blk_is_read_only(option));
}

Test(core_open, read_only_by_option)
{
    check_fails(BDRV_O_RDWR, NULL, "driver=mem,read-only=on",
                "is read-only and does not allow 'write'");
    check_fails(BDRV_O_RDWR, NULL,
                "driver=raw,file.driver=mem,file.read-only=on", "read-only");
    g_autoptr(BlockBackend)
        blk = core_open(0, "driver=raw,read-only=off,file.driver=mem");
    cr_assert(!blk_is_read_only(blk));
    cr_assert_eq(blk_pwrite(blk, 0, 1, "x", 0), -EPERM);
}

/* ---- Drivers ---- */

/* Like a writable FAT directory: made-up bytes, and an overlay of its own. */
static bool overlaid_open(BlockDriverState *bs, Options *options,
                          unsigned flags, GError **errp)
{
    (void)flags;
    options_set(options, "write-target.driver", "mem");
    options_set(options, "write-target.read-only", "off");
    options_set(options, "write-target.cache.no-flush", "on");
    return bdrv_open_child(bs, options, "write-target", &child_of_bds,
                           BDRV_CHILD_DATA | BDRV_CHILD_METADATA, false,
                           errp) != NULL;
}

static void overlaid_close(BlockDriverState *bs)
{
    (void)bs;
}

static int64_t overlaid_getlength(BlockDriverState *bs)
{
    (void)bs;
    return 4096;
}

Test(core_open, a_child_of_the_drivers_own_is_not_in_the_name)
{
    static const BlockDriver overlaid = {
        .format_name = "overlaid",
        .open = overlaid_open,
        .close = overlaid_close,
        .getlength = overlaid_getlength,
    };

    cr_assert(bdrv_register(&overlaid, NULL));
    check_open(NULL, "driver=overlaid", "overlaid",
               "json:{\"driver\": \"overlaid\"}");

    g_autoptr(BlockBackend) blk = core_open(0, "driver=overlaid");
    BdrvChild *overlay = bdrv_child(blk_bs(blk), "write-target");
    cr_assert(!bdrv_is_read_only(bdrv_child_bs(overlay)));
    check_open(NULL, "driver=cow,file.driver=mem,backing.driver=mem", "cow",
               "json:{\"driver\": \"cow\", \"file\": {\"driver\": \"mem\"}, "
               "\"backing\": {\"driver\": \"mem\"}}");
}

/* Known by a zero, as a version or a flag can be. */
static int zero_probe(const uint8_t *buf, size_t size, const char *filename)
{
    (void)filename;
    return size >= 4 && memcmp(buf, "Z\0ZZ", 4) == 0 ? 100 : 0;
}

Test(core_open, zeroes_do_not_make_up_a_format)
{
    static const BlockDriver zero_driver = {
        .format_name = "zz",
        .is_format = true,
        .open = overlaid_open,
        .close = overlaid_close,
        .getlength = overlaid_getlength,
        .probe = zero_probe,
    };
    uint8_t buf[4];

    cr_assert(bdrv_register(&zero_driver, NULL));
    put_file("x.img", "ZZZZ", 5000);
    g_autoptr(BlockBackend)
        blk = core_open_name(BDRV_O_RDWR | BDRV_O_UNMAP, "x.img", NULL);
    cr_assert_eq(blk_pwrite_zeroes(blk, 1, 1, BDRV_REQ_MAY_UNMAP), -EPERM);
    /* To discard is a hint: it is not taken. */
    cr_assert_eq(blk_pdiscard(blk, 1, 1), 0);
    cr_assert_eq(blk_pread(blk, 0, 4, buf, 0), 0);
    cr_assert_eq(memcmp(buf, "ZZZZ", 4), 0);
    cr_assert_eq(blk_pwrite_zeroes(blk, 1, 2, 0), 0);
    cr_assert_eq(blk_pwrite(blk, 2, 1, "Z", 0), -EPERM);
    cr_assert_eq(blk_pdiscard(blk, 0, 5000), 0);
}

Test(core_open, registering)
{
    static const BlockDriver nameless = { .open = NULL };
    static const BlockDriver twice = {
        .format_name = "raw",
        .open =
            (bool (*)(BlockDriverState *, Options *, unsigned, GError **))1,
        .is_filter = true,
    };
    static const BlockDriver unfinished = { .format_name = "unfinished" };
    g_autoptr(GError) error = NULL;

    cr_assert(!bdrv_register(&nameless, &error));
    g_clear_error(&error);
    cr_assert(!bdrv_register(&twice, &error));
    core_check_text(error->message, "There is a driver 'raw' already");
    g_clear_error(&error);
    cr_assert(!bdrv_register(&unfinished, &error));
    core_check_text(error->message, "lacks open");
    cr_assert_null(bdrv_find_format("unfinished"));
    cr_assert_str_eq(bdrv_find_format("mem")->format_name, "mem");
}

Test(core_open, drivers_built_for_other_versions)
{
    static const BlockDriver older = {
        .format_name = "older",
        .open = overlaid_open,
        .close = overlaid_close,
        .getlength = overlaid_getlength,
        .get_filename = (char *(*)(BlockDriverState *))1, /* is behind it */
    };
    static const BlockDriver newer = {
        .format_name = "newer",
        .open = overlaid_open,
        .getlength = overlaid_getlength,
    };
    g_autoptr(GError) error = NULL;

    cr_assert(bdrv_register_sized(&older, offsetof(BlockDriver, get_filename),
                                  NULL));
    cr_assert_null(bdrv_find_format("older")->get_filename);
    check_open(NULL, "driver=older", "older", "json:{\"driver\": \"older\"}");
    cr_assert(!bdrv_register_sized(&newer, sizeof(newer) + 8, &error));
    core_check_text(error->message, "built for a newer libvvfat");
}

Test(core_open, listing_and_help)
{
    g_autofree const char **names = bdrv_list_formats();
    g_autofree char *list = g_strjoinv(" ", (char **)names);
    g_autofree char *help = bdrv_format_options_help("raw", false);
    g_autofree char *create = bdrv_format_options_help("raw", true);

    cr_assert_str_eq(list,
                     "blkdebug cow file mem null pass qcow qcow2 raw vvfat");
    core_check_text(help, "offset");
    core_check_text(create, "size");
    g_autofree char *every = bdrv_format_options_help(NULL, false);
    core_check_text(every, "read-only");
    cr_assert_null(bdrv_format_options_help(NULL, true));
    cr_assert_null(bdrv_format_options_help("nosuch", false));
    cr_assert_null(bdrv_format_options_help("pass", true));
}

/* ---- Creating and measuring ---- */

Test(core_open, creating)
{
    g_autoptr(Options) options = options_new();
    g_autoptr(GError) error = NULL;

    options_set(options, "size", "4096");
    cr_assert(bdrv_create("raw", "new.img", options, &error));
    check_open("new.img", NULL, "raw", "new.img");
    cr_assert_str_eq(options_get(options, "size"), "4096");
    cr_assert(!bdrv_create("qcow9", "y", options, &error));
    core_check_text(error->message, "Unknown driver 'qcow9'");
    g_clear_error(&error);
    cr_assert(!bdrv_create("null", "y", options, &error));
    core_check_text(error->message, "cannot be created");
    g_clear_error(&error);
    options_set(options, "sise", "1");
    cr_assert(!bdrv_create("raw", "y", options, &error));
    core_check_text(error->message, "'size'");
    cr_assert(!g_file_test("y", G_FILE_TEST_EXISTS));
}

Test(core_open, measuring)
{
    g_autoptr(Options) options = options_new();
    g_autoptr(GError) error = NULL;
    g_autoptr(BlockBackend) blk = core_open(0, "driver=mem,size=12345");
    BdrvMeasure measure;

    options_set(options, "size", "1M");
    cr_assert(bdrv_measure("raw", options, NULL, &measure, &error));
    cr_assert_eq(measure.required, 1 << 20);
    cr_assert(bdrv_measure("raw", NULL, blk, &measure, &error));
    cr_assert_eq(measure.required, 12345);
    cr_assert(!bdrv_measure("null", NULL, blk, &measure, &error));
    core_check_text(error->message, "cannot be measured");
    g_clear_error(&error);
    options_set(options, "size", "much");
    cr_assert(!bdrv_measure("raw", options, NULL, &measure, &error));
    core_check_text(error->message, "much");
}

/* ---- Information ---- */

Test(core_open, information)
{
    put_file("x.img", "x", 5000);
    g_autoptr(BlockBackend) blk = core_open_name(0, "x.img", NULL);
    g_autoptr(BdrvInfo) info = blk_get_info(blk, NULL);
    g_autoptr(BlockBackend) mem = core_open(0, "driver=mem");
    g_autoptr(BdrvInfo) mem_info = blk_get_info(mem, NULL);

    cr_assert_eq(info->virtual_size, 5000);
    cr_assert_geq(info->allocated_size, 0);
    cr_assert_str_eq(info->format, "raw");
    cr_assert_str_eq(info->filename, "x.img");
    cr_assert(info->read_only);
    cr_assert_eq(mem_info->allocated_size, -1);
    cr_assert_eq(blk_get_allocated_size(mem), -ENOTSUP);
    cr_assert(blk_has_zero_init(blk));
    cr_assert(!blk_has_zero_init(mem));
}
