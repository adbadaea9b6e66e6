/* SPDX-License-Identifier: MIT */
/*
 * What a writable directory tells: each thing once, when it happens; and what
 * its node's information says at the same time.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "image-fixture.h"
#include "tests/unit/event-fixture.h"
#include "tests/unit/host-tree.h"
#include "tests/unit/machine.h"
#include "tests/unit/memory-hostfs.h"

TestSuite(writable_events, .init = image_dir_init, .fini = image_dir_fini,
          .timeout = 60);

typedef struct Heard {
    Machine *m;
    Listener *l;
} Heard;

static void heard_open(Heard *h, const char *more)
{
    h->m = machine_new();
    h->l = listener_new();
    h->l->asks = true;
    cr_assert_eq(host_tree_text(h->m->host, "old", "old"), 0);
    machine_open(h->m, more);
    listener_add(h->l, h->m->disk->blk, NULL);
}

static void heard_free(Heard *h)
{
    machine_free(h->m);
    listener_free(h->l);
}

/* The first cluster of a file gets this entry in the FAT; 0: free, though the
 * file has it. */
static void set_first_cluster(Machine *m, const char *path, bool is_end)
{
    FatEntry entry;

    cr_assert(fatvol_walk(m->vol, path, &entry));
    if (is_end) {
        fatvol_link(m->vol, entry_cluster(m->vol, &entry), 0);
    } else {
        fatvol_put(m->vol, entry_cluster(m->vol, &entry), 0);
    }
    fatvol_entry_clear(&entry);
}

static void half_file(Machine *m, const char *path)
{
    guest_text(m, path, "half");
    set_first_cluster(m, path, false);
}

static void check_told(Heard *h, const char *begin, const char *part)
{
    g_autofree char *heard = listener_take(h->l);

    cr_assert(g_str_has_prefix(heard, begin), "heard\n%s", heard);
    image_check_text(heard, part);
}

/* ---- Commits ---- */

Test(writable_events, a_commit_that_had_something_to_do)
{
    Heard h;

    heard_open(&h, NULL);
    guest_text(h.m, "new", "new");
    cr_assert_eq(guest_sync(h.m, ORDER_LINUX), 0);
    listener_expect(h.l, "commit -: - (0)\n");
    cr_assert_eq(h.l->asked, 1);
    cr_assert_eq(blk_flush(h.m->disk->blk), 0);
    cr_assert_eq(blk_commit(h.m->disk->blk, false, NULL), 0);
    listener_expect(h.l, "");
    guest_delete(h.m, "old");
    guest_write_out(h.m, ORDER_LINUX);
    cr_assert_eq(blk_commit(h.m->disk->blk, true, NULL), 0);
    listener_expect(h.l, "commit -: - (0)\n");
    g_free(machine_close(h.m));
    listener_expect(h.l, "");
    heard_free(&h);
}

Test(writable_events, the_host_fails)
{
    g_autofree char *words = NULL;
    g_autofree char *line = NULL;
    Heard h;

    heard_open(&h, NULL);
    guest_text(h.m, "new", "new");
    h.m->fault->error = -ENOSPC;
    h.m->fault->calls = 0;
    h.m->fault->fail_at = 1;
    h.m->fault->fail_on = true;
    cr_assert_lt(guest_sync(h.m, ORDER_LINUX), 0);
    words = blk_strerror(-ENOSPC);
    line = g_strdup_printf("commit -: %s (%d)\n", words, -ENOSPC);
    check_told(&h, "held-back new: ", line);
    cr_assert_lt(blk_flush(h.m->disk->blk), 0);
    check_told(&h, "commit -: ", "'new' could not be committed");
    h.m->fault->fail_at = 0;
    cr_assert_eq(blk_flush(h.m->disk->blk), 0);
    listener_expect(h.l, "released new: - (0)\ncommit -: - (0)\n");
    heard_free(&h);
}

static void look_at_signals(BlockBackend *blk, const BlkEvent *event,
                            void *opaque)
{
    sigset_t *blocked = opaque;

    (void)blk;
    (void)event;
    pthread_sigmask(SIG_SETMASK, NULL, blocked);
}

Test(writable_events, the_thread_takes_no_signals_of_the_program)
{
    sigset_t here, there;
    Heard h;

    sigemptyset(&there);
    pthread_sigmask(SIG_SETMASK, NULL, &here);
    heard_open(&h, NULL);
    blk_add_event_handler(h.m->disk->blk, NULL, look_at_signals, &there, NULL);
    guest_text(h.m, "new", "new");
    cr_assert_eq(guest_sync(h.m, ORDER_LINUX), 0);
    cr_assert(!sigismember(&here, SIGTERM) && sigismember(&there, SIGTERM));
    cr_assert(sigismember(&there, SIGINT) && sigismember(&there, SIGUSR1));
    g_free(machine_close(h.m));
    heard_free(&h);
}

/* ---- What waits ---- */

Test(writable_events, held_back_and_released_once_each)
{
    g_autofree char *pending = NULL;
    Heard h;

    heard_open(&h, NULL);
    guest_mkdir(h.m, "dir");
    cr_assert_eq(guest_sync(h.m, ORDER_LINUX), 0);
    g_free(listener_take(h.l));
    half_file(h.m, "dir/half");
    cr_assert_eq(guest_sync(h.m, ORDER_LINUX), 0);
    pending = machine_facts(h.m, "pending.");
    image_check_text(pending, "pending.0.path: dir/half\n");
    check_told(&h, "held-back dir/half: ", "(0)\n");
    guest_text(h.m, "whole", "whole");
    cr_assert_eq(guest_sync(h.m, ORDER_LINUX), 0);
    listener_expect(h.l, "commit -: - (0)\n");
    set_first_cluster(h.m, "dir/half", true);
    cr_assert_eq(guest_sync(h.m, ORDER_LINUX), 0);
    listener_expect(h.l, "released dir/half: - (0)\ncommit -: - (0)\n");
    half_file(h.m, "dir/half");
    cr_assert_eq(guest_sync(h.m, ORDER_LINUX), 0);
    check_told(&h, "held-back dir/half: ", "(0)\n");
    /* It is gone: nothing waits for it any more. */
    guest_delete(h.m, "dir/half");
    cr_assert_eq(guest_sync(h.m, ORDER_LINUX), 0);
    listener_expect(h.l, "released dir/half: - (0)\ncommit -: - (0)\n");
    heard_free(&h);
}

/* ---- Conflicts ---- */

Test(writable_events, changed_on_the_host_too)
{
    g_autofree char *report = NULL;
    Heard h;

    heard_open(&h, NULL);
    memory_hostfs_set_time(h.m->host, 1700000000);
    cr_assert_eq(host_tree_text(h.m->host, "old", "the host's own"), 0);
    guest_text(h.m, "old", "the guest's");
    cr_assert_eq(guest_sync(h.m, ORDER_LINUX), 0);
    check_told(&h, "conflict old: ", "commit -: - (0)\n");
    report = machine_facts(h.m, "report.");
    image_check_text(report, "kind: conflict\n");
    guest_text(h.m, "other", "other");
    cr_assert_eq(guest_sync(h.m, ORDER_LINUX), 0);
    listener_expect(h.l, "commit -: - (0)\n");
    heard_free(&h);
}

/* ---- Suspended ---- */

Test(writable_events, suspended_and_resumed)
{
    uint8_t boot[SECTOR], other[SECTOR];
    BlockBackend *blk;
    Heard h;

    heard_open(&h, NULL);
    blk = h.m->disk->blk;
    cr_assert_eq(blk_pread(blk, 0, SECTOR, boot, 0), 0);
    memcpy(other, boot, SECTOR);
    other[13] = 2; /* sectors a cluster */
    cr_assert_eq(blk_pwrite(blk, 0, SECTOR, other, 0), 0);
    cr_assert_eq(blk_flush(blk), 0);
    check_told(&h, "suspended -: ", "format");
    guest_text(h.m, "new", "new");
    cr_assert_eq(guest_sync(h.m, ORDER_LINUX), 0);
    listener_expect(h.l, "");
    cr_assert_eq(blk_pwrite(blk, 0, SECTOR, boot, 0), 0);
    cr_assert_eq(blk_flush(blk), 0);
    listener_expect(h.l, "resumed -: - (0)\ncommit -: - (0)\n");
    heard_free(&h);
}

/* ---- The end ---- */

static char *image_of(const char *heard)
{
    const char *start = strstr(heard, "rescued ");
    const char *end = start ? strstr(start, ": ") : NULL;

    cr_assert_not_null(end, "heard\n%s", heard);
    return g_strndup(start + 8, (gsize)(end - start) - 8);
}

Test(writable_events, what_is_left_at_the_end_is_told_and_named)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *heard = NULL;
    g_autofree char *image = NULL;
    g_autofree char *fact = NULL;
    g_autofree char *pending = NULL;
    BlockBackend *blk;
    Heard h;

    heard_open(&h, NULL);
    blk = h.m->disk->blk;
    half_file(h.m, "half");
    half_file(h.m, "too");
    guest_write_out(h.m, ORDER_LINUX);
    cr_assert_eq(blk_commit(blk, true, &error), -EIO);
    heard = listener_take(h.l);
    cr_assert(g_str_has_prefix(heard, "held-back half: "), "%s", heard);
    image_check_text(heard, "\nheld-back too: ");
    image = image_of(heard);
    cr_assert(g_path_is_absolute(image));
    cr_assert(g_file_test(image, G_FILE_TEST_IS_REGULAR));
    image_check_text(error->message, image);
    fact = machine_fact(h.m, "commit.rescue");
    cr_assert_str_eq(fact, image);
    pending = machine_facts(h.m, "pending.");
    image_check_text(pending, "pending.0.path: half\npending.0.reason: ");
    image_check_text(pending, "pending.1.path: too\npending.1.reason: ");
    /* Asked again, and closed, there is nothing more to tell. */
    cr_assert_eq(blk_commit(blk, true, NULL), 0);
    cr_assert_eq(blk_flush(blk), 0);
    cr_assert_eq(blk_pwrite(blk, 0, 1, "x", 0), -ESHUTDOWN);
    g_free(machine_close(h.m));
    listener_expect(h.l, "");
    cr_assert_eq(h.l->destroyed, 1);
    heard_free(&h);
}

Test(writable_events, closing_tells_what_it_rescues)
{
    g_autoptr(AioContext) ctx = aio_context_new(1, NULL);
    g_autoptr(Listener) later = listener_new();
    g_autofree char *heard = NULL;
    g_autofree char *same = NULL;
    g_autofree char *image = NULL;
    Heard h;

    heard_open(&h, NULL);
    listener_add(later, h.m->disk->blk, ctx);
    half_file(h.m, "half");
    guest_write_out(h.m, ORDER_LINUX);
    fatvol_free(g_steal_pointer(&h.m->vol));
    disk_free(g_steal_pointer(&h.m->disk));
    heard = listener_take(h.l);
    cr_assert(g_str_has_prefix(heard, "closed held-back half: "), "%s", heard);
    image = image_of(heard);
    cr_assert(g_file_test(image, G_FILE_TEST_IS_REGULAR));
    while (aio_context_dispatch(ctx)) {
    }
    same = listener_take(later);
    cr_assert_str_eq(same, heard);
    heard_free(&h);
}

/* Neither beside the directory nor among temporary files. */
Test(writable_events, nothing_can_be_rescued)
{
    g_autofree char *tmp = image_path("tmp");
    g_autofree char *heard = NULL;
    Heard h;

    cr_assert_eq(g_mkdir(tmp, 0755), 0);
    g_setenv("TMPDIR", tmp, TRUE);
    heard_open(&h, NULL);
    half_file(h.m, "half");
    guest_write_out(h.m, ORDER_LINUX);
    image_dir_fini();
    fatvol_free(g_steal_pointer(&h.m->vol));
    disk_free(g_steal_pointer(&h.m->disk));
    heard = listener_take(h.l);
    image_check_text(heard, "closed rescued -: no image could be made");
    image_check_text(heard, "(-2)\n");
    heard_free(&h);
    image_dir_init(); /* for the fixture to remove */
}

static int count_lines(const char *text, const char *end)
{
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    int n = 0;

    for (char **line = lines; *line; line++) {
        n += g_str_has_suffix(*line, end);
    }
    return n;
}

#define MANY_DIRS 11
#define MANY_FILES 100 /* in each */

/* All of it is named, however much it is. */
Test(writable_events, nothing_was_committed)
{
    g_autofree char *heard = NULL;
    g_autofree char *pending = NULL;
    Heard h;

    heard_open(&h, "commit=manual,size=2M,cluster-size=512");
    h.l->asks = false;
    for (int d = 0; d < MANY_DIRS; d++) {
        g_autofree char *dir = g_strdup_printf("d%d", d);

        guest_mkdir(h.m, dir);
        for (int i = 0; i < MANY_FILES; i++) {
            g_autofree char *path = g_strdup_printf("d%d/a%d", d, i);

            guest_text(h.m, path, "");
        }
    }
    guest_write_out(h.m, ORDER_LINUX);
    cr_assert_eq(blk_flush(h.m->disk->blk), 0);
    listener_expect(h.l, "");
    cr_assert_eq(blk_commit(h.m->disk->blk, true, NULL), -EIO);
    heard = listener_take(h.l);
    pending = machine_facts(h.m, "pending.");
    cr_assert_eq(count_lines(heard, ": it was not committed yet (0)"),
                 MANY_DIRS * (MANY_FILES + 1));
    cr_assert_eq(count_lines(pending, ": it was not committed yet"),
                 MANY_DIRS * (MANY_FILES + 1));
    heard_free(&h);
}

/* ---- A directory by a relative name ---- */

Test(writable_events, the_rescue_image_is_beside_the_directory)
{
    g_autofree char *dir = image_path("dir");
    g_autofree char *elsewhere = image_path("elsewhere");
    g_autofree char *image = NULL;
    g_autofree char *heard = NULL;
    g_autofree char *parent = NULL;
    Machine m = { 0 };
    g_autoptr(Listener) l = listener_new();
    char *why = NULL;

    cr_assert(g_mkdir(dir, 0755) == 0 && g_mkdir(elsewhere, 0755) == 0);
    cr_assert_eq(chdir(image_dir), 0);
    m.disk = disk_new(image_open(BDRV_O_RDWR,
                                 "driver=vvfat,dir=dir,rw=on,fat-type=12,"
                                 "size=1M,partition=none"),
                      &why);
    m.vol = fatvol_open(m.disk, &why);
    cr_assert_not_null(m.vol);
    listener_add(l, m.disk->blk, NULL);
    half_file(&m, "half");
    guest_write_out(&m, ORDER_LINUX);
    cr_assert_eq(chdir(elsewhere), 0);
    fatvol_free(m.vol);
    disk_free(m.disk);
    heard = listener_take(l);
    image = image_of(heard);
    parent = g_path_get_dirname(image);
    cr_assert_str_eq(parent, image_dir);
    cr_assert(g_file_test(image, G_FILE_TEST_IS_REGULAR));
    cr_assert_eq(chdir("/"), 0);
}
