/* SPDX-License-Identifier: MIT */
/*
 * What a guest may find on its disk after a crash.
 *
 * Each sector (512 bytes) holds what was written last, or, as long as no flush
 * has succeeded since, any of what it held since the last one. Which of them
 * is chosen sector by sector. The size is one of those since the last flush.
 */
#ifndef TESTS_CRASH_GUEST_MODEL_H
#define TESTS_CRASH_GUEST_MODEL_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define SECTOR 512
#define MODEL_MAX (INT64_C(16) << 20) /* the largest disk */

typedef struct GuestModel GuestModel;

GuestModel *model_new(const uint8_t *data, int64_t size);
GuestModel *model_copy(const GuestModel *model);
void model_free(GuestModel *model);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GuestModel, model_free)

/* Offsets and sizes are multiples of SECTOR. */
int64_t model_size(const GuestModel *model);
const uint8_t *model_data(const GuestModel *model);

/* The range was given these bytes; before a flush, what was there may come
 * back. */
void model_write(GuestModel *model, int64_t offset, int64_t bytes,
                 const uint8_t *data);

/* A write of these bytes has failed: the range holds these or those, and no
 * flush tells which. */
void model_write_failed(GuestModel *model, int64_t offset, int64_t bytes,
                        const uint8_t *data);

/* The disk was resized (or failed: either size). New sectors are zero; what is
 * behind the smaller of the sizes may be anything until a flush. */
void model_resize(GuestModel *model, int64_t size);
void model_resize_failed(GuestModel *model, int64_t size);

/* Everything is durable; or this range alone. */
void model_flush(GuestModel *model);
void model_settle(GuestModel *model, int64_t offset, int64_t bytes);

/* NULL if a guest may find this disk, else what is wrong; g_free(). */
char *model_check(const GuestModel *model, const uint8_t *data, int64_t size);

/* The same for a disk that did not crash: it holds what was written last. */
char *model_check_now(const GuestModel *model, const uint8_t *data,
                      int64_t size);

#endif
