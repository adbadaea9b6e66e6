/* SPDX-License-Identifier: MIT */
/* Reopening, blockers, events, and what else an open node does. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "tests/unit/core-fixture.h"

TestSuite(core_reopen, .init = core_init);

/* ---- Read-only and back ---- */

Test(core_reopen, there_and_back)
{
    g_autoptr(BlockBackend) blk = core_open(BDRV_O_RDWR | BDRV_O_RESIZE,
                                            "driver=raw,file.driver=mem");
    MemDisk *disk = core_disk(blk);
    const unsigned rw = BLK_PERM_CONSISTENT_READ | BLK_PERM_WRITE |
                        BLK_PERM_RESIZE;

    cr_assert_eq(disk->perm, rw);
    cr_assert_eq(blk_pwrite(blk, 0, 1, "x", 0), 0);
    cr_assert(blk_set_read_only(blk, true, NULL));
    core_expect(disk, "W0+1 F");
    cr_assert(blk_is_read_only(blk));
    cr_assert_eq(disk->perm, BLK_PERM_CONSISTENT_READ);
    cr_assert_eq(disk->prepared, 1);
    cr_assert_eq(disk->committed, 1);
    cr_assert_eq(blk_pwrite(blk, 0, 1, "x", 0), -EACCES);
    cr_assert(blk_set_read_only(blk, true, NULL));
    cr_assert_eq(disk->prepared, 1);
    cr_assert(blk_set_read_only(blk, false, NULL));
    cr_assert_eq(disk->perm, rw);
    cr_assert_eq(disk->committed, 2);
    cr_assert_eq(blk_pwrite(blk, 0, 1, "x", 0), 0);
    cr_assert_eq(blk_truncate(blk, 100, false, PREALLOC_MODE_OFF, NULL), 0);
}

/* The backend and its nodes are as they were, and work. */
static void check_still_writable(BlockBackend *blk)
{
    cr_assert(!blk_is_read_only(blk));
    cr_assert(core_disk(blk)->perm & BLK_PERM_WRITE);
    cr_assert_eq(blk_pwrite(blk, 0, 1, "x", 0), 0);
}

Test(core_reopen, a_driver_that_refuses)
{
    g_autoptr(BlockBackend)
        blk = core_open(BDRV_O_RDWR, "driver=raw,file.driver=mem");
    MemDisk *disk = core_disk(blk);
    g_autoptr(GError) error = NULL;

    disk->refuse_reopen = true;
    cr_assert(!blk_set_read_only(blk, true, &error));
    cr_assert_str_eq(error->message, "mem does not reopen");
    cr_assert_eq(disk->aborted, 0);
    check_still_writable(blk);
}

Test(core_reopen, a_permission_that_is_refused)
{
    g_autoptr(BlockBackend)
        blk = core_open(BDRV_O_RDWR, "driver=raw,file.driver=mem");
    MemDisk *disk = core_disk(blk);
    g_autoptr(GError) error = NULL;

    disk->refuse_perm = true;
    cr_assert(!blk_set_read_only(blk, true, &error));
    cr_assert_str_eq(error->message, "mem is locked");
    cr_assert_eq(disk->aborted, 1);
    cr_assert_eq(disk->committed, 0);
    check_still_writable(blk);
}

Test(core_reopen, a_flush_that_fails)
{
    g_autoptr(BlockBackend) blk = core_open(BDRV_O_RDWR, "driver=mem");
    MemDisk *disk = core_disk(blk);
    g_autoptr(GError) error = NULL;

    cr_assert_eq(blk_pwrite(blk, 0, 1, "x", 0), 0);
    disk->fail[MEM_FLUSH] = EIO;
    cr_assert(!blk_set_read_only(blk, true, &error));
    core_check_text(error->message, "Could not flush before reopening");
    check_still_writable(blk);
}

Test(core_reopen, options_of_a_child_have_the_last_word)
{
    g_autoptr(BlockBackend)
        blk = core_open(0, "driver=raw,file.driver=mem,file.read-only=on");
    g_autoptr(GError) error = NULL;

    cr_assert(!blk_set_read_only(blk, false, &error));
    core_check_text(error->message, "is read-only");
    cr_assert(blk_is_read_only(blk));
    cr_assert_eq(core_disk(blk)->prepared, 0);
}

Test(core_reopen, who_shares_everything_does_not_write)
{
    g_autoptr(BlockBackend)
        blk = core_open(BDRV_O_FORCE_SHARE, "driver=raw,file.driver=mem");
    g_autoptr(GError) error = NULL;

    cr_assert(!blk_set_read_only(blk, false, &error));
    core_check_text(error->message, "force-share=on");
    cr_assert(blk_is_read_only(blk));
    cr_assert_eq(blk_pwrite(blk, 0, 1, "x", 0), -EACCES);
}

Test(core_reopen, a_driver_without_help_cannot_become_writable)
{
    g_autoptr(BlockBackend) blk = core_open(BDRV_O_RDWR, "driver=null");
    g_autoptr(GError) error = NULL;

    cr_assert(blk_set_read_only(blk, true, &error));
    cr_assert_eq(blk_pwrite(blk, 0, 1, "x", 0), -EACCES);
    cr_assert(!blk_set_read_only(blk, false, &error));
    core_check_text(error->message, "cannot become writable");
}

Test(core_reopen, another_user_is_in_the_way)
{
    g_autoptr(BlockBackend)
        reader = core_open(0, "driver=mem,node-name=disk,read-only=off");
    g_autoptr(BlockBackend) blk = core_open(0, "driver=raw,file=disk");
    g_autoptr(GError) error = NULL;

    cr_assert(!blk_set_read_only(blk, false, &error));
    core_check_text(error->message, "by a block device as 'root', which does "
                                    "not allow 'write' on node 'disk'");
    cr_assert(blk_is_read_only(blk));
    blk_close(g_steal_pointer(&reader));
    cr_assert(blk_set_read_only(blk, false, NULL));
    cr_assert_eq(blk_pwrite(blk, 0, 1, "x", 0), 0);
}

/* ---- Blockers ---- */

static void check_blockers(BlockBackend *blk, const char *wanted)
{
    g_auto(GStrv) reasons = blk_get_state_save_blockers(blk);
    g_autofree char *text = g_strjoinv("|", reasons);

    cr_assert_str_eq(text, wanted);
}

Test(core_reopen, blockers_of_every_node_below)
{
    g_autoptr(BlockBackend) disk = core_open(0, "driver=mem,node-name=disk");
    g_autoptr(BlockBackend)
        blk = core_open(0, "driver=cow,file=disk,backing=disk");

    check_blockers(blk, "");
    unsigned a = bdrv_add_state_save_blocker(blk_bs(disk), "writes to a dir");
    unsigned b = bdrv_add_state_save_blocker(blk_bs(blk), "encrypted");
    unsigned c = bdrv_add_state_save_blocker(blk_bs(blk), "in a snapshot");
    cr_assert_neq(b, c);
    check_blockers(blk, "encrypted|in a snapshot|writes to a dir");
    check_blockers(disk, "writes to a dir");
    bdrv_remove_state_save_blocker(blk_bs(blk), b);
    bdrv_remove_state_save_blocker(blk_bs(blk), b);
    check_blockers(blk, "in a snapshot|writes to a dir");
    bdrv_remove_state_save_blocker(blk_bs(disk), a);
    check_blockers(blk, "in a snapshot");
}

/* ---- Events ---- */

Test(core_reopen, events_reach_blkdebug_above_and_below)
{
    g_autoptr(BlockBackend) above =
        core_open(0, "driver=blkdebug,inject-error.0.event=hit,"
                     "inject-error.0.iotype=read,inject-error.0.once=on,"
                     "image.driver=raw,image.file.driver=mem,"
                     "image.file.node-name=disk");
    g_autoptr(BlockBackend) below = core_open(
        0, "driver=raw,file.driver=blkdebug,"
           "file.inject-error.0.event=hit,file.inject-error.0.once=on,"
           "file.inject-error.0.iotype=read,file.image.driver=mem");
    BlockDriverState *raw = bdrv_child_bs(bdrv_child(blk_bs(above), "image"));
    char buf[8];

    cr_assert_eq(blk_pread(above, 0, 8, buf, 0), 0);
    bdrv_debug_event(bdrv_child_bs(bdrv_child(raw, "file")), "miss");
    cr_assert_eq(blk_pread(above, 0, 8, buf, 0), 0);
    bdrv_debug_event(bdrv_child_bs(bdrv_child(raw, "file")), "hit");
    cr_assert_eq(blk_pread(above, 0, 8, buf, 0), -EIO);
    cr_assert_eq(blk_pread(above, 0, 8, buf, 0), 0);
    bdrv_debug_event(blk_bs(below), "hit");
    cr_assert_eq(blk_pread(below, 0, 8, buf, 0), -EIO);
    cr_assert_eq(blk_pread(above, 0, 8, buf, 0), 0);
}

/* ---- What formats may lack ---- */

Test(core_reopen, emptying_and_checking_are_for_some_formats)
{
    g_autoptr(BlockBackend) blk = core_open(BDRV_O_RDWR, "driver=mem");
    g_autoptr(GError) error = NULL;
    BdrvCheckResult result = { 0 };

    cr_assert_eq(blk_make_empty(blk, &error), -ENOTSUP);
    core_check_text(error->message, "cannot be emptied");
    g_clear_error(&error);
    cr_assert_eq(blk_check(blk, &result, 0, &error), -ENOTSUP);
    core_check_text(error->message, "cannot be checked");
}
