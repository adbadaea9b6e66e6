/* SPDX-License-Identifier: MIT */
/*
 * Repairs of qcow2 images that are cut off at any write, or in which one
 * fails: another repair makes the image sound, and no data is lost but what
 * the damage has cost.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "tests/unit/qcow2-damage.h"
#include "tests/unit/qcow2-fixture.h"

#define REPAIR (BDRV_O_CHECK | BDRV_O_NO_BACKING | BDRV_O_RDWR | BDRV_O_RESIZE)
#define FIX_ALL (BDRV_FIX_LEAKS | BDRV_FIX_ERRORS)

TestSuite(qcow2_repair, .init = tape_init, .fini = image_dir_fini,
          .timeout = 600);

static void collect(const char *text, void *opaque)
{
    g_string_append_printf(opaque, "%s\n", text);
}

/* What remains of errors and leaks. */
static BdrvCheckResult repair(const Damage *d, BlockBackend *blk, unsigned fix)
{
    g_autoptr(GString) messages = g_string_new(NULL);
    g_autoptr(GError) error = NULL;
    BdrvCheckResult r = { .message = collect, .opaque = messages };

    cr_assert_eq(blk_check(blk, &r, fix, &error), 0, "%s: %s\n%s", d->name,
                 error ? error->message : "?", messages->str);
    return r;
}

static void read_all(const Damage *d, const char *options, uint8_t *data)
{
    g_autoptr(BlockBackend) blk = image_open(BDRV_O_NO_BACKING, options);

    cr_assert_eq(blk_getlength(blk), damage_size(d));
    cr_assert_eq(blk_pread(blk, 0, damage_size(d), data, 0), 0, "%s: %s",
                 d->name, options);
}

/* The damaged image, on a disk that can fail and crash. */
static BlockBackend *open_tape(void)
{
    return image_open(REPAIR, "driver=qcow2,file.driver=tape,"
                              "file.filename=%D/damaged.qcow2");
}

/* left.qcow2 is what a repair that ended early has left. */
static void finish_repair(const Damage *d)
{
    g_autofree uint8_t *before = g_malloc((gsize)damage_size(d));
    g_autofree uint8_t *after = g_malloc((gsize)damage_size(d));
    BlockBackend *blk = image_open(REPAIR,
                                   "driver=qcow2,file.filename=%D/left.qcow2");
    BdrvCheckResult r = repair(d, blk, FIX_ALL);

    cr_assert_eq(r.corruptions + r.leaks + r.check_errors, 0, "%s", d->name);
    r = repair(d, blk, 0);
    cr_assert_eq(r.corruptions + r.leaks + r.check_errors, 0, "%s", d->name);
    blk_close(blk);
    read_all(d, "driver=qcow2,file.filename=%D/sound.qcow2", before);
    read_all(d, "driver=qcow2,file.filename=%D/left.qcow2", after);
    damage_compare(d, before, after);
}

/* ---- Cut off ---- */

static void cut_off(const Damage *d)
{
    g_autoptr(GRand) dice = g_rand_new_with_seed(1);

    if (d->refused) {
        return;
    }
    g_autoptr(BlockBackend) blk = open_tape();
    Tape *tape = tape_of(blk);
    repair(d, blk, FIX_ALL);
    for (unsigned i = 0; i <= tape_now(tape); i++) {
        tape_crash(tape, i, dice, "left.qcow2");
        finish_repair(d);
    }
}

Test(qcow2_repair, cut_off_at_any_write)
{
    damage_foreach(cut_off);
}

/* Nothing but leaks before, so nothing but leaks at any time. */
static void cut_off_leaks(const Damage *d)
{
    g_autoptr(GRand) dice = g_rand_new_with_seed(2);

    if (!d->found || !g_str_has_prefix(d->found, "leaks")) {
        return;
    }
    g_autoptr(BlockBackend) blk = open_tape();
    Tape *tape = tape_of(blk);
    repair(d, blk, BDRV_FIX_LEAKS);
    cr_assert_gt(tape_now(tape), 0);
    for (unsigned i = 0; i <= tape_now(tape); i++) {
        for (int n = 0; n < 4; n++) {
            tape_crash(tape, i, dice, "left.qcow2");
            g_autoptr(BlockBackend) left = image_open(
                BDRV_O_CHECK, "driver=qcow2,file.filename=%D/left.qcow2");
            BdrvCheckResult r = repair(d, left, 0);
            /* That a cluster is no longer shared, its flag does not know. */
            cr_assert(r.corruptions == 0 || d->leaks, "%s", d->name);
        }
    }
}

Test(qcow2_repair, leaks_alone_never_become_errors)
{
    damage_foreach(cut_off_leaks);
}

/* ---- Failing ---- */

static void fail_each(const Damage *d)
{
    bool failed = true;

    if (d->refused) {
        return;
    }
    for (int skip = 0; failed && skip < 200; skip++) {
        BlockBackend *blk = open_tape();
        Tape *tape = tape_of(blk);
        g_autoptr(GError) error = NULL;
        BdrvCheckResult r = { 0 };

        tape_fail(tape, skip, 1, EIO);
        int ret = blk_check(blk, &r, FIX_ALL, &error);
        failed = ret < 0 || r.check_errors > 0;
        cr_assert(failed || r.corruptions + r.leaks == 0,
                  "%s, failure %d: no error, and not repaired", d->name, skip);
        cr_assert_eq(ret < 0, error != NULL);
        tape_fail(tape, 0, 0, 0);
        tape_save(tape, "left.qcow2");
        blk_close(blk);
        finish_repair(d);
    }
    cr_assert(!failed, "%s: no end of failures", d->name);
}

Test(qcow2_repair, each_write_fails)
{
    damage_foreach(fail_each);
}

static int rename_to_left(void)
{
    int status;

    g_free(image_shell(&status, "cp damaged.qcow2 left.qcow2"));
    return status;
}

/* Reading a table fails: that is counted, and the rest is checked. */
static void fail_reading(const Damage *d)
{
    if (strcmp(d->name, "leaked-cluster.txt") != 0) {
        return;
    }
    g_autoptr(BlockBackend) blk = image_open(
        REPAIR, "driver=qcow2,file.driver=blkdebug,"
                "file.image.driver=file,file.image.filename=%D/damaged.qcow2,"
                "file.inject-error.0.iotype=read,"
                "file.inject-error.0.offset=6656,"
                "file.inject-error.0.bytes=512");
    /* The data of that table looks leaked. Nothing says that it is not, but
     * nothing frees it either. */
    for (unsigned fix = 0; fix <= FIX_ALL; fix++) {
        BdrvCheckResult r = repair(d, blk, fix);
        cr_assert_gt(r.check_errors, 0);
        cr_assert_eq(r.leaks, 1 + 4);
        cr_assert_eq(r.leaks_fixed, 0);
    }
    cr_assert_eq(rename_to_left(), 0);
    finish_repair(d);
}

Test(qcow2_repair, reading_fails)
{
    damage_foreach(fail_reading);
}
