/* SPDX-License-Identifier: MIT */
/* What a power cut leaves of the host file system in memory. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "host-tree.h"
#include "memory-hostfs.h"

#define SEEDS 300

static void sync_file(HostFs *fs, const char *path)
{
    HostFile *file;
    HostStat st;

    cr_assert_eq(fs->ops->file_open_rw(fs, path, &file, &st), 0);
    cr_assert_eq(fs->ops->file_sync(fs, file), 0);
    fs->ops->file_close(fs, file);
}

static void make_text(HostFs *fs, const char *path, const char *text)
{
    cr_assert_eq(host_tree_text(fs, path, text), 0);
}

/* The dump after a power cut. g_free(). */
static char *crash_dump(HostFs *fs, uint32_t seed, unsigned show)
{
    g_autoptr(HostFs) crashed = memory_hostfs_crash(fs, seed);

    cr_assert_eq(memory_hostfs_pending(crashed), 0);
    return host_tree_dump(crashed, show);
}

static void assert_crash(HostFs *fs, uint32_t seed, const char *want)
{
    g_autofree char *dump = crash_dump(fs, seed, 0);

    cr_assert_str_eq(dump, want, "seed %u: %s", seed, dump);
}

/* How many seeds leave this. */
static unsigned count_crashes(HostFs *fs, const char *want)
{
    unsigned n = 0;

    for (uint32_t seed = 0; seed < SEEDS; seed++) {
        g_autofree char *dump = crash_dump(fs, seed, 0);

        n += strcmp(dump, want) == 0;
    }
    return n;
}

/* ---- Syncing ---- */

Test(memory_crash, what_was_synced_is_there)
{
    g_autoptr(HostFs) fs = memory_hostfs_new();

    make_text(fs, "d/f", "text");
    sync_file(fs, "d/f");
    cr_assert_eq(fs->ops->dir_sync(fs, "d"), 0);
    cr_assert_eq(fs->ops->dir_sync(fs, ""), 0);
    cr_assert_eq(memory_hostfs_pending(fs), 0);
    make_text(fs, "d/g", "other");
    for (uint32_t seed = 0; seed < SEEDS; seed++) {
        g_autofree char *dump = crash_dump(fs, seed, 0);

        cr_assert(g_str_has_prefix(dump, "d/\nd/f 4 'text'\n"), "%s", dump);
    }
    cr_assert_gt(count_crashes(fs, "d/\nd/f 4 'text'\n"), 10);
    cr_assert_gt(count_crashes(fs, "d/\nd/f 4 'text'\nd/g 5 'other'\n"), 10);
    cr_assert_gt(count_crashes(fs, "d/\nd/f 4 'text'\nd/g 0 ''\n"), 10);
}

Test(memory_crash, a_synced_file_may_have_no_name)
{
    g_autoptr(HostFs) fs = memory_hostfs_new();

    make_text(fs, "f", "text");
    sync_file(fs, "f");
    assert_crash(fs, MEMORY_CRASH_NONE, "");
    assert_crash(fs, MEMORY_CRASH_CONTENTS, "");
    assert_crash(fs, MEMORY_CRASH_NAMES, "f 4 'text'\n");
}

Test(memory_crash, a_synced_name_may_lead_to_nothing)
{
    g_autoptr(HostFs) fs = memory_hostfs_new();

    make_text(fs, "f", "text");
    cr_assert_eq(fs->ops->dir_sync(fs, ""), 0);
    assert_crash(fs, MEMORY_CRASH_NONE, "f 0 ''\n");
    assert_crash(fs, MEMORY_CRASH_CONTENTS, "f 4 'text'\n");
}

Test(memory_crash, attributes_synced_before_the_name_stay)
{
    g_autoptr(HostFs) fs = memory_hostfs_new();
    g_autofree char *dump = NULL;

    make_text(fs, "f", "text");
    cr_assert_eq(fs->ops->set_mode(fs, "f", 0600), 0);
    cr_assert_eq(fs->ops->set_times(fs, "f", 7, 0), 0);
    cr_assert_eq(fs->ops->set_dos_attrib(fs, "f", 6), 0);
    sync_file(fs, "f");
    cr_assert_eq(fs->ops->dir_sync(fs, ""), 0);
    dump = crash_dump(fs, MEMORY_CRASH_NONE,
                      HOST_TREE_MODES | HOST_TREE_TIMES | HOST_TREE_ATTRS);
    cr_assert_str_eq(dump, "f 4 'text' mode 0600 time 7.000000000 "
                           "attr 0x06\n");
}

Test(memory_crash, a_rename_is_synced_from_either_end)
{
    for (int end = 0; end < 2; end++) {
        g_autoptr(HostFs) fs = memory_hostfs_new();

        make_text(fs, "a/f", "text");
        cr_assert_eq(host_tree_dir(fs, "b"), 0);
        cr_assert_eq(fs->ops->sync_fs(fs), 0);
        cr_assert_eq(fs->ops->rename(fs, "a/f", "b/f", 0), 0);
        assert_crash(fs, MEMORY_CRASH_NONE, "a/\na/f 4 'text'\nb/\n");
        cr_assert_eq(fs->ops->dir_sync(fs, end ? "b" : "a"), 0);
        assert_crash(fs, MEMORY_CRASH_NONE, "a/\nb/\nb/f 4 'text'\n");
    }
}

Test(memory_crash, what_a_failed_sync_gave_up_is_lost)
{
    g_autoptr(HostFs) fs = memory_hostfs_new();
    g_autofree char *dump = NULL;
    HostFile *file;
    HostStat st;

    make_text(fs, "f", "text");
    make_text(fs, "g", "other");
    cr_assert_eq(fs->ops->file_open_rw(fs, "f", &file, &st), 0);
    memory_hostfs_fail_sync(fs, 1);
    cr_assert_eq(fs->ops->file_sync(fs, file), -EIO);
    cr_assert_not(memory_hostfs_sync_is_to_fail(fs));
    cr_assert_eq(fs->ops->file_sync(fs, file), 0);
    cr_assert_eq(fs->ops->sync_fs(fs), 0);
    dump = host_tree_dump(fs, 0);
    cr_assert_str_eq(dump, "f 4 'text'\ng 5 'other'\n");
    for (uint32_t seed = 0; seed < SEEDS; seed++) {
        g_autoptr(HostFs) disk = memory_hostfs_crash(fs, seed);
        size_t bytes;
        g_autofree char *text = host_tree_read(disk, "f", &bytes);

        cr_assert_eq(bytes, 4);
        cr_assert_eq(memcmp(text, "\0\0\0\0", 4), 0);
    }
    cr_assert_eq(hostfs_write_full(fs, file, 0, "text", 4), 0);
    cr_assert_eq(fs->ops->file_sync(fs, file), 0);
    fs->ops->file_close(fs, file);
    assert_crash(fs, MEMORY_CRASH_NONE, dump);
}

Test(memory_crash, names_are_pending_after_a_failed_sync)
{
    for (int whole = 0; whole < 2; whole++) {
        g_autoptr(HostFs) fs = memory_hostfs_new();

        make_text(fs, "f", "text");
        memory_hostfs_fail_sync(fs, 1);
        cr_assert_eq(whole ? fs->ops->sync_fs(fs) : fs->ops->dir_sync(fs, ""),
                     -EIO);
        assert_crash(fs, MEMORY_CRASH_NONE, "");
        cr_assert_eq(fs->ops->dir_sync(fs, ""), 0);
        assert_crash(fs, MEMORY_CRASH_NONE, "f 0 ''\n");
    }
}

/* ---- Names ---- */

Test(memory_crash, a_rename_is_whole)
{
    static const char old[] = "f 3 'old'\n";
    static const char new[] = "f 3 'new'\n";
    static const char before[] = "f 3 'old'\nf.tmp 3 'new'\n";
    g_autoptr(HostFs) fs = memory_hostfs_new();

    make_text(fs, "f", "old");
    cr_assert_eq(fs->ops->sync_fs(fs), 0);
    make_text(fs, "f.tmp", "new");
    sync_file(fs, "f.tmp");
    cr_assert_eq(fs->ops->rename(fs, "f.tmp", "f", 0), 0);
    cr_assert_gt(count_crashes(fs, old), 0);
    cr_assert_gt(count_crashes(fs, new), 0);
    cr_assert_gt(count_crashes(fs, before), 0);
    cr_assert_eq(count_crashes(fs, old) + count_crashes(fs, new) +
                     count_crashes(fs, before),
                 SEEDS);

    /* Also where the temporary name is lost and the rename is not. */
    memory_hostfs_set_ordered(fs, false);
    cr_assert_eq(count_crashes(fs, old) + count_crashes(fs, new) +
                     count_crashes(fs, before),
                 SEEDS);
}

/* Whether what is there of n0 to n9 are the first ones. */
static bool is_beginning(const char *dump)
{
    unsigned n = 0;

    for (char digit = '0'; digit <= '9'; digit++) {
        const char name[] = { 'n', digit, ' ', '\0' };

        if (strstr(dump, name)) {
            if (n != (unsigned)(digit - '0')) {
                return false;
            }
            n++;
        }
    }
    return true;
}

Test(memory_crash, names_in_a_directory_come_in_order)
{
    g_autoptr(HostFs) fs = memory_hostfs_new();
    unsigned beginnings[2] = { 0, 0 };

    for (char digit = '0'; digit <= '9'; digit++) {
        const char name[] = { 'n', digit, '\0' };

        make_text(fs, name, "");
    }
    for (int ordered = 0; ordered < 2; ordered++) {
        memory_hostfs_set_ordered(fs, ordered);
        for (uint32_t seed = 0; seed < SEEDS; seed++) {
            g_autofree char *dump = crash_dump(fs, seed, 0);

            beginnings[ordered] += is_beginning(dump);
        }
    }
    cr_assert_lt(beginnings[0], SEEDS);
    cr_assert_eq(beginnings[1], SEEDS);
}

static void find_place(GRand *rand, char *path)
{
    static const char *const dirs[] = { "", "a/", "b/", "a/c/", "b/d/" };

    strcpy(path, dirs[g_rand_int_range(rand, 0, G_N_ELEMENTS(dirs))]);
}

/* Move files and directories about, and replace nothing. */
static void move_about(HostFs *fs, GRand *rand, int steps)
{
    static const char *const names[] = { "f", "g", "h", "c", "d", "e" };

    for (int i = 0; i < steps; i++) {
        char from[20], to[20];

        find_place(rand, from);
        find_place(rand, to);
        strcat(from, names[g_rand_int_range(rand, 0, 6)]);
        strcat(to, names[g_rand_int_range(rand, 0, 6)]);
        switch (g_rand_int_range(rand, 0, 8)) {
        case 0:
            fs->ops->mkdir(fs, to, 0777);
            break;
        case 1:
            fs->ops->rmdir(fs, to);
            break;
        case 2:
            fs->ops->rename(fs, from, to, HOST_RENAME_EXCHANGE);
            break;
        case 3:
            fs->ops->dir_sync(fs, "a");
            break;
        default:
            fs->ops->rename(fs, from, to, HOST_RENAME_NOREPLACE);
        }
    }
}

Test(memory_crash, what_only_moves_is_somewhere)
{
    static const char *const texts[] = { "'one'", "'two'", "'three'" };

    for (uint32_t seed = 0; seed < SEEDS; seed++) {
        g_autoptr(HostFs) fs = memory_hostfs_new();
        GRand *rand = g_rand_new_with_seed(seed);

        make_text(fs, "f", "one");
        make_text(fs, "a/c/g", "two");
        make_text(fs, "b/d/h", "three");
        cr_assert_eq(fs->ops->sync_fs(fs), 0);
        move_about(fs, rand, 60);
        for (uint32_t crash = 0; crash < 30; crash++) {
            g_autofree char *dump = crash_dump(fs, crash, 0);

            for (int i = 0; i < 3; i++) {
                const char *first = strstr(dump, texts[i]);

                cr_assert_not_null(first, "%u, %u: %s", seed, crash, dump);
                cr_assert_null(strstr(first + 1, texts[i]), "%u, %u: %s", seed,
                               crash, dump);
            }
        }
        g_rand_free(rand);
    }
}

Test(memory_crash, directories_lost_on_the_way_do_not_meet_themselves)
{
    g_autoptr(HostFs) fs = memory_hostfs_new();

    /* Without the first move the second one would put p into itself. */
    cr_assert_eq(host_tree_dir(fs, "p/q/r"), 0);
    cr_assert_eq(host_tree_dir(fs, "x"), 0);
    cr_assert_eq(host_tree_dir(fs, "p/s"), 0);
    cr_assert_eq(fs->ops->sync_fs(fs), 0);
    memory_hostfs_set_ordered(fs, false);
    cr_assert_eq(fs->ops->rename(fs, "p/q", "x/q", 0), 0);
    cr_assert_eq(fs->ops->rename(fs, "p", "x/q/r/p", 0), 0);
    for (uint32_t seed = 0; seed < SEEDS; seed++) {
        g_autofree char *dump = crash_dump(fs, seed, 0);

        cr_assert_not_null(strstr(dump, "p/s/\n"), "%s", dump);
    }
}

/* ---- Contents ---- */

Test(memory_crash, data_arrive_in_pieces)
{
    g_autoptr(HostFs) fs = memory_hostfs_new();
    g_autofree char *data = g_malloc(20000);
    unsigned torn = 0;

    memset(data, 'a', 20000);
    cr_assert_eq(host_tree_file(fs, "f", data, 20000), 0);
    cr_assert_eq(fs->ops->sync_fs(fs), 0);
    memset(data, 'b', 20000);
    {
        HostFile *file;
        HostStat st;

        cr_assert_eq(fs->ops->file_open_rw(fs, "f", &file, &st), 0);
        cr_assert_eq(hostfs_write_full(fs, file, 0, data, 20000), 0);
        fs->ops->file_close(fs, file);
    }
    for (uint32_t seed = 0; seed < SEEDS; seed++) {
        g_autoptr(HostFs) crashed = memory_hostfs_crash(fs, seed);
        size_t bytes;
        g_autofree char *have = host_tree_read(crashed, "f", &bytes);

        cr_assert_eq(bytes, 20000);
        torn += memchr(have, 'a', bytes) && memchr(have, 'b', bytes);
        for (size_t i = 1; i < bytes; i++) {
            cr_assert(have[i] == have[i - 1] || i % 512 == 0);
        }
    }
    cr_assert_gt(torn, 10);
    cr_assert_lt(torn, SEEDS);
}

Test(memory_crash, the_size_may_come_without_the_data)
{
    g_autoptr(HostFs) fs = memory_hostfs_new();
    unsigned zeroes = 0, empty = 0, whole = 0;

    cr_assert_eq(host_tree_text(fs, "f", ""), 0);
    cr_assert_eq(fs->ops->sync_fs(fs), 0);
    make_text(fs, "f", "text");
    for (uint32_t seed = 0; seed < SEEDS; seed++) {
        g_autoptr(HostFs) crashed = memory_hostfs_crash(fs, seed);
        size_t bytes;
        g_autofree char *have = host_tree_read(crashed, "f", &bytes);

        empty += bytes == 0;
        zeroes += bytes == 4 && memcmp(have, "\0\0\0\0", 4) == 0;
        whole += bytes == 4 && memcmp(have, "text", 4) == 0;
    }
    cr_assert_gt(zeroes, 0);
    cr_assert_gt(empty, 0);
    cr_assert_gt(whole, 0);
    cr_assert_eq(zeroes + empty + whole, SEEDS);
}

/* ---- Copies of the whole ---- */

#define SHOW_ALL                                                              \
    (HOST_TREE_MODES | HOST_TREE_TIMES | HOST_TREE_ATTRS | HOST_TREE_INODES)

/* A little of everything. */
static void some_work(HostFs *fs, uint32_t seed)
{
    GRand *rand = g_rand_new_with_seed(seed);

    make_text(fs, "a/c/g", "two");
    make_text(fs, "b/d/h", "three");
    for (int i = 0; i < 20; i++) {
        char *left;

        move_about(fs, rand, 5);
        host_tree_text(fs, i % 2 ? "f" : "a/f", "some text");
        fs->ops->set_mode(fs, "f", i % 3 ? 0644 : 0600);
        fs->ops->set_dos_attrib(fs, "a/f", (unsigned)i & 7);
        fs->ops->copy_metadata(fs, "a/f", "f", &left);
        g_free(left);
        fs->ops->set_times(fs, "b", i, 0);
        if (i % 5 == 2) {
            fs->ops->unlink(fs, "f");
            make_text(fs, "synced", "text");
            sync_file(fs, "synced");
        }
    }
    g_rand_free(rand);
}

Test(memory_crash, all_of_it_is_what_was_there)
{
    for (uint32_t seed = 0; seed < 50; seed++) {
        g_autoptr(HostFs) fs = memory_hostfs_new();
        g_autofree char *live = NULL, *crashed = NULL, *synced = NULL;
        g_autofree char *killed = NULL, *after = NULL;
        HostFs *other;

        memory_hostfs_set_ordered(fs, seed % 2);
        make_text(fs, "a/f", "x");
        some_work(fs, seed);
        live = host_tree_dump(fs, SHOW_ALL);
        crashed = crash_dump(fs, MEMORY_CRASH_ALL, SHOW_ALL);
        cr_assert_str_eq(crashed, live);

        other = memory_hostfs_kill(fs);
        killed = host_tree_dump(other, SHOW_ALL);
        cr_assert_str_eq(killed, live);
        cr_assert_eq(memory_hostfs_pending(other), memory_hostfs_pending(fs));
        /* They are apart from now on. */
        make_text(other, "synced", "changed");
        cr_assert_eq(other->ops->sync_fs(other), 0);
        hostfs_free(other);
        after = host_tree_dump(fs, SHOW_ALL);
        cr_assert_str_eq(after, live);

        cr_assert_eq(fs->ops->sync_fs(fs), 0);
        synced = crash_dump(fs, MEMORY_CRASH_NONE, SHOW_ALL);
        cr_assert_str_eq(synced, live);
    }
}

Test(memory_crash, a_seed_always_gives_the_same)
{
    g_autoptr(HostFs) fs = memory_hostfs_new();

    make_text(fs, "a/f", "x");
    some_work(fs, 1);
    for (uint32_t seed = 0; seed < SEEDS; seed++) {
        g_autofree char *a = crash_dump(fs, seed, SHOW_ALL);
        g_autofree char *b = crash_dump(fs, seed, SHOW_ALL);

        cr_assert_str_eq(a, b);
    }
}
