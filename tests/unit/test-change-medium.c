/* SPDX-License-Identifier: MIT */
/* Another medium in the same device: images. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdatomic.h>

#include "block/block-int.h"
#include "image-fixture.h"
#include "tests/unit/core-fixture.h"
#include "tests/unit/event-fixture.h"

static void init(void)
{
    image_dir_init();
    core_init();
}

TestSuite(change_medium, .init = init, .fini = image_dir_fini, .timeout = 30);

/* From "key=value,..." with %D. */
static bool change(BlockBackend *blk, unsigned flags, const char *text,
                   GError **errp)
{
    g_autoptr(Options) options = options_new();
    g_auto(GStrv) parts = g_strsplit(text, "%D", -1);
    g_autofree char *whole = g_strjoinv(image_dir, parts);

    cr_assert(options_parse_keyval(options, whole, NULL, NULL));
    return blk_change_medium(blk, NULL, options, flags, errp);
}

static void shell(const char *command)
{
    int status;

    g_free(image_shell(&status, "%s", command));
    cr_assert_eq(status, 0);
}

static void check_pattern(BlockBackend *blk, int seed)
{
    uint8_t buf[512];

    cr_assert_eq(blk_pread(blk, 512, 512, buf, 0), 0);
    cr_assert(image_pattern_is(buf, 512, seed, 512));
}

/* ---- What becomes of it ---- */

Test(change_medium, another_image)
{
    g_autoptr(Listener) l = listener_new();
    g_autofree char *heard = NULL;
    g_autofree char *name = NULL;
    g_autoptr(BlockBackend) blk = NULL;

    image_make("a", 4096, 1);
    image_make("b", 8192, 2);
    blk = image_open(BDRV_O_RDWR, "driver=raw,file.filename=%D/a");
    listener_add(l, blk, NULL);
    l->asks = true;
    check_pattern(blk, 1);
    cr_assert_eq(blk_pwrite(blk, 0, 3, "old", 0), 0);
    cr_assert(change(blk, BDRV_O_RDWR, "driver=raw,file.filename=%D/b", NULL));
    check_pattern(blk, 2);
    cr_assert_eq(blk_getlength(blk), 8192);
    cr_assert_eq(blk_pwrite(blk, 0, 3, "new", 0), 0);
    name = blk_get_filename(blk);
    heard = listener_take(l);
    image_check_text(heard, "medium-changed");
    image_check_text(heard, name);
    cr_assert_eq(l->asked, 1);
    blk_close(g_steal_pointer(&blk));
    cr_assert(!image_holds("a", 0, 4096, 1, 0));
    cr_assert(image_holds("a", 512, 3584, 1, 512));
    cr_assert(!image_holds("b", 0, 4096, 2, 0));
}

Test(change_medium, by_name)
{
    g_autofree char *path = image_path("b");
    g_autoptr(BlockBackend) blk = core_open(0, "driver=mem");

    image_make("b", 8192, 2);
    cr_assert(blk_change_medium(blk, path, NULL, 0, NULL));
    check_pattern(blk, 2);
}

Test(change_medium, one_that_does_not_open)
{
    g_autoptr(Listener) l = listener_new();
    g_autoptr(GError) error = NULL;
    g_autoptr(BlockBackend) blk = core_open(BDRV_O_RDWR, "driver=mem");

    listener_add(l, blk, NULL);
    cr_assert_eq(blk_pwrite(blk, 0, 3, "old", 0), 0);
    cr_assert(
        !change(blk, BDRV_O_RDWR, "driver=raw,file.filename=%D/no", &error));
    image_check_text(error->message, "/no");
    core_check_text((char *)core_disk(blk)->data, "old");
    cr_assert_eq(blk_pwrite(blk, 0, 3, "and", 0), 0);
    listener_expect(l, "");
}

Test(change_medium, one_that_cannot_be_written)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(BlockBackend) blk = core_open(BDRV_O_RDWR, "driver=mem");
    const unsigned automatic = BDRV_O_RDWR | BDRV_O_AUTO_RDONLY;

    cr_assert(!change(blk, BDRV_O_RDWR, "driver=mem,unwritable=on", &error));
    cr_assert_eq(blk_pwrite(blk, 0, 3, "old", 0), 0);
    cr_assert(change(blk, automatic, "driver=mem,unwritable=on", NULL));
    cr_assert(blk_is_read_only(blk));
    cr_assert_eq(blk_pwrite(blk, 0, 3, "new", 0), -EACCES);
    cr_assert(change(blk, automatic, "driver=mem", NULL));
    cr_assert_eq(blk_pwrite(blk, 0, 3, "new", 0), 0);
    cr_assert(change(blk, 0, "driver=mem", NULL));
    cr_assert_eq(blk_pwrite(blk, 0, 3, "new", 0), -EACCES);
}

/* As in blk_open(), resizing is allowed by a flag, and permissions that the
 * program has chosen stay. */
Test(change_medium, permissions)
{
    g_autoptr(BlockBackend)
        blk = core_open(BDRV_O_RDWR | BDRV_O_RESIZE, "driver=mem");
    g_autoptr(BlockBackend)
        own = blk_open_with_perm("mem:64k", NULL, BDRV_O_RDWR,
                                 BLK_PERM_CONSISTENT_READ, BLK_PERM_ALL, NULL);

    cr_assert_not_null(own);
    cr_assert(change(blk, BDRV_O_RDWR | BDRV_O_RESIZE, "driver=mem", NULL));
    cr_assert_eq(blk_truncate(blk, 512, false, PREALLOC_MODE_OFF, NULL), 0);
    cr_assert(change(blk, BDRV_O_RDWR, "driver=mem", NULL));
    cr_assert_lt(blk_truncate(blk, 512, false, PREALLOC_MODE_OFF, NULL), 0);
    cr_assert(change(own, BDRV_O_RDWR, "driver=mem", NULL));
    cr_assert_eq(core_disk(own)->perm, BLK_PERM_CONSISTENT_READ);
    cr_assert_eq(core_disk(own)->shared, BLK_PERM_ALL);
    cr_assert_eq(blk_pwrite(own, 0, 1, "x", 0), -EPERM);
}

Test(change_medium, a_flush_that_fails)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(BlockBackend) blk = core_open(BDRV_O_RDWR, "driver=mem");
    MemDisk *disk = core_disk(blk);

    cr_assert_eq(blk_pwrite(blk, 0, 3, "old", 0), 0);
    disk->fail[MEM_FLUSH] = ENOSPC;
    cr_assert(!change(blk, BDRV_O_RDWR, "driver=mem", &error));
    cr_assert_eq(error->code, ENOSPC);
    image_check_text(error->message, "flush the old medium");
    cr_assert_eq(core_disk(blk), disk);
    disk->fail[MEM_FLUSH] = 0;
    cr_assert(change(blk, BDRV_O_RDWR, "driver=mem", NULL));
}

/* Another user keeps the old node, which goes on for it. */
Test(change_medium, a_node_that_others_use)
{
    g_autoptr(BlockBackend)
        blk = core_open(BDRV_O_RDWR, "driver=mem,node-name=old");
    g_autoptr(BlockBackend) other = blk_open_with_perm(
        "json:{\"driver\": \"raw\", \"file\": \"old\"}", NULL, 0,
        BLK_PERM_CONSISTENT_READ, BLK_PERM_ALL, NULL);

    cr_assert_not_null(other);
    cr_assert_eq(blk_pwrite(blk, 0, 3, "old", 0), 0);
    cr_assert(change(blk, BDRV_O_RDWR, "driver=mem", NULL));
    core_check_text((char *)core_disk(other)->data, "old");
    cr_assert_neq(core_disk(other), core_disk(blk));
}

/* ---- The old one is in the way ---- */

Test(change_medium, the_same_image_again)
{
    g_autoptr(Listener) l = listener_new();
    g_autofree char *heard = NULL;
    g_autoptr(BlockBackend) blk = NULL;

    image_make("a", 4096, 1);
    blk = image_open(BDRV_O_RDWR, "driver=raw,node-name=n,file.filename=%D/a");
    listener_add(l, blk, NULL);
    cr_assert(blk_change_medium(blk, NULL, NULL, BDRV_O_RDWR, NULL));
    check_pattern(blk, 1);
    cr_assert_str_eq(bdrv_node_name(blk_bs(blk)), "n");
    heard = listener_take(l);
    image_check_text(heard, "medium-changed");
    /* The host has put another one in its place. */
    image_make("new", 8192, 3);
    shell("mv new a");
    cr_assert(blk_change_medium(blk, NULL, NULL, BDRV_O_RDWR, NULL));
    check_pattern(blk, 3);
    cr_assert_eq(blk_pwrite(blk, 0, 1, "x", 0), 0);
}

Test(change_medium, the_old_one_is_opened_again)
{
    g_autoptr(Listener) l = listener_new();
    g_autoptr(GError) error = NULL;
    g_autofree char *heard = NULL;
    g_autoptr(BlockBackend) blk = NULL;

    image_make("a", 4096, 1);
    blk = image_open(BDRV_O_RDWR, "driver=raw,node-name=n,file.filename=%D/a");
    listener_add(l, blk, NULL);
    cr_assert(!change(blk, BDRV_O_RDWR,
                      "driver=raw,node-name=n,file.filename=%D/no", &error));
    image_check_text(error->message, "/no");
    check_pattern(blk, 1);
    cr_assert_eq(blk_pwrite(blk, 0, 1, "x", 0), 0);
    heard = listener_take(l);
    image_check_text(heard, "medium-changed");
}

Test(change_medium, no_medium_is_left)
{
    g_autoptr(Listener) l = listener_new();
    g_autoptr(GError) error = NULL;
    g_autoptr(BdrvInfo) info = NULL;
    g_autofree char *words = NULL;
    g_autoptr(BlockBackend) blk = NULL;
    BlkGeometry geometry;
    uint8_t buf[512];

    image_make("a", 4096, 1);
    blk = image_open(BDRV_O_RDWR, "driver=raw,node-name=n,file.filename=%D/a");
    listener_add(l, blk, NULL);
    shell("rm a");
    cr_assert(!change(blk, BDRV_O_RDWR,
                      "driver=raw,node-name=n,file.filename=%D/no", &error));
    image_check_text(error->message, "no medium any more");
    listener_expect(l, "medium-changed : - (-123)\n");
    cr_assert_eq(blk_pread(blk, 0, 512, buf, 0), -ENOMEDIUM);
    words = blk_strerror(-ENOMEDIUM);
    image_check_text(words, "no medium");
    cr_assert_eq(blk_pwrite(blk, 0, 512, buf, 0), -ENOMEDIUM);
    cr_assert_eq(blk_getlength(blk), 0);
    cr_assert_eq(blk_get_geometry(blk, &geometry), -ENOMEDIUM);
    cr_assert_eq(blk_flush(blk), 0);
    cr_assert_eq(blk_commit(blk, true, NULL), 0);
    info = blk_get_info(blk, NULL);
    cr_assert_eq(info->virtual_size, 0);
    cr_assert_str_eq(info->format, "no-medium");
    image_make("a", 4096, 5);
    cr_assert(blk_change_medium(blk, NULL, NULL, BDRV_O_RDWR, NULL));
    check_pattern(blk, 5);
}

/* ---- Beside requests ---- */

typedef struct Thread {
    BlockBackend *blk;
    atomic_int done;
    int ret;
    GThread *thread;
} Thread;

static gpointer change_main(gpointer opaque)
{
    Thread *t = opaque;

    cr_assert(change(t->blk, BDRV_O_RDWR, "driver=mem", NULL));
    t->done = 1;
    return NULL;
}

static gpointer write_main(gpointer opaque)
{
    Thread *t = opaque;

    t->ret = blk_pwrite(t->blk, 512, 3, "new", 0);
    t->done = 1;
    return NULL;
}

static void start(Thread *t, BlockBackend *blk, GThreadFunc func)
{
    *t = (Thread){ .blk = blk };
    t->thread = g_thread_new("change", func, t);
}

static void completed(void *opaque, int ret)
{
    int *result = opaque;

    *result = ret;
}

/* Enough for a thread that does not wait to show it. */
static void settle(void)
{
    g_usleep(30000);
}

Test(change_medium, requests_wait_and_go_to_the_new_one)
{
    g_autoptr(AioContext) ctx = aio_context_new(1, NULL);
    g_autoptr(BlockBackend) blk = core_open(BDRV_O_RDWR, "driver=mem");
    MemDisk *disk = core_disk(blk);
    g_auto(IOVector) iov;
    Thread held, changer, writer;
    int ret = 1;
    char also[] = "also";

    iov_init_buf(&iov, also, 4);
    core_hold(disk);
    start(&held, blk, write_main);
    core_wait_held(disk, 1);
    start(&changer, blk, change_main);
    while (atomic_load(&blk->gate.quiesced) == 0) {
        g_thread_yield();
    }
    start(&writer, blk, write_main);
    blk_aio_pwritev(blk, ctx, 1024, &iov, 0, completed, &ret);
    settle();
    cr_assert(!changer.done && !writer.done && ret == 1);
    core_release(disk);
    g_thread_join(held.thread);
    g_thread_join(changer.thread);
    g_thread_join(writer.thread);
    aio_context_drain(ctx);
    cr_assert(writer.ret == 0 && ret == 0);
    core_check_text((char *)core_disk(blk)->data + 512, "new");
    core_check_text((char *)core_disk(blk)->data + 1024, "also");
}

Test(change_medium, drained_sections_go_on)
{
    g_autoptr(BlockBackend) blk = core_open(BDRV_O_RDWR, "driver=mem");
    Thread writer;

    blk_drained_begin(blk);
    blk_drained_begin(blk);
    start(&writer, blk, write_main);
    cr_assert(change(blk, BDRV_O_RDWR, "driver=mem", NULL));
    cr_assert_eq(blk_bs(blk)->gate.quiesced, 2);
    blk_drained_end(blk);
    settle();
    cr_assert(!writer.done);
    blk_drained_end(blk);
    g_thread_join(writer.thread);
    cr_assert_eq(writer.ret, 0);
    core_check_text((char *)core_disk(blk)->data + 512, "new");
}
