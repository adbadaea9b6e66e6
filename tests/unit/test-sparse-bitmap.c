/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <inttypes.h>
#include <string.h>

#include "util/sparse-bitmap.h"

#define PAGE ((uint64_t)32768) /* bits */
#define LAST (SPARSE_BITMAP_BITS - 1)

Test(sparse_bitmap, begins_clear_and_small)
{
    g_autoptr(SparseBitmap) map = sparse_bitmap_new();
    uint64_t first, count;
    bool set;

    cr_assert_eq(sparse_bitmap_count(map), 0);
    cr_assert_not(sparse_bitmap_get(map, 0));
    cr_assert_not(sparse_bitmap_get(map, LAST));
    cr_assert_not(sparse_bitmap_next(map, 0, &first, &count));
    cr_assert_eq(sparse_bitmap_run(map, 0, SPARSE_BITMAP_BITS, &set),
                 SPARSE_BITMAP_BITS);
    cr_assert_not(set);
    cr_assert_eq(sparse_bitmap_clear(map, 0, SPARSE_BITMAP_BITS), 0);
    cr_assert_lt(sparse_bitmap_footprint(map), 100);
}

Test(sparse_bitmap, single_bits_at_the_ends_of_words_and_pages)
{
    static const uint64_t bits[] = { 0,        1,    63,       64,
                                     PAGE - 1, PAGE, PAGE + 1, 9 * PAGE - 1,
                                     9 * PAGE, LAST };
    g_autoptr(SparseBitmap) map = sparse_bitmap_new();

    for (size_t i = 0; i < G_N_ELEMENTS(bits); i++) {
        uint64_t bit = bits[i], first = 0, count = 0;
        bool set;

        cr_assert_eq(sparse_bitmap_set(map, bit, 1), 1);
        cr_assert_eq(sparse_bitmap_set(map, bit, 1), 0);
        cr_assert(sparse_bitmap_get(map, bit));
        cr_assert_not(sparse_bitmap_get(map, bit + 1));
        cr_assert(sparse_bitmap_next(map, 0, &first, &count));
        cr_assert(first == bit && count == 1);
        cr_assert(sparse_bitmap_next(map, bit, &first, &count));
        cr_assert_not(sparse_bitmap_next(map, bit + 1, &first, &count));
        cr_assert_eq(sparse_bitmap_run(map, bit, 9, &set), 1);
        cr_assert(set);
        cr_assert_eq(sparse_bitmap_run(map, bit + 1, 9, &set), 9);
        cr_assert_not(set);
        cr_assert_eq(sparse_bitmap_clear(map, bit, 1), 1);
        cr_assert_eq(sparse_bitmap_clear(map, bit, 1), 0);
        cr_assert_eq(sparse_bitmap_count(map), 0);
    }
}

Test(sparse_bitmap, readers_may_look_beyond_the_last_bit)
{
    g_autoptr(SparseBitmap) map = sparse_bitmap_new();
    uint64_t first = 7, count = 7;
    bool set;

    sparse_bitmap_set(map, LAST, 1);
    cr_assert_not(sparse_bitmap_get(map, UINT64_MAX));
    cr_assert_eq(sparse_bitmap_run(map, LAST, UINT64_MAX, &set), 1);
    cr_assert(set);
    cr_assert_eq(sparse_bitmap_run(map, LAST + 1, UINT64_MAX, &set),
                 UINT64_MAX);
    cr_assert_not(set);
    cr_assert_eq(sparse_bitmap_run(map, UINT64_MAX, 5, &set), 5);
    cr_assert_eq(sparse_bitmap_run(map, LAST, 0, &set), 0);
    cr_assert(set);
    cr_assert_not(sparse_bitmap_next(map, LAST + 1, &first, &count));
    cr_assert_not(sparse_bitmap_next(map, UINT64_MAX, &first, &count));
    cr_assert(first == 7 && count == 7);
}

Test(sparse_bitmap, runs_cross_pages_full_and_absent)
{
    g_autoptr(SparseBitmap) map = sparse_bitmap_new();
    uint64_t first, count;
    bool set;

    cr_assert_eq(sparse_bitmap_set(map, 5 * PAGE - 3, 10 * PAGE + 5),
                 10 * PAGE + 5);
    cr_assert_eq(sparse_bitmap_set(map, 3 * PAGE, 20 * PAGE), 10 * PAGE - 5);
    cr_assert_eq(sparse_bitmap_run(map, 0, UINT64_MAX, &set), 3 * PAGE);
    cr_assert_not(set);
    cr_assert_eq(sparse_bitmap_run(map, 3 * PAGE, UINT64_MAX, &set),
                 20 * PAGE);
    cr_assert(set);
    cr_assert_eq(sparse_bitmap_run(map, 4 * PAGE, 15 * PAGE + 1, &set),
                 15 * PAGE + 1);
    cr_assert(sparse_bitmap_next(map, 4 * PAGE + 1, &first, &count));
    cr_assert(first == 4 * PAGE + 1 && count == 19 * PAGE - 1);

    /* The first bit of one page, the last one of another. */
    cr_assert_eq(sparse_bitmap_clear(map, 9 * PAGE, 1), 1);
    cr_assert_eq(sparse_bitmap_clear(map, 12 * PAGE - 1, 1), 1);
    cr_assert_eq(sparse_bitmap_run(map, 3 * PAGE, UINT64_MAX, &set), 6 * PAGE);
    cr_assert(sparse_bitmap_next(map, 9 * PAGE, &first, &count));
    cr_assert(first == 9 * PAGE + 1 && count == 3 * PAGE - 2);
}

Test(sparse_bitmap, empty_pages_give_their_memory_back)
{
    g_autoptr(SparseBitmap) map = sparse_bitmap_new();
    size_t empty;

    sparse_bitmap_set(map, 1000 * PAGE - 1, 1);
    sparse_bitmap_clear(map, 1000 * PAGE - 1, 1);
    empty = sparse_bitmap_footprint(map);
    cr_assert_lt(empty, 10000);
    sparse_bitmap_set(map, 0, 1000 * PAGE);
    cr_assert_geq(sparse_bitmap_footprint(map), 1000 * PAGE / 8);
    cr_assert_eq(sparse_bitmap_clear(map, 1, SPARSE_BITMAP_BITS - 1),
                 1000 * PAGE - 1);
    cr_assert_lt(sparse_bitmap_footprint(map), empty + 5000);
    sparse_bitmap_clear(map, 0, 1);
    cr_assert_eq(sparse_bitmap_footprint(map), empty);
}

Test(sparse_bitmap, steal_leaves_nothing)
{
    g_autoptr(SparseBitmap) map = sparse_bitmap_new();
    g_autoptr(SparseBitmap) stolen = NULL;
    uint64_t first, count;

    sparse_bitmap_set(map, PAGE - 10, 20);
    stolen = sparse_bitmap_steal(map);
    cr_assert_eq(sparse_bitmap_count(map), 0);
    cr_assert_not(sparse_bitmap_next(map, 0, &first, &count));
    cr_assert_eq(sparse_bitmap_set(map, PAGE, 1), 1);
    cr_assert(sparse_bitmap_next(stolen, 0, &first, &count));
    cr_assert(first == PAGE - 10 && count == 20);
    cr_assert_eq(sparse_bitmap_count(stolen), 20);
    cr_assert_eq(sparse_bitmap_count(map), 1);
}

/* ---- Random operations against an array ---- */

#define MODEL_BITS (6 * PAGE)
#define STEPS 3000

typedef struct Walk {
    uint32_t seed;
    int step;
    GRand *rand;
    SparseBitmap *map;
    uint64_t base; /* of the part of the map that is used */
    uint64_t count;
    bool model[MODEL_BITS];
} Walk;

#define CHECK(w, condition)                                                   \
    cr_assert(condition, "seed %" PRIu32 ", step %d", (w)->seed, (w)->step)

static uint64_t model_run(const Walk *w, uint64_t from)
{
    uint64_t end = from;

    while (end < MODEL_BITS && w->model[end] == w->model[from]) {
        end++;
    }
    return end - from;
}

/* Ranges of all lengths; many begin or end where a page does. */
static void pick_range(Walk *w, uint64_t *first, uint64_t *count)
{
    static const gint32 longest[] = { 3, 70, 5000, 4 * PAGE };

    *first = (uint64_t)g_rand_int_range(w->rand, 0, MODEL_BITS);
    *count = (uint64_t)g_rand_int_range(
        w->rand, 0, longest[g_rand_int_range(w->rand, 0, 4)]);
    if (g_rand_int_range(w->rand, 0, 4) == 0) {
        *first -= *first % PAGE;
    }
    *count = MIN(*count, MODEL_BITS - *first);
    if (g_rand_int_range(w->rand, 0, 4) == 0 && *first + *count > PAGE) {
        *count -= MIN(*count, (*first + *count) % PAGE);
    }
}

static void change(Walk *w, bool set)
{
    uint64_t first, count, changed = 0, told;

    pick_range(w, &first, &count);
    for (uint64_t i = first; i < first + count; i++) {
        changed += w->model[i] != set;
        w->model[i] = set;
    }
    told = set ? sparse_bitmap_set(w->map, w->base + first, count)
               : sparse_bitmap_clear(w->map, w->base + first, count);
    CHECK(w, told == changed);
    w->count += set ? changed : -changed;
    CHECK(w, sparse_bitmap_count(w->map) == w->count);
}

static void look(Walk *w)
{
    uint64_t from, limit, run, first, count;
    bool set;

    pick_range(w, &from, &limit);
    CHECK(w, sparse_bitmap_get(w->map, w->base + from) == w->model[from]);
    run = model_run(w, from);
    CHECK(w, sparse_bitmap_run(w->map, w->base + from, limit, &set) ==
                 MIN(run, limit));
    CHECK(w, set == w->model[from]);
    if (!w->model[from]) {
        from += run;
    }
    set = sparse_bitmap_next(w->map, w->base + from, &first, &count);
    CHECK(w, set == (from < MODEL_BITS));
    if (set) {
        CHECK(w, first == w->base + from);
        CHECK(w, count == model_run(w, from));
    }
}

/* All of it, run by run. */
static void compare(const SparseBitmap *map, const Walk *w)
{
    uint64_t next = 0, first, count, total = 0;

    while (sparse_bitmap_next(map, w->base + next, &first, &count)) {
        next += w->model[next] ? 0 : model_run(w, next);
        CHECK(w, first == w->base + next);
        CHECK(w, count == model_run(w, next));
        next += count;
        total += count;
        if (next == MODEL_BITS) {
            break;
        }
    }
    CHECK(w, total == w->count);
    CHECK(w, sparse_bitmap_count(map) == w->count);
}

static void walk_run(uint64_t base, uint32_t seed)
{
    Walk *w = g_new0(Walk, 1);

    w->seed = seed;
    w->rand = g_rand_new_with_seed(seed);
    w->map = sparse_bitmap_new();
    w->base = base;
    for (int step = 0; step < STEPS; step++) {
        w->step = step;
        /* Tides, so that pages fill up and empty. */
        bool set = g_rand_int_range(w->rand, 0, 10) < (step / 300 % 2 ? 3 : 7);

        change(w, set);
        look(w);
        if (step % 500 == 499) {
            g_autoptr(SparseBitmap) stolen = sparse_bitmap_steal(w->map);

            compare(stolen, w);
            memset(w->model, 0, sizeof(w->model));
            w->count = 0;
            compare(w->map, w);
        }
    }
    sparse_bitmap_free(w->map);
    g_rand_free(w->rand);
    g_free(w);
}

Test(sparse_bitmap, random_operations_as_an_array_does_them)
{
    for (uint32_t seed = 1; seed <= 3; seed++) {
        walk_run(0, seed);
        walk_run((UINT64_C(1) << 32) - 3 * PAGE, 100 + seed);
    }
}
