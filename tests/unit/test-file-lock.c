/* SPDX-License-Identifier: MIT */
/* Image locks: within a process, between processes, and with QEMU. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/image-fixture.h"

TestSuite(file_lock, .init = image_dir_init, .fini = image_dir_fini);

#define RW (BDRV_O_RDWR | BDRV_O_RESIZE)
#define NODE "driver=file,filename=%D/x"

/* An image that is open until the end of the block. */
#define HOLD(name, flags, options)                                            \
    G_GNUC_UNUSED g_autoptr(BlockBackend) name = image_open(flags, options)

static void check_in_use(unsigned flags, const char *lock, const char *remedy)
{
    g_autofree char *error = image_open_error(flags, NODE);

    image_check_text(error, lock);
    image_check_text(error, "Is another process using the image");
    image_check_text(error, remedy);
}

Test(file_lock, readers_share)
{
    image_make("x", 4096, 1);
    HOLD(one, 0, NODE);
    HOLD(two, 0, NODE);
}

Test(file_lock, a_writer_keeps_others_out)
{
    image_make("x", 4096, 1);
    HOLD(blk, RW, NODE);

    check_in_use(RW, "\"write\" lock", "closed there first");
    check_in_use(0, "shared \"write\" lock", "-U");
    g_autoptr(BlockBackend) forced = image_open(BDRV_O_FORCE_SHARE, NODE);
    cr_assert_eq(blk_getlength(forced), 4096);
}

Test(file_lock, a_reader_keeps_writers_out_until_it_closes)
{
    image_make("x", 4096, 1);
    BlockBackend *reader = image_open(0, NODE);

    check_in_use(RW, "Failed to get \"write\" lock", "closed there first");
    blk_close(reader);
    HOLD(blk, RW, NODE);
}

Test(file_lock, reopening_changes_the_locks)
{
    g_autoptr(GError) error = NULL;

    image_make("x", 4096, 1);
    g_autoptr(BlockBackend) blk = image_open(BDRV_O_RDWR, NODE);
    cr_assert(blk_set_read_only(blk, true, &error));
    BlockBackend *reader = image_open(0, NODE);

    cr_assert(!blk_set_read_only(blk, false, &error));
    image_check_text(error->message, "Failed to get \"write\" lock");
    g_clear_error(&error);
    blk_close(reader);
    cr_assert(blk_set_read_only(blk, false, &error));
    check_in_use(0, "shared \"write\" lock", "-U");
}

Test(file_lock, locking_can_be_turned_off)
{
    image_make("x", 4096, 1);
    HOLD(blk, RW, NODE);
    HOLD(off, RW, NODE ",locking=off");

    check_in_use(0, "\"write\" lock", "-U");
}

Test(file_lock, locking_can_be_demanded)
{
    image_make("x", 4096, 1);
    HOLD(blk, RW, NODE ",locking=on");

    check_in_use(0, "\"write\" lock", "-U");
}

Test(file_lock, between_processes)
{
    int ready[2], done[2], status;
    char byte;

    image_make("x", 4096, 1);
    cr_assert_eq(pipe(ready), 0);
    cr_assert_eq(pipe(done), 0);
    pid_t pid = fork();
    if (pid == 0) {
        close(done[1]);
        BlockBackend *blk = image_open(RW, NODE);
        (void)!write(ready[1], "x", 1);
        (void)!read(done[0], &byte, 1);
        blk_close(blk);
        _exit(0);
    }
    cr_assert_eq(read(ready[0], &byte, 1), 1);
    check_in_use(RW, "\"write\" lock", "closed there first");
    close(done[1]);
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert_eq(status, 0);
    HOLD(blk, RW, NODE);
}

/* Any thread may start a program: for a moment there is a process that has all
 * descriptors, and with them the locks. */
Test(file_lock, a_process_being_started_keeps_no_lock)
{
    int done[2];
    char byte;

    image_make("x", 4096, 1);
    cr_assert_eq(pipe(done), 0);
    BlockBackend *first = image_open(RW, NODE);
    pid_t pid = fork();
    if (pid == 0) {
        close(done[1]);
        (void)!read(done[0], &byte, 1);
        _exit(0);
    }
    blk_close(first);
    HOLD(blk, RW, NODE);
    close(done[1]);
    cr_assert_eq(waitpid(pid, NULL, 0), pid);
}

/* ---- With QEMU's tools ---- */

static void need_qemu_io(void)
{
    int status;

    g_free(image_shell(&status, "command -v qemu-io"));
    if (status != 0) {
        cr_skip_test("needs qemu-io (qemu-utils)");
    }
}

/* What qemu-io says when it opens the image and does `command`. */
static char *qemu_io(const char *flags, const char *command)
{
    int status;

    return image_shell(&status, "qemu-io %s -f raw -c '%s' x", flags, command);
}

Test(file_lock, qemu_sees_our_writer)
{
    need_qemu_io();
    image_make("x", 4096, 1);
    HOLD(blk, RW, NODE);
    g_autofree char *out = qemu_io("", "write 0 512");
    cr_assert(image_holds("x", 0, 4096, 1, 0), "%s", out);
    image_check_text(out, "Failed to get \"write\" lock");
}

Test(file_lock, qemu_sees_our_reader)
{
    need_qemu_io();
    image_make("x", 4096, 1);
    HOLD(blk, 0, NODE);
    g_autofree char *out = qemu_io("", "write 0 512");
    image_check_text(out, "Failed to get \"write\" lock");
    g_autofree char *read_only = qemu_io("-r", "read 0 512");
    image_check_text(read_only, "read 512/512 bytes");
}

Test(file_lock, we_see_qemus_writer)
{
    gint in;
    GPid pid;
    g_autofree char *path = image_path("x");
    const char *argv[] = { "qemu-io", "-f", "raw", path, NULL };

    need_qemu_io();
    image_make("x", 4096, 1);
    cr_assert(g_spawn_async_with_pipes(
        NULL, (char **)argv, NULL,
        G_SPAWN_SEARCH_PATH | G_SPAWN_DO_NOT_REAP_CHILD |
            G_SPAWN_STDOUT_TO_DEV_NULL,
        NULL, NULL, &pid, &in, NULL, NULL, NULL));
    /* It is open once the locks show. */
    for (int i = 0; i < 500; i++) {
        int status;
        g_free(image_shell(&status, "grep OFDLCK /proc/locks | "
                                    "grep -q \":$(stat -c %%i x) \""));
        if (status == 0) {
            break;
        }
        g_usleep(10000);
    }
    check_in_use(RW, "shared \"", "closed there first");
    check_in_use(0, "shared \"write\" lock", "-U");
    g_autoptr(BlockBackend) forced = image_open(BDRV_O_FORCE_SHARE, NODE);

    close(in);
    waitpid(pid, NULL, 0);
    blk_close(g_steal_pointer(&forced));
    HOLD(blk, RW, NODE);
}
