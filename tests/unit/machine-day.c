/* SPDX-License-Identifier: MIT */
#include "tests/unit/machine-day.h"

#include <criterion/criterion.h>
#include <string.h>

#include "tests/unit/host-tree.h"

#define LARGE 3000u

void day_make_host(HostFs *fs)
{
    static const char *const texts[][2] = {
        { "a", "file A" },
        { "b", "file B" },
        { "dir/in", "inside" },
        { "dir/whole", "old whole" },
        { "gone/file", "was here" },
        { "gone/below/more", "was there" },
        { "longer", "0123456789" },
        { "plain", "as it is" },
        { "shorter", "9876543210" },
        { "tmp", "saved" },
        { "under", "edited" },
        { "victim", "before" },
        { "case", "its case changes" },
    };
    char large[LARGE];

    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
        cr_assert_eq(host_tree_text(fs, texts[i][0], texts[i][1]), 0);
    }
    memset(large, 'L', sizeof(large));
    cr_assert_eq(host_tree_file(fs, "large", large, sizeof(large)), 0);
    memset(large, 'M', sizeof(large));
    cr_assert_eq(host_tree_file(fs, "dir/medium", large, 1500), 0);
    cr_assert_eq(fs->ops->sync_fs(fs), 0);
}

static void change_contents(Machine *m)
{
    guest_put(m, "large", 1000, "edited in the middle");
    guest_put(m, "longer", 10, " and more");
    guest_resize(m, "shorter", 2);
    guest_text(m, "dir/whole", "new whole text");
    guest_attr(m, "plain", ATTR_READ_ONLY | ATTR_HIDDEN);
    guest_time(m, "plain", 1200000000);
}

static void change_names(Machine *m)
{
    guest_exchange(m, "a", "b");
    guest_mkdir(m, "fresh");
    guest_text(m, "fresh/new", "a new file");
    guest_move(m, "dir", "fresh/dir");
    guest_put(m, "fresh/dir/in", 0, "INSIDE");
    guest_replace(m, "tmp", "victim");
    guest_move(m, "under", "over");
    guest_text(m, "over", "edited again");
    guest_delete(m, "gone");
    guest_move(m, "case", "CASE");
}

/* What was freed is used by others. */
static void reuse(Machine *m)
{
    m->vol->policy = ALLOC_REUSE;
    guest_delete(m, "large");
    guest_fill(m, "other", 2500, 'o');
    guest_fill(m, "fresh/another", 700, 'n');
    guest_resize(m, "fresh/dir/medium", 400);
    guest_text(m, "gone", "a file where a directory was");
    m->vol->policy = ALLOC_NEXT_FIT;
}

static void move_clusters(Machine *m)
{
    guest_defragment(m, "other");
    guest_defragment(m, "fresh/dir");
    guest_put(m, "other", 600, "moved, and written");
    guest_replace(m, "fresh/another", "over");
}

/* More entries than a cluster of a directory holds, two long names. */
static void grow(Machine *m)
{
    for (int i = 0; i < 8; i++) {
        g_autofree char *name =
            g_strdup_printf("fresh/dir/a name of some length, number %d", i);

        guest_text(m, name, name);
    }
    guest_resize(m, "fresh/dir/medium", 2000);
    guest_attr(m, "plain", ATTR_ARCHIVE);
    guest_text(m, "plain", "writable again");
}

static void clean_up(Machine *m)
{
    guest_move(m, "fresh/dir", "dir");
    guest_delete(m, "fresh");
    guest_delete(m, "dir/a name of some length, number 3");
    guest_delete(m, "gone");
    guest_move(m, "CASE", "dir/case");
    guest_exchange(m, "dir/in", "longer");
    guest_resize(m, "other", 0);
}

void day_step(Machine *m, unsigned step)
{
    static void (*const steps[])(Machine *) = {
        change_contents, change_names, reuse, move_clusters, grow, clean_up,
    };

    G_STATIC_ASSERT(G_N_ELEMENTS(steps) == DAY_STEPS);
    steps[step](m);
}
