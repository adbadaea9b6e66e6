/* SPDX-License-Identifier: MIT */
/*
 * The directory entries of a node: its long name from the last piece to the
 * first, then the short name (Microsoft FAT specification 6 and 7).
 */
#include <string.h>

#include "block/vvfat/dirent.h"
#include "block/vvfat/names.h"
#include "block/vvfat/utf.h"

#define LONG_PAD 0xffffu

/* Entries that a long name of so many units takes. */
static unsigned long_slots(size_t n_units)
{
    return (unsigned)((n_units + FAT_LONG_UNITS - 1) / FAT_LONG_UNITS);
}

unsigned dirent_slots(const TreeNode *node)
{
    if (!node->has_long_name) {
        return 1;
    }
    return 1 + long_slots(utf8_utf16_length(node->name));
}

/* Entry `order` (1..) of the long name. */
static void render_long(const TreeNode *node, const uint16_t *units,
                        size_t n_units, unsigned order, FatDirent *entry)
{
    size_t first = (order - 1) * FAT_LONG_UNITS;
    uint16_t piece[FAT_LONG_UNITS];
    FatLongDirent l = {
        .order = (uint8_t)order,
        .attr = FAT_ATTR_LONG_NAME,
        .checksum = names_checksum(node->short_name),
    };

    if (order == long_slots(n_units)) {
        l.order |= FAT_LONG_LAST;
    }
    for (size_t i = 0; i < FAT_LONG_UNITS; i++) {
        size_t at = first + i;

        piece[i] = at < n_units ? units[at] : at == n_units ? 0 : LONG_PAD;
    }
    for (size_t i = 0; i < G_N_ELEMENTS(l.name1); i++) {
        le16_put(&l.name1[i], piece[i]);
    }
    for (size_t i = 0; i < G_N_ELEMENTS(l.name2); i++) {
        le16_put(&l.name2[i], piece[5 + i]);
    }
    for (size_t i = 0; i < G_N_ELEMENTS(l.name3); i++) {
        le16_put(&l.name3[i], piece[11 + i]);
    }
    memcpy(entry, &l, sizeof(l));
}

static void put_cluster(FatDirent *entry, uint32_t cluster)
{
    le16_put(&entry->cluster_high, (uint16_t)(cluster >> 16));
    le16_put(&entry->cluster_low, (uint16_t)cluster);
}

static void put_times(FatDirent *entry, const TreeNode *node)
{
    entry->ctime_10ms = node->ctime_10ms;
    le16_put(&entry->ctime, node->ctime.time);
    le16_put(&entry->cdate, node->ctime.date);
    le16_put(&entry->adate, node->adate);
    le16_put(&entry->mtime, node->mtime.time);
    le16_put(&entry->mdate, node->mtime.date);
}

static void render_short(const TreeNode *node, FatDirent *entry)
{
    *entry = (FatDirent){
        .attr = node->attr,
        .case_flags = node->case_flags,
    };
    memcpy(entry->name, node->short_name, sizeof(entry->name));
    put_times(entry, node);
    put_cluster(entry, chain_first(&node->chain));
    if (!tree_is_directory(node)) {
        le32_put(&entry->size, node->size);
    }
}

void dirent_render(const TreeNode *node, unsigned index, FatDirent *entry)
{
    uint16_t units[FAT_LONG_MAX_UNITS];
    int n = node->has_long_name ? names_utf8_to_utf16(node->name, units) : 0;
    unsigned n_long = n > 0 ? long_slots((size_t)n) : 0;

    if (index < n_long) {
        render_long(node, units, (size_t)n, n_long - index, entry);
    } else {
        render_short(node, entry);
    }
}

void dirent_render_dot(const TreeNode *dir, unsigned dots, uint32_t cluster,
                       FatDirent *entry)
{
    *entry = (FatDirent){ .attr = FAT_ATTR_DIRECTORY };
    memset(entry->name, ' ', sizeof(entry->name));
    memset(entry->name, '.', dots);
    put_times(entry, dir);
    put_cluster(entry, cluster);
}

void dirent_render_label(const uint8_t label[FAT_SHORT_NAME_SIZE],
                         FatTime time, FatDirent *entry)
{
    *entry = (FatDirent){ .attr = FAT_ATTR_VOLUME_ID };
    memcpy(entry->name, label, sizeof(entry->name));
    le16_put(&entry->mtime, time.time);
    le16_put(&entry->mdate, time.date);
}
