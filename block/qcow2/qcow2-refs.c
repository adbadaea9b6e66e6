/* SPDX-License-Identifier: MIT */
/*
 * Counted references. A count that does not fit the 16 bits of its page stands
 * in a table beside, so that what every image has takes two bytes.
 */
#include "block/qcow2/qcow2-refs.h"

#include <string.h>

#define BESIDE UINT16_MAX /* the count is in `large` */

typedef struct Page {
    int64_t number; /* the key in `pages` */
    uint16_t count[REFS_PAGE];
    uint8_t kind[REFS_PAGE];
} Page;

typedef struct Large {
    int64_t cluster; /* the key in `large` */
    uint64_t count;
} Large;

struct Qcow2Refs {
    GHashTable *pages; /* of Page */
    GHashTable *large; /* of Large */
    Page *last;        /* the page found last; most look-ups want it again */
};

Qcow2Refs *qcow2_refs_new(void)
{
    Qcow2Refs *refs = g_new0(Qcow2Refs, 1);

    refs->pages = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL,
                                        g_free);
    refs->large = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL,
                                        g_free);
    return refs;
}

void qcow2_refs_free(Qcow2Refs *refs)
{
    if (refs != NULL) {
        g_hash_table_unref(refs->pages);
        g_hash_table_unref(refs->large);
        g_free(refs);
    }
}

static Page *find_page(const Qcow2Refs *refs, int64_t number)
{
    if (refs->last != NULL && refs->last->number == number) {
        return refs->last;
    }
    return g_hash_table_lookup(refs->pages, &number);
}

static uint64_t page_get(const Qcow2Refs *refs, const Page *page, int i)
{
    if (page->count[i] == BESIDE) {
        int64_t cluster = page->number * REFS_PAGE + i;
        const Large *large = g_hash_table_lookup(refs->large, &cluster);

        return large->count;
    }
    return page->count[i];
}

static bool page_set(const Qcow2Refs *refs, Page *page, int i, uint64_t count)
{
    int64_t cluster = page->number * REFS_PAGE + i;
    Large *large;

    if (count < BESIDE) {
        if (page->count[i] == BESIDE) {
            g_hash_table_remove(refs->large, &cluster);
        }
        page->count[i] = (uint16_t)count;
        return true;
    }
    large = g_hash_table_lookup(refs->large, &cluster);
    if (large == NULL) {
        large = g_try_new(Large, 1);
        if (large == NULL) {
            return false;
        }
        large->cluster = cluster;
        g_hash_table_insert(refs->large, &large->cluster, large);
    }
    large->count = count;
    page->count[i] = BESIDE;
    return true;
}

uint64_t qcow2_refs_get(const Qcow2Refs *refs, int64_t cluster)
{
    const Page *page = find_page(refs, cluster / REFS_PAGE);

    return page ? page_get(refs, page, (int)(cluster % REFS_PAGE)) : 0;
}

Qcow2Kind qcow2_refs_kind(const Qcow2Refs *refs, int64_t cluster)
{
    const Page *page = find_page(refs, cluster / REFS_PAGE);

    return page ? (Qcow2Kind)page->kind[cluster % REFS_PAGE] : QCOW2_KIND_NONE;
}

bool qcow2_refs_add(Qcow2Refs *refs, int64_t cluster, uint64_t n)
{
    int i = (int)(cluster % REFS_PAGE);
    Page *page = find_page(refs, cluster / REFS_PAGE);
    uint64_t sum;

    if (page == NULL) {
        page = g_try_new0(Page, 1);
        if (page == NULL) {
            return false;
        }
        page->number = cluster / REFS_PAGE;
        g_hash_table_insert(refs->pages, &page->number, page);
    }
    refs->last = page;
    if (__builtin_add_overflow(page_get(refs, page, i), n, &sum)) {
        sum = UINT64_MAX;
    }
    return page_set(refs, page, i, sum);
}

void qcow2_refs_set_kind(Qcow2Refs *refs, int64_t cluster, Qcow2Kind kind)
{
    Page *page = find_page(refs, cluster / REFS_PAGE);

    g_assert(page != NULL);
    page->kind[cluster % REFS_PAGE] = (uint8_t)kind;
}

void qcow2_refs_drop(Qcow2Refs *refs, int64_t cluster)
{
    int i = (int)(cluster % REFS_PAGE);
    Page *page = find_page(refs, cluster / REFS_PAGE);
    bool fits;

    g_assert(page != NULL && page->count[i] > 0);
    fits = page_set(refs, page, i, page_get(refs, page, i) - 1);
    g_assert(fits); /* a smaller count needs no more room */
}

const char *qcow2_kind_name(Qcow2Kind kind)
{
    static const char *const names[] = {
        [QCOW2_KIND_NONE] = "guest data",
        [QCOW2_KIND_HEADER] = "the header",
        [QCOW2_KIND_L1] = "the active L1 table",
        [QCOW2_KIND_REFTABLE] = "the refcount table",
        [QCOW2_KIND_SNAPSHOT_TABLE] = "the snapshot table",
        [QCOW2_KIND_SNAPSHOT_L1] = "a snapshot's L1 table",
        [QCOW2_KIND_BITMAPS] = "the tables of the bitmaps",
        [QCOW2_KIND_L2] = "an L2 table",
        [QCOW2_KIND_REFBLOCK] = "a refcount block",
    };

    return names[kind];
}

static int compare_numbers(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

GArray *qcow2_refs_pages(const Qcow2Refs *refs)
{
    GArray *numbers = g_array_new(FALSE, FALSE, sizeof(int64_t));
    GHashTableIter iter;
    void *value;

    g_hash_table_iter_init(&iter, refs->pages);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        g_array_append_val(numbers, ((Page *)value)->number);
    }
    g_array_sort(numbers, compare_numbers);
    return numbers;
}

bool qcow2_refs_page_used(const Qcow2Refs *refs, int64_t number)
{
    static const uint16_t none[REFS_PAGE];
    const Page *page = find_page(refs, number);

    return page != NULL && memcmp(page->count, none, sizeof(none)) != 0;
}

int64_t qcow2_refs_last(const Qcow2Refs *refs)
{
    GHashTableIter iter;
    int64_t last = -1;
    void *value;

    g_hash_table_iter_init(&iter, refs->pages);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const Page *page = value;

        for (int i = REFS_PAGE - 1; i >= 0; i--) {
            int64_t cluster = page->number * REFS_PAGE + i;

            if (cluster <= last) {
                break;
            }
            if (page->count[i] != 0) {
                last = cluster;
            }
        }
    }
    return last;
}

uint64_t qcow2_refs_max(const Qcow2Refs *refs)
{
    GHashTableIter iter;
    uint64_t max = 0;
    void *value;

    g_hash_table_iter_init(&iter, refs->pages);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        for (int i = 0; i < REFS_PAGE; i++) {
            max = MAX(max, page_get(refs, value, i));
        }
    }
    return max;
}
