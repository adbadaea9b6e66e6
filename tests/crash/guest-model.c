/* SPDX-License-Identifier: MIT */
#include "tests/crash/guest-model.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

typedef struct Sector {
    GPtrArray *older; /* contents that may come back; NULL: none */
    bool wild;        /* anything, until a flush */
    bool unsure;      /* a write failed: a flush does not forget `older` */
} Sector;

struct GuestModel {
    uint8_t *now; /* MODEL_MAX bytes */
    Sector *sectors;
    GArray *sizes; /* int64_t: possible ones, the last one first */
    bool size_unsure;
};

GuestModel *model_new(const uint8_t *data, int64_t size)
{
    GuestModel *model = g_new0(GuestModel, 1);

    g_assert(size <= MODEL_MAX && size % SECTOR == 0);
    model->now = g_malloc0(MODEL_MAX);
    model->sectors = g_new0(Sector, MODEL_MAX / SECTOR);
    model->sizes = g_array_new(FALSE, FALSE, sizeof(int64_t));
    g_array_append_val(model->sizes, size);
    memcpy(model->now, data, (size_t)size);
    return model;
}

GuestModel *model_copy(const GuestModel *model)
{
    GuestModel *copy = model_new(model->now, MODEL_MAX);

    g_array_set_size(copy->sizes, 0);
    g_array_append_vals(copy->sizes, model->sizes->data, model->sizes->len);
    copy->size_unsure = model->size_unsure;
    for (int64_t i = 0; i < MODEL_MAX / SECTOR; i++) {
        const Sector *from = &model->sectors[i];
        Sector *to = &copy->sectors[i];

        *to = *from;
        to->older = NULL;
        for (guint n = 0; from->older && n < from->older->len; n++) {
            if (to->older == NULL) {
                to->older = g_ptr_array_new_with_free_func(g_free);
            }
            g_ptr_array_add(
                to->older,
                g_memdup2(g_ptr_array_index(from->older, n), SECTOR));
        }
    }
    return copy;
}

void model_free(GuestModel *model)
{
    for (int64_t i = 0; i < MODEL_MAX / SECTOR; i++) {
        g_clear_pointer(&model->sectors[i].older, g_ptr_array_unref);
    }
    g_array_free(model->sizes, TRUE);
    g_free(model->sectors);
    g_free(model->now);
    g_free(model);
}

int64_t model_size(const GuestModel *model)
{
    return g_array_index(model->sizes, int64_t, 0);
}

const uint8_t *model_data(const GuestModel *model)
{
    return model->now;
}

static void sector_may_be(Sector *sector, const uint8_t *data)
{
    if (sector->older == NULL) {
        sector->older = g_ptr_array_new_with_free_func(g_free);
    }
    g_ptr_array_add(sector->older, g_memdup2(data, SECTOR));
}

static void sector_settle(Sector *sector)
{
    sector->wild = false;
    if (!sector->unsure) {
        g_clear_pointer(&sector->older, g_ptr_array_unref);
    }
}

void model_write(GuestModel *model, int64_t offset, int64_t bytes,
                 const uint8_t *data)
{
    g_assert(offset % SECTOR == 0 && bytes % SECTOR == 0);
    for (int64_t i = 0; i < bytes; i += SECTOR) {
        Sector *sector = &model->sectors[(offset + i) / SECTOR];

        sector_may_be(sector, model->now + offset + i);
        sector->unsure = false;
    }
    memcpy(model->now + offset, data, (size_t)bytes);
}

void model_write_failed(GuestModel *model, int64_t offset, int64_t bytes,
                        const uint8_t *data)
{
    for (int64_t i = 0; i < bytes; i += SECTOR) {
        Sector *sector = &model->sectors[(offset + i) / SECTOR];

        sector_may_be(sector, data + i);
        sector->unsure = true;
    }
}

static void wild_from(GuestModel *model, int64_t size, int64_t end)
{
    for (int64_t i = size / SECTOR; i < end / SECTOR; i++) {
        model->sectors[i].wild = true;
    }
}

void model_resize(GuestModel *model, int64_t size)
{
    int64_t old = model_size(model);

    g_assert(size <= MODEL_MAX && size % SECTOR == 0);
    wild_from(model, MIN(size, old), MAX(size, old));
    for (int64_t i = MIN(size, old); i < MAX(size, old); i += SECTOR) {
        model->sectors[i / SECTOR].unsure = false;
    }
    memset(model->now + MIN(size, old), 0, (size_t)llabs(size - old));
    model->size_unsure = false;
    g_array_prepend_val(model->sizes, size);
}

void model_resize_failed(GuestModel *model, int64_t size)
{
    int64_t old = model_size(model);

    wild_from(model, MIN(size, old), MAX(size, old));
    for (int64_t i = MIN(size, old); i < MAX(size, old); i += SECTOR) {
        static const uint8_t zeroes[SECTOR];

        sector_may_be(&model->sectors[i / SECTOR], zeroes);
        model->sectors[i / SECTOR].unsure = true;
    }
    model->size_unsure = true;
    g_array_append_val(model->sizes, size);
}

void model_settle(GuestModel *model, int64_t offset, int64_t bytes)
{
    for (int64_t i = 0; i < bytes; i += SECTOR) {
        sector_settle(&model->sectors[(offset + i) / SECTOR]);
    }
}

void model_flush(GuestModel *model)
{
    model_settle(model, 0, MODEL_MAX);
    if (!model->size_unsure) {
        g_array_set_size(model->sizes, 1);
    }
}

static bool sector_is_possible(const Sector *sector, const uint8_t *data)
{
    for (guint i = 0; sector->older && i < sector->older->len; i++) {
        if (memcmp(g_ptr_array_index(sector->older, i), data, SECTOR) == 0) {
            return true;
        }
    }
    return sector->wild;
}

/* What a sector holds, for messages: see workload.c. */
static char *sector_text(const uint8_t *data)
{
    uint64_t first, last;

    memcpy(&first, data, sizeof(first));
    memcpy(&last, data + SECTOR - sizeof(last), sizeof(last));
    return g_strdup_printf("%016" PRIx64 "..%016" PRIx64, first, last);
}

static char *check(const GuestModel *model, const uint8_t *data, int64_t size,
                   bool crashed)
{
    bool known = false;

    for (guint i = 0; i < (crashed ? model->sizes->len : 1); i++) {
        known |= g_array_index(model->sizes, int64_t, i) == size;
    }
    if (!known) {
        return g_strdup_printf("the disk has %" PRId64
                               " bytes instead of %" PRId64,
                               size, model_size(model));
    }
    if (memcmp(data, model->now, (size_t)size) == 0) {
        return NULL;
    }
    for (int64_t i = 0; i < size; i += SECTOR) {
        const Sector *sector = &model->sectors[i / SECTOR];

        if (memcmp(data + i, model->now + i, SECTOR) != 0 &&
            !(crashed && sector_is_possible(sector, data + i))) {
            g_autofree char *is = sector_text(data + i);
            g_autofree char *wanted = sector_text(model->now + i);

            return g_strdup_printf(
                "at byte %" PRId64 " is %s, not %s%s", i, is, wanted,
                crashed && sector->older ? " or one before it" : "");
        }
    }
    return NULL;
}

char *model_check(const GuestModel *model, const uint8_t *data, int64_t size)
{
    return check(model, data, size, true);
}

char *model_check_now(const GuestModel *model, const uint8_t *data,
                      int64_t size)
{
    return check(model, data, size, false);
}
