/* SPDX-License-Identifier: MIT */
#include "block/vvfat/inode.h"

#include <string.h>

static const char *const held_texts[] = {
    "its clusters run into one that is free, bad or not there",
    "its clusters lead in a circle",
    "it shares clusters with another entry",
    "its size is more than its clusters hold",
    "the two FATs differ about its clusters",
    "the directory does not begin with '.' and '..'",
    "no host file can have its name",
    "another entry of the directory has its name",
    ("its entry is gone, but its clusters are still allocated, or its "
     "directory is damaged"),
    "its directory is not on the host yet",
    "the host does not allow to write it",
    "it was changed on the host meanwhile",
    "the host failed",
    "its entry is damaged",
    "its name is still taken on the host by one that is held back",
    "it still holds something that is held back",
    "what is to take its place is held back",
    "it was not committed yet",
};

const char *inode_held_text(unsigned held)
{
    if (held == 0 ||
        (unsigned)__builtin_ctz(held) >= G_N_ELEMENTS(held_texts)) {
        return NULL;
    }
    return held_texts[__builtin_ctz(held)];
}

Inode *inode_new(bool is_directory)
{
    Inode *inode = g_new0(Inode, 1);

    inode->is_directory = is_directory;
    return inode;
}

void inode_change_free(InodeChange *change)
{
    if (change) {
        if (change->ranges) {
            g_array_unref(change->ranges);
        }
        g_free(change->detail);
        g_free(change->target_name);
        g_free(change->temp_name);
        g_free(change);
    }
}

void inode_free(Inode *inode)
{
    if (inode) {
        inode_change_free(inode->change);
        chain_clear(&inode->chain);
        chain_clear(&inode->host_chain);
        inode_set_name(inode, NULL);
        inode_set_host_name(inode, NULL);
        g_free(inode->children);
        g_free(inode->link_path);
        g_free(inode->alias);
        g_free(inode);
    }
}

/* ---- Names ---- */

typedef struct NameSide {
    const char *text;
    bool is_owned;
} NameSide;

/* Another text for one side. Where both had one string the other one keeps it,
 * and frees it then. */
static void side_set(NameSide *side, NameSide *other, const char *text)
{
    NameSide old = *side;

    if (g_strcmp0(text, other->text) == 0) {
        *side = (NameSide){ .text = other->text };
    } else {
        *side = (NameSide){ .text = g_strdup(text), .is_owned = text != NULL };
    }
    if (old.is_owned && old.text == other->text) {
        other->is_owned = true;
    } else if (old.is_owned) {
        g_free((char *)old.text);
    }
}

void inode_set_name(Inode *inode, const char *name)
{
    NameSide guest = { inode->name, inode->owns_name };
    NameSide host = { inode->host_name, inode->owns_host_name };

    side_set(&guest, &host, name);
    inode->name = guest.text;
    inode->owns_name = guest.is_owned;
    inode->owns_host_name = host.is_owned;
}

void inode_set_host_name(Inode *inode, const char *host_name)
{
    NameSide guest = { inode->name, inode->owns_name };
    NameSide host = { inode->host_name, inode->owns_host_name };

    side_set(&host, &guest, host_name);
    inode->host_name = host.text;
    inode->owns_name = guest.is_owned;
    inode->owns_host_name = host.is_owned;
}

void inode_borrow_names(Inode *inode, const char *name, const char *host_name)
{
    inode->name = name;
    inode->host_name = host_name;
}

/* ---- Entries ---- */

uint32_t inode_entry_cluster(const FatDirent *entry, unsigned fat_type)
{
    uint32_t cluster = le16_get(entry->cluster_low);

    /* On FAT12/16 other systems keep other things in the upper half. */
    if (fat_type == 32) {
        cluster |= (uint32_t)le16_get(entry->cluster_high) << 16;
    }
    return cluster;
}

uint32_t inode_size(const Inode *inode)
{
    return inode->is_directory ? 0 : le32_get(inode->entry.size);
}

InodeHostEntry inode_host_entry(const FatDirent *entry)
{
    return (InodeHostEntry){
        .attr = entry->attr,
        .mtime = entry->mtime,
        .mdate = entry->mdate,
    };
}

bool inode_has_entry_time(const Inode *inode)
{
    const InodeHostEntry *host = &inode->host_entry;

    return le16_get(inode->entry.mtime) == le16_get(host->mtime) &&
           le16_get(inode->entry.mdate) == le16_get(host->mdate);
}

bool inode_is_loss(const Inode *inode)
{
    const InodeChange *change = inode->change;

    return change->held && inode->parent &&
           !(change->held & INODE_LOST_CHAIN && !change->target_name);
}

/* ---- The host's side ---- */

bool inode_is_reachable(const Inode *inode)
{
    while (inode->host_parent) {
        inode = inode->host_parent;
    }
    return inode_is_on_host(inode) && *inode->host_name == '\0';
}

void inode_leave_host(Inode *inode)
{
    inode->host_parent = NULL;
    inode_set_host_name(inode, NULL);
    g_clear_pointer(&inode->link_path, g_free);
    g_clear_pointer(&inode->alias, g_free);
}

/* ---- Paths ---- */

static const Inode *guest_up(const Inode *inode)
{
    return inode->parent;
}

static const Inode *host_up(const Inode *inode)
{
    return inode->host_parent;
}

/* Names from below the root down to `inode`, with slashes between. On the
 * host's side a path begins anew where a link stands for another. */
static char *path_of(const Inode *inode, const Inode *(*up)(const Inode *))
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    GString *path = g_string_new(NULL);
    bool on_host = up == host_up;

    for (const Inode *i = inode; i && up(i); i = up(i)) {
        bool is_link = on_host && i->link_path;
        const char *name = on_host ? i->host_name : i->name;

        g_ptr_array_add(names, is_link ? i->link_path : (char *)name);
        if (is_link) {
            break;
        }
    }
    for (guint n = names->len; n > 0; n--) {
        g_string_append(path, g_ptr_array_index(names, n - 1));
        g_string_append(path, n > 1 ? "/" : "");
    }
    return g_string_free(path, FALSE);
}

char *inode_path(const Inode *inode)
{
    return path_of(inode, guest_up);
}

char *inode_host_path(const Inode *inode)
{
    return inode_is_on_host(inode) ? path_of(inode, host_up) : NULL;
}

char *inode_host_path_at(const Inode *dir, const char *name)
{
    g_autofree char *path = inode_host_path(dir);

    return path && *path ? g_strconcat(path, "/", name, NULL) : g_strdup(name);
}
