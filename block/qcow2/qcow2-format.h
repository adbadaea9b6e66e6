/* SPDX-License-Identifier: MIT */
/*
 * What stands in a qcow2 image. Everything is big-endian.
 *
 * Source: "QCOW2 image format", docs/interop/qcow2.txt of QEMU.
 */
#ifndef BLOCK_QCOW2_FORMAT_H
#define BLOCK_QCOW2_FORMAT_H

#include <assert.h>
#include <glib.h>
#include <stdint.h>

#define QCOW2_MAGIC 0x514649fbu /* "QFI" 0xfb */

#define QCOW2_MIN_CLUSTER_BITS 9u
#define QCOW2_MAX_CLUSTER_BITS 21u
#define QCOW2_MAX_REFCOUNT_ORDER 6u

/* No table is larger than this; QEMU refuses larger ones, too. */
#define QCOW2_MAX_L1_BYTES (INT64_C(32) << 20)
#define QCOW2_MAX_REFTABLE_BYTES (INT64_C(8) << 20)
#define QCOW2_MAX_SNAPSHOTS 65536u
#define QCOW2_MAX_SNAPSHOT_TABLE_BYTES (INT64_C(1024) * QCOW2_MAX_SNAPSHOTS)
#define QCOW2_MAX_BACKING_NAME 1023u
#define QCOW2_MAX_BITMAPS 65535u
#define QCOW2_MAX_BITMAP_DIRECTORY_BYTES (INT64_C(1048) * QCOW2_MAX_BITMAPS)

typedef struct __attribute__((packed)) Qcow2DiskHeader {
    guint32 magic;                   /*   0 */
    guint32 version;                 /*   4: 2 or 3 */
    guint64 backing_file_offset;     /*   8: 0: none */
    guint32 backing_file_size;       /*  16: bytes, no terminator */
    guint32 cluster_bits;            /*  20 */
    guint64 size;                    /*  24: bytes of the device */
    guint32 crypt_method;            /*  32: 0 none, 1 AES, 2 LUKS */
    guint32 l1_size;                 /*  36: entries */
    guint64 l1_table_offset;         /*  40 */
    guint64 refcount_table_offset;   /*  48 */
    guint32 refcount_table_clusters; /*  56 */
    guint32 nb_snapshots;            /*  60 */
    guint64 snapshots_offset;        /*  64 */
    /* Version 3; what a shorter header lacks is 0, refcount_order 4. */
    guint64 incompatible_features; /*  72 */
    guint64 compatible_features;   /*  80 */
    guint64 autoclear_features;    /*  88 */
    guint32 refcount_order;        /*  96: a refcount has 1 << this bits */
    guint32 header_length;         /* 100 */
    guint8 compression_type;       /* 104: 0 zlib, 1 zstd */
    guint8 padding[7];             /* 105 */
} Qcow2DiskHeader;
static_assert(sizeof(Qcow2DiskHeader) == 112, "size of a qcow2 header");

#define QCOW2_V2_HEADER_BYTES 72u
#define QCOW2_V3_HEADER_BYTES 104u /* at least */

#define QCOW2_INCOMPAT_DIRTY (UINT64_C(1) << 0)
#define QCOW2_INCOMPAT_CORRUPT (UINT64_C(1) << 1)
#define QCOW2_INCOMPAT_DATA_FILE (UINT64_C(1) << 2)
#define QCOW2_INCOMPAT_COMPRESSION (UINT64_C(1) << 3)
#define QCOW2_INCOMPAT_EXTENDED_L2 (UINT64_C(1) << 4)
#define QCOW2_COMPAT_LAZY_REFCOUNTS (UINT64_C(1) << 0)
#define QCOW2_AUTOCLEAR_BITMAPS (UINT64_C(1) << 0)
#define QCOW2_AUTOCLEAR_DATA_FILE_RAW (UINT64_C(1) << 1)

typedef struct __attribute__((packed)) Qcow2DiskExtension {
    guint32 type;   /* 0 */
    guint32 length; /* 4: bytes that follow, padded to a multiple of 8 */
} Qcow2DiskExtension;
static_assert(sizeof(Qcow2DiskExtension) == 8, "size of an extension header");

#define QCOW2_EXT_END 0u
#define QCOW2_EXT_BACKING_FORMAT 0xe2792acau
#define QCOW2_EXT_FEATURE_NAMES 0x6803f857u
#define QCOW2_EXT_BITMAPS 0x23852875u
#define QCOW2_EXT_CRYPTO_HEADER 0x0537be77u
#define QCOW2_EXT_DATA_FILE 0x44415441u
#define QCOW2_EXT_FINGERPRINT 0x4641544cu /* ours: vvfat-formats(7) */

typedef struct __attribute__((packed)) Qcow2DiskFeatureName {
    guint8 type;   /* 0: 0 incompatible, 1 compatible, 2 autoclear */
    guint8 bit;    /* 1 */
    char name[46]; /* 2: padded with NULs */
} Qcow2DiskFeatureName;
static_assert(sizeof(Qcow2DiskFeatureName) == 48, "size of a feature name");

typedef struct __attribute__((packed)) Qcow2DiskFingerprint {
    guint32 version;       /*  0: 1; another one has another layout */
    guint32 cluster_bytes; /*  4: of the backing directory's volume */
    guint64 disk_bytes;    /*  8: of its disk */
    guint64 n_files;       /* 16 */
    guint64 n_directories; /* 24: the root counts */
    guint8 digest[32];     /* 32: SHA-256 */
} Qcow2DiskFingerprint;
static_assert(sizeof(Qcow2DiskFingerprint) == 64, "size of a fingerprint");

#define QCOW2_FINGERPRINT_VERSION 1u

typedef struct __attribute__((packed)) Qcow2DiskBitmaps {
    guint32 nb_bitmaps;       /*  0 */
    guint32 reserved;         /*  4 */
    guint64 directory_size;   /*  8: bytes */
    guint64 directory_offset; /* 16 */
} Qcow2DiskBitmaps;
static_assert(sizeof(Qcow2DiskBitmaps) == 24, "size of a bitmaps extension");

typedef struct __attribute__((packed)) Qcow2DiskBitmap {
    guint64 table_offset;    /*  0 */
    guint32 table_size;      /*  8: entries */
    guint32 flags;           /* 12 */
    guint8 type;             /* 16: 1: a dirty bitmap */
    guint8 granularity_bits; /* 17 */
    guint16 name_size;       /* 18 */
    guint32 extra_data_size; /* 20: then extra data, name, padding to 8 */
} Qcow2DiskBitmap;
static_assert(sizeof(Qcow2DiskBitmap) == 24, "size of a bitmap's entry");

#define QCOW2_BITMAP_IN_USE 0x1u
#define QCOW2_BITMAP_AUTO 0x2u

typedef struct __attribute__((packed)) Qcow2DiskSnapshot {
    guint64 l1_table_offset; /*  0 */
    guint32 l1_size;         /*  8: entries */
    guint16 id_size;         /* 12 */
    guint16 name_size;       /* 14 */
    guint32 date_sec;        /* 16 */
    guint32 date_nsec;       /* 20 */
    guint64 vm_clock_nsec;   /* 24 */
    guint32 vm_state_size;   /* 32 */
    guint32 extra_data_size; /* 36: then extra data, id, name, padding to 8 */
} Qcow2DiskSnapshot;
static_assert(sizeof(Qcow2DiskSnapshot) == 40, "size of a snapshot entry");

/* ---- Entries of the tables ---- */

#define QCOW2_COPIED (UINT64_C(1) << 63)     /* L1, L2: refcount is 1 */
#define QCOW2_COMPRESSED (UINT64_C(1) << 62) /* L2 */
#define QCOW2_ZERO (UINT64_C(1) << 0)        /* L2, version 3 */
#define QCOW2_L1_OFFSET UINT64_C(0x00fffffffffffe00)
#define QCOW2_L2_OFFSET UINT64_C(0x00fffffffffffe00)
#define QCOW2_REFTABLE_OFFSET UINT64_C(0xfffffffffffffe00)
#define QCOW2_L1_RESERVED UINT64_C(0x7f000000000001ff)
#define QCOW2_L2_RESERVED UINT64_C(0x3f000000000001fe)
#define QCOW2_REFTABLE_RESERVED UINT64_C(0x1ff)

/*
 * A compressed cluster: bits 0 to 61-(cluster_bits-8) are the offset of its
 * first byte, the rest the number of further 512-byte sectors it reaches into.
 */
#define QCOW2_SECTOR_BYTES 512

#endif
