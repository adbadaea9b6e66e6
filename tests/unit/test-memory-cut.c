/* SPDX-License-Identifier: MIT */
/* Workloads cut off at every call, as the fault layer and the file system in
 * memory do it together. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "fault-hostfs.h"
#include "host-tree.h"
#include "memory-hostfs.h"

#define SEEDS 300

/* Replace a file as one should; with `careless`, without syncing it. */
static int replace(HostFs *fs, bool careless)
{
    HostFile *file;
    int r = fs->ops->file_create(fs, "tmp", 0666, &file);

    if (r < 0) {
        return r;
    }
    r = hostfs_write_full(fs, file, 0, "the new one", 11);
    if (r == 0 && !careless) {
        r = fs->ops->file_sync(fs, file);
    }
    fs->ops->file_close(fs, file);
    r = r < 0 ? r : fs->ops->rename(fs, "tmp", "f", 0);
    return r < 0 ? r : fs->ops->dir_sync(fs, "");
}

/* How many of all crashes leave neither the old file nor the new one, or the
 * old one after success was told. */
static unsigned cut_everywhere(bool careless)
{
    unsigned bad = 0;
    int r = -1;

    for (int k = 1; r < 0; k++) {
        FaultFs *f = fault_fs_new(memory_hostfs_new());
        g_autoptr(HostFs) fs = NULL;

        cr_assert_eq(host_tree_text(f->inner, "f", "the old one"), 0);
        cr_assert_eq(f->inner->ops->sync_fs(f->inner), 0);
        f->fail_at = k;
        f->crash = true;
        r = replace(&f->fs, careless);
        cr_assert(r == 0 || r == -EIO);
        fs = fault_fs_take_inner(f);
        hostfs_free(&f->fs);
        for (uint32_t seed = 0; seed < SEEDS; seed++) {
            g_autoptr(HostFs) crashed = memory_hostfs_crash(fs, seed);
            g_autofree char *text = host_tree_read(crashed, "f", NULL);

            cr_assert_not_null(text);
            bad += strcmp(text, "the new one") != 0 &&
                   (r == 0 || strcmp(text, "the old one") != 0);
        }
    }
    return bad;
}

Test(memory_cut, a_workload_is_cut_off_at_every_call)
{
    cr_assert_eq(cut_everywhere(false), 0);
    cr_assert_gt(cut_everywhere(true), 0);
}
