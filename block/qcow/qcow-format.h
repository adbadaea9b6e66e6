/* SPDX-License-Identifier: MIT */
/*
 * What stands in an image of the format qcow, version 1. Everything is
 * big-endian. The L1 table follows the header and the backing file's name; L2
 * tables and clusters stand anywhere behind it.
 */
#ifndef BLOCK_QCOW_FORMAT_H
#define BLOCK_QCOW_FORMAT_H

#include <assert.h>

#include "util/bytes.h"

#define QCOW_MAGIC UINT32_C(0x514649fb) /* "QFI\xfb" */
#define QCOW_VERSION 1

#define QCOW_CRYPT_NONE 0
#define QCOW_CRYPT_AES 1

#define QCOW_MIN_CLUSTER_BITS 9
#define QCOW_MAX_CLUSTER_BITS 16
#define QCOW_MIN_L2_BITS 6
#define QCOW_MAX_L2_BITS 13

#define QCOW_MAX_BACKING_NAME 1023

/* Tables and clusters stand at multiples of this at least. */
#define QCOW_SECTOR 512

typedef struct QcowDiskHeader {
    be32 magic;               /* 0 */
    be32 version;             /* 4 */
    be64 backing_file_offset; /* 8; 0: none */
    be32 backing_file_size;   /* 16: bytes, without a NUL */
    be32 mtime;               /* 20: not used */
    be64 size;                /* 24: bytes of the device */
    uint8_t cluster_bits;     /* 32 */
    uint8_t l2_bits;          /* 33: an L2 table has 1 << l2_bits entries */
    be16 padding;             /* 34 */
    be32 crypt_method;        /* 36: QCOW_CRYPT_* */
    be64 l1_table_offset;     /* 40 */
} QcowDiskHeader;

_Static_assert(sizeof(QcowDiskHeader) == 48, "on-disk size");

/*
 * An L1 entry is the offset of an L2 table, or 0. An L2 entry is 0
 * (unallocated), the offset of a cluster, or, with this bit, of a compressed
 * one: the offset in the low 63 - cluster_bits bits, the bytes of the stream
 * in the next cluster_bits bits.
 */
#define QCOW_COMPRESSED_BIT (UINT64_C(1) << 63)

#endif
