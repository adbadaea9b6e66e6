/* SPDX-License-Identifier: MIT */
/*
 * Partition tables: writing the one that a geometry asks for, and finding the
 * partitions of any disk. Pure: reading goes through a function.
 */
#ifndef VVFAT_PARTITION_H
#define VVFAT_PARTITION_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "block/vvfat/fat-format.h"
#include "block/vvfat/geometry.h"

/* ---- Writing ---- */

#define MBR_SIGNATURE_DEFAULT 0xbe1afdfau

/* The MBR (for GPT: the protective one). code: up to 440 bytes; NULL: ours,
 * which starts the active partition's boot sector. */
void partition_render_mbr(const Geometry *g, const uint8_t *code,
                          size_t code_bytes, uint8_t sector[SECTOR_SIZE]);

#define GPT_ENTRY_COUNT 128u
#define GPT_ENTRIES_SECTORS 32u
#define GPT_PRIMARY_SECTORS (1u + GPT_ENTRIES_SECTORS) /* behind the MBR */

/*
 * A sector of the GPT: primary header at LBA 1, entries at 2..33, the backup
 * entries and header at the end of the disk. GUIDs derive from `seed` (16
 * bytes of a digest over what identifies the disk).
 */
void partition_render_gpt(const Geometry *g, const uint8_t seed[16],
                          uint64_t lba, uint8_t sector[SECTOR_SIZE]);

/* ---- Reading ---- */

/* Read bytes of the disk into buf; 0 or -errno. */
typedef int PartitionRead(void *opaque, int64_t offset, int64_t bytes,
                          void *buf);

typedef struct Partition {
    unsigned number; /* 1..; 0: the bare disk */
    uint64_t start;  /* bytes */
    uint64_t bytes;
    uint8_t mbr_type; /* 0 for GPT and the bare disk */
    GptGuid gpt_type;
} Partition;

/* Whether the type of a partition says that it holds a FAT volume. An EFI
 * system partition has one; the basic data of a GPT may be anything. */
bool partition_is_fat_type(const Partition *partition);

typedef struct PartitionList {
    PartitionTable table;
    GArray *partitions; /* Partition */
    GPtrArray *defects; /* char *: what is wrong with the tables */
} PartitionList;

/*
 * All partitions of a disk of `disk_bytes` bytes: MBR (logical ones
 * included), GPT (the backup when the primary is damaged), or one entry for
 * the bare disk when sector 0 is a FAT boot sector or no table is there.
 * Partitions that reach outside the disk or overlap are named in `defects`;
 * those that end outside are cut, those that begin there left out. The list
 * can be empty. NULL and *errp on a read error alone. Only ranges on the disk
 * are read, few and small (1 MiB at most) whatever the tables say.
 */
PartitionList *partition_find(PartitionRead *read, void *opaque,
                              uint64_t disk_bytes, GError **errp);
void partition_list_free(PartitionList *list);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PartitionList, partition_list_free)

#endif
