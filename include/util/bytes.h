/* SPDX-License-Identifier: MIT */
/*
 * Integers as they stand on disk.
 *
 * Each type is an array of bytes: alignment 1, no padding, and no way to read
 * one without naming its byte order. On-disk structs are built of them.
 */
#ifndef UTIL_BYTES_H
#define UTIL_BYTES_H

#include <glib.h>
#include <stdint.h>
#include <string.h>

#define BYTES_DEFINE(order, bits)                                             \
    typedef struct order##bits {                                              \
        uint8_t byte[bits / 8];                                               \
    } order##bits;                                                            \
    static inline uint##bits##_t order##bits##_get(order##bits v)             \
    {                                                                         \
        uint##bits##_t raw;                                                   \
        memcpy(&raw, v.byte, sizeof(raw));                                    \
        return BYTES_SWAP_##order(bits)(raw);                                 \
    }                                                                         \
    static inline void order##bits##_put(order##bits *p, uint##bits##_t n)    \
    {                                                                         \
        uint##bits##_t raw = BYTES_SWAP_##order(bits)(n);                     \
        memcpy(p->byte, &raw, sizeof(raw));                                   \
    }
#define BYTES_SWAP_le(bits) GUINT##bits##_FROM_LE
#define BYTES_SWAP_be(bits) GUINT##bits##_FROM_BE

BYTES_DEFINE(le, 16)
BYTES_DEFINE(le, 32)
BYTES_DEFINE(le, 64)
BYTES_DEFINE(be, 16)
BYTES_DEFINE(be, 32)
BYTES_DEFINE(be, 64)

#endif
