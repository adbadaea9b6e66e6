/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <inttypes.h>

#include "util/interval-map.h"

static char files[4]; /* values: addresses alone count */
#define A (&files[0])
#define B (&files[1])

static void assert_interval(const IntervalMap *map, uint32_t key,
                            uint32_t start, uint32_t end, void *value,
                            uint32_t offset)
{
    Interval i;

    cr_assert_eq(interval_map_lookup(map, key, &i), value != NULL);
    cr_assert(i.start == start && i.end == end && i.value == value &&
                  i.offset == offset,
              "key %" PRIu32 ": %" PRIu32 "..%" PRIu32 " offset %" PRIu32, key,
              i.start, i.end, i.offset);
}

Test(interval_map, begins_empty_and_small)
{
    g_autoptr(IntervalMap) map = interval_map_new();
    Interval i;

    assert_interval(map, 0, 0, UINT32_MAX, NULL, 0);
    assert_interval(map, UINT32_MAX, 0, UINT32_MAX, NULL, 0);
    cr_assert_not(interval_map_next(map, 0, &i));
    interval_map_clear(map, 0, UINT32_MAX);
    cr_assert_eq(interval_map_count(map), 0);
    cr_assert_lt(interval_map_footprint(map), 100);
}

Test(interval_map, gaps_tell_where_they_begin_and_end)
{
    g_autoptr(IntervalMap) map = interval_map_new();
    Interval i;

    interval_map_set(map, 10, 20, A, 5);
    interval_map_set(map, 30, UINT32_MAX, B, 0);
    assert_interval(map, 0, 0, 10, NULL, 0);
    assert_interval(map, 9, 0, 10, NULL, 0);
    assert_interval(map, 10, 10, 20, A, 5);
    assert_interval(map, 19, 10, 20, A, 5);
    assert_interval(map, 20, 20, 30, NULL, 0);
    assert_interval(map, UINT32_MAX - 1, 30, UINT32_MAX, B, 0);
    assert_interval(map, UINT32_MAX, UINT32_MAX, UINT32_MAX, NULL, 0);
    cr_assert(interval_map_next(map, 19, &i) && i.start == 10);
    cr_assert(interval_map_next(map, 20, &i) && i.start == 30);
    cr_assert_not(interval_map_next(map, UINT32_MAX, &i));
    cr_assert_eq(i.start, 30);
}

Test(interval_map, nothing_to_set_or_clear)
{
    g_autoptr(IntervalMap) map = interval_map_new();

    interval_map_set(map, 5, 5, A, 0);
    cr_assert_eq(interval_map_count(map), 0);
    interval_map_set(map, 0, 10, A, 0);
    interval_map_set(map, 5, 5, B, 0);
    interval_map_clear(map, 5, 5);
    assert_interval(map, 5, 0, 10, A, 0);
}

Test(interval_map, pieces_keep_their_offsets)
{
    g_autoptr(IntervalMap) map = interval_map_new();

    interval_map_set(map, 100, 200, A, 1000);
    interval_map_set(map, 130, 140, B, 0);
    assert_interval(map, 129, 100, 130, A, 1000);
    assert_interval(map, 130, 130, 140, B, 0);
    assert_interval(map, 140, 140, 200, A, 1040);
    interval_map_clear(map, 135, 150);
    assert_interval(map, 130, 130, 135, B, 0);
    assert_interval(map, 135, 135, 150, NULL, 0);
    assert_interval(map, 199, 150, 200, A, 1050);
    interval_map_clear(map, 0, 110);
    assert_interval(map, 110, 110, 130, A, 1010);
    interval_map_clear(map, 190, UINT32_MAX);
    assert_interval(map, 150, 150, 190, A, 1050);
    assert_interval(map, 190, 190, UINT32_MAX, NULL, 0);
    cr_assert_eq(interval_map_count(map), 3);
}

Test(interval_map, neighbours_that_continue_are_one)
{
    g_autoptr(IntervalMap) map = interval_map_new();

    interval_map_set(map, 10, 20, A, 110);
    interval_map_set(map, 20, 30, A, 120);
    assert_interval(map, 15, 10, 30, A, 110);
    interval_map_set(map, 5, 10, A, 105);
    assert_interval(map, 15, 5, 30, A, 105);
    interval_map_set(map, 40, 50, A, 140);
    interval_map_set(map, 30, 40, A, 130);
    assert_interval(map, 15, 5, 50, A, 105);

    /* Nothing changes, and a piece that comes back. */
    interval_map_set(map, 20, 30, A, 120);
    assert_interval(map, 15, 5, 50, A, 105);
    interval_map_set(map, 20, 30, B, 120);
    interval_map_set(map, 20, 30, A, 120);
    assert_interval(map, 15, 5, 50, A, 105);
    cr_assert_eq(interval_map_count(map), 1);
}

Test(interval_map, neighbours_that_do_not_continue_stay_apart)
{
    g_autoptr(IntervalMap) map = interval_map_new();

    interval_map_set(map, 10, 20, A, 0);
    interval_map_set(map, 20, 30, A, 0);
    interval_map_set(map, 30, 40, B, 10);
    interval_map_set(map, 41, 50, B, 21);
    cr_assert_eq(interval_map_count(map), 4);
    assert_interval(map, 25, 20, 30, A, 0);
}

Test(interval_map, pieces_of_leaves_join_across_them)
{
    g_autoptr(IntervalMap) map = interval_map_new();

    for (uint32_t i = 0; i < 10000; i++) {
        interval_map_set(map, 2 * i, 2 * i + 1, A, 2 * i);
    }
    cr_assert_eq(interval_map_count(map), 10000);
    for (uint32_t i = 0; i < 9999; i++) {
        interval_map_set(map, 2 * i + 1, 2 * i + 2, A, 2 * i + 1);
    }
    assert_interval(map, 7777, 0, 19999, A, 0);
    cr_assert_eq(interval_map_count(map), 1);
    cr_assert_lt(interval_map_footprint(map), 20000);
}

/* ---- Memory ---- */

#define MANY 100000

static size_t bytes_each(const IntervalMap *map)
{
    return interval_map_footprint(map) / interval_map_count(map);
}

static void fill(IntervalMap *map, uint32_t i)
{
    interval_map_set(map, 10 * i, 10 * i + 10, A, 0);
}

Test(interval_map, rows_of_insertions_fill_leaves)
{
    g_autoptr(IntervalMap) up = interval_map_new();
    g_autoptr(IntervalMap) down = interval_map_new();
    g_autoptr(IntervalMap) rows = interval_map_new();

    for (uint32_t i = 0; i < MANY; i++) {
        fill(up, i);
        fill(down, MANY - i);
        fill(rows, i % 4 * MANY + i / 4); /* four at a time */
    }
    cr_assert_leq(bytes_each(up), 25);
    cr_assert_leq(bytes_each(down), 25);
    cr_assert_leq(bytes_each(rows), 26);
    cr_assert_eq(interval_map_count(rows), MANY);
}

Test(interval_map, insertions_in_any_order_stay_compact)
{
    g_autoptr(IntervalMap) scattered = interval_map_new();
    g_autoptr(IntervalMap) inwards = interval_map_new();

    for (uint32_t i = 0; i < MANY; i++) {
        fill(scattered, (uint32_t)((uint64_t)i * 61803 % MANY));
        fill(inwards, i % 2 == 0 ? i : 2 * MANY - i);
    }
    cr_assert_eq(interval_map_count(scattered), MANY);
    cr_assert_eq(interval_map_count(inwards), MANY);
    cr_assert_leq(bytes_each(scattered), 48);
    cr_assert_leq(bytes_each(inwards), 49);
}

Test(interval_map, what_is_left_after_clearing_is_packed)
{
    g_autoptr(IntervalMap) map = interval_map_new();

    for (uint32_t i = 0; i < MANY; i++) {
        fill(map, i);
    }
    for (uint32_t i = 0; i < MANY; i++) {
        if (i % 500 != 0) {
            interval_map_clear(map, 10 * i, 10 * i + 10);
        }
    }
    cr_assert_eq(interval_map_count(map), MANY / 500);
    cr_assert_leq(interval_map_footprint(map), 60000);
    assert_interval(map, 5005, 5000, 5010, A, 0);

    for (uint32_t i = 0; i < MANY; i++) {
        fill(map, i);
    }
    for (uint32_t i = 0; i < MANY; i += 5000) { /* whole leaves at once */
        interval_map_clear(map, 10 * i + 15, 10 * (i + 5000) - 5);
    }
    cr_assert_eq(interval_map_count(map), 3 * MANY / 5000);
    cr_assert_leq(interval_map_footprint(map), 60000);
    interval_map_clear(map, 1, UINT32_MAX);
    assert_interval(map, 0, 0, 1, A, 0);
    interval_map_set(map, 0, UINT32_MAX, B, 0);
    assert_interval(map, 77777, 0, UINT32_MAX, B, 0);
}

/* ---- Random operations against an array ---- */

#define KEYS 20000
#define STEPS 20000

typedef struct Cell {
    char *value;
    uint32_t offset;
} Cell;

typedef struct Walk {
    uint32_t seed;
    int step;
    GRand *rand;
    IntervalMap *map;
    uint32_t scale; /* keys of the map for one of the model */
    Cell model[KEYS];
} Walk;

#define CHECK(w, condition)                                                   \
    cr_assert(condition, "seed %" PRIu32 ", step %d", (w)->seed, (w)->step)

static uint32_t pick(Walk *w, uint32_t below)
{
    return (uint32_t)g_rand_int_range(w->rand, 0, (gint32)below);
}

/* Whether `key` is of the same interval, or gap, as the key before it. */
static bool model_joined(const Walk *w, uint32_t key)
{
    const Cell *c = &w->model[key];

    return c[0].value == c[-1].value &&
           (c->value == NULL || c[0].offset == c[-1].offset + w->scale);
}

static uint32_t model_end(const Walk *w, uint32_t key)
{
    do {
        key++;
    } while (key < KEYS && model_joined(w, key));
    return key;
}

static uint32_t model_start(const Walk *w, uint32_t key)
{
    while (key > 0 && model_joined(w, key)) {
        key--;
    }
    return key;
}

/* `longest` bounds the ranges: small ones make many intervals. */
static void change(Walk *w, uint32_t longest, bool set)
{
    uint32_t start = pick(w, KEYS), offset = start * w->scale;
    uint32_t end = start + pick(w, longest);
    char *value = set ? &files[pick(w, G_N_ELEMENTS(files))] : NULL;

    /* Offsets equal to the keys let neighbours continue each other. */
    end = MIN(end, KEYS);
    offset += pick(w, 3) == 0 ? pick(w, 3) * w->scale : 0;
    for (uint32_t i = start; i < end; i++) {
        w->model[i].value = value;
        w->model[i].offset = set ? offset + (i - start) * w->scale : 0;
    }
    if (set) {
        interval_map_set(w->map, start * w->scale, end * w->scale, value,
                         offset);
    } else {
        interval_map_clear(w->map, start * w->scale, end * w->scale);
    }
}

static void assert_is_model(const Walk *w, const Interval *i, uint32_t key)
{
    uint32_t start = model_start(w, key), end = model_end(w, key);
    const Cell *cell = &w->model[start];

    CHECK(w, i->start == start * w->scale);
    CHECK(w, i->end == (end == KEYS && cell->value == NULL ? UINT32_MAX
                                                           : end * w->scale));
    CHECK(w, i->value == cell->value);
    CHECK(w, i->offset == cell->offset);
}

static void look(Walk *w)
{
    uint32_t key = pick(w, KEYS);
    uint32_t within = key * w->scale + w->scale / 3;
    Interval i;

    CHECK(w, interval_map_lookup(w->map, within, &i) ==
                 (w->model[key].value != NULL));
    assert_is_model(w, &i, key);
    if (w->model[key].value == NULL) {
        key = model_end(w, key);
    }
    CHECK(w, interval_map_next(w->map, within, &i) == (key < KEYS));
    if (key < KEYS) {
        assert_is_model(w, &i, key);
    }
}

/* All of it; intervals that touch are those of the model, joined as there. */
static void compare(const Walk *w)
{
    uint32_t key = 0, count = 0;
    Interval i;

    while (key < KEYS) {
        if (w->model[key].value != NULL) {
            CHECK(w, interval_map_next(w->map, key * w->scale, &i));
            assert_is_model(w, &i, key);
            count++;
        }
        key = model_end(w, key);
    }
    CHECK(w, !interval_map_next(w->map, KEYS * w->scale, &i));
    CHECK(w, interval_map_count(w->map) == count);
    CHECK(w, interval_map_footprint(w->map) <= 30000 + count * 98);
}

static void walk_run(uint32_t scale, uint32_t seed)
{
    static const uint32_t longest[] = { 4, 12, 100, 3000 };
    Walk *w = g_new0(Walk, 1);

    w->seed = seed;
    w->rand = g_rand_new_with_seed(seed);
    w->map = interval_map_new();
    w->scale = scale;
    for (int step = 0; step < STEPS; step++) {
        w->step = step;
        /* Tides: leaves are filled by short ranges, and swept by long ones. */
        uint32_t most = longest[step % 5000 < 4000 ? pick(w, 2) : pick(w, 4)];

        change(w, most, pick(w, 10) < (step / 2500 % 2 ? 3 : 8));
        look(w);
        if (step % 500 == 499) {
            compare(w);
        }
    }
    interval_map_free(w->map);
    g_rand_free(w->rand);
    g_free(w);
}

Test(interval_map, random_operations_as_an_array_does_them)
{
    for (uint32_t seed = 1; seed <= 5; seed++) {
        walk_run(1, seed);
        walk_run(UINT32_MAX / (KEYS + 10), 100 + seed);
    }
}
