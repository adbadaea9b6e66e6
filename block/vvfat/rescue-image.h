/* SPDX-License-Identifier: MIT */
/*
 * A qcow2 image beside the directory, for what cannot be committed. It is held
 * open, so that nobody else changes it, and stays when it is closed. Calls are
 * made by one thread at a time.
 */
#ifndef VVFAT_RESCUE_IMAGE_H
#define VVFAT_RESCUE_IMAGE_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct RescueImage RescueImage;

/*
 * An empty one of so many bytes, for its owner alone, under a name that nothing
 * has: "DIR.vvfat-rescue-TIME.qcow2" beside dir, or in the directory `where`.
 * NULL and *errp.
 */
RescueImage *rescue_image_new(const char *dir, const char *where,
                              int64_t disk_bytes, GError **errp);

/* Close it. NULL is none. */
void rescue_image_free(RescueImage *image);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(RescueImage, rescue_image_free)

/* Close and remove it. NULL is none. */
void rescue_image_remove(RescueImage *image);

/* The image's. */
const char *rescue_image_path(const RescueImage *image);

/* Whether its name still leads to something: somebody may have removed it. */
bool rescue_image_is_there(const RescueImage *image);

/* A range of the disk. 0 or -errno. */
int rescue_image_write(RescueImage *image, int64_t offset, int64_t bytes,
                       const void *buf) G_GNUC_WARN_UNUSED_RESULT;

/* What was written is durable, and so is the image's name. */
int rescue_image_flush(RescueImage *image) G_GNUC_WARN_UNUSED_RESULT;

#endif
