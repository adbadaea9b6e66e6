/* SPDX-License-Identifier: MIT */
/*
 * The host removes directories that the guest has moved things out of. What
 * was in them is lost: the guest gets errors for it, never other bytes, and
 * everything else goes on.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "image-fixture.h"
#include "tests/unit/host-tree.h"
#include "tests/unit/machine.h"

TestSuite(writable_gone, .init = image_dir_init, .fini = image_dir_fini);

/* More than the driver keeps open: those that were read before are closed. */
#define READ_LATER 150

static void make_read_later(HostFs *fs)
{
    for (int i = 0; i < READ_LATER; i++) {
        g_autofree char *name = g_strdup_printf("later/%d", i);

        cr_assert_eq(host_tree_text(fs, name, name), 0);
    }
}

static Machine *start(const char *options)
{
    Machine *m = machine_new();
    char text[1200];

    make_read_later(m->host);
    memset(text, 'f', sizeof(text));
    cr_assert_eq(host_tree_file(m->host, "dir/file", text, sizeof(text)), 0);
    cr_assert_eq(host_tree_text(m->host, "dir/below/in", "what is in it"), 0);
    cr_assert_eq(host_tree_text(m->host, "dir/below/more/deep", "deep"), 0);
    cr_assert_eq(host_tree_text(m->host, "other", "another one"), 0);
    machine_open(m, options);
    return m;
}

/* What the disk has at the first cluster of a file. */
static int64_t place_of(Machine *m, const char *path)
{
    FatEntry entry;
    int64_t offset;

    cr_assert(fatvol_walk(m->vol, path, &entry));
    offset = fatvol_cluster_at(m->vol, entry_cluster(m->vol, &entry));
    fatvol_entry_clear(&entry);
    return offset;
}

static int read_device(BlockBackend *blk, int64_t offset)
{
    char sector[SECTOR];

    return blk_pread(blk, offset, SECTOR, sector, 0);
}

static int read_at(Machine *m, int64_t offset)
{
    return read_device(m->disk->blk, offset);
}

/* Nothing of the guest's waits, and nothing on the disk is lost. */
static void check_goes_on(Machine *m)
{
    g_autofree uint8_t *all = g_malloc((gsize)m->disk->size);
    g_autofree char *words = NULL;

    guest_text(m, "new", "what comes after");
    cr_assert_eq(guest_sync(m, ORDER_LINUX), 0);
    machine_check_same(m, "afterwards");
    cr_assert_eq(blk_pread(m->disk->blk, 0, m->disk->size, all, 0), 0);
    words = machine_close(m);
    cr_assert_null(words, "%s", words);
}

/* lost: a file in what is moved. */
static void check_moved_out(const char *from, const char *lost)
{
    g_autoptr(Machine) m = start(NULL);
    int64_t at = place_of(m, lost);

    guest_move(m, from, "moved");
    guest_delete(m, "dir");
    cr_assert_eq(host_tree_remove(m->host, "dir"), 0);
    cr_assert_eq(guest_sync(m, ORDER_LINUX), 0);
    cr_assert_eq(read_at(m, at), -EIO);
    guest_delete(m, "moved");
    cr_assert_eq(guest_sync(m, ORDER_LINUX), 0);
    cr_assert_eq(read_at(m, at), 0);
    check_goes_on(m);
}

Test(writable_gone, file_that_was_moved_out)
{
    check_moved_out("dir/file", "dir/file");
}

/* It goes with what is in it, though that was not changed. */
Test(writable_gone, directory_that_was_moved_out)
{
    check_moved_out("dir/below", "dir/below/more/deep");
}

/* Files that are written anew get the directory back. */
Test(writable_gone, directory_that_is_made_again)
{
    g_autoptr(Machine) m = start(NULL);
    g_autofree char *pending = NULL;

    guest_move(m, "dir/below", "moved");
    guest_delete(m, "dir");
    cr_assert_eq(host_tree_remove(m->host, "dir"), 0);
    cr_assert_leq(guest_sync(m, ORDER_LINUX), 0);
    guest_time(m, "other", 1500000000);
    cr_assert_eq(guest_sync(m, ORDER_LINUX), 0);
    pending = machine_facts(m, "pending.");
    cr_assert(strstr(pending, "moved/in"), "%s", pending);
    cr_assert(strstr(pending, "moved/more/deep"), "%s", pending);
    guest_text(m, "moved/in", "written anew");
    guest_delete(m, "moved/more");
    cr_assert_eq(guest_sync(m, ORDER_LINUX), 0);
    check_goes_on(m);
}

/* A file that the guest puts together of clusters of a lost one. */
Test(writable_gone, clusters_that_another_file_has_now)
{
    g_autoptr(Machine) m = start(NULL);
    int64_t at = place_of(m, "dir/file");
    FatEntry entry;
    size_t bytes;

    guest_move(m, "dir/file", "moved");
    guest_delete(m, "dir");
    cr_assert_eq(host_tree_remove(m->host, "dir"), 0);
    cr_assert_eq(guest_sync(m, ORDER_LINUX), 0);
    guest_put(m, "moved", 0, "the first cluster is the guest's now");
    guest_move(m, "moved", "another file");
    cr_assert(fatvol_walk(m->vol, "another file", &entry));
    entry.raw[E_CREATED_TIME] ^= 1;
    entry_touch(m->vol, &entry);
    fatvol_entry_clear(&entry);
    cr_assert_eq(guest_sync(m, ORDER_LINUX), 0);
    cr_assert_eq(read_at(m, at), 0);
    cr_assert_eq(read_at(m, at + SECTOR), -EIO);
    cr_assert_null(host_tree_read(m->host, "another file", &bytes));
    guest_delete(m, "another file");
    cr_assert_eq(guest_sync(m, ORDER_LINUX), 0);
}

/* ---- With an overlay that is kept ---- */

#define KEPT "overlay=%D/overlay.qcow2"

/* It still is an error, and not a file of zeroes, when the overlay is opened
 * again; and it can be opened. */
static void check_kept(void (*change)(Machine *m), const char *lost)
{
    g_autoptr(Machine) m = start(KEPT);
    g_autofree char *host = NULL;
    int64_t at = place_of(m, lost);

    change(m);
    guest_delete(m, "dir");
    cr_assert_eq(host_tree_remove(m->host, "dir"), 0);
    cr_assert_eq(guest_sync(m, ORDER_LINUX), 0);
    g_free(machine_close(m));
    for (int i = 0; i < 3; i++) {
        BlockBackend *blk = machine_open_device(m, KEPT);

        cr_assert_eq(read_device(blk, at), -EIO);
        cr_assert_eq(blk_commit(blk, false, NULL), 0);
        cr_assert_eq(read_device(blk, at), -EIO);
        blk_close(blk);
    }
    host = machine_host_dump(m->host);
    cr_assert_null(strstr(host, " 'deep'"), "%s", host);
    cr_assert_null(strstr(host, "moved 1"), "%s", host);
}

static void move_file(Machine *m)
{
    guest_move(m, "dir/file", "moved");
}

Test(writable_gone, file_in_a_kept_overlay)
{
    check_kept(move_file, "dir/file");
}

static void move_directory(Machine *m)
{
    guest_move(m, "dir/below", "moved");
}

Test(writable_gone, directory_in_a_kept_overlay)
{
    check_kept(move_directory, "dir/below/more/deep");
}

/* ---- A directory that the guest goes on with ---- */

static void check_new(HostFs *host, const char *path, const char *text)
{
    size_t bytes;
    g_autofree char *found = host_tree_read(host, path, &bytes);

    cr_assert_str_eq(found ? found : "(none)", text, "%s", path);
}

/* What the guest puts there arrives, and nothing waits for it. */
static void check_made_again(const char *options, bool is_replaced)
{
    g_autoptr(Machine) m = start(options);
    g_autofree char *pending = NULL;

    guest_text(m, "dir/below/more/new", "of the guest");
    guest_mkdir(m, "dir/fresh");
    cr_assert_eq(host_tree_remove(m->host, "dir"), 0);
    if (is_replaced) {
        cr_assert_eq(host_tree_text(m->host, "dir/new", "of the host"), 0);
    }
    cr_assert_eq(guest_sync(m, ORDER_LINUX), 0);
    check_new(m->host, "dir/below/more/new", "of the guest");
    check_new(m->host, "dir/new", is_replaced ? "of the host" : "(none)");
    pending = machine_facts(m, "pending.");
    cr_assert_str_eq(pending, "");
    guest_text(m, "dir/fresh/later", "and goes on");
    guest_delete(m, "dir/below");
    cr_assert_eq(guest_sync(m, ORDER_LINUX), 0);
    check_new(m->host, "dir/fresh/later", "and goes on");
    check_new(m->host, "dir/below/more/new", "(none)");
    g_free(machine_close(m));
    if (options) {
        BlockBackend *blk = machine_open_device(m, options);

        cr_assert_eq(blk_commit(blk, false, NULL), 0);
        blk_close(blk);
    }
    check_new(m->host, "dir/fresh/later", "and goes on");
}

Test(writable_gone, directory_that_gets_a_new_file)
{
    check_made_again(NULL, false);
    check_made_again(KEPT, false);
}

Test(writable_gone, directory_that_is_another_one)
{
    check_made_again(NULL, true);
    check_made_again(KEPT, true);
}

/* A file has its name: nothing of it is touched, and nothing is lost. */
Test(writable_gone, directory_that_is_a_file)
{
    g_autoptr(Machine) m = start(NULL);
    g_autofree char *words = NULL;

    guest_text(m, "dir/new", "of the guest");
    cr_assert_eq(host_tree_remove(m->host, "dir"), 0);
    cr_assert_eq(host_tree_text(m->host, "dir", "of the host"), 0);
    cr_assert_lt(guest_sync(m, ORDER_LINUX), 0);
    guest_text(m, "elsewhere", "goes on");
    cr_assert_lt(guest_sync(m, ORDER_LINUX), 0);
    check_new(m->host, "dir", "of the host");
    check_new(m->host, "elsewhere", "goes on");
    words = machine_close(m);
    cr_assert(words && strstr(words, "dir/new"), "%s", words);
}
