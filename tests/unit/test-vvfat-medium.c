/* SPDX-License-Identifier: MIT */
/*
 * Another medium in the same device: directories, the same one first of all,
 * as it is on the host by now.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>

#include "image-fixture.h"
#include "tests/unit/event-fixture.h"
#include "tests/unit/machine.h"

TestSuite(vvfat_medium, .init = image_dir_init, .fini = image_dir_fini,
          .timeout = 60);

#define SHAPE                                                                 \
    "driver=vvfat,rw=on,fat-type=12,size=1M,cluster-size=512,"                \
    "partition=none,timezone=utc,commit-delay=600000"

/* A device with the directory "dir", and a guest that has it. */
typedef struct Drive {
    BlockBackend *blk;
    Machine guest; /* no more of it than disk and volume */
    Listener *l;
} Drive;

static void host_text(const char *name, const char *text)
{
    g_autofree char *path = image_path(name);

    cr_assert(g_file_set_contents(path, text, -1, NULL));
}

static bool host_has(const char *name, const char *text)
{
    g_autofree char *path = image_path(name);
    g_autofree char *now = NULL;

    return g_file_get_contents(path, &now, NULL, NULL) &&
           strcmp(now, text) == 0;
}

static void guest_let_go(Drive *d)
{
    if (d->guest.disk) {
        d->guest.disk->blk = NULL;
        fatvol_free(d->guest.vol);
        disk_free(d->guest.disk);
    }
}

/* The guest finds out what is in the drive. */
static void guest_load(Drive *d)
{
    char *why = NULL;

    guest_let_go(d);
    d->guest.disk = disk_new(d->blk, &why);
    d->guest.vol = d->guest.disk ? fatvol_open(d->guest.disk, &why) : NULL;
    cr_assert_not_null(d->guest.vol, "%s", why);
}

static bool guest_has(Drive *d, const char *path)
{
    FatEntry entry;
    bool found = fatvol_walk(d->guest.vol, path, &entry);

    if (found) {
        fatvol_entry_clear(&entry);
    }
    return found;
}

static void drive_open(Drive *d, const char *more)
{
    g_autofree char *dir = image_path("dir");
    g_autofree char *options = g_strconcat(SHAPE ",dir=%D/dir", more, NULL);

    *d = (Drive){ .l = listener_new() };
    cr_assert_eq(g_mkdir(dir, 0755), 0);
    host_text("dir/old", "old");
    d->blk = image_open(BDRV_O_RDWR | BDRV_O_UNMAP, options);
    listener_add(d->l, d->blk, NULL);
    d->l->asks = true;
    guest_load(d);
}

static void drive_close(Drive *d)
{
    guest_let_go(d);
    blk_close(d->blk);
    listener_free(d->l);
}

static bool change(Drive *d, const char *text, GError **errp)
{
    g_autoptr(Options) options = options_new();
    g_auto(GStrv) parts = g_strsplit(text, "%D", -1);
    g_autofree char *whole = g_strjoinv(image_dir, parts);

    cr_assert(options_parse_keyval(options, whole, NULL, NULL));
    return blk_change_medium(d->blk, NULL, options, BDRV_O_RDWR, errp);
}

static bool rescan(Drive *d, GError **errp)
{
    return blk_change_medium(d->blk, NULL, NULL, BDRV_O_RDWR | BDRV_O_UNMAP,
                             errp);
}

/* What the guest writes still comes to the host, and nobody else's does. */
static void check_writable(Drive *d, const char *name)
{
    g_autofree char *path = g_strconcat("dir/", name, NULL);
    g_autofree char *error = NULL;

    guest_text(&d->guest, name, "written");
    cr_assert_eq(guest_sync(&d->guest, ORDER_LINUX), 0);
    cr_assert(host_has(path, "written"));
    error = image_open_error(BDRV_O_RDWR, SHAPE ",dir=%D/dir");
    image_check_text(error, "open for writing already");
}

/* ---- The same directory ---- */

Test(vvfat_medium, the_host_s_changes_are_seen)
{
    g_autofree char *heard = NULL;
    Drive d;

    drive_open(&d, "");
    check_writable(&d, "before");
    guest_text(&d.guest, "unflushed", "unflushed");
    guest_write_out(&d.guest, ORDER_LINUX);
    g_free(listener_take(d.l));
    host_text("dir/host", "the host's");
    cr_assert(rescan(&d, NULL));
    heard = listener_take(d.l);
    cr_assert(g_str_has_prefix(heard, "commit -: - (0)\nmedium-changed "),
              "%s", heard);
    cr_assert_eq(d.l->asked, 3);
    guest_load(&d);
    cr_assert(guest_has(&d, "host") && guest_has(&d, "old") &&
              guest_has(&d, "before") && guest_has(&d, "unflushed"));
    cr_assert(host_has("dir/unflushed", "unflushed"));
    check_writable(&d, "after");
    cr_assert(rescan(&d, NULL));
    drive_close(&d);
}

Test(vvfat_medium, below_a_filter)
{
    Drive d;

    drive_open(&d, "");
    cr_assert(
        change(&d,
               "driver=raw,file.driver=vvfat,file.rw=on,file.fat-type=12,"
               "file.size=1M,file.cluster-size=512,file.partition=none,"
               "file.timezone=utc,file.dir=%D/dir",
               NULL));
    guest_load(&d);
    check_writable(&d, "filtered");
    host_text("dir/host", "the host's");
    cr_assert(rescan(&d, NULL));
    guest_load(&d);
    cr_assert(guest_has(&d, "host"));
    drive_close(&d);
}

Test(vvfat_medium, a_blocker_goes_and_comes)
{
    g_auto(GStrv) none = NULL;
    g_auto(GStrv) one = NULL;
    Drive d;

    drive_open(&d, "");
    cr_assert(change(&d, "driver=null,size=1M", NULL));
    none = blk_get_state_save_blockers(d.blk);
    cr_assert_eq(g_strv_length(none), 0);
    cr_assert(change(&d, SHAPE ",dir=%D/dir", NULL));
    one = blk_get_state_save_blockers(d.blk);
    cr_assert_eq(g_strv_length(one), 1);
    drive_close(&d);
}

/* What does not fit any more: everything stays as it was. */
Test(vvfat_medium, a_directory_that_has_grown_too_large)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *large = image_path("dir/large");
    Drive d;

    drive_open(&d, "");
    image_make("dir/large", 2 << 20, 1);
    cr_assert(!rescan(&d, &error));
    cr_assert_not_null(error);
    listener_expect(d.l, "");
    cr_assert_eq(g_remove(large), 0);
    check_writable(&d, "after");
    cr_assert(rescan(&d, NULL));
    guest_load(&d);
    cr_assert(guest_has(&d, "after"));
    drive_close(&d);
}

/* The old disk has stood back already, and takes the directory again. */
Test(vvfat_medium, no_room_for_a_new_overlay)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *tmp = image_path("tmp");
    Drive d;

    cr_assert_eq(g_mkdir(tmp, 0755), 0);
    g_setenv("TMPDIR", tmp, TRUE);
    drive_open(&d, "");
    cr_assert_eq(g_rmdir(tmp), 0);
    cr_assert(!rescan(&d, &error));
    image_check_text(error->message, tmp);
    listener_expect(d.l, "");
    cr_assert_eq(g_mkdir(tmp, 0755), 0);
    check_writable(&d, "after");
    cr_assert(rescan(&d, NULL));
    drive_close(&d);
}

/* Without the guest's help it would be lost. */
Test(vvfat_medium, the_guest_is_in_the_middle_of_something)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *heard = NULL;
    FatEntry entry;
    Drive d;

    drive_open(&d, "");
    guest_text(&d.guest, "half", "half");
    cr_assert(fatvol_walk(d.guest.vol, "half", &entry));
    fatvol_put(d.guest.vol, entry_cluster(d.guest.vol, &entry), 0);
    guest_write_out(&d.guest, ORDER_LINUX);
    cr_assert(!rescan(&d, &error));
    image_check_text(error->message, "'half'");
    heard = listener_take(d.l);
    cr_assert(g_str_has_prefix(heard, "held-back half: "), "%s", heard);
    fatvol_link(d.guest.vol, entry_cluster(d.guest.vol, &entry), 0);
    fatvol_entry_clear(&entry);
    check_writable(&d, "after");
    cr_assert(host_has("dir/half", "half"));
    cr_assert(rescan(&d, NULL));
    drive_close(&d);
}

/* ... or it is kept in an image, and the drive goes on. */
Test(vvfat_medium, what_the_guest_was_doing_is_given_up)
{
    g_autofree char *heard = NULL;
    FatEntry entry;
    Drive d;

    drive_open(&d, "");
    guest_text(&d.guest, "half", "half");
    cr_assert(fatvol_walk(d.guest.vol, "half", &entry));
    fatvol_put(d.guest.vol, entry_cluster(d.guest.vol, &entry), 0);
    fatvol_entry_clear(&entry);
    guest_write_out(&d.guest, ORDER_LINUX);
    cr_assert_eq(blk_commit(d.blk, true, NULL), -EIO);
    cr_assert(rescan(&d, NULL));
    heard = listener_take(d.l);
    image_check_text(heard, "\nrescued ");
    image_check_text(heard, "\nmedium-changed ");
    guest_load(&d);
    cr_assert(!guest_has(&d, "half"));
    check_writable(&d, "after");
    drive_close(&d);
}

Test(vvfat_medium, nothing_is_committed_by_itself)
{
    g_autoptr(GError) error = NULL;
    Drive d;

    drive_open(&d, ",commit=manual");
    cr_assert(rescan(&d, NULL));
    guest_load(&d);
    guest_text(&d.guest, "new", "new");
    guest_write_out(&d.guest, ORDER_LINUX);
    cr_assert(!rescan(&d, &error));
    image_check_text(error->message, "'new'");
    image_check_text(error->message, "not committed yet");
    cr_assert_eq(blk_commit(d.blk, false, NULL), 0);
    cr_assert(host_has("dir/new", "new"));
    cr_assert(rescan(&d, NULL));
    drive_close(&d);
}

/* The overlay is locked, too: the old disk is closed first. */
Test(vvfat_medium, with_an_overlay_that_is_kept)
{
    Drive d;

    drive_open(&d, ",overlay=%D/overlay.qcow2");
    check_writable(&d, "before");
    cr_assert(rescan(&d, NULL));
    guest_load(&d);
    cr_assert(guest_has(&d, "before"));
    check_writable(&d, "after");
    drive_close(&d);
}

/* ---- Another one ---- */

Test(vvfat_medium, another_directory_and_back)
{
    g_autofree char *other = image_path("other");
    Drive d;

    drive_open(&d, "");
    cr_assert_eq(g_mkdir(other, 0755), 0);
    host_text("other/else", "else");
    guest_text(&d.guest, "new", "new");
    guest_write_out(&d.guest, ORDER_LINUX);
    cr_assert(change(&d, SHAPE ",dir=%D/other", NULL));
    cr_assert(host_has("dir/new", "new"));
    guest_load(&d);
    cr_assert(guest_has(&d, "else") && !guest_has(&d, "old"));
    guest_text(&d.guest, "else", "changed");
    cr_assert_eq(guest_sync(&d.guest, ORDER_LINUX), 0);
    cr_assert(host_has("other/else", "changed"));
    cr_assert(change(&d, SHAPE ",dir=%D/dir", NULL));
    guest_load(&d);
    cr_assert(guest_has(&d, "old") && guest_has(&d, "new"));
    check_writable(&d, "after");
    drive_close(&d);
}

Test(vvfat_medium, a_directory_that_another_disk_writes)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *other = image_path("other");
    g_autoptr(BlockBackend) busy = NULL;
    Drive d;

    drive_open(&d, "");
    cr_assert_eq(g_mkdir(other, 0755), 0);
    busy = image_open(BDRV_O_RDWR, SHAPE ",dir=%D/other");
    cr_assert(!change(&d, SHAPE ",dir=%D/other", &error));
    image_check_text(error->message, "open for writing already");
    listener_expect(d.l, "");
    check_writable(&d, "after");
    drive_close(&d);
}
