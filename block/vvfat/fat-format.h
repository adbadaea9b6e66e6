/* SPDX-License-Identifier: MIT */
/*
 * FAT, MBR and GPT as they stand on disk.
 *
 * Sources: Microsoft FAT specification (August 2005, "FAT: General Overview
 * of On-Disk Format" 1.03); UEFI specification 2.10, chapter 5 (GPT, MBR).
 * Offsets are bytes from the start of the struct. Structs hold byte arrays
 * only (util/bytes.h), so they have neither padding nor alignment.
 */
#ifndef VVFAT_FAT_FORMAT_H
#define VVFAT_FAT_FORMAT_H

#include <stdint.h>

#include "util/bytes.h"

#define SECTOR_SIZE 512u
#define SECTOR_BITS 9

/* ---- Limits (specification 3.5, 6, 7) ---- */

#define FAT12_MAX_CLUSTERS 4084u      /* the type follows from the count */
#define FAT16_MAX_CLUSTERS 65524u     /* of data clusters alone */
#define FAT32_MAX_CLUSTERS 268435444u /* numbers stay below 0x0ffffff7 */
#define FAT_THRESHOLD_MARGIN 16u      /* stay this far off the thresholds */
#define FAT_FIRST_CLUSTER 2u
#define FAT_MAX_FILE_SIZE 0xffffffffu
#define FAT_MAX_DIR_ENTRIES 65536u
#define FAT_MAX_CLUSTER_SIZE 65536u /* 128 sectors: Windows NT and Linux */

#define FAT_MEDIA_DISK 0xf8
#define FAT_MEDIA_FLOPPY 0xf0

/* ---- Boot sector ---- */

typedef struct FatBpb {           /* common to all types */
    uint8_t jump[3];              /*  0 */
    uint8_t oem_name[8];          /*  3 */
    le16 bytes_per_sector;        /* 11 */
    uint8_t sectors_per_cluster;  /* 13 */
    le16 reserved_sectors;        /* 14 */
    uint8_t fat_count;            /* 16 */
    le16 root_entries;            /* 17: 0 on FAT32 */
    le16 total_sectors16;         /* 19: 0 when total_sectors32 is used */
    uint8_t media;                /* 21 */
    le16 sectors_per_fat16;       /* 22: 0 on FAT32 */
    le16 sectors_per_track;       /* 24 */
    le16 heads;                   /* 26 */
    le32 hidden_sectors;          /* 28: start of the partition */
    le32 total_sectors32;         /* 32 */
} FatBpb;

typedef struct FatExtendedBpb {   /* at 36 on FAT12/16, at 64 on FAT32 */
    uint8_t drive_number;         /*  0 */
    uint8_t dirty;                /*  1: bit 0 dirty, bit 1 surface test */
    uint8_t signature;            /*  2: 0x29 */
    le32 volume_id;               /*  3 */
    uint8_t label[11];            /*  7 */
    uint8_t type_name[8];         /* 18: "FAT12   " */
} FatExtendedBpb;

typedef struct FatBootSector16 {
    FatBpb bpb;                   /*   0 */
    FatExtendedBpb ext;           /*  36 */
    uint8_t code[448];            /*  62 */
    le16 magic;                   /* 510: 0xaa55 */
} FatBootSector16;

typedef struct FatBootSector32 {
    FatBpb bpb;                   /*   0 */
    le32 sectors_per_fat32;       /*  36 */
    le16 flags;                   /*  40: bit 7: one active FAT, bits 0-3 */
    le16 version;                 /*  42: 0 */
    le32 root_cluster;            /*  44 */
    le16 fsinfo_sector;           /*  48 */
    le16 backup_boot_sector;      /*  50 */
    uint8_t reserved[12];         /*  52 */
    FatExtendedBpb ext;           /*  64 */
    uint8_t code[420];            /*  90 */
    le16 magic;                   /* 510: 0xaa55 */
} FatBootSector32;

#define FAT_BOOT_MAGIC 0xaa55
#define FAT_EXT_SIGNATURE 0x29
#define FAT_BOOT_DIRTY 0x01 /* FatExtendedBpb.dirty */

typedef struct FatFsInfo {
    le32 lead_magic;              /*   0: "RRaA" */
    uint8_t reserved1[480];       /*   4 */
    le32 struct_magic;            /* 484: "rrAa" */
    le32 free_clusters;           /* 488: 0xffffffff unknown */
    le32 next_free;               /* 492: 0xffffffff unknown */
    uint8_t reserved2[12];        /* 496 */
    le32 trail_magic;             /* 508: 0xaa550000 */
} FatFsInfo;

#define FAT_FSINFO_LEAD_MAGIC 0x41615252u
#define FAT_FSINFO_STRUCT_MAGIC 0x61417272u
#define FAT_FSINFO_TRAIL_MAGIC 0xaa550000u
#define FAT_FSINFO_UNKNOWN 0xffffffffu

/* ---- Directories ---- */

typedef struct FatDirent {
    uint8_t name[11];             /*  0: base 8, extension 3, space padded */
    uint8_t attr;                 /* 11 */
    uint8_t case_flags;           /* 12 */
    uint8_t ctime_10ms;           /* 13: 0..199 */
    le16 ctime;                   /* 14 */
    le16 cdate;                   /* 16 */
    le16 adate;                   /* 18 */
    le16 cluster_high;            /* 20: 0 on FAT12/16 */
    le16 mtime;                   /* 22 */
    le16 mdate;                   /* 24 */
    le16 cluster_low;             /* 26 */
    le32 size;                    /* 28: 0 for directories */
} FatDirent;

typedef struct FatLongDirent {
    uint8_t order;                /*  0: 1.., FAT_LONG_LAST on the first */
    le16 name1[5];                /*  1 */
    uint8_t attr;                 /* 11: FAT_ATTR_LONG_NAME */
    uint8_t type;                 /* 12: 0 */
    uint8_t checksum;             /* 13 */
    le16 name2[6];                /* 14 */
    le16 cluster;                 /* 26: 0 */
    le16 name3[2];                /* 28 */
} FatLongDirent;

#define FAT_ATTR_READ_ONLY 0x01
#define FAT_ATTR_HIDDEN 0x02
#define FAT_ATTR_SYSTEM 0x04
#define FAT_ATTR_VOLUME_ID 0x08
#define FAT_ATTR_DIRECTORY 0x10
#define FAT_ATTR_ARCHIVE 0x20
/* Those that say nothing of what the entry is. */
#define FAT_ATTR_DOS                                                          \
    (FAT_ATTR_READ_ONLY | FAT_ATTR_HIDDEN | FAT_ATTR_SYSTEM | FAT_ATTR_ARCHIVE)
#define FAT_ATTR_LONG_NAME 0x0f
#define FAT_ATTR_LONG_NAME_MASK 0x3f

#define FAT_CASE_LOWER_BASE 0x08
#define FAT_CASE_LOWER_EXT 0x10

#define FAT_DIRENT_SIZE 32u
#define FAT_DIRENT_END 0x00
#define FAT_DIRENT_FREE 0xe5
#define FAT_DIRENT_KANJI_E5 0x05 /* stands for a first byte of 0xe5 */
#define FAT_LONG_LAST 0x40
#define FAT_LONG_UNITS 13u   /* UTF-16 units an entry */
#define FAT_LONG_MAX_UNITS 255u
#define FAT_SHORT_NAME_SIZE 11u

/* ---- MBR ---- */

typedef struct MbrPartition {
    uint8_t status;               /*  0: 0x80 active */
    uint8_t first_chs[3];         /*  1 */
    uint8_t type;                 /*  4 */
    uint8_t last_chs[3];          /*  5 */
    le32 first_lba;               /*  8 */
    le32 sectors;                 /* 12 */
} MbrPartition;

typedef struct MbrSector {
    uint8_t code[440];            /*   0 */
    le32 disk_signature;          /* 440 */
    le16 reserved;                /* 444 */
    MbrPartition partition[4];    /* 446 */
    le16 magic;                   /* 510: 0xaa55 */
} MbrSector;

#define MBR_TYPE_FAT12 0x01
#define MBR_TYPE_FAT16_SMALL 0x04
#define MBR_TYPE_EXTENDED 0x05
#define MBR_TYPE_FAT16 0x06
#define MBR_TYPE_FAT32 0x0b
#define MBR_TYPE_FAT32_LBA 0x0c
#define MBR_TYPE_FAT16_LBA 0x0e
#define MBR_TYPE_EXTENDED_LBA 0x0f
#define MBR_TYPE_GPT_PROTECTIVE 0xee
#define MBR_TYPE_ESP 0xef

/* ---- GPT ---- */

typedef struct GptGuid {          /* first three fields little-endian */
    uint8_t byte[16];
} GptGuid;

/* clang-format off */
/* C12A7328-F81F-11D2-BA4B-00A0C93EC93B */
#define GPT_TYPE_ESP                                                          \
    { { 0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8, 0xd2, 0x11,                       \
        0xba, 0x4b, 0x00, 0xa0, 0xc9, 0x3e, 0xc9, 0x3b } }
/* EBD0A0A2-B9E5-4433-87C0-68B6B72699C7: FAT, NTFS and others */
#define GPT_TYPE_BASIC_DATA                                                   \
    { { 0xa2, 0xa0, 0xd0, 0xeb, 0xe5, 0xb9, 0x33, 0x44,                       \
        0x87, 0xc0, 0x68, 0xb6, 0xb7, 0x26, 0x99, 0xc7 } }
/* clang-format on */

typedef struct GptHeader {
    uint8_t signature[8];         /*  0: "EFI PART" */
    le32 revision;                /*  8: 0x00010000 */
    le32 header_size;             /* 12: 92 */
    le32 header_crc32;            /* 16: with this field as 0 */
    le32 reserved;                /* 20 */
    le64 my_lba;                  /* 24 */
    le64 alternate_lba;           /* 32 */
    le64 first_usable_lba;        /* 40 */
    le64 last_usable_lba;         /* 48 */
    GptGuid disk_guid;            /* 56 */
    le64 entries_lba;             /* 72 */
    le32 entry_count;             /* 80 */
    le32 entry_size;              /* 84: 128 */
    le32 entries_crc32;           /* 88 */
} GptHeader;

typedef struct GptEntry {
    GptGuid type_guid;            /*  0 */
    GptGuid unique_guid;          /* 16 */
    le64 first_lba;               /* 32 */
    le64 last_lba;                /* 40: inclusive */
    le64 attributes;              /* 48 */
    le16 name[36];                /* 56: UTF-16 */
} GptEntry;

_Static_assert(sizeof(FatBpb) == 36, "BPB");
_Static_assert(sizeof(FatExtendedBpb) == 26, "extended BPB");
_Static_assert(sizeof(FatBootSector16) == SECTOR_SIZE, "boot sector");
_Static_assert(sizeof(FatBootSector32) == SECTOR_SIZE, "FAT32 boot sector");
_Static_assert(sizeof(FatFsInfo) == SECTOR_SIZE, "FSInfo");
_Static_assert(sizeof(FatDirent) == FAT_DIRENT_SIZE, "dirent");
_Static_assert(sizeof(FatLongDirent) == FAT_DIRENT_SIZE, "long dirent");
_Static_assert(sizeof(MbrPartition) == 16, "MBR partition");
_Static_assert(sizeof(MbrSector) == SECTOR_SIZE, "MBR");
_Static_assert(sizeof(GptHeader) == 92, "GPT header");
_Static_assert(sizeof(GptEntry) == 128, "GPT entry");

#endif
