/* SPDX-License-Identifier: MIT */
/*
 * An inode: flags, number, the guest's side, the host's side. Its defects and
 * change are not kept: they are found again when the volume is looked at.
 */
#include <string.h>

#include "block/vvfat/journal-codec.h"

#define IS_DIRECTORY 0x01u
#define IS_PROTECTED 0x02u
#define IS_SPARSE 0x04u
#define IS_LINKED_TO 0x08u
#define IS_ORPHAN 0x10u
#define IS_DETACHED 0x20u
#define IS_UNSYNCED 0x40u
#define ALL_FLAGS 0x7fu

void journal_put_host_id(GByteArray *out, const InodeHostId *id)
{
    journal_put_u64(out, id->dev);
    journal_put_u64(out, id->ino);
    journal_put_u64(out, (uint64_t)id->size);
    journal_put_u64(out, (uint64_t)id->mtime_ns);
}

void journal_get_host_id(JournalReader *in, InodeHostId *id)
{
    id->dev = journal_get_u64(in);
    id->ino = journal_get_u64(in);
    id->size = (int64_t)journal_get_u64(in);
    id->mtime_ns = (int64_t)journal_get_u64(in);
}

/* ---- Writing ---- */

static void put_chain(GByteArray *out, const ClusterChain *chain)
{
    const ClusterRun *runs = chain_runs(chain);

    journal_put_u32(out, chain->n_runs);
    for (uint32_t i = 0; i < chain->n_runs; i++) {
        journal_put_u32(out, runs[i].first);
        journal_put_u32(out, runs[i].count);
    }
}

/* An entry, of which nothing else is set. */
static void put_host_entry(GByteArray *out, const InodeHostEntry *host)
{
    const FatDirent entry = {
        .attr = host->attr,
        .mtime = host->mtime,
        .mdate = host->mdate,
    };

    journal_put_raw(out, &entry, sizeof(entry));
}

static uint8_t flags_of(const Inode *inode)
{
    return (uint8_t)((inode->is_directory ? IS_DIRECTORY : 0) |
                     (inode->is_protected ? IS_PROTECTED : 0) |
                     (inode->is_sparse ? IS_SPARSE : 0) |
                     (inode->is_linked_to ? IS_LINKED_TO : 0) |
                     (inode->is_orphan ? IS_ORPHAN : 0) |
                     (inode->is_detached ? IS_DETACHED : 0) |
                     (inode->is_unsynced ? IS_UNSYNCED : 0));
}

void journal_put_inode(GByteArray *out, const Inode *inode)
{
    bool on_host = inode_is_on_host(inode);

    journal_put_u8(out, flags_of(inode));
    journal_put_u64(out, inode->id);

    journal_put_u64(out, inode->parent ? inode->parent->id : 0);
    journal_put_string(out, inode->name);
    journal_put_u32(out, inode->slot);
    journal_put_u32(out, inode->n_slots);
    journal_put_raw(out, &inode->entry, sizeof(inode->entry));
    put_chain(out, &inode->chain);

    journal_put_u64(out, on_host && inode->host_parent ? inode->host_parent->id
                                                       : 0);
    journal_put_string(out, inode->host_name);
    journal_put_string(out, inode->link_path);
    journal_put_string(out, inode->alias);
    journal_put_host_id(out, &inode->host);
    put_host_entry(out, &inode->host_entry);
    journal_put_u64(out, inode->mapped_at);
    put_chain(out, &inode->host_chain);
}

/* ---- Reading ---- */

static void get_chain(JournalReader *in, uint32_t clusters_end,
                      ClusterChain *chain)
{
    uint32_t n = journal_get_u32(in);

    for (uint32_t i = 0; i < n && !in->bad; i++) {
        ClusterRun run = { .first = journal_get_u32(in) };

        run.count = journal_get_u32(in);
        if (run.first < FAT_FIRST_CLUSTER || run.count == 0 ||
            (uint64_t)run.first + run.count > clusters_end ||
            !chain_append(chain, run) || chain_length(chain) > clusters_end) {
            in->bad = true;
        }
    }
}

/* One component of a path on the host. */
static bool is_host_name(const char *name)
{
    return *name && !strchr(name, '/') && strcmp(name, ".") != 0 &&
           strcmp(name, "..") != 0;
}

/* One that leads below the root by names alone. */
static bool is_host_path(const char *path)
{
    g_auto(GStrv) names = g_strsplit(path, "/", -1);

    for (char **name = names; *name; name++) {
        if (!is_host_name(*name)) {
            return false;
        }
    }
    return names[0] != NULL;
}

static bool is_sound(const JournalInode *j)
{
    const Inode *inode = j->inode;
    bool is_root = inode->id == 1;

    if (inode->id == 0 || !inode->name || inode->host.size < 0) {
        return false;
    }
    if (is_root) {
        return inode->is_directory && j->parent == 0 && j->host_parent == 0 &&
               inode->host_name && *inode->host_name == '\0' &&
               !inode->link_path;
    }
    if (!inode->host_name) {
        return j->host_parent == 0;
    }
    return j->host_parent != 0 && is_host_name(inode->host_name) &&
           (!inode->link_path || is_host_path(inode->link_path));
}

void journal_inode_free(JournalInode *j)
{
    if (j) {
        inode_free(j->inode);
        g_free(j);
    }
}

JournalInode *journal_get_inode(JournalReader *in, uint32_t clusters_end)
{
    g_autoptr(JournalInode) j = g_new0(JournalInode, 1);
    g_autofree char *name = NULL;
    g_autofree char *host_name = NULL;
    FatDirent host_entry;
    uint32_t slot, n_slots;
    uint8_t flags = journal_get_u8(in);
    Inode *inode = inode_new(flags & IS_DIRECTORY);

    j->inode = inode;
    j->is_orphan = flags & IS_ORPHAN;
    inode->is_protected = !!(flags & IS_PROTECTED);
    inode->is_sparse = !!(flags & IS_SPARSE);
    inode->is_linked_to = !!(flags & IS_LINKED_TO);
    inode->is_detached = !!(flags & IS_DETACHED);
    inode->is_unsynced = !!(flags & IS_UNSYNCED);
    inode->id = journal_get_u64(in);

    j->parent = journal_get_u64(in);
    name = journal_get_string(in);
    inode_set_name(inode, name);
    slot = journal_get_u32(in);
    n_slots = journal_get_u32(in);
    inode->slot = (uint16_t)slot;
    inode->n_slots = (uint8_t)n_slots;
    journal_get_raw(in, &inode->entry, sizeof(inode->entry));
    get_chain(in, clusters_end, &inode->chain);

    j->host_parent = journal_get_u64(in);
    host_name = journal_get_string(in);
    inode_set_host_name(inode, host_name);
    inode->link_path = journal_get_string(in);
    inode->alias = journal_get_string(in);
    journal_get_host_id(in, &inode->host);
    journal_get_raw(in, &host_entry, sizeof(host_entry));
    inode->host_entry = inode_host_entry(&host_entry);
    inode->mapped_at = journal_get_u64(in);
    get_chain(in, clusters_end, &inode->host_chain);

    in->bad |= (flags & ~ALL_FLAGS) || slot > UINT16_MAX ||
               n_slots > UINT8_MAX || !is_sound(j);
    return in->bad ? NULL : g_steal_pointer(&j);
}
