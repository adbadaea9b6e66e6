/* SPDX-License-Identifier: MIT */
/*
 * What stands on the host, and what the inodes say of it.
 *
 * A directory is known by device and inode number, a file by its size and
 * time of modification as well. While a file is being written in place these
 * two say nothing (is_torn).
 */
#include <errno.h>
#include <string.h>

#include "block/vvfat/apply-int.h"
#include "block/vvfat/dirent.h"
#include "block/vvfat/names.h"

InodeHostId apply_host_id(const HostStat *st)
{
    InodeHostId id = { .dev = st->dev, .ino = st->ino, .size = st->size };

    if (__builtin_mul_overflow(st->mtime, NS_A_SECOND, &id.mtime_ns) ||
        __builtin_add_overflow(id.mtime_ns, (int64_t)st->mtime_ns,
                               &id.mtime_ns)) {
        id.mtime_ns = st->mtime < 0 ? INT64_MIN : INT64_MAX;
    }
    return id;
}

bool apply_same_file(const HostStat *st, const InodeHostId *id)
{
    return st->dev == id->dev && st->ino == id->ino;
}

bool apply_same_version(const HostStat *st, const InodeHostId *id)
{
    return apply_same_file(st, id) && st->size == id->size &&
           apply_host_id(st).mtime_ns == id->mtime_ns;
}

bool apply_stands_at(const Inode *inode, const Inode *dir, const char *name)
{
    return inode_is_on_host(inode) && inode->host_parent == dir &&
           strcmp(inode->host_name, name) == 0;
}

bool apply_is_beside(const Inode *inode, const Inode *dir, const char *name)
{
    bool found = false;

    /* The name that the guest has for it is another one. */
    if (!inode_is_on_host(inode) || inode->host_parent != dir ||
        !inode->alias) {
        return false;
    }
    for (unsigned n = 1; !found && n <= APPLY_CONFLICT_NAMES; n++) {
        g_autofree char *tried = apply_conflict_name(name, n,
                                                     inode->is_directory);

        found = strcmp(inode->host_name, tried) == 0;
    }
    return found;
}

bool apply_is_gone(int r)
{
    /* A link or a file in the place of a directory above. */
    return r == -ENOENT || r == -ENOTDIR || r == -ELOOP;
}

char *apply_entry_path(const Inode *inode)
{
    return inode_host_path_at(inode->host_parent, inode->host_name);
}

/* Whether the entry is a link that leads where it did; -errno. */
static int leads_there(Apply *apply, const Inode *inode, const char *path,
                       HostStat *st)
{
    g_autofree char *real = NULL;
    int r = apply->fs->ops->resolve(apply->fs, path, &real);

    if (apply_is_gone(r) || r == -EXDEV ||
        (r == 0 && strcmp(real, inode->link_path) != 0)) {
        return 0;
    }
    r = r < 0 ? r : apply->fs->ops->stat(apply->fs, inode->link_path, st);
    return apply_is_gone(r) ? 0 : r < 0 ? r : 1;
}

ApplyLook apply_judge(const Inode *inode, const HostStat *st)
{
    if (st->kind != (inode->is_directory ? HOST_DIRECTORY : HOST_FILE) ||
        !apply_same_file(st, &inode->host)) {
        return LOOK_OTHER;
    }
    if (inode->is_directory || apply_same_version(st, &inode->host) ||
        (inode->change && inode->change->is_torn)) {
        return LOOK_SAME;
    }
    return LOOK_CHANGED;
}

int apply_look(Apply *apply, const Inode *inode, HostStat *out)
{
    g_autofree char *path = apply_entry_path(inode);
    HostStat st;
    int r = apply->fs->ops->stat(apply->fs, path, &st);

    if (r < 0) {
        return apply_is_gone(r) ? (int)LOOK_GONE : r;
    }
    if (inode->link_path) {
        r = st.kind == HOST_SYMLINK ? leads_there(apply, inode, path, &st) : 0;
        if (r <= 0) {
            return r < 0 ? r : (int)LOOK_OTHER;
        }
    }
    if (out) {
        *out = st;
    }
    return (int)apply_judge(inode, &st);
}

char *apply_find_at(Apply *apply, const InodeHostId *id, bool is_directory,
                    const Inode *dir, const char *name)
{
    HostKind kind = is_directory ? HOST_DIRECTORY : HOST_FILE;
    g_autofree char *tried = g_strdup(name);

    for (unsigned n = 1; n <= APPLY_CONFLICT_NAMES; n++) {
        g_autofree char *path = inode_host_path_at(dir, tried);
        HostStat st;
        int r = apply->fs->ops->stat(apply->fs, path, &st);

        if (r == 0 && st.kind == kind && apply_same_file(&st, id)) {
            return g_steal_pointer(&tried);
        }
        if (r < 0 && n > 1) {
            break;
        }
        g_free(tried);
        tried = apply_conflict_name(name, n, is_directory);
    }
    return NULL;
}

bool apply_is_planned_at(Apply *apply, const Inode *inode, const Inode *dir,
                         const char *name)
{
    const Plan *plan = apply->plan;

    for (guint i = 0; plan && i < plan->ops->len; i++) {
        const Inode *other = g_array_index(plan->ops, PlanOp, i).inode;

        if (other != inode && apply_stands_at(other, dir, name)) {
            int look = apply_look(apply, other, NULL);

            return look == LOOK_SAME || look == LOOK_CHANGED;
        }
    }
    return false;
}

/* ---- Changing the host side ---- */

void apply_settle(Apply *apply, Inode *inode, Inode *dir, const char *name)
{
    g_autofree char *from = NULL;
    const char *why;

    /* A link's own path is nobody else's. */
    if (apply->hooks.moved && inode_is_on_host(inode) && !inode->link_path) {
        from = inode_host_path(inode);
    }

    inode->host_parent = dir;
    inode_set_host_name(inode, name);
    if (inode->name) {
        g_autofree char *plain = names_unmap(inode->name, &why);

        g_free(inode->alias);
        inode->alias = plain && strcmp(plain, inode->host_name) == 0
                           ? NULL
                           : g_strdup(inode->name);
    }
    if (from) {
        g_autofree char *to = inode_host_path(inode);

        apply->hooks.moved(inode, from, to, apply->hooks.opaque);
    }
}

void apply_forget(Apply *apply, Inode *inode)
{
    inode_leave_host(inode);
    apply->hooks.forget(inode, apply->hooks.opaque);
}

void apply_note_times(Apply *apply, Inode *inode, const HostStat *st)
{
    bool clamped;
    FatTime time = dirent_time_from_unix(st->mtime, st->mtime_ns,
                                         apply->options.utc, NULL, &clamped);

    le16_put(&inode->host_entry.mtime, time.time);
    le16_put(&inode->host_entry.mdate, time.date);
}

/* ---- Names ---- */

char *apply_conflict_name(const char *name, unsigned n, bool is_directory)
{
    const char *dot = is_directory ? NULL : strrchr(name, '.');
    const char *extension = dot && dot != name && strlen(dot) <= 64 ? dot : "";
    size_t base = strlen(name) - strlen(extension);
    g_autofree char *mark = n == 1 ? g_strdup(" (guest)")
                                   : g_strdup_printf(" (guest %u)", n);
    size_t room = 255 - strlen(mark) - strlen(extension);

    if (base > room) {
        base = room;
        while (base > 0 && ((unsigned char)name[base] & 0xc0) == 0x80) {
            base--; /* not in the middle of a character */
        }
    }
    return g_strdup_printf("%.*s%s%s", (int)base, name, mark, extension);
}

bool apply_may_stand_at(const char *name, const char *wanted,
                        bool is_directory)
{
    bool found = g_str_has_prefix(name, APPLY_ASIDE_PREFIX);

    for (unsigned n = 1; wanted && !found && n <= APPLY_CONFLICT_NAMES; n++) {
        g_autofree char *tried = apply_conflict_name(wanted, n, is_directory);

        found = strcmp(name, tried) == 0;
    }
    return found;
}
