/* SPDX-License-Identifier: MIT */
/* Scanning: links, what cannot be taken, faults. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "fault-hostfs.h"
#include "scan-fixture.h"

/* ---- Links ---- */

Test(scan, links_that_stay_inside_are_followed)
{
    g_autoptr(TempTree) t = temp_tree_new();
    g_auto(Scanned) s = { 0 };
    g_autofree char *absolute = temp_tree_path(t, "data/file");
    g_autofree char *text = NULL, *real = NULL;
    const TreeNode *node;

    temp_tree_text(t, "data/file", "1234");
    temp_tree_link(t, "absolute", absolute);
    temp_tree_link(t, "sub/dir", "../data");
    temp_tree_link(t, "out-and-in", "../tree/data/file");
    s = scan(t);
    text = listing(s.tree);
    cr_assert_str_eq(text, "/;absolute;data/;data/file;out-and-in;sub/;"
                           "sub/dir/;sub/dir/file;");
    cr_assert_eq(report_count(s.report), 0);
    cr_assert_eq(tree_lookup(s.tree, "absolute")->size, 4);
    node = tree_lookup(s.tree, "sub/dir/file");
    real = tree_real_path(s.tree, node);
    cr_assert_str_eq(real, "data/file");
}

Test(scan, links_that_lead_elsewhere_are_left_out_and_reported)
{
    g_autoptr(TempTree) t = temp_tree_new();
    g_auto(Scanned) s = { 0 };
    g_autofree char *text = NULL, *report = NULL;

    temp_tree_link(t, "dangling", "nowhere");
    temp_tree_link(t, "outside", "/etc/passwd");
    temp_tree_link(t, "parent", "..");
    temp_tree_link(t, "self", "self");
    temp_tree_link(t, "here", ".");
    temp_tree_link(t, "a/b/up", "../../a");
    temp_tree_link(t, "a/neighbour", "/etc/../../etc");
    s = scan(t);
    text = listing(s.tree);
    report = report_text(s.report);
    cr_assert_str_eq(text, "/;a/;a/b/;");
    cr_assert_str_eq(
        report,
        "skipped a/b/up: symbolic link to a directory that it is in\n"
        "skipped a/neighbour: symbolic link that leads out of the directory\n"
        "skipped dangling: symbolic link that leads nowhere\n"
        "skipped here: symbolic link to a directory that it is in\n"
        "skipped outside: symbolic link that leads out of the directory\n"
        "skipped parent: symbolic link that leads out of the directory\n"
        "skipped self: symbolic link that leads in a circle");
}

Test(scan, a_directory_whose_name_begins_alike_is_outside)
{
    g_autoptr(TempTree) t = temp_tree_new();
    g_autofree char *beside = temp_tree_beside(t, "tree2");
    g_auto(Scanned) s = { 0 };
    g_autofree char *report = NULL;

    mkdir(beside, 0755);
    temp_tree_link(t, "l", "../tree2");
    s = scan(t);
    report = report_text(s.report);
    cr_assert_str_eq(report, "skipped l: symbolic link that leads out of the "
                             "directory");
}

Test(scan, mutual_links_end)
{
    g_autoptr(TempTree) t = temp_tree_new();
    g_auto(Scanned) s = { 0 };
    g_autofree char *text = NULL;

    temp_tree_link(t, "a/to-b", "../b");
    temp_tree_link(t, "b/to-a", "../a");
    s = scan(t);
    text = listing(s.tree);
    cr_assert_str_eq(text, "/;a/;a/to-b/;b/;b/to-a/;");
    cr_assert_eq(report_count(s.report), 2);
}

Test(scan, links_can_be_skipped_or_refused)
{
    g_autoptr(TempTree) t = temp_tree_new();
    ScanOptions options = scan_options_default();
    g_auto(Scanned) s = { 0 };
    g_autofree char *message = NULL;

    temp_tree_text(t, "file", "1");
    temp_tree_link(t, "link", "file");
    options.symlinks = SYMLINKS_SKIP;
    s = scan_with(t, &options);
    cr_assert_eq(s.tree->root->n_children, 1);
    cr_assert_eq(report_count(s.report), 1);
    options.symlinks = SYMLINKS_ERROR;
    message = scan_refused(s.fs, &options, ELOOP);
    cr_assert_not_null(strstr(message, "'link'"));
    cr_assert_not_null(strstr(message, "symlinks=skip"));
}

Test(scan, links_that_multiply_end_in_an_error)
{
    g_autoptr(TempTree) t = temp_tree_new();
    ScanOptions options = scan_options_default();
    g_autoptr(HostFs) fs = NULL;
    g_autofree char *message = NULL;

    /* 16 links in each of 8 levels: 16^8 paths to one file. */
    for (unsigned level = 0; level < 8; level++) {
        for (unsigned i = 0; i < 16; i++) {
            g_autofree char *name = g_strdup_printf("%u/%u", level, i);
            g_autofree char *to = g_strdup_printf("../%u", level + 1);

            temp_tree_link(t, name, to);
        }
    }
    temp_tree_text(t, "8/file", "");
    fs = hostfs_posix_new(t->dir, NULL);
    options.max_linked = 10000;
    message = scan_refused(fs, &options, EFBIG);
    cr_assert_not_null(strstr(message, "symlinks=skip"));
}

/* ---- What cannot be taken ---- */

Test(scan, sockets_and_fifos_are_left_out_and_reported)
{
    g_autoptr(TempTree) t = temp_tree_new();
    g_autofree char *fifo = temp_tree_path(t, "fifo");
    g_autofree char *sock = temp_tree_path(t, "sock");
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    g_auto(Scanned) s = { 0 };
    g_autofree char *report = NULL;

    cr_assert_eq(mkfifo(fifo, 0644), 0);
    g_strlcpy(addr.sun_path, sock, sizeof(addr.sun_path));
    cr_assert_eq(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    close(fd);
    temp_tree_link(t, "link", "fifo");
    s = scan(t);
    report = report_text(s.report);
    cr_assert_eq(s.tree->root->n_children, 0);
    cr_assert_str_eq(report, "skipped fifo: neither a file nor a directory\n"
                             "skipped link: neither a file nor a directory\n"
                             "skipped sock: neither a file nor a directory");
}

Test(scan, a_file_of_4_gib_is_refused_by_name_or_skipped)
{
    g_autoptr(TempTree) t = temp_tree_new();
    ScanOptions options = scan_options_default();
    g_auto(Scanned) s = { 0 };
    g_autofree char *message = NULL;

    temp_tree_sparse(t, "dir/big", INT64_C(0x100000000));
    temp_tree_sparse(t, "dir/fits", INT64_C(0xffffffff));
    options.unsupported = UNSUPPORTED_SKIP;
    s = scan_with(t, &options);
    cr_assert_eq(s.tree->n_files, 1);
    cr_assert_eq(tree_lookup(s.tree, "dir/fits")->size, 0xffffffff);
    cr_assert_eq(report_count(s.report), 1);
    options.unsupported = UNSUPPORTED_ERROR;
    message = scan_refused(s.fs, &options, EFBIG);
    cr_assert_not_null(strstr(message, "'dir/big'"), "%s", message);
    cr_assert_not_null(strstr(message, "unsupported=skip"));
}

Test(scan, what_may_not_be_read_is_refused_by_name_or_skipped)
{
    g_autoptr(TempTree) t = temp_tree_new();
    FaultFs *f = fault_fs_new(hostfs_posix_new(t->dir, NULL));
    g_autoptr(HostFs) fs = &f->fs;
    ScanOptions options = scan_options_default();
    g_autoptr(Report) report = report_new();
    g_autoptr(Tree) tree = NULL;
    g_autofree char *message = NULL, *text = NULL;

    temp_tree_text(t, "secret/file", "1");
    temp_tree_text(t, "open", "1");
    f->deny = "secret";
    message = scan_refused(fs, &options, EACCES);
    cr_assert_not_null(strstr(message, "'secret'"));
    options.unsupported = UNSUPPORTED_SKIP;
    tree = scan_directory(fs, &options, report, NULL);
    text = listing(tree);
    cr_assert_str_eq(text, "/;open;");
    cr_assert_eq(report_count(report), 1);
}

Test(scan, modes_are_asked_when_not_everybody_may_read)
{
    g_autoptr(TempTree) t = temp_tree_new();
    ScanOptions options = scan_options_default();
    g_autofree char *path = temp_tree_path(t, "mine");
    g_autoptr(HostFs) fs = NULL;

    temp_tree_text(t, "mine", "1");
    chmod(path, 0000);
    fs = hostfs_posix_new(t->dir, NULL);
    if (geteuid() == 0) { /* root may read anything */
        g_autoptr(Report) report = report_new();
        g_autoptr(Tree) tree = scan_directory(fs, &options, report, NULL);

        cr_assert_not_null(tree);
        cr_assert_eq(tree->n_files, 1);
    } else {
        g_free(scan_refused(fs, &options, EACCES));
    }
}

Test(scan, what_vanishes_meanwhile_is_left_out_and_reported)
{
    g_autoptr(TempTree) t = temp_tree_new();
    FaultFs *f = fault_fs_new(hostfs_posix_new(t->dir, NULL));
    g_autoptr(HostFs) fs = &f->fs;
    ScanOptions options = scan_options_default();
    g_autoptr(Report) report = report_new();
    g_autoptr(Tree) tree = NULL;
    g_autofree char *text = NULL;

    temp_tree_text(t, "a", "1");
    temp_tree_text(t, "gone", "1");
    f->vanish = "gone";
    tree = scan_directory(fs, &options, report, NULL);
    text = report_text(report);
    cr_assert_eq(tree->n_files, 1);
    cr_assert_str_eq(text, "skipped gone: vanished while the directory was "
                           "read");
}

Test(scan, directories_that_cannot_be_opened_are_dropped)
{
    g_autoptr(TempTree) t = temp_tree_new();
    ScanOptions options = scan_options_default();
    bool done = false;

    for (unsigned i = 0; i < 5; i++) {
        g_autofree char *name = g_strdup_printf("d%u/file", i);

        temp_tree_text(t, name, "1");
    }
    options.unsupported = UNSUPPORTED_SKIP;
    for (int k = 1; !done; k++) {
        FaultFs *f = fault_fs_new(hostfs_posix_new(t->dir, NULL));
        g_autoptr(HostFs) fs = &f->fs;
        g_autoptr(Report) report = report_new();
        g_autoptr(Tree) tree = NULL;

        f->fail_at = k;
        f->error = k % 2 ? -EACCES : -ENOENT;
        tree = scan_directory(fs, &options, report, NULL);
        done = f->calls < k;
        if (tree && !done) {
            cr_assert_eq(report_count(report), 1, "call %d", k);
            cr_assert_eq(tree->n_directories, tree->root->n_children + 1);
        }
        cr_assert_eq(f->n_open, 0);
    }
}

Test(scan, every_fault_is_a_clean_error)
{
    g_autoptr(TempTree) t = temp_tree_new();
    ScanOptions options = scan_options_default();
    bool done = false;

    temp_tree_text(t, "dir/file", "1");
    temp_tree_text(t, "dir/sub/file", "1");
    temp_tree_link(t, "link", "dir");
    temp_tree_link(t, "link2", "dir/file");
    for (int k = 1; !done; k++) {
        FaultFs *f = fault_fs_new(hostfs_posix_new(t->dir, NULL));
        g_autoptr(HostFs) fs = &f->fs;
        g_autoptr(Report) report = report_new();
        g_autoptr(GError) error = NULL;
        g_autoptr(Tree) tree = NULL;

        f->fail_at = k;
        f->error = -EIO;
        tree = scan_directory(fs, &options, report, &error);
        done = f->calls < k;
        if (!done) {
            cr_assert_null(tree, "call %d", k);
            cr_assert_eq(error->code, EIO, "%s", error->message);
        } else {
            cr_assert_not_null(tree);
        }
        cr_assert_eq(f->n_open, 0);
    }
}
