/* SPDX-License-Identifier: MIT */
/*
 * Temporary files: a whole file under a name of its own, in the directory that
 * it goes to, so that one rename puts it there.
 *
 * A file that replaces another gets that one's owner, mode and attributes, and
 * nobody else may read it before it has them.
 */
#include <errno.h>
#include <string.h>

#include "block/iov.h"
#include "block/vvfat/apply-int.h"
#include "block/vvfat/dirent.h"
#include "block/vvfat/hostfs-xattr.h"
#include "block/vvfat/names.h"

#define PRIVATE_MODE 0600u
#define NAME_TRIES 16

/* A file being made, and what went wrong. */
typedef struct Staging {
    Inode *inode;
    Inode *dir;
    HostFile *in; /* host file that is copied; NULL: the guest's */
    int64_t size;
    const char *from;   /* path whose mode and attributes it gets, or NULL */
    const char *wanted; /* name, or NULL */
    HostFile *out;
    char *path;
    char *name;
    bool is_sparse;
    const char *call; /* that failed */
} Staging;

char *apply_temp_path(const Inode *inode)
{
    return inode_host_path_at(inode->change->temp_dir,
                              inode->change->temp_name);
}

/* ---- Contents ---- */

static int read_source(Apply *apply, Staging *s, int64_t offset, size_t bytes)
{
    IOVector iov;

    s->call = "read";
    if (!s->in) {
        return apply->hooks.read(s->inode, offset, (int64_t)bytes,
                                 apply->guest, apply->hooks.opaque);
    }
    iov_init_buf(&iov, apply->guest, bytes);
    return hostfs_read_full(apply->fs, s->in, offset, &iov, 0, bytes);
}

static bool block_is_zero(uint8_t *data, size_t bytes)
{
    IOVector iov;

    iov_init_buf(&iov, data, bytes);
    return iov_is_zero(&iov, 0, bytes);
}

/* Write what is not zero of the bytes in the buffer. *end: where the file
 * ends now. */
static int write_blocks(Apply *apply, Staging *s, int64_t offset, size_t bytes,
                        int64_t *end)
{
    size_t from = 0; /* of a run of blocks to be written */
    int r = 0;

    s->call = "write";
    for (size_t at = 0; r == 0 && at < bytes; at += APPLY_BLOCK) {
        size_t n = MIN(APPLY_BLOCK, bytes - at);
        bool is_zero = block_is_zero(apply->guest + at, n);
        size_t to = is_zero ? at : at + n;

        if (from < to && (is_zero || to == bytes)) {
            r = hostfs_write_full(apply->fs, s->out, offset + (int64_t)from,
                                  apply->guest + from, to - from);
            *end = offset + (int64_t)to;
        }
        if (is_zero) {
            from = at + n;
            s->is_sparse = true;
        }
    }
    return r;
}

static int write_contents(Apply *apply, Staging *s)
{
    int64_t end = 0;
    int r = 0;

    for (int64_t at = 0; r == 0 && at < s->size; at += APPLY_CHUNK) {
        size_t bytes = (size_t)MIN((int64_t)APPLY_CHUNK, s->size - at);

        r = read_source(apply, s, at, bytes);
        if (r == 0) {
            r = write_blocks(apply, s, at, bytes, &end);
        }
    }
    if (r == 0 && end < s->size) {
        s->call = "truncate";
        r = apply->fs->ops->file_truncate(apply->fs, s->out, s->size);
    }
    return r;
}

/* ---- The file ---- */

static char *temp_name(void)
{
    return g_strdup_printf(NAMES_TEMP_PREFIX "%08x%08x", g_random_int(),
                           g_random_int());
}

void apply_choose_names(Plan *plan)
{
    for (guint i = 0; i < plan->ops->len; i++) {
        PlanOp *op = &g_array_index(plan->ops, PlanOp, i);
        g_autofree char *name = NULL;

        if (op->kind == PLAN_STAGE || op->kind == PLAN_WRITE) {
            name = temp_name();
            plan->own = plan->own ? plan->own : g_string_chunk_new(4096);
            op->name = g_string_chunk_insert(plan->own, name);
        }
    }
}

static int create(Apply *apply, Staging *s)
{
    unsigned mode = s->from ? PRIVATE_MODE : apply->options.file_mode;
    int r = -EEXIST;

    s->call = "create";
    for (unsigned i = 0; r == -EEXIST && i < NAME_TRIES; i++) {
        g_free(s->name);
        g_free(s->path);
        s->name = i == 0 && s->wanted ? g_strdup(s->wanted) : temp_name();
        s->path = inode_host_path_at(s->dir, s->name);
        r = apply->fs->ops->file_create(apply->fs, s->path, mode, &s->out);
    }
    return r;
}

/* The guest's time, while the file is open. Where that fails it has its own,
 * and the plan's operation for times says so. */
static void set_guest_time(Apply *apply, Staging *s)
{
    const FatDirent *entry = &s->inode->entry;
    FatTime time = {
        .date = le16_get(entry->mdate),
        .time = le16_get(entry->mtime),
    };
    int r = apply->fs->ops->file_set_times(
        apply->fs, s->out, dirent_time_to_unix(time, apply->options.utc), 0);

    (void)r;
}

static bool has_own(const char *names)
{
    g_auto(GStrv) list = g_strsplit(names, ", ", -1);
    bool found = false;

    for (char **name = list; *name && !found; name++) {
        found = xattr_is_own(*name);
    }
    return found;
}

/*
 * Mode, owner and attributes. What labels and owners cannot follow is told of
 * one file for all: it is the system's way. What users gave to a file
 * themselves is told of each.
 */
static int copy_attributes(Apply *apply, const Staging *s)
{
    g_autofree char *left = NULL;
    g_autofree char *path = inode_path(s->inode);
    g_autofree char *text = NULL;
    char *key;
    int r = apply->fs->ops->copy_metadata(apply->fs, s->from, s->path, &left);

    if (r < 0 || !left) {
        return r;
    }
    key = g_strdup_printf("%s\n%s", has_own(left) ? path : "", left);
    if (g_hash_table_add(apply->told_behind, key)) {
        text = g_strdup_printf("it was replaced by a new file, which cannot "
                               "have what the old one had: %s",
                               left);
        apply_event(apply, APPLY_NOT_KEPT, path, text);
    }
    return 0;
}

static int fill(Apply *apply, Staging *s)
{
    const HostFsOps *ops = apply->fs->ops;
    HostStat st;
    int r = write_contents(apply, s);

    if (r == 0 && s->from) {
        s->call = "copy attributes to";
        r = copy_attributes(apply, s);
    }
    if (r == 0 && !s->in) {
        set_guest_time(apply, s);
    }
    if (r == 0) {
        s->call = "stat";
        r = ops->file_stat(apply->fs, s->out, &st);
    }
    if (r == 0) {
        InodeChange *change = s->inode->change;

        change->temp_dir = s->dir;
        change->temp_name = g_strdup(s->name);
        change->staged = apply_host_id(&st);
        change->staged_sparse = s->is_sparse;
    }
    return r;
}

static bool try_remove(Apply *apply, const char *path)
{
    const char *slash = strrchr(path, '/');
    int r;

    if (names_is_temporary(slash ? slash + 1 : path)) {
        r = apply->fs->ops->unlink(apply->fs, path);
    } else {
        r = apply->fs->ops->rmdir(apply->fs, path);
        r = r == -ENOTEMPTY || r == -EEXIST ? 0 : r; /* somebody's by now */
    }
    return r == 0 || apply_is_gone(r);
}

void apply_remove_made(Apply *apply, const char *path)
{
    if (!try_remove(apply, path)) {
        g_ptr_array_add(apply->leftovers, g_strdup(path));
    }
}

/* True: the source is gone, durably, or is not what was copied any more. */
static bool try_remove_source(Apply *apply, const ApplySource *source)
{
    const HostFsOps *ops = apply->fs->ops;
    const char *slash = strrchr(source->path, '/');
    g_autofree char *dir =
        g_strndup(source->path, slash ? (size_t)(slash - source->path) : 0);
    HostStat st;
    int r = ops->stat(apply->fs, source->path, &st);

    if (r == 0 && !apply_same_version(&st, &source->id)) {
        return true;
    }
    r = r < 0 ? r : ops->unlink(apply->fs, source->path);
    r = r < 0 && !apply_is_gone(r) ? r : ops->dir_sync(apply->fs, dir);
    return r == 0 || apply_is_gone(r);
}

void apply_sweep(Apply *apply)
{
    for (guint i = apply->sources->len; i > 0; i--) {
        if (try_remove_source(
                apply, &g_array_index(apply->sources, ApplySource, i - 1))) {
            g_array_remove_index_fast(apply->sources, i - 1);
        }
    }
    for (guint i = apply->leftovers->len; i > 0; i--) {
        if (try_remove(apply, apply->leftovers->pdata[i - 1])) {
            g_ptr_array_remove_index_fast(apply->leftovers, i - 1);
        }
    }
}

/* 0, or -errno: then there is no file. s->path is to be freed. */
static int stage(Apply *apply, Staging *s)
{
    int r = create(apply, s);

    if (r == 0) {
        r = fill(apply, s);
        apply->fs->ops->file_close(apply->fs, s->out);
        if (r < 0) {
            apply_remove_made(apply,
                              s->path); /* the first error is to be told */
            apply_set_dirty(apply, s->dir);
        }
    }
    g_clear_pointer(&s->name, g_free);
    return r;
}

bool apply_stage_guest(Apply *apply, Inode *inode, Inode *dir,
                       const Inode *from, const char *name)
{
    g_autofree char *path = from ? inode_host_path(from) : NULL;
    Staging s = {
        .inode = inode,
        .dir = dir,
        .size = inode_size(inode),
        .wanted = name,
    };
    HostStat st;
    int r;

    apply_drop_temp(apply, inode);
    r = path ? apply->fs->ops->stat(apply->fs, path, &st) : -ENOENT;
    if (r == 0 && st.kind == HOST_FILE) {
        s.from = path;
    }
    if (r < 0 && !apply_is_gone(r)) {
        apply_fail(apply, inode, r, "stat", path);
        return false;
    }
    r = stage(apply, &s);
    if (r < 0) {
        apply_fail(apply, inode, r, s.call, s.path);
    }
    g_free(s.path);
    return r == 0;
}

int apply_stage_copy(Apply *apply, Inode *inode, Inode *dir, const char *from)
{
    const HostFsOps *ops = apply->fs->ops;
    Staging s = { .inode = inode, .dir = dir, .from = from };
    HostStat st;
    int r = ops->file_open(apply->fs, from, &s.in, &st);

    if (r < 0) {
        return r;
    }
    s.size = st.size;
    r = stage(apply, &s);
    ops->file_close(apply->fs, s.in);
    if (r == 0) {
        r = ops->set_times(apply->fs, s.path, st.mtime, st.mtime_ns);
        st.dev = inode->change->staged.dev;
        st.ino = inode->change->staged.ino;
        inode->change->staged = apply_host_id(&st);
        r = r == 0 ? apply_sync_temp(apply, inode) : r;
        if (r < 0) {
            apply_drop_temp(apply, inode);
        }
    }
    g_free(s.path);
    return r;
}

/* ---- Those that are there ---- */

int apply_is_staged(Apply *apply, const Inode *inode)
{
    g_autofree char *path = NULL;
    HostStat st;
    int r;

    if (!inode->change->temp_name ||
        !inode_is_on_host(inode->change->temp_dir)) {
        return 0;
    }
    path = apply_temp_path(inode);
    r = apply->fs->ops->stat(apply->fs, path, &st);
    if (r < 0) {
        return apply_is_gone(r) ? 0 : r;
    }
    return st.kind == HOST_FILE &&
           apply_same_version(&st, &inode->change->staged);
}

void apply_drop_temp(Apply *apply, Inode *inode)
{
    InodeChange *change = inode->change;

    if (change->temp_name && inode_is_on_host(change->temp_dir)) {
        g_autofree char *path = apply_temp_path(inode);

        apply_remove_made(apply, path);
        apply_set_dirty(apply, change->temp_dir);
    }
    g_clear_pointer(&change->temp_name, g_free);
    change->temp_dir = NULL;
}

/* ---- The operation ---- */

/* Whether the host file, of the same size, has the guest's bytes. What cannot
 * be read is not the same; what may not be on the disk, neither. */
static bool is_same(Apply *apply, const Inode *inode)
{
    g_autofree char *path = inode_host_path(inode);
    int64_t size = inode_size(inode);
    HostFile *file;
    HostStat st;
    bool same = !inode->is_unsynced &&
                apply->fs->ops->file_open(apply->fs, path, &file, &st) == 0;

    if (!same) {
        return false;
    }
    same = st.size == size;
    for (int64_t at = 0; same && at < size; at += APPLY_CHUNK) {
        size_t bytes = (size_t)MIN((int64_t)APPLY_CHUNK, size - at);
        IOVector iov;

        iov_init_buf(&iov, apply->host, bytes);
        same = hostfs_read_full(apply->fs, file, at, &iov, 0, bytes) == 0 &&
               apply->hooks.read(inode, at, (int64_t)bytes, apply->guest,
                                 apply->hooks.opaque) == 0 &&
               memcmp(apply->host, apply->guest, bytes) == 0;
    }
    apply->fs->ops->file_close(apply->fs, file);
    return same;
}

void apply_op_stage(Apply *apply, const PlanOp *op, Inode *victim)
{
    Inode *inode = op->inode;
    InodeChange *change = inode->change;
    bool on_host = inode_is_on_host(inode);
    HostStat st;

    if (change->content == CONTENT_SAME ||
        !apply_has_dir(apply, inode, op->dir)) {
        return;
    }
    if (change->temp_name) {
        /* Of an earlier run, which may have placed it: that is found out when
         * the directories are where they are to be. */
        return;
    }
    if (!change->temp_name && on_host &&
        inode->host.size == inode_size(inode) &&
        apply_look(apply, inode, &st) == LOOK_SAME && is_same(apply, inode)) {
        change->content = CONTENT_SAME;
        if (change->is_torn) { /* which version it is was not known */
            apply_lock(apply);
            inode->host = apply_host_id(&st);
            apply_unlock(apply);
            change->is_torn = false;
        }
        return;
    }
    apply_stage_guest(apply, inode, op->dir,
                      on_host                              ? inode
                      : victim && inode_is_on_host(victim) ? victim
                                                           : NULL,
                      op->name);
}
