/* SPDX-License-Identifier: MIT */
#include "apply-fixture.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "block/vvfat/dirent.h"

/* ---- The guest's hooks ---- */

static int hook_read(const Inode *inode, int64_t offset, int64_t bytes,
                     void *buf, void *opaque)
{
    ApplyWorld *w = opaque;
    const GString *data = g_hash_table_lookup(w->data, inode);

    cr_assert_not(w->is_locked);
    cr_assert_not_null(data);
    cr_assert_geq(offset, 0);
    cr_assert_leq(offset + bytes, (int64_t)data->len);
    memcpy(buf, data->str + offset, (size_t)bytes);
    return w->read_error;
}

static void hook_lock(void *opaque)
{
    ApplyWorld *w = opaque;

    cr_assert_not(w->is_locked);
    w->is_locked = true;
    w->n_locked++;
}

static void hook_unlock(void *opaque)
{
    ApplyWorld *w = opaque;

    cr_assert(w->is_locked);
    w->is_locked = false;
}

static void hook_forget(Inode *inode, void *opaque)
{
    const ApplyWorld *w = opaque;

    cr_assert_not_null(inode);
    cr_assert(w->is_locked);
}

static void hook_event(ApplyEventKind kind, const char *path,
                       const char *detail, void *opaque)
{
    ApplyWorld *w = opaque;

    g_string_append_printf(w->events, "%s %s: %s\n",
                           kind == APPLY_CONFLICT   ? "conflict"
                           : kind == APPLY_NOT_KEPT ? "not kept"
                                                    : "failed",
                           path, detail);
}

static const ApplyHooks hooks = {
    .read = hook_read,
    .lock = hook_lock,
    .unlock = hook_unlock,
    .forget = hook_forget,
    .event = hook_event,
};

/* ---- The world ---- */

static void free_data(gpointer data)
{
    g_string_free(data, TRUE);
}

static Inode *add_inode(ApplyWorld *w, bool is_directory, Inode *parent,
                        const char *name)
{
    Inode *inode = inode_new(is_directory);

    inode->parent = parent;
    inode_set_name(inode, name);
    inode->id = w->inodes->len + 1;
    inode->entry.attr = is_directory ? FAT_ATTR_DIRECTORY : FAT_ATTR_ARCHIVE;
    g_ptr_array_add(w->inodes, inode);
    if (!is_directory) {
        g_hash_table_insert(w->data, inode, g_string_new(NULL));
    }
    return inode;
}

static InodeChange *change_of(Inode *inode)
{
    if (!inode->change) {
        inode->change = g_new0(InodeChange, 1);
        inode->change->target_name = g_strdup(inode->host_name);
    }
    return inode->change;
}

static HostStat stat_of(HostFs *fs, const char *path)
{
    HostStat st;
    int r = fs->ops->stat(fs, path, &st);

    cr_assert_eq(r, 0, "%s: %d", path, r);
    return st;
}

ApplyWorld *apply_world_new(HostFs *fs)
{
    ApplyWorld *w = g_new0(ApplyWorld, 1);
    HostStat st = stat_of(fs, "");

    w->fs = fs;
    w->inodes = g_ptr_array_new_with_free_func((GDestroyNotify)inode_free);
    w->saved = g_ptr_array_new_with_free_func((GDestroyNotify)inode_free);
    w->data = g_hash_table_new_full(NULL, NULL, NULL, free_data);
    w->plan.ops = g_array_new(FALSE, FALSE, sizeof(PlanOp));
    w->options = (ApplyOptions){ 0666, 0777, true };
    w->events = g_string_new(NULL);
    w->root = add_inode(w, true, NULL, "");
    inode_set_host_name(w->root, "");
    w->root->host = apply_host_id(&st);
    return w;
}

void apply_world_free(ApplyWorld *w)
{
    if (w) {
        apply_free(w->apply);
        g_hash_table_destroy(w->data);
        g_ptr_array_unref(w->saved);
        g_ptr_array_unref(w->inodes);
        g_array_unref(w->plan.ops);
        g_string_free(w->events, TRUE);
        g_free(w);
    }
}

static void put_time(FatDirent *entry, int64_t seconds, uint32_t ns)
{
    bool clamped;
    FatTime time = dirent_time_from_unix(seconds, ns, true, NULL, &clamped);

    le16_put(&entry->mtime, time.time);
    le16_put(&entry->mdate, time.date);
}

/* It is on the host: both sides are as there. */
static void take_host(ApplyWorld *w, Inode *inode)
{
    HostStat st;

    inode->host_parent = inode->parent;
    inode_set_host_name(inode, inode->name);
    g_autofree char *path = inode_host_path(inode);
    st = stat_of(w->fs, path);
    inode->host = apply_host_id(&st);
    put_time(&inode->entry, st.mtime, st.mtime_ns);
    inode->host_entry = inode_host_entry(&inode->entry);
}

Inode *apply_world_dir(ApplyWorld *w, Inode *parent, const char *name)
{
    g_autofree char *path = inode_host_path_at(parent, name);
    Inode *inode = add_inode(w, true, parent, name);

    cr_assert_eq(w->fs->ops->mkdir(w->fs, path, 0755), 0);
    take_host(w, inode);
    return inode;
}

Inode *apply_world_mounted(ApplyWorld *w, Inode *parent, const char *name)
{
    Inode *inode = add_inode(w, true, parent, name);

    take_host(w, inode);
    return inode;
}

Inode *apply_world_file(ApplyWorld *w, Inode *parent, const char *name,
                        const char *text)
{
    g_autofree char *path = inode_host_path_at(parent, name);
    Inode *inode = add_inode(w, false, parent, name);
    HostFile *file;

    cr_assert_eq(w->fs->ops->file_create(w->fs, path, 0644, &file), 0);
    cr_assert_eq(hostfs_write_full(w->fs, file, 0, text, strlen(text)), 0);
    w->fs->ops->file_close(w->fs, file);
    g_string_assign(g_hash_table_lookup(w->data, inode), text);
    le32_put(&inode->entry.size, (uint32_t)strlen(text));
    take_host(w, inode);
    return inode;
}

Inode *apply_world_add(ApplyWorld *w, Inode *parent, const char *name,
                       const char *text)
{
    Inode *inode = add_inode(w, text == NULL, parent, name);

    change_of(inode)->target_name = g_strdup(name);
    put_time(&inode->entry, 1000000000, 0);
    if (text) {
        apply_world_text(w, inode, CONTENT_WHOLE, text);
    }
    return inode;
}

void apply_world_move(ApplyWorld *w, Inode *inode, Inode *parent,
                      const char *name)
{
    InodeChange *change = change_of(inode);

    (void)w;
    inode->parent = parent;
    inode_set_name(inode, name);
    g_free(change->target_name);
    change->target_name = g_strdup(name);
}

void apply_world_remove(ApplyWorld *w, Inode *inode)
{
    (void)w;
    g_clear_pointer(&change_of(inode)->target_name, g_free);
    inode->parent = NULL;
}

void apply_world_bytes(ApplyWorld *w, Inode *inode, InodeContent content,
                       const void *data, size_t bytes)
{
    GString *held = g_hash_table_lookup(w->data, inode);
    InodeChange *change = change_of(inode);

    g_string_truncate(held, 0);
    g_string_append_len(held, data, (gssize)bytes);
    le32_put(&inode->entry.size, (uint32_t)bytes);
    change->content = content;
    if (content == CONTENT_RANGES) {
        InodeRange all = { 0, (int64_t)bytes };

        change->ranges = g_array_new(FALSE, FALSE, sizeof(InodeRange));
        g_array_append_val(change->ranges, all);
    }
}

void apply_world_text(ApplyWorld *w, Inode *inode, InodeContent content,
                      const char *text)
{
    apply_world_bytes(w, inode, content, text, strlen(text));
}

void apply_world_time(ApplyWorld *w, Inode *inode, int64_t seconds)
{
    (void)w;
    change_of(inode);
    put_time(&inode->entry, seconds, 0);
}

void apply_world_op(ApplyWorld *w, PlanKind kind, Inode *inode, Inode *dir,
                    Inode *victim)
{
    bool is_named = kind == PLAN_MKDIR || kind == PLAN_RENAME ||
                    kind == PLAN_PLACE;
    const char *name = change_of(inode)->target_name;
    PlanOp op = {
        .kind = kind,
        .inode = inode,
        .dir = dir,
        .name = is_named ? name : NULL,
        .victim = victim,
    };

    g_array_append_val(w->plan.ops, op);
}

/* ---- Running ---- */

int apply_world_run(ApplyWorld *w)
{
    ApplyHooks mine = hooks;
    int r = 0;

    if (!w->apply || w->apply_fs != w->fs) {
        mine.opaque = w;
        apply_free(w->apply);
        w->apply = apply_new(w->fs, &w->options, &mine);
        w->apply_fs = w->fs;
    }
    r = apply_resync(w->apply);
    if (r == 0) {
        apply_stage(w->apply, &w->plan);
        r = apply_run(w->apply, &w->plan);
    }
    cr_assert_not(w->is_locked);
    return r;
}

void apply_world_run_well(ApplyWorld *w)
{
    cr_assert_eq(apply_world_run(w), 0);
    for (guint i = 0; i < w->inodes->len; i++) {
        const Inode *inode = w->inodes->pdata[i];

        cr_assert_not(inode->change && inode->change->held, "%s: %s: %s",
                      inode->name, inode_held_text(inode->change->held),
                      inode->change->detail);
    }
}

void apply_world_release(ApplyWorld *w)
{
    for (guint i = 0; i < w->inodes->len; i++) {
        const Inode *inode = w->inodes->pdata[i];

        if (inode->change) {
            inode->change->held = 0;
        }
    }
}

/* The host side and the change; ranges and names of targets do not change. */
static void copy_side(Inode *to, const Inode *from)
{
    to->host_parent = from->host_parent;
    inode_set_host_name(to, from->host_name);
    g_free(to->alias);
    to->alias = g_strdup(from->alias);
    g_free(to->link_path);
    to->link_path = g_strdup(from->link_path);
    to->host = from->host;
    to->host_entry = from->host_entry;
    if (from->change) {
        InodeChange *change = change_of(to);

        change->held = from->change->held;
        change->content = from->change->content;
        change->temp_dir = from->change->temp_dir;
        g_free(change->temp_name);
        change->temp_name = g_strdup(from->change->temp_name);
        change->staged = from->change->staged;
        change->is_torn = from->change->is_torn;
    }
}

void apply_world_save(ApplyWorld *w)
{
    g_ptr_array_set_size(w->saved, 0);
    for (guint i = 0; i < w->inodes->len; i++) {
        const Inode *inode = w->inodes->pdata[i];
        Inode *copy = inode_new(inode->is_directory);

        copy_side(copy, inode);
        g_ptr_array_add(w->saved, copy);
    }
}

void apply_world_restore(ApplyWorld *w)
{
    for (guint i = 0; i < w->saved->len; i++) {
        copy_side(w->inodes->pdata[i], w->saved->pdata[i]);
    }
    for (guint i = 0; i < w->plan.ops->len; i++) {
        const PlanOp *op = &g_array_index(w->plan.ops, PlanOp, i);

        if (op->kind == PLAN_WRITE) {
            op->inode->change->is_torn = true; /* as a journal would have it */
        }
    }
}

/* ---- Looking ---- */

static void list(HostFs *fs, const char *path, GPtrArray *lines)
{
    const char *name;
    HostDir *dir;

    cr_assert_eq(fs->ops->dir_open(fs, path, &dir), 0);
    while (fs->ops->dir_next(fs, dir, &name) > 0) {
        g_autofree char *at = *path ? g_strconcat(path, "/", name, NULL)
                                    : g_strdup(name);
        HostStat st = stat_of(fs, at);

        if (st.kind == HOST_DIRECTORY) {
            g_ptr_array_add(lines, g_strconcat(at, "/\n", NULL));
            list(fs, at, lines);
        } else if (st.kind == HOST_FILE) {
            g_autofree char *text = g_malloc0((size_t)st.size + 1);
            HostFile *file;
            IOVector iov;

            iov_init_buf(&iov, text, (size_t)st.size);
            cr_assert_eq(fs->ops->file_open(fs, at, &file, &st), 0);
            cr_assert_eq(hostfs_read_full(fs, file, 0, &iov, 0, iov.size), 0);
            fs->ops->file_close(fs, file);
            g_ptr_array_add(lines, g_strconcat(at, ": ", text, "\n", NULL));
        } else {
            g_ptr_array_add(lines, g_strconcat(at, " (other)\n", NULL));
        }
    }
    fs->ops->dir_close(fs, dir);
}

static int compare(gconstpointer a, gconstpointer b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

char *apply_world_tree(HostFs *fs)
{
    g_autoptr(GPtrArray) lines = g_ptr_array_new_with_free_func(g_free);

    list(fs, "", lines);
    g_ptr_array_sort(lines, compare);
    g_ptr_array_add(lines, NULL);
    return g_strjoinv(NULL, (char **)lines->pdata);
}

void apply_world_check_tree(HostFs *fs, const char *expected)
{
    g_autofree char *tree = apply_world_tree(fs);

    cr_assert_str_eq(tree, expected, "have\n%swant\n%s", tree, expected);
}

void apply_world_check_sides(ApplyWorld *w, HostFs *fs)
{
    for (guint i = 1; i < w->inodes->len; i++) {
        const Inode *inode = w->inodes->pdata[i];
        g_autofree char *path = inode_host_path(inode);
        HostStat st;

        if (!path) {
            continue;
        }
        st = stat_of(fs, path);
        cr_assert_eq(st.ino, inode->host.ino, "%s", path);
        if (!inode->is_directory) {
            cr_assert_eq(st.size, inode->host.size, "%s", path);
            cr_assert_eq(apply_host_id(&st).mtime_ns, inode->host.mtime_ns,
                         "%s", path);
        }
    }
}
