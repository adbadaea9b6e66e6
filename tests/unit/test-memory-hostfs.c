/* SPDX-License-Identifier: MIT */
/* The host file system in memory behaves as the host's own one does. */
#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>

#include "fault-hostfs.h"
#include "host-tree.h"
#include "hostfs-fixture.h"
#include "memory-hostfs.h"

static void assert_dump(HostFs *fs, unsigned show, const char *want)
{
    g_autofree char *dump = host_tree_dump(fs, show);

    cr_assert_str_eq(dump, want, "%s", dump);
}

/* ---- Random work on both ---- */

/* Few enough names to meet again. */
static char *random_path(GRand *rand)
{
    static const char *const names[] = { "a", "b", "c", "dd", "link" };
    GString *path = g_string_new(NULL);
    int depth = g_rand_int_range(rand, 1, 4);

    for (int i = 0; i < depth; i++) {
        int n = g_rand_int_range(rand, 0, G_N_ELEMENTS(names));

        g_string_append_printf(path, "%s%s", i ? "/" : "", names[n]);
    }
    return g_string_free(path, FALSE);
}

/* The parameters of a call, so that both get the same. */
typedef struct Call {
    int kind;
    char *path, *other;
    unsigned value;
    int64_t offset, bytes;
} Call;

static Call call_random(GRand *rand)
{
    return (Call){
        .kind = g_rand_int_range(rand, 0, 16),
        .path = random_path(rand),
        .other = random_path(rand),
        .value = g_rand_int(rand),
        .offset = g_rand_int_range(rand, 0, 10000),
        .bytes = g_rand_int_range(rand, 0, 6000),
    };
}

static int change_contents(HostFs *fs, const Call *call)
{
    g_autofree uint8_t *data = g_malloc((size_t)call->bytes + 1);
    HostFile *file;
    HostStat st;
    int r = fs->ops->file_open_rw(fs, call->path, &file, &st);

    if (r < 0) {
        return r;
    }
    for (int64_t i = 0; i < call->bytes; i++) {
        data[i] = (uint8_t)(call->value + (uint64_t)i % 251);
    }
    switch (call->value % 4) {
    case 0:
        r = fs->ops->file_truncate(fs, file, call->offset);
        break;
    case 1:
        r = fs->ops->file_allocate(fs, file, call->offset, call->bytes);
        break;
    default:
        r = hostfs_write_full(fs, file, call->offset, data,
                              (size_t)call->bytes);
    }
    fs->ops->file_close(fs, file);
    return r;
}

static int copy_contents(HostFs *fs, const Call *call)
{
    HostFile *in, *out;
    HostStat st;
    int r = fs->ops->file_open(fs, call->path, &in, &st);

    if (r < 0) {
        return r;
    }
    r = fs->ops->file_open_rw(fs, call->other, &out, &st);
    if (r == 0) {
        bool same = strcmp(call->path, call->other) == 0;

        if (!same && st.size >= 5) {
            r = fs->ops->file_copy(fs, in, 1, out, call->offset, 4);
        }
        fs->ops->file_close(fs, out);
    }
    fs->ops->file_close(fs, in);
    /* Where the host does not copy, the other one need not know. */
    return r == -ENODATA ? 0 : r;
}

static int list_names(HostFs *fs, const char *path)
{
    const char *name;
    HostDir *dir;
    HostStat st;
    int n = 0;
    int r = fs->ops->dir_open(fs, path, &dir);

    if (r < 0) {
        return r;
    }
    while (fs->ops->dir_next(fs, dir, &name) > 0) {
        n++;
    }
    r = fs->ops->stat_at(fs, dir, "a", &st);
    fs->ops->dir_close(fs, dir);
    return r < 0 && r != -ENOENT ? r : n;
}

/* What matters of a file, as one number. */
static int examine(HostFs *fs, const char *path)
{
    HostStat st;
    int r = fs->ops->stat(fs, path, &st);

    if (r < 0) {
        return r;
    }
    return (int)(st.kind == HOST_FILE ? st.size * 8 : 0) + st.kind +
           (int)st.readable * 1000000 + (int)st.writable * 2000000 +
           (int)st.read_only * 4000000;
}

static int call_run(HostFs *fs, const Call *call)
{
    const HostFsOps *ops = fs->ops;
    HostFile *file;
    unsigned attr = 0;
    int r;

    switch (call->kind) {
    case 0:
        return ops->mkdir(fs, call->path, 0777);
    case 1:
        return ops->rmdir(fs, call->path);
    case 2:
        return ops->unlink(fs, call->path);
    case 3:
        return ops->rename(fs, call->path, call->other, 0);
    case 4:
        return ops->rename(fs, call->path, call->other,
                           call->value % 2 ? HOST_RENAME_NOREPLACE
                                           : HOST_RENAME_EXCHANGE);
    case 5:
        return copy_contents(fs, call);
    case 6:
        return ops->set_times(fs, call->path, call->value, 5);
    case 7: /* seldom without permission, or nothing works any more */
        return ops->set_mode(fs, call->path,
                             call->value % 8 ? 0755 : call->value >> 8 & 0777);
    case 8:
        return ops->set_read_only(fs, call->path, call->value % 4 == 0);
    case 9:
        return ops->set_dos_attrib(fs, call->path, call->value);
    case 10:
        r = ops->get_dos_attrib(fs, call->path, &attr);
        return r < 0 ? r : (int)attr;
    case 11:
        return list_names(fs, call->path);
    case 12:
        return examine(fs, call->path);
    case 13:
        return ops->dir_sync(fs, call->path);
    case 14:
        return change_contents(fs, call);
    default:
        r = ops->file_create(fs, call->path, 0666, &file);
        if (r == 0) {
            ops->file_close(fs, file);
        }
        return r;
    }
}

Test(memory_hostfs, it_does_what_the_host_does)
{
    g_auto(TestHost) host = test_host_new();
    g_autoptr(HostFs) memory = memory_hostfs_new();
    GRand *rand = g_rand_new_with_seed(20);
    unsigned done = 0;

    umask(022);
    temp_tree_link(host.t, "link", "a");
    cr_assert_eq(memory_hostfs_symlink(memory, "link", "a"), 0);
    test_host_drop_root(&host);
    for (int i = 0; i < 20000; i++) {
        Call call = call_random(rand);
        int a = call_run(host.fs, &call);
        int b = call_run(memory, &call);

        if (a == -ENOTSUP) {
            cr_skip_test("the file system here does not have call %d",
                         call.kind);
        }
        cr_assert_eq(a, b, "step %d: call %d of %s, %s: %d, not %d", i,
                     call.kind, call.path, call.other, b, a);
        done += a >= 0;
        g_free(call.path);
        g_free(call.other);
        if (i % 100 == 0) {
            unsigned show = HOST_TREE_MODES | HOST_TREE_ATTRS;
            g_autofree char *want = host_tree_dump(host.fs, show);
            g_autofree char *have = host_tree_dump(memory, show);
            g_autofree char *diff = host_tree_diff(want, have);

            cr_assert_null(diff, "step %d:\n%s", i, diff);
        }
    }
    cr_assert_gt(done, 2000, "%u", done);
    g_rand_free(rand);
}

Test(memory_hostfs, links_lead_where_they_do_on_the_host)
{
    static const char *const links[][2] = {
        { "l1", "d/f" },     { "d/l2", "../d/./f" }, { "l3", "l1" },
        { "l4", "nowhere" }, { "l5", "l5" },         { "l6", "../outside" },
        { "l7", "/etc" },    { "l8", "d" },          { "l9", "l8/f" },
        { "d/l10", ".." },   { "l11", "d/f/x" },     { "l12", "d/l10/d/f" },
    };
    g_auto(TestHost) host = test_host_new();
    g_autoptr(HostFs) memory = memory_hostfs_new();

    temp_tree_text(host.t, "d/f", "x");
    cr_assert_eq(host_tree_text(memory, "d/f", "x"), 0);
    cr_assert_eq(run_command(NULL, "touch '%s/outside'", host.t->top), 0);
    for (size_t i = 0; i < G_N_ELEMENTS(links); i++) {
        g_autofree char *a = NULL, *b = NULL;
        int r;

        temp_tree_link(host.t, links[i][0], links[i][1]);
        cr_assert_eq(memory_hostfs_symlink(memory, links[i][0], links[i][1]),
                     0);
        r = host.fs->ops->resolve(host.fs, links[i][0], &a);
        cr_assert_eq(memory->ops->resolve(memory, links[i][0], &b), r, "%s",
                     links[i][0]);
        cr_assert_str_eq(a ? a : "", b ? b : "");
    }
}

/* ---- What it has alone ---- */

Test(memory_hostfs, there_is_as_much_room_as_was_said)
{
    g_autoptr(HostFs) fs = memory_hostfs_new();
    g_autofree char *data = g_malloc0(40000);
    HostFile *file;
    HostSpace space;
    HostStat st;

    memory_hostfs_set_capacity(fs, 10 * 4096); /* the root takes one */
    cr_assert_eq(host_tree_file(fs, "a", data, 5 * 4096), 0);
    cr_assert_eq(fs->ops->space(fs, &space), 0);
    cr_assert_eq(space.total, 10 * 4096);
    cr_assert_eq(space.free, 4 * 4096);
    cr_assert_eq(host_tree_file(fs, "b", data, 5 * 4096), -ENOSPC);
    cr_assert_eq(host_tree_file(fs, "b", data, 3 * 4096), 0);
    cr_assert_eq(fs->ops->mkdir(fs, "d", 0777), 0);
    cr_assert_eq(fs->ops->mkdir(fs, "e", 0777), -ENOSPC);

    /* In place nothing more is needed; a hole takes nothing. */
    cr_assert_eq(fs->ops->file_open_rw(fs, "a", &file, &st), 0);
    cr_assert_eq(hostfs_write_full(fs, file, 0, data, 5 * 4096), 0);
    cr_assert_eq(hostfs_write_full(fs, file, 6 * 4096, data, 1), -ENOSPC);
    cr_assert_eq(fs->ops->file_truncate(fs, file, 1 << 20), 0);
    cr_assert_eq(fs->ops->file_allocate(fs, file, 0, 1 << 20), -ENOSPC);
    cr_assert_eq(fs->ops->file_seek(fs, file, 0, true), 0);
    cr_assert_eq(fs->ops->file_seek(fs, file, 0, false), 5 * 4096);
    cr_assert_eq(fs->ops->file_seek(fs, file, 5 * 4096, true), -ENXIO);

    /* An open file keeps its room. */
    cr_assert_eq(fs->ops->unlink(fs, "a"), 0);
    cr_assert_eq(fs->ops->space(fs, &space), 0);
    cr_assert_eq(space.free, 0);
    cr_assert_eq(hostfs_write_full(fs, file, 4096, "still there", 11), 0);
    fs->ops->file_close(fs, file);
    cr_assert_eq(fs->ops->space(fs, &space), 0);
    cr_assert_eq(space.free, 5 * 4096);
    cr_assert_eq(fs->ops->unlink(fs, "b"), 0);
    cr_assert_eq(fs->ops->rmdir(fs, "d"), 0);
    cr_assert_eq(fs->ops->space(fs, &space), 0);
    cr_assert_eq(space.free, 9 * 4096);
}

Test(memory_hostfs, whatever_is_touched_has_another_time)
{
    g_autoptr(HostFs) fs = memory_hostfs_new();
    g_autofree char *before = NULL, *after = NULL;

    memory_hostfs_set_time(fs, 1000);
    cr_assert_eq(host_tree_text(fs, "d/f", "x"), 0);
    cr_assert_eq(fs->ops->set_times(fs, "d", -5, 7), 0);
    cr_assert_eq(fs->ops->set_times(fs, "d/f", 5, 0), 0);
    assert_dump(fs, HOST_TREE_TIMES,
                "d/ time -5.000000007\nd/f 1 'x' time 5.000000000\n");
    before = host_tree_dump(fs, HOST_TREE_TIMES);
    cr_assert_eq(host_tree_text(fs, "d/f", "x"), 0);
    after = host_tree_dump(fs, HOST_TREE_TIMES);
    cr_assert_str_neq(before, after);
}

Test(memory_hostfs, it_has_what_a_test_wants)
{
    g_autoptr(HostFs) fs = memory_hostfs_new();
    g_autofree char *left = NULL;
    unsigned attr;

    cr_assert_eq(fs->ops->lock(fs), 0);
    memory_hostfs_set_locked(fs, true);
    cr_assert_eq(fs->ops->lock(fs), -EWOULDBLOCK);
    memory_hostfs_set_umask(fs, 077);
    cr_assert_eq(host_tree_text(fs, "f", "x"), 0);
    cr_assert_eq(host_tree_text(fs, "g",
                                "a text that is too long to show"
                                " as it is, of 50 or so"),
                 0);
    cr_assert_eq(fs->ops->set_dos_attrib(fs, "f", 2), 0);
    cr_assert_eq(fs->ops->copy_metadata(fs, "f", "g", &left), 0);
    cr_assert_eq(memory_hostfs_symlink(fs, "l", "f"), 0);
    assert_dump(fs, HOST_TREE_MODES | HOST_TREE_ATTRS,
                "f 1 'x' mode 0600 attr 0x02\n"
                "g 53 5cfa38920c5b2a8915340ebe9eaa29ef36deadeb mode 0600 "
                "attr 0x02\n"
                "l -> ? mode 0777\n");
    memory_hostfs_set_xattrs(fs, false);
    cr_assert_eq(fs->ops->get_dos_attrib(fs, "f", &attr), -ENOTSUP);
    cr_assert_eq(fs->ops->set_dos_attrib(fs, "f", 2), -ENOTSUP);
}

Test(memory_hostfs, dumps_are_compared_line_by_line)
{
    g_autofree char *none = host_tree_diff("a\nb\n", "a\nb\n");
    g_autofree char *some = host_tree_diff("a\nb\n", "a\nc\nd\n");

    cr_assert_null(none);
    cr_assert_str_eq(some, "-b\n+c\n+d\n");
}

/* ---- Faults ---- */

Test(memory_hostfs, calls_fail_when_it_is_their_turn)
{
    FaultFs *f = fault_fs_new(memory_hostfs_new());
    HostFs *fs = &f->fs;

    f->kinds = HOST_CALL_NAME;
    f->error = -ENOSPC;
    f->fail_at = 2;
    cr_assert_eq(fs->ops->mkdir(fs, "a", 0777), 0);
    cr_assert_eq(fs->ops->sync_fs(fs), 0);
    cr_assert_eq(fs->ops->mkdir(fs, "b", 0777), -ENOSPC);
    cr_assert_eq(fs->ops->mkdir(fs, "b", 0777), 0);
    f->fail_on = true;
    cr_assert_eq(fs->ops->mkdir(fs, "c", 0777), -ENOSPC);
    cr_assert_eq(fs->ops->rmdir(fs, "a"), -ENOSPC);
    f->fail_at = 0;
    cr_assert_eq(fs->ops->rmdir(fs, "a"), 0);
    cr_assert_eq(f->calls, 6);
    hostfs_free(fs);
}

Test(memory_hostfs, reads_and_writes_fall_short)
{
    FaultFs *f = fault_fs_new(memory_hostfs_new());
    g_autofree char *text = NULL;
    HostFs *fs = &f->fs;

    f->short_io = 3;
    f->kinds = HOST_CALL_DATA;
    cr_assert_eq(host_tree_text(fs, "f", "more than three"), 0);
    cr_assert_eq(f->calls, 5);
    text = host_tree_read(fs, "f", NULL);
    cr_assert_str_eq(text, "more than three");
    cr_assert_eq(f->n_open, 0);
    hostfs_free(fs);
}

/* ---- Threads ---- */

typedef struct Worker {
    HostFs *fs;
    uint32_t seed;
} Worker;

static void *work(void *opaque)
{
    const Worker *w = opaque;
    GRand *rand = g_rand_new_with_seed(w->seed);

    for (int i = 0; i < 3000; i++) {
        Call call = call_random(rand);

        call_run(w->fs, &call);
        if (i % 500 == 0) {
            HostFs *crashed = memory_hostfs_crash(w->fs, w->seed);

            g_free(host_tree_dump(crashed, 0));
            hostfs_free(crashed);
        }
        g_free(call.path);
        g_free(call.other);
    }
    g_rand_free(rand);
    return NULL;
}

Test(memory_hostfs, threads_may_share_it)
{
    g_autoptr(HostFs) fs = memory_hostfs_new();
    pthread_t threads[4];
    Worker workers[4];

    for (unsigned i = 0; i < 4; i++) {
        workers[i] = (Worker){ fs, i };
        cr_assert_eq(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    }
    for (unsigned i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
    }
    cr_assert_eq(fs->ops->sync_fs(fs), 0);
    cr_assert_eq(memory_hostfs_pending(fs), 0);
}
