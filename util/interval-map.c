/* SPDX-License-Identifier: MIT */
/*
 * A tree of two levels. Leaves hold up to 256 intervals each, in order; the
 * top is an array of the leaves in order, each with the start of its first
 * interval, so that a search touches the top and one leaf.
 *
 * Invariants between calls: intervals are not empty and do not overlap; one
 * that continues the one before it is part of it; no leaf is empty; two
 * leaves side by side hold more than LEAF_MAX / 2 intervals together. That
 * bounds the memory, 6 KiB a leaf, to about 96 bytes an interval whatever the
 * history. After rows of insertions upwards it is 24: leaves are split within
 * alone, and the lower halves are filled up.
 *
 * A search costs O(log n); behind the last interval, O(1), and so does
 * appending. Changes move at most a leaf, and the top when a leaf comes or
 * goes, which takes many of them; a range that covers leaves drops them
 * whole.
 */
#include "util/interval-map.h"

#include <assert.h>
#include <string.h>

#define LEAF_MAX ((size_t)256)
#define TOP_MIN ((size_t)4)

typedef struct Leaf {
    size_t count;
    Interval interval[LEAF_MAX];
} Leaf;

typedef struct Branch {
    uint32_t start; /* that of the leaf's first interval */
    Leaf *leaf;
} Branch;

struct IntervalMap {
    Branch *top;
    size_t leaves, room; /* used in top[], and its length */
    uint64_t count;
};

/* An interval in its leaf. Behind the last one is {map->leaves, 0}. */
typedef struct Position {
    size_t leaf, index;
} Position;

IntervalMap *interval_map_new(void)
{
    return g_new0(IntervalMap, 1);
}

void interval_map_free(IntervalMap *map)
{
    if (map == NULL) {
        return;
    }
    for (size_t i = 0; i < map->leaves; i++) {
        g_free(map->top[i].leaf);
    }
    g_free(map->top);
    g_free(map);
}

/* ---- Positions ---- */

static Interval *interval_at(const IntervalMap *map, Position pos)
{
    Leaf *leaf;

    if (pos.leaf == map->leaves) {
        return NULL;
    }
    leaf = map->top[pos.leaf].leaf;
    assert(pos.index < leaf->count);
    return &leaf->interval[pos.index];
}

static Interval *interval_before(const IntervalMap *map, Position pos)
{
    if (pos.index == 0) {
        if (pos.leaf == 0) {
            return NULL;
        }
        pos.leaf--;
        pos.index = map->top[pos.leaf].leaf->count;
    }
    pos.index--;
    return interval_at(map, pos);
}

static Position position_next(const IntervalMap *map, Position pos)
{
    pos.index++;
    if (pos.index == map->top[pos.leaf].leaf->count) {
        pos.leaf++;
        pos.index = 0;
    }
    return pos;
}

/* The last leaf that starts at or before `key`; the first if none does. */
static size_t find_leaf(const IntervalMap *map, uint32_t key)
{
    size_t low = 0, high = map->leaves;

    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;

        if (map->top[middle].start <= key) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

/* The first interval that ends behind `key`. */
static Position find(const IntervalMap *map, uint32_t key)
{
    Position pos = { map->leaves, 0 };
    const Interval *last = interval_before(map, pos);
    const Leaf *leaf;
    size_t high;

    if (last == NULL || last->end <= key) {
        return pos;
    }
    pos.leaf = find_leaf(map, key);
    leaf = map->top[pos.leaf].leaf;
    high = leaf->count;
    while (pos.index < high) {
        size_t middle = pos.index + (high - pos.index) / 2;

        if (leaf->interval[middle].end <= key) {
            pos.index = middle + 1;
        } else {
            high = middle;
        }
    }
    if (pos.index == leaf->count) {
        pos.leaf++;
        pos.index = 0;
    }
    return pos;
}

/* ---- Leaves ---- */

/* To be called whenever another interval, or start, is a leaf's first. */
static void leaf_update(IntervalMap *map, size_t i)
{
    map->top[i].start = map->top[i].leaf->interval[0].start;
}

static Leaf *leaf_insert(IntervalMap *map, size_t i)
{
    Leaf *leaf = g_new(Leaf, 1);

    leaf->count = 0;
    if (map->leaves == map->room) {
        map->room = MAX(map->room * 2, TOP_MIN);
        map->top = g_renew(Branch, map->top, map->room);
    }
    memmove(&map->top[i + 1], &map->top[i],
            (map->leaves - i) * sizeof(map->top[0]));
    map->top[i].leaf = leaf;
    map->leaves++;
    return leaf;
}

static void leaves_drop(IntervalMap *map, size_t first, size_t end)
{
    if (first >= end) {
        return;
    }
    for (size_t i = first; i < end; i++) {
        map->count -= map->top[i].leaf->count;
        g_free(map->top[i].leaf);
    }
    memmove(&map->top[first], &map->top[end],
            (map->leaves - end) * sizeof(map->top[0]));
    map->leaves -= end - first;
}

/* Move the upper half of a full leaf to a new one behind it. */
static void leaf_split(IntervalMap *map, size_t i)
{
    Leaf *upper = leaf_insert(map, i + 1);
    Leaf *lower = map->top[i].leaf;

    upper->count = lower->count / 2;
    lower->count -= upper->count;
    memcpy(upper->interval, &lower->interval[lower->count],
           upper->count * sizeof(upper->interval[0]));
    leaf_update(map, i + 1);
}

static void leaf_cut(IntervalMap *map, size_t i, size_t first, size_t end)
{
    Leaf *leaf = map->top[i].leaf;

    memmove(&leaf->interval[first], &leaf->interval[end],
            (leaf->count - end) * sizeof(leaf->interval[0]));
    leaf->count -= end - first;
    map->count -= end - first;
}

/* Move the first n intervals of leaf i to the end of the one before it. */
static void leaf_shift(IntervalMap *map, size_t i, size_t n)
{
    Leaf *lower = map->top[i - 1].leaf;

    memcpy(&lower->interval[lower->count], map->top[i].leaf->interval,
           n * sizeof(lower->interval[0]));
    lower->count += n;
    map->count += n;
    leaf_cut(map, i, 0, n);
}

/* Let the leaf that follows leaf i be part of it when both are small. */
static void leaf_join(IntervalMap *map, size_t i)
{
    size_t n;

    if (i + 1 >= map->leaves) {
        return;
    }
    n = map->top[i + 1].leaf->count;
    if (map->top[i].leaf->count + n <= LEAF_MAX / 2) {
        leaf_shift(map, i + 1, n);
        leaves_drop(map, i + 1, i + 2);
    }
}

/* ---- Intervals ---- */

/* Make room in a full leaf; where to insert then at `index` of it. */
static Position leaf_relieve(IntervalMap *map, size_t i, size_t index)
{
    size_t half = LEAF_MAX / 2, n = MIN(index, half);

    if (i > 0) {
        n = MIN(n, LEAF_MAX - map->top[i - 1].leaf->count);
    }
    if (i > 0 && n >= half / 2) {
        /* Rows of insertions go upwards: do not leave halves behind. */
        leaf_shift(map, i, n);
        leaf_update(map, i);
        return (Position){ i, index - n };
    }
    leaf_split(map, i);
    return index > half ? (Position){ i + 1, index - half }
                        : (Position){ i, index };
}

/* Where to insert at `pos`: a leaf with room. */
static Position make_room(IntervalMap *map, Position pos)
{
    if (pos.index == 0 && pos.leaf > 0 &&
        map->top[pos.leaf - 1].leaf->count < LEAF_MAX) {
        pos.leaf--;
        pos.index = map->top[pos.leaf].leaf->count;
    } else if (pos.leaf == map->leaves ||
               map->top[pos.leaf].leaf->count == LEAF_MAX) {
        if (pos.index > 0) {
            return leaf_relieve(map, pos.leaf, pos.index);
        }
        leaf_insert(map, pos.leaf); /* between full ones */
    }
    return pos;
}

static void insert(IntervalMap *map, Position pos, Interval interval)
{
    Leaf *leaf;

    pos = make_room(map, pos);
    leaf = map->top[pos.leaf].leaf;
    memmove(&leaf->interval[pos.index + 1], &leaf->interval[pos.index],
            (leaf->count - pos.index) * sizeof(leaf->interval[0]));
    leaf->interval[pos.index] = interval;
    leaf->count++;
    map->count++;
    leaf_update(map, pos.leaf);
}

/* Remove the intervals from `first` up to, not including, `end`. */
static void erase(IntervalMap *map, Position first, Position end)
{
    size_t i = first.leaf;

    if (first.leaf == end.leaf) {
        if (first.index == end.index) {
            return;
        }
        leaf_cut(map, i, first.index, end.index);
    } else {
        leaf_cut(map, i, first.index, map->top[i].leaf->count);
        if (end.leaf < map->leaves) {
            leaf_cut(map, end.leaf, 0, end.index);
            leaf_update(map, end.leaf);
        }
        leaves_drop(map, i + 1, end.leaf);
    }
    if (map->top[i].leaf->count == 0) {
        leaves_drop(map, i, i + 1);
    } else {
        leaf_update(map, i);
    }
    /* Both ends of the hole may be small now, or have another neighbour. */
    leaf_join(map, i + 1);
    leaf_join(map, i);
    if (i > 0) {
        leaf_join(map, i - 1);
    }
}

/* Whether `right` goes on where `left` ends, in keys and in the value. */
static bool continues(const Interval *left, const Interval *right)
{
    return left != NULL && right != NULL && left->end == right->start &&
           left->value == right->value &&
           left->offset + (left->end - left->start) == right->offset;
}

/* Give an interval another start; its keys keep their offsets. */
static void move_start(IntervalMap *map, Position pos, uint32_t start)
{
    Interval *interval = interval_at(map, pos);

    interval->offset += start - interval->start;
    interval->start = start;
    leaf_update(map, pos.leaf);
}

void interval_map_clear(IntervalMap *map, uint32_t start, uint32_t end)
{
    Position first = find(map, start), behind;
    Interval *interval = interval_at(map, first);

    assert(start <= end);
    if (start == end || interval == NULL || interval->start >= end) {
        return;
    }
    if (interval->start < start) {
        Interval rest = *interval;

        interval->end = start;
        first = position_next(map, first);
        if (rest.end > end) {
            rest.offset += end - rest.start;
            rest.start = end;
            insert(map, first, rest);
            return;
        }
    }
    behind = find(map, end);
    interval = interval_at(map, behind);
    if (interval != NULL && interval->start < end) {
        move_start(map, behind, end);
    }
    erase(map, first, behind);
}

void interval_map_set(IntervalMap *map, uint32_t start, uint32_t end,
                      void *value, uint32_t offset)
{
    Interval interval = { start, end, offset, value };
    Interval *before, *behind;
    Position pos;

    assert(start <= end && value != NULL);
    if (start == end) {
        return;
    }
    interval_map_clear(map, start, end);
    pos = find(map, start);
    behind = interval_at(map, pos);
    before = interval_before(map, pos);
    if (continues(&interval, behind)) {
        if (continues(before, &interval)) {
            before->end = behind->end;
            erase(map, pos, position_next(map, pos));
        } else {
            move_start(map, pos, start);
        }
    } else if (continues(before, &interval)) {
        before->end = end;
    } else {
        insert(map, pos, interval);
    }
}

bool interval_map_lookup(const IntervalMap *map, uint32_t key, Interval *out)
{
    Position pos = find(map, key);
    const Interval *interval = interval_at(map, pos);
    const Interval *before;

    if (interval != NULL && interval->start <= key) {
        *out = *interval;
        return true;
    }
    before = interval_before(map, pos);
    *out = (Interval){
        .start = before != NULL ? before->end : 0,
        .end = interval != NULL ? interval->start : UINT32_MAX,
    };
    return false;
}

bool interval_map_next(const IntervalMap *map, uint32_t from, Interval *out)
{
    const Interval *interval = interval_at(map, find(map, from));

    if (interval == NULL) {
        return false;
    }
    *out = *interval;
    return true;
}

uint64_t interval_map_count(const IntervalMap *map)
{
    return map->count;
}

size_t interval_map_footprint(const IntervalMap *map)
{
    return sizeof(*map) + map->room * sizeof(map->top[0]) +
           map->leaves * sizeof(Leaf);
}
