/* SPDX-License-Identifier: MIT */
/*
 * The contents of a file in memory: pages that may be missing (holes), shared
 * between copies until one of them changes.
 *
 * A MemoryData has a count of references and is changed through a pointer to
 * the only one; memory_data_own() makes it that. So a copy costs nothing.
 */
#ifndef TESTS_MEMORY_DATA_H
#define TESTS_MEMORY_DATA_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MEMORY_PAGE 4096

typedef struct MemoryData {
    gint refs;
    int64_t size;
    GHashTable *pages; /* page number -> page, of those that are there */
} MemoryData;

MemoryData *memory_data_new(void);
MemoryData *memory_data_ref(MemoryData *data);
void memory_data_unref(MemoryData *data);

/* Bytes that it takes. */
uint64_t memory_data_allocated(const MemoryData *data);
/* Bytes that it would take more if this range were written. */
uint64_t memory_data_missing(const MemoryData *data, int64_t offset,
                             int64_t bytes);

/* The range may be anywhere: what is not there is zeroes. */
void memory_data_read(const MemoryData *data, int64_t offset, void *buf,
                      size_t bytes);

/* Those that change it; what *data was stays as it is for other owners.
 * Writing lets it grow, allocating does not. */
void memory_data_write(MemoryData **data, int64_t offset, const void *buf,
                       size_t bytes);
void memory_data_allocate(MemoryData **data, int64_t offset, int64_t bytes);
void memory_data_truncate(MemoryData **data, int64_t size);

/* As lseek(); -ENXIO. */
int64_t memory_data_seek(const MemoryData *data, int64_t offset, bool want);

#endif
