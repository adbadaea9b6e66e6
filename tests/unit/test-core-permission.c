/* SPDX-License-Identifier: MIT */
/* Permissions over the graph: what is passed on, conflicts, undoing. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "tests/unit/core-fixture.h"

TestSuite(core_permission, .init = core_init);

#define READ BLK_PERM_CONSISTENT_READ
#define WRITE BLK_PERM_WRITE
#define UNCHANGED BLK_PERM_WRITE_UNCHANGED
#define RESIZE BLK_PERM_RESIZE
#define ALL BLK_PERM_ALL

static BlockBackend *open_perm(const char *options, unsigned perm,
                               unsigned shared, GError **errp)
{
    g_autoptr(Options) parsed = options_new();

    cr_assert(options_parse_keyval(parsed, options, NULL, NULL));
    return blk_open_with_perm(NULL, parsed, perm & ~READ ? BDRV_O_RDWR : 0,
                              perm, shared, errp);
}

/* What the mem node sees below a driver whose parent has perm and shared. */
static void check_below(const char *driver, unsigned perm, unsigned shared,
                        unsigned wanted, unsigned wanted_shared)
{
    g_autofree char *options = g_strdup_printf("driver=%s,file.driver=mem",
                                               driver);
    g_autoptr(GError) error = NULL;
    g_autoptr(BlockBackend) blk = open_perm(options, perm, shared, &error);

    cr_assert(blk, "%s", error ? error->message : "");
    cr_assert_eq(core_disk(blk)->perm, wanted, "%s: perm %x, not %x", driver,
                 core_disk(blk)->perm, wanted);
    cr_assert_eq(core_disk(blk)->shared, wanted_shared,
                 "%s: shared %x, not %x", driver, core_disk(blk)->shared,
                 wanted_shared);
}

Test(core_permission, filters_pass_everything)
{
    check_below("pass", READ, READ | UNCHANGED, READ, READ | UNCHANGED);
    check_below("pass", READ | WRITE | RESIZE, ALL, READ | WRITE | RESIZE,
                ALL);
    check_below("pass", UNCHANGED, WRITE, UNCHANGED, WRITE);
}

Test(core_permission, formats_have_their_file_for_themselves)
{
    check_below("cow", 0, ALL, READ, READ | UNCHANGED);
    check_below("cow", READ | WRITE, ALL, READ | WRITE | RESIZE,
                READ | UNCHANGED);
    check_below("cow", READ | WRITE, READ, READ | WRITE | RESIZE,
                READ | UNCHANGED);
}

Test(core_permission, force_share_shares_all)
{
    g_autoptr(BlockBackend)
        blk = core_open(BDRV_O_FORCE_SHARE, "driver=cow,file.driver=mem");

    cr_assert_eq(core_disk(blk)->perm, READ);
    cr_assert_eq(core_disk(blk)->shared, ALL);
}

Test(core_permission, backing_files_are_read)
{
    g_autoptr(BlockBackend)
        base = open_perm("driver=mem,node-name=base", 0, ALL, NULL);
    g_autoptr(BlockBackend) blk = open_perm(
        "driver=cow,file.driver=mem,backing=base", READ | WRITE, READ, NULL);

    cr_assert(blk);
    cr_assert_eq(core_disk(base)->perm, READ);
    cr_assert_eq(core_disk(base)->shared, READ | UNCHANGED);
    g_autoptr(BlockBackend) blk2 = open_perm(
        "driver=cow,file.driver=mem,backing=base", READ | WRITE, ALL, NULL);
    cr_assert(blk2);
    cr_assert_eq(core_disk(base)->shared, READ | UNCHANGED);
    blk_close(g_steal_pointer(&blk));
    cr_assert_eq(core_disk(base)->shared, ALL);
    blk_close(g_steal_pointer(&blk2));
    cr_assert_eq(core_disk(base)->perm, 0);
}

Test(core_permission, conflicts_name_both_sides)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(BlockBackend) owner = open_perm(
        "driver=raw,node-name=top,file.driver=mem,file.node-name=disk",
        READ | WRITE, READ, &error);

    cr_assert(owner);
    cr_assert_null(
        open_perm("driver=pass,file=disk", READ | WRITE, ALL, &error));
    cr_assert_eq(error->code, EBUSY);
    cr_assert_str_eq(error->message,
                     "Conflicts with use by node 'top' as 'file', which does "
                     "not allow 'write' on node 'disk'");
    g_clear_error(&error);
    cr_assert_null(open_perm("driver=pass,file=disk", READ, READ, &error));
    core_check_text(error->message, "which does not allow 'write' on node "
                                    "'disk'");
    g_clear_error(&error);
    cr_assert_null(
        open_perm("driver=pass,file=top", READ | RESIZE, ALL, &error));
    core_check_text(error->message, "by a block device as 'root', which does "
                                    "not allow 'resize' on node 'top'");
}

Test(core_permission, two_readers_agree)
{
    g_autoptr(BlockBackend) a = core_open(0, "driver=mem,node-name=disk");
    g_autoptr(BlockBackend) b = core_open(0, "driver=pass,file=disk");
    g_autoptr(BlockBackend) c = core_open(0, "driver=pass,file=disk");

    cr_assert(a && b && c);
}

Test(core_permission, a_refused_parent_changes_nothing)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(BlockBackend) owner = open_perm(
        "driver=pass,node-name=top,file.driver=mem", READ, ALL, &error);
    MemDisk *disk = core_disk(owner);

    cr_assert_eq(disk->perm, READ);
    disk->refuse_perm = true;
    cr_assert_null(open_perm("driver=pass,file=top", READ, READ, &error));
    cr_assert_str_eq(error->message, "mem is locked");
    g_clear_error(&error);
    disk->refuse_perm = false;
    cr_assert_eq(disk->perm, READ);
    cr_assert_eq(disk->shared, ALL);

    /* What was refused is not left behind as if it were in use. */
    g_autoptr(BlockBackend)
        other = open_perm("driver=pass,file=top", READ, ALL, &error);
    cr_assert(other, "%s", error ? error->message : "");
}

Test(core_permission, a_change_over_several_nodes_is_undone_as_a_whole)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(BlockBackend)
        a = open_perm("driver=mem,node-name=a,read-only=off", 0, ALL, &error);
    g_autoptr(BlockBackend)
        b = open_perm("driver=mem,node-name=b,read-only=off", 0, ALL, &error);
    g_autoptr(BlockBackend) top =
        open_perm("driver=cow,node-name=top,read-only=off,file=a,backing=b", 0,
                  ALL, &error);

    cr_assert(top, "%s", error ? error->message : "");
    cr_assert_eq(core_disk(b)->perm, 0);
    core_disk(b)->refuse_perm = true;
    int sets = core_disk(a)->sets;
    cr_assert_null(
        open_perm("driver=pass,file=top", READ | WRITE, READ, &error));
    cr_assert_str_eq(error->message, "mem is locked");
    cr_assert_eq(core_disk(b)->perm, 0);
    cr_assert_eq(core_disk(a)->sets, sets);
    cr_assert_eq(core_disk(a)->checks,
                 core_disk(a)->sets + core_disk(a)->aborts);
}

Test(core_permission, closing_gives_up)
{
    g_autoptr(BlockBackend)
        keeper = open_perm("driver=mem,node-name=disk", 0, ALL, NULL);
    g_autoptr(BlockBackend)
        writer = open_perm("driver=pass,file=disk", READ, READ, NULL);

    cr_assert_eq(core_disk(keeper)->perm, READ);
    cr_assert_eq(core_disk(keeper)->shared, READ);
    blk_close(g_steal_pointer(&writer));
    cr_assert_eq(core_disk(keeper)->perm, 0);
    cr_assert_eq(core_disk(keeper)->shared, ALL);
}
