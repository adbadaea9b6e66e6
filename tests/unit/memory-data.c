/* SPDX-License-Identifier: MIT */
#include "tests/unit/memory-data.h"

#include <errno.h>
#include <string.h>

typedef struct Page {
    gint refs;
    uint8_t bytes[MEMORY_PAGE];
} Page;

static gpointer page_key(int64_t number)
{
    return GSIZE_TO_POINTER((gsize)number);
}

static void page_unref(gpointer page)
{
    if (g_atomic_int_dec_and_test(&((Page *)page)->refs)) {
        g_free(page);
    }
}

static GHashTable *pages_new(void)
{
    return g_hash_table_new_full(NULL, NULL, NULL, page_unref);
}

MemoryData *memory_data_new(void)
{
    MemoryData *data = g_new0(MemoryData, 1);

    data->refs = 1;
    data->pages = pages_new();
    return data;
}

MemoryData *memory_data_ref(MemoryData *data)
{
    g_atomic_int_inc(&data->refs);
    return data;
}

void memory_data_unref(MemoryData *data)
{
    if (data && g_atomic_int_dec_and_test(&data->refs)) {
        g_hash_table_unref(data->pages);
        g_free(data);
    }
}

/* Make it ours alone: a copy that shares the pages, if it is not. */
static MemoryData *data_own(MemoryData **data)
{
    MemoryData *old = *data;
    GHashTableIter iter;
    gpointer key, value;

    if (g_atomic_int_get(&old->refs) == 1) {
        return old;
    }
    *data = memory_data_new();
    (*data)->size = old->size;
    g_hash_table_iter_init(&iter, old->pages);
    while (g_hash_table_iter_next(&iter, &key, &value)) {
        g_atomic_int_inc(&((Page *)value)->refs);
        g_hash_table_insert((*data)->pages, key, value);
    }
    memory_data_unref(old);
    return *data;
}

/* A page to write to. */
static Page *page_own(MemoryData *data, int64_t number)
{
    Page *old = g_hash_table_lookup(data->pages, page_key(number));
    Page *page;

    if (old && g_atomic_int_get(&old->refs) == 1) {
        return old;
    }
    page = g_new0(Page, 1);
    page->refs = 1;
    if (old) {
        memcpy(page->bytes, old->bytes, MEMORY_PAGE);
    }
    g_hash_table_insert(data->pages, page_key(number), page);
    return page;
}

static size_t part_of_page(int64_t offset, int64_t bytes)
{
    return (size_t)MIN(bytes, MEMORY_PAGE - offset % MEMORY_PAGE);
}

uint64_t memory_data_allocated(const MemoryData *data)
{
    return (uint64_t)g_hash_table_size(data->pages) * MEMORY_PAGE;
}

uint64_t memory_data_missing(const MemoryData *data, int64_t offset,
                             int64_t bytes)
{
    uint64_t missing = 0;
    int64_t end = offset + bytes;

    for (int64_t at = offset; at < end;
         at += (int64_t)part_of_page(at, end - at)) {
        if (!g_hash_table_contains(data->pages, page_key(at / MEMORY_PAGE))) {
            missing += MEMORY_PAGE;
        }
    }
    return missing;
}

void memory_data_read(const MemoryData *data, int64_t offset, void *buf,
                      size_t bytes)
{
    uint8_t *out = buf;

    while (bytes) {
        size_t n = part_of_page(offset, (int64_t)bytes);
        const Page *page = g_hash_table_lookup(data->pages,
                                               page_key(offset / MEMORY_PAGE));

        if (page) {
            memcpy(out, page->bytes + offset % MEMORY_PAGE, n);
        } else {
            memset(out, 0, n);
        }
        out += n;
        offset += (int64_t)n;
        bytes -= n;
    }
}

void memory_data_write(MemoryData **data, int64_t offset, const void *buf,
                       size_t bytes)
{
    MemoryData *own = data_own(data);
    const uint8_t *in = buf;

    while (bytes) {
        size_t n = part_of_page(offset, (int64_t)bytes);
        Page *page = page_own(own, offset / MEMORY_PAGE);

        memcpy(page->bytes + offset % MEMORY_PAGE, in, n);
        in += n;
        offset += (int64_t)n;
        bytes -= n;
        own->size = MAX(own->size, offset);
    }
}

void memory_data_allocate(MemoryData **data, int64_t offset, int64_t bytes)
{
    MemoryData *own = data_own(data);
    int64_t end = offset + bytes;

    for (int64_t at = offset; at < end;
         at += (int64_t)part_of_page(at, end - at)) {
        page_own(own, at / MEMORY_PAGE);
    }
}

static gboolean is_behind(gpointer key, gpointer page, gpointer size)
{
    (void)page;
    return (int64_t)GPOINTER_TO_SIZE(key) * MEMORY_PAGE >= *(int64_t *)size;
}

void memory_data_truncate(MemoryData **data, int64_t size)
{
    MemoryData *own = data_own(data);
    int64_t last = size / MEMORY_PAGE;

    if (size < own->size) {
        g_hash_table_foreach_remove(own->pages, is_behind, &size);
        if (g_hash_table_contains(own->pages, page_key(last))) {
            Page *page = page_own(own, last);
            size_t keep = (size_t)(size % MEMORY_PAGE);

            memset(page->bytes + keep, 0, MEMORY_PAGE - keep);
        }
    }
    own->size = size;
}

int64_t memory_data_seek(const MemoryData *data, int64_t offset, bool want)
{
    if (offset >= data->size) {
        return -ENXIO;
    }
    while (offset < data->size) {
        bool have = g_hash_table_contains(data->pages,
                                          page_key(offset / MEMORY_PAGE));

        if (have == want) {
            return offset;
        }
        offset += (int64_t)part_of_page(offset, MEMORY_PAGE);
    }
    /* The end counts as a hole. */
    return want ? -ENXIO : data->size;
}
