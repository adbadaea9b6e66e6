/* SPDX-License-Identifier: MIT */
/*
 * New clusters, filled with a request's data and with what was there before
 * around it. No lock is held.
 */
#ifndef BLOCK_QCOW2_COW_H
#define BLOCK_QCOW2_COW_H

#include "block/qcow2/qcow2-data.h"

/* A range of the guest that is written, and where its data comes from. */
typedef struct Qcow2Source {
    Qcow2State *s;
    int64_t offset, end; /* of the guest */
    const IOVector *iov; /* the bytes of offset..end; NULL: a host file has */
    int fd;              /* them, from fd_offset on */
    int64_t fd_offset;
    bool copied; /* some were copied from the file: it is too late for
                    -ENOTSUP */
} Qcow2Source;

/* Write a part of the source to the image's file. */
int qcow2_source_write(Qcow2Source *src, int64_t offset, int64_t bytes,
                       int64_t host) G_GNUC_WARN_UNUSED_RESULT;

/* Clusters that are to hold the guest range start..end. */
typedef struct Qcow2Fill {
    int64_t start, end;           /* whole clusters */
    int64_t data_start, data_end; /* of these, the source has the bytes */
    int64_t host;
    bool allocated;               /* new; or were reserved for zeroes */
    bool first_fresh, last_fresh; /* the first, the last cluster reads as
                                     zeroes in the file as it is */
    Qcow2Mapping first, last;     /* what they were until now */
} Qcow2Fill;

int qcow2_fill_write(Qcow2Source *src, const Qcow2Fill *fill)
    G_GNUC_WARN_UNUSED_RESULT;

#endif
