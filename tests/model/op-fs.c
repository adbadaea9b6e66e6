/* SPDX-License-Identifier: MIT */
/* What a guest does with its files, in the volume and in the model. */
#include <string.h>

#include "tests/model/run.h"

#define FIRST_TIME INT64_C(315532800) /* 1980 */
#define SPARE_CLUSTERS 4

/* A node and its entry; or a place for one. */
typedef struct Place {
    Node *node;   /* NULL: there is none */
    Node *parent; /* NULL: nor a directory for it */
    char *name;
    uint32_t dir;   /* cluster of the parent */
    FatEntry entry; /* of the node */
    bool is_usable; /* no other name is in the way */
} Place;

static void place_clear(Place *place)
{
    g_free(place->name);
    fatvol_entry_clear(&place->entry);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Place, place_clear)

static bool dir_cluster(Run *run, Node *dir, uint32_t *cluster)
{
    g_autofree char *path = model_path(dir);
    FatEntry entry;

    *cluster = 0;
    if (*path == '\0') {
        return true;
    }
    if (!fatvol_walk(run->vol, path, &entry)) {
        return false;
    }
    *cluster = entry_cluster(run->vol, &entry);
    fatvol_entry_clear(&entry);
    return true;
}

static void place_find(Run *run, const char *path, Place *place)
{
    const char *slash = strrchr(path, '/');
    g_autofree char *above = slash ? g_strndup(path, (size_t)(slash - path))
                                   : NULL;
    bool is_found;

    memset(place, 0, sizeof(*place));
    place->name = g_strdup(slash ? slash + 1 : path);
    place->parent = above ? model_walk(run->root, above) : run->root;
    if (!*place->name || !place->parent || !place->parent->is_dir ||
        !dir_cluster(run, place->parent, &place->dir)) {
        place->parent = NULL;
        return;
    }
    place->node = model_child(place->parent, place->name);
    is_found = fatvol_find(run->vol, place->dir, place->name, &place->entry);
    place->is_usable = !is_found || place->node;
    g_assert(is_found || !place->node);
}

static bool place_is_new(Run *run, const Place *place, int64_t bytes)
{
    return place->parent && !place->node && place->is_usable &&
           fatvol_has_room(run->vol, place->dir) &&
           fatvol_clusters(run->vol, bytes) + SPARE_CLUSTERS <=
               run->vol->n_free;
}

static void stamp(Run *run, Place *place, Prng *how)
{
    int64_t t = FIRST_TIME + (int64_t)prng_below(how, 1u << 30) * 3;

    /* A guest may write data and forget the time. */
    if (get16(place->entry.raw + E_DATE) == 0 || !prng_one_in(how, 4)) {
        entry_set_time(run->vol, &place->entry, t);
        place->node->mtime = entry_time(&place->entry);
    }
}

static void set_attributes(Run *run, Place *place, uint8_t attributes)
{
    uint8_t *raw = place->entry.raw;

    raw[E_ATTR] = (uint8_t)((raw[E_ATTR] & ATTR_DIR) | attributes);
    place->node->attributes = attributes;
    entry_touch(run->vol, &place->entry);
}

static bool write_data(Run *run, Place *place, uint32_t offset, uint32_t bytes,
                       Prng *how)
{
    g_autofree uint8_t *data = g_malloc(bytes + 1);

    prng_fill(how, data, bytes);
    if (!fatvol_write(run->vol, &place->entry, offset, data, bytes)) {
        return false;
    }
    model_write(place->node, offset, data, bytes);
    return true;
}

static bool add_file(Run *run, Place *place, uint32_t bytes, uint32_t slot,
                     Prng *how)
{
    if (!fatvol_add(run->vol, place->dir, place->name, prng_one_in(how, 2),
                    slot, &place->entry)) {
        return false;
    }
    place->node = model_new(place->parent, place->name, false);
    set_attributes(run, place, prng_one_in(how, 4) ? 0 : ATTR_ARCHIVE);
    stamp(run, place, how);
    return write_data(run, place, 0, bytes, how);
}

static bool op_create(Run *run, const Op *op, Prng *how)
{
    g_auto(Place) place = { 0 };

    place_find(run, op->path, &place);
    return place_is_new(run, &place, op->a) &&
           add_file(run, &place, op->a, SLOT_ANY, how);
}

static bool op_fill(Run *run, const Op *op, Prng *how)
{
    bool any = false;

    for (uint32_t i = 0; i < op->a; i++) {
        g_auto(Place) place = { 0 };
        uint32_t bytes = prng_one_in(how, 3)
                             ? 0
                             : prng_below(how, 2 * run->vol->cluster_size);
        g_autofree char *path = g_strdup_printf("%s%sfill %u of %u.tmp",
                                                op->path, *op->path ? "/" : "",
                                                i, (unsigned)op->seed % 1000);

        place_find(run, path, &place);
        if (place_is_new(run, &place, bytes)) {
            any |= add_file(run, &place, bytes, SLOT_ANY, how);
        }
    }
    return any;
}

static bool op_data(Run *run, const Op *op, Prng *how)
{
    g_auto(Place) place = { 0 };
    int64_t end = op->kind == OP_WRITE ? (int64_t)op->a + op->b : op->a;

    place_find(run, op->path, &place);
    if (!place.node || place.node->is_dir ||
        place.node->attributes & ATTR_READ_ONLY ||
        fatvol_clusters(run->vol, end) >
            run->vol->n_free +
                fatvol_clusters(run->vol, place.node->data->len)) {
        return false;
    }
    if (op->kind == OP_WRITE) {
        if (!write_data(run, &place, op->a, op->b, how)) {
            return false;
        }
    } else {
        if (!fatvol_resize(run->vol, &place.entry, op->a)) {
            return false;
        }
        model_resize(place.node, op->a);
    }
    stamp(run, &place, how);
    return true;
}

static bool op_remove(Run *run, const Op *op)
{
    g_auto(Place) place = { 0 };

    place_find(run, op->path, &place);
    if (!place.node || place.node->is_dir != (op->kind != OP_DELETE) ||
        (op->kind == OP_RMDIR && place.node->children->len > 0)) {
        return false;
    }
    fatvol_delete_tree(run->vol, &place.entry);
    model_free(place.node);
    return true;
}

static bool op_recreate(Run *run, const Op *op, Prng *how)
{
    g_auto(Place) place = { 0 };
    uint32_t slot;

    place_find(run, op->path, &place);
    if (!place.node || place.node->is_dir ||
        fatvol_clusters(run->vol, op->a) + SPARE_CLUSTERS > run->vol->n_free ||
        !fatvol_has_room(run->vol, place.dir)) {
        return false;
    }
    slot = place.entry.first;
    fatvol_delete_tree(run->vol, &place.entry);
    model_free(place.node);
    fatvol_entry_clear(&place.entry);
    return add_file(run, &place, op->a, slot, how);
}

static bool op_mkdir(Run *run, const Op *op, Prng *how)
{
    g_auto(Place) place = { 0 };

    place_find(run, op->path, &place);
    if (!place_is_new(run, &place, 1) ||
        !fatvol_add(run->vol, place.dir, place.name, prng_one_in(how, 2),
                    SLOT_ANY, &place.entry)) {
        return false;
    }
    place.node = model_new(place.parent, place.name, true);
    stamp(run, &place, how);
    return fatvol_mkdir(run->vol, place.dir, &place.entry);
}

static bool replace_is_possible(const Place *from, const Place *to)
{
    return from->node->is_dir == to->node->is_dir &&
           !(to->node->is_dir && to->node->children->len > 0) &&
           !model_is_below(from->node, to->node);
}

static bool op_move(Run *run, const Op *op, Prng *how)
{
    g_auto(Place) from = { 0 };
    g_auto(Place) to = { 0 };
    bool is_itself;

    place_find(run, op->path, &from);
    place_find(run, op->path2, &to);
    if (!from.node || !to.parent || model_is_below(to.parent, from.node) ||
        !fatvol_has_room(run->vol, to.dir) ||
        run->vol->n_free < SPARE_CLUSTERS) {
        return false;
    }
    if (to.node) {
        if (to.node == from.node || !replace_is_possible(&from, &to) ||
            !fatvol_replace(run->vol, &from.entry, &to.entry,
                            prng_one_in(how, 2))) {
            return false;
        }
        model_free(to.node);
    } else {
        /* Another spelling of its own name is not in the way. */
        is_itself = !to.is_usable && to.entry.dir == from.entry.dir &&
                    to.entry.last == from.entry.last;
        if ((!to.is_usable && !is_itself) ||
            !fatvol_move(run->vol, &from.entry, to.dir, to.name,
                         prng_one_in(how, 2), prng_one_in(how, 2))) {
            return false;
        }
    }
    model_move(from.node, to.parent, to.name);
    return true;
}

/* Three renames, the way of systems that have nothing else. */
static bool swap_by_moving(Run *run, Place *a, Place *b)
{
    FatVol *vol = run->vol;

    /* Where directories grow, there is room for each step. */
    return (vol->type == 32 || (a->dir && b->dir)) &&
           vol->n_free > 4 * SPARE_CLUSTERS && fatvol_has_room(vol, a->dir) &&
           fatvol_has_room(vol, b->dir) &&
           fatvol_move(vol, &a->entry, b->dir, "swap.tmp", true, true) &&
           fatvol_move(vol, &b->entry, a->dir, a->name, false, true) &&
           fatvol_move(vol, &a->entry, b->dir, b->name, false, false);
}

static bool op_exchange(Run *run, const Op *op, Prng *how)
{
    g_auto(Place) a = { 0 };
    g_auto(Place) b = { 0 };

    place_find(run, op->path, &a);
    place_find(run, op->path2, &b);
    if (!a.node || !b.node || model_is_below(a.node, b.node) ||
        model_is_below(b.node, a.node)) {
        return false;
    }
    if (prng_one_in(how, 2)) {
        fatvol_exchange(run->vol, &a.entry, &b.entry);
    } else if (!swap_by_moving(run, &a, &b)) {
        return false;
    }
    model_exchange(a.node, b.node);
    return true;
}

/* What changes an entry alone, or nothing. */
static bool op_entry(Run *run, const Op *op)
{
    g_auto(Place) place = { 0 };

    place_find(run, op->path, &place);
    if (!place.node) {
        return false;
    }
    switch (op->kind) {
    case OP_ATTR:
        set_attributes(run, &place,
                       op->a & (place.node->is_dir
                                    ? ATTR_HIDDEN | ATTR_SYSTEM
                                    : ATTR_READ_ONLY | ATTR_HIDDEN |
                                          ATTR_SYSTEM | ATTR_ARCHIVE));
        return true;
    case OP_TIMES:
        entry_set_time(run->vol, &place.entry, FIRST_TIME + op->a);
        place.node->mtime = entry_time(&place.entry);
        return true;
    case OP_DEFRAG:
        return fatvol_defragment(run->vol, &place.entry);
    default:
        fatvol_touch(run->vol, &place.entry);
        return true;
    }
}

static bool op_volume(Run *run, const Op *op)
{
    if (op->kind == OP_DIRTY) {
        fatvol_set_dirty(run->vol, op->a);
    } else {
        fatvol_set_label(run->vol, *op->path ? op->path : NULL);
    }
    return true;
}

bool op_fs(Run *run, const Op *op)
{
    Prng how = { op->seed };

    run->vol->policy = prng_below(&how, N_POLICIES);
    run->vol->forgets = prng_one_in(&how, 3);
    run->vol->prng = how;
    switch (op->kind) {
    case OP_CREATE:
        return op_create(run, op, &how);
    case OP_FILL:
        return op_fill(run, op, &how);
    case OP_WRITE:
    case OP_RESIZE:
        return op_data(run, op, &how);
    case OP_DELETE:
    case OP_RMDIR:
    case OP_DELTREE:
        return op_remove(run, op);
    case OP_RECREATE:
        return op_recreate(run, op, &how);
    case OP_MKDIR:
        return op_mkdir(run, op, &how);
    case OP_MOVE:
        return op_move(run, op, &how);
    case OP_EXCHANGE:
        return op_exchange(run, op, &how);
    case OP_LABEL:
    case OP_DIRTY:
        return op_volume(run, op);
    default:
        return op_entry(run, op);
    }
}
