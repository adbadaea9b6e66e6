/* SPDX-License-Identifier: MIT */
/*
 * The last commit beside requests: what was written before it is in the
 * directory, kept, or reported as lost to whoever asks; what comes after it is
 * refused.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>

#include "image-fixture.h"
#include "tests/unit/host-tree.h"
#include "tests/unit/machine.h"

#define BYTES 24000
#define LATER 50000 /* microseconds: for others to begin to wait */

TestSuite(writable_finish, .init = image_dir_init, .fini = image_dir_fini,
          .timeout = 60);

/* Beside each other, on a thread each. */
typedef struct Beside {
    Machine *m;
    bool has_begun;
    int64_t at; /* of a file's bytes on the disk */
    GThread *writing, *flushing, *finishing;
    int written, flushed, finished;
} Beside;

static gpointer write_run(gpointer opaque)
{
    Beside *b = opaque;
    g_autofree char *bytes = g_malloc(BYTES);

    memset(bytes, 'N', BYTES);
    b->written = blk_pwrite(b->m->disk->blk, b->at, BYTES, bytes, 0);
    return NULL;
}

static gpointer flush_run(gpointer opaque)
{
    Beside *b = opaque;

    b->flushed = blk_flush(b->m->disk->blk);
    return NULL;
}

static gpointer finish_run(gpointer opaque)
{
    Beside *b = opaque;

    b->finished = blk_commit(b->m->disk->blk, true, NULL);
    return NULL;
}

static void join(Beside *b)
{
    GThread *const threads[] = { b->writing, b->flushing, b->finishing };

    for (size_t i = 0; i < G_N_ELEMENTS(threads); i++) {
        if (threads[i]) {
            g_thread_join(threads[i]);
        }
    }
}

static void break_host(Machine *m)
{
    m->fault->kinds = HOST_CALL_CHANGE;
    m->fault->error = -ENOSPC;
    m->fault->calls = 0;
    m->fault->fail_at = 1;
    m->fault->fail_on = true;
}

/* ---- A write that waits for room ---- */

static int64_t find_bytes(Machine *m, const char *path)
{
    FatEntry entry;
    int64_t at;

    cr_assert(fatvol_walk(m->vol, path, &entry));
    at = fatvol_cluster_at(m->vol, entry_cluster(m->vol, &entry));
    fatvol_entry_clear(&entry);
    return at;
}

/* In the middle of a commit: the write and the end both wait for it. */
static void write_and_finish(int n, void *opaque)
{
    Beside *b = opaque;

    (void)n;
    if (b->has_begun) {
        return;
    }
    b->has_begun = true;
    b->writing = g_thread_new("write", write_run, b);
    g_usleep(LATER);
    b->finishing = g_thread_new("finish", finish_run, b);
    g_usleep(LATER);
}

Test(writable_finish, a_write_that_waited_for_room_is_there_or_refused)
{
    Beside b = { .m = machine_new() };
    g_autofree char *old = g_strnfill(BYTES, 'o');
    g_autofree char *now = NULL;

    cr_assert_eq(host_tree_text(b.m->host, "file", old), 0);
    machine_open(b.m, "overlay-max=32k");
    b.at = find_bytes(b.m, "file");
    guest_fill(b.m, "other", 20000, 'x');
    guest_write_out(b.m, ORDER_LINUX);
    b.m->fault->kinds = HOST_CALL_CHANGE;
    b.m->fault->opaque = &b;
    b.m->fault->on_call = write_and_finish;
    cr_assert_leq(blk_flush(b.m->disk->blk), 0);
    join(&b);
    b.m->fault->on_call = NULL;
    cr_assert_eq(b.finished, 0);
    now = host_tree_read(b.m->host, "file", NULL);
    if (b.written == 0) {
        cr_assert_eq(strspn(now, "N"), BYTES, "a write is nowhere");
    } else {
        image_check_io(b.written, -ESHUTDOWN, "");
        cr_assert_str_eq(now, old);
    }
    machine_free(b.m);
}

/* ---- A write of two parts ---- */

#define CLUSTER 4096
#define FIRST 512 /* a part of a cluster; then there is a whole one */

/* While the first part is written. */
static void finish_beside(int n, void *opaque)
{
    Beside *b = opaque;

    (void)n;
    if (!b->has_begun) {
        b->has_begun = true;
        b->finishing = g_thread_new("finish", finish_run, b);
        g_usleep(LATER);
    }
}

Test(writable_finish, a_write_that_was_under_way_is_there_or_refused)
{
    Beside b = { .m = machine_new() };
    g_autofree char *old = g_strnfill(BYTES, 'o');
    g_autofree char *now = NULL;
    const char zeroes[2 * CLUSTER] = { 0 };

    cr_assert_eq(host_tree_text(b.m->host, "file", old), 0);
    machine_open(b.m, "cluster-size=4096");
    b.at = find_bytes(b.m, "file");
    b.m->fault->kinds = HOST_CALL_READ;
    b.m->fault->opaque = &b;
    b.m->fault->on_call = finish_beside;
    b.written = blk_pwrite_zeroes(b.m->disk->blk, b.at + FIRST,
                                  sizeof(zeroes) - FIRST, 0);
    cr_assert(b.has_begun);
    join(&b);
    b.m->fault->on_call = NULL;
    cr_assert_eq(b.finished, 0);
    now = host_tree_read(b.m->host, "file", NULL);
    if (b.written == 0) {
        cr_assert_arr_eq(now + FIRST, zeroes, sizeof(zeroes) - FIRST,
                         "a write is nowhere");
    } else {
        cr_assert_eq(b.written, -ESHUTDOWN);
    }
    machine_free(b.m);
}

/* ---- Those who ask meanwhile ---- */

static void flush_and_finish(int n, void *opaque)
{
    Beside *b = opaque;

    (void)n;
    if (!b->has_begun) {
        b->has_begun = true;
        b->flushing = g_thread_new("flush", flush_run, b);
        b->finishing = g_thread_new("finish", finish_run, b);
    }
}

/* A new file on a host that fails; a flush, and the end once more, come while
 * the last commit finds that out. Its complaint; g_free(). */
static char *finish_in_vain(Beside *b)
{
    g_autoptr(GError) error = NULL;

    break_host(b->m);
    b->m->fault->opaque = b;
    b->m->fault->on_call = flush_and_finish;
    cr_assert_eq(blk_commit(b->m->disk->blk, true, &error), -EIO);
    join(b);
    b->m->fault->on_call = NULL;
    return g_strdup(error->message);
}

static void open_with_a_new_file(Beside *b, const char *more)
{
    b->m = machine_new();
    machine_open(b->m, more);
    guest_text(b->m, "new", "new");
    guest_write_out(b->m, ORDER_LINUX);
}

static void check_what_is_lost(const char *policy)
{
    g_autofree char *tmp = image_path("tmp");
    g_autofree char *words = NULL;
    Beside b = { 0 };

    cr_assert_eq(g_mkdir(tmp, 0755), 0);
    g_setenv("TMPDIR", tmp, TRUE);
    open_with_a_new_file(&b, policy);
    image_dir_fini(); /* neither there nor beside the directory */
    words = finish_in_vain(&b);
    image_check_text(words, "Could not create '");
    cr_assert_eq(b.flushed, -EIO);
    cr_assert_eq(b.finished, -EIO);
    image_check_io(blk_flush(b.m->disk->blk), -EIO, "Could not create '");
    cr_assert_eq(blk_pwrite(b.m->disk->blk, 0, 1, "x", 0), -ESHUTDOWN);

    /* There is another attempt, and no need of it then. */
    b.m->fault->fail_at = 0;
    cr_assert_eq(blk_commit(b.m->disk->blk, false, NULL), 0);
    cr_assert_eq(blk_flush(b.m->disk->blk), 0);
    machine_check_same(b.m, "%s", policy);
    cr_assert_eq(blk_pwrite(b.m->disk->blk, 0, 1, "x", 0), -ESHUTDOWN);
    machine_free(b.m);
    image_dir_init(); /* for the fixture to remove */
}

Test(writable_finish, what_is_lost_with_the_last_commit_is_told_to_all)
{
    check_what_is_lost("commit=flush");
}

Test(writable_finish, and_so_it_is_where_flushing_commits_nothing)
{
    check_what_is_lost("commit=close");
}

Test(writable_finish, what_is_kept_in_an_image_is_flushed)
{
    g_autofree char *words = NULL;
    g_autofree char *image = NULL;
    Beside b = { 0 };

    open_with_a_new_file(&b, NULL);
    words = finish_in_vain(&b);
    image = machine_fact(b.m, "commit.rescue");
    image_check_text(words, image);
    cr_assert_eq(b.flushed, 0);
    cr_assert_eq(b.finished, 0);
    cr_assert_eq(blk_flush(b.m->disk->blk), 0);
    machine_free(b.m);
}
