/* SPDX-License-Identifier: MIT */
/* Scanning: order, attributes and times, names, size and depth. */
#include <criterion/criterion.h>
#include <string.h>
#include <sys/stat.h>

#include "fault-hostfs.h"
#include "scan-fixture.h"

/* ---- What is there ---- */

Test(scan, is_sorted_by_bytes)
{
    g_autoptr(TempTree) t = temp_tree_new();
    g_auto(Scanned) s = { 0 };
    g_autofree char *text = NULL;

    temp_tree_text(t, "b", "1");
    temp_tree_text(t, "B2", "1");
    temp_tree_text(t, "dir/z", "1");
    temp_tree_text(t, "dir/.hidden", "1");
    temp_tree_text(t, "\xc3\xa4", "1");
    temp_tree_mkdir(t, "empty");
    s = scan(t);
    text = listing(s.tree);
    cr_assert_str_eq(text, "/;B2;b;dir/;dir/.hidden;dir/z;empty/;\xc3\xa4;");
    cr_assert_eq(s.tree->n_files, 5);
    cr_assert_eq(s.tree->n_directories, 3);
    cr_assert_eq(report_count(s.report), 0);
}

Test(scan, attributes_and_times_are_the_hosts)
{
    g_autoptr(TempTree) t = temp_tree_new();
    g_autofree char *path = temp_tree_path(t, "locked");
    g_auto(Scanned) s = { 0 };
    const TreeNode *node;

    temp_tree_text(t, "locked", "12345");
    chmod(path, 0444);
    temp_tree_time(t, "locked", 1000000001); /* 2001-09-09 01:46:41 */
    s = scan(t);
    node = tree_lookup(s.tree, "locked");
    cr_assert_eq(node->attr, FAT_ATTR_ARCHIVE | FAT_ATTR_READ_ONLY);
    cr_assert_eq(node->size, 5);
    cr_assert_eq(node->mtime.date, 21 << 9 | 9 << 5 | 9);
    cr_assert_eq(node->mtime.time, 1 << 11 | 46 << 5 | 20);
    cr_assert_eq(node->ctime.date, node->mtime.date);
    cr_assert_eq(node->ctime.time, node->mtime.time);
    cr_assert_eq(node->ctime_10ms, 100);
    cr_assert_eq(node->adate, node->mtime.date);
    cr_assert_eq(node->host_mtime, INT64_C(1000000001000000000));
}

Test(scan, hidden_names_are_left_out_when_asked_and_reported)
{
    g_autoptr(TempTree) t = temp_tree_new();
    ScanOptions options = scan_options_default();
    g_auto(Scanned) s = { 0 };
    g_autofree char *text = NULL, *report = NULL;

    temp_tree_text(t, ".git/config", "x");
    temp_tree_text(t, "a", "x");
    options.hidden = false;
    s = scan_with(t, &options);
    text = listing(s.tree);
    report = report_text(s.report);
    cr_assert_str_eq(text, "/;a;");
    cr_assert_str_eq(report, "skipped .git: hidden, and hidden=off");
}

Test(scan, times_outside_fats_range_are_clamped_and_reported)
{
    g_autoptr(TempTree) t = temp_tree_new();
    ScanOptions options = scan_options_default();
    g_auto(Scanned) s = { 0 };
    g_autofree char *report = NULL;

    temp_tree_text(t, "old", "x");
    temp_tree_text(t, "young", "x");
    temp_tree_time(t, "old", -1000);
    temp_tree_time(t, "young", INT64_C(4500000000));
    s = scan(t);
    report = report_text(s.report);
    cr_assert_str_eq(report, "clamped old: its time is outside 1980..2107\n"
                             "clamped young: its time is outside 1980..2107");
    cr_assert_eq(tree_lookup(s.tree, "old")->mtime.date, 1 << 5 | 1);
    cr_assert_eq(tree_lookup(s.tree, "young")->mtime.date,
                 127 << 9 | 12 << 5 | 31);
    scanned_clear(&s);

    options.clamp_time = 1000000000;
    s = scan_with(t, &options);
    cr_assert_eq(report_count(s.report), 1, "a date set on purpose is silent");
    cr_assert_eq(tree_lookup(s.tree, "young")->mtime.date,
                 21 << 9 | 9 << 5 | 9);
}

/* ---- Names ---- */

static char *short_name(const Tree *tree, const char *path)
{
    TreeNode *node = tree_lookup(tree, path);

    cr_assert_not_null(node, "%s", path);
    return g_strndup((const char *)node->short_name, FAT_SHORT_NAME_SIZE);
}

Test(scan, names_that_fat_takes_for_the_same_are_told_apart)
{
    g_autoptr(TempTree) t = temp_tree_new();
    g_auto(Scanned) s = { 0 };
    g_autofree char *text = NULL, *report = NULL;
    const TreeNode *node;

    temp_tree_text(t, "Read.Me", "1");
    temp_tree_text(t, "read.me", "2");
    temp_tree_text(t, "READ.me", "3");
    temp_tree_text(t, "Read~2.Me", "innocent");
    s = scan(t);
    text = listing(s.tree);
    report = report_text(s.report);
    cr_assert_str_eq(text, "/;READ.me;Read~3.Me;Read~2.Me;read~4.me;");
    cr_assert_str_eq(
        report, "renamed Read.Me: now 'Read~3.Me', as to FAT the name is the "
                "same as another\n"
                "renamed read.me: now 'read~4.me', as to FAT the name is the "
                "same as another");
    node = tree_lookup(s.tree, "read~4.me");
    cr_assert_str_eq(node->host_name, "read.me");
}

Test(scan, long_names_that_collide_stay_within_255_units)
{
    g_autoptr(TempTree) t = temp_tree_new();
    g_autofree char *a = g_strnfill(255, 'a');
    g_autofree char *b = g_strnfill(255, 'a');
    g_auto(Scanned) s = { 0 };
    const TreeNode *node;

    a[0] = 'A';
    memcpy(a + 250, ".text", 5);
    memcpy(b + 250, ".text", 5);
    temp_tree_text(t, a, "1");
    temp_tree_text(t, b, "2");
    s = scan(t);
    node = s.tree->root->children[1];
    cr_assert_eq(strlen(node->name), 255);
    cr_assert(g_str_has_suffix(node->name, "a~2.text"), "%s", node->name);
}

Test(scan, a_long_name_never_equals_anothers_short_name)
{
    g_autoptr(TempTree) t = temp_tree_new();
    g_auto(Scanned) s = { 0 };
    g_autofree char *generated = NULL, *taken = NULL;

    temp_tree_text(t, "long file name.txt", "1");
    temp_tree_text(t, "longfi~1.txt", "2");
    s = scan(t);
    taken = short_name(s.tree, "longfi~1.txt");
    generated = short_name(s.tree, "long file name.txt");
    cr_assert_str_eq(taken, "LONGFI~1TXT");
    cr_assert_str_neq(generated, taken);
    cr_assert_str_eq(tree_lookup(s.tree, "LONGFI~1.TXT")->name,
                     "longfi~1.txt");
}

Test(scan, what_fat_cannot_hold_is_mapped_and_reported)
{
    g_autoptr(TempTree) t = temp_tree_new();
    g_auto(Scanned) s = { 0 };
    g_autofree char *report = NULL;

    temp_tree_text(t, "a:b", "1");
    temp_tree_text(t, "bad\xff", "1");
    temp_tree_text(t, "dot.", "1");
    s = scan(t);
    report = report_text(s.report);
    cr_assert_str_eq(report,
                     "renamed a:b: now 'a\xef\x80\xba"
                     "b', as FAT cannot hold the name\n"
                     "renamed bad\\xff: now 'bad\xef\x83\xbf', as FAT "
                     "cannot hold the name\n"
                     "renamed dot.: now 'dot\xef\x80\xae', as FAT cannot "
                     "hold the name");
    cr_assert_str_eq(s.tree->root->children[1]->host_name, "bad\xff");
}

/* Names that differ in case alone. */
static void make_colliding(const TempTree *t, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        char name[32] = "collidingnamesof16";

        for (unsigned bit = 0; bit < 16; bit++) {
            if (i >> bit & 1) {
                name[bit] = (char)g_ascii_toupper(name[bit]);
            }
        }
        temp_tree_text(t, name, "");
    }
}

Test(scan, thousands_that_collide_take_linear_time, .timeout = 60)
{
    g_autoptr(TempTree) t = temp_tree_new();
    g_auto(Scanned) s = { 0 };
    g_autoptr(GHashTable)
        seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    gint64 start;

    make_colliding(t, 10000);
    start = g_get_monotonic_time();
    s = scan(t);
    cr_assert_lt(g_get_monotonic_time() - start, 5 * G_USEC_PER_SEC);
    cr_assert_eq(s.tree->root->n_children, 10000);
    cr_assert_eq(report_count(s.report), 9999);
    for (unsigned i = 0; i < 10000; i++) {
        const TreeNode *node = s.tree->root->children[i];

        cr_assert(g_hash_table_add(seen, names_fold(node->name)), "%s",
                  node->name);
        cr_assert(g_hash_table_add(
            seen,
            g_strdup_printf("short %.11s", (const char *)node->short_name)));
    }
}

/* ---- Size and depth ---- */

Test(scan, trees_deeper_than_path_max_need_few_descriptors, .timeout = 120)
{
    g_autoptr(TempTree) t = temp_tree_new();
    FaultFs *f = fault_fs_new(hostfs_posix_new(t->dir, NULL));
    g_autoptr(HostFs) fs = &f->fs;
    ScanOptions options = scan_options_default();
    g_autoptr(Report) report = report_new();
    g_autoptr(Tree) tree = NULL;
    g_autofree char *real = NULL;
    const TreeNode *node;
    HostFile *file;
    HostStat st;
    char byte;

    cr_assert_eq(run_command(NULL,
                             "cd '%s' && for i in $(seq 1000); do "
                             "mkdir directory && cd -P directory || exit 1; "
                             "done; printf x >file",
                             t->dir),
                 0);
    tree = scan_directory(fs, &options, report, NULL);
    cr_assert_not_null(tree);
    cr_assert_eq(tree->n_directories, 1001);
    cr_assert_leq(f->max_open, 1);

    for (node = tree->root; node->n_children; node = node->children[0]) {
    }
    real = tree_real_path(tree, node);
    cr_assert_gt(strlen(real), 4096);
    cr_assert_eq(fs->ops->file_open(fs, real, &file, &st), 0);
    cr_assert_eq(
        fs->ops->file_preadv(fs, file, &(struct iovec){ &byte, 1 }, 1, 0), 1);
    cr_assert_eq(byte, 'x');
    fs->ops->file_close(fs, file);
}
