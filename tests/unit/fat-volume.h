/* SPDX-License-Identifier: MIT */
/*
 * For tests that read FAT volumes: a scratch directory, commands run in it,
 * and a volume opened on an image file.
 */
#ifndef TESTS_FAT_VOLUME_H
#define TESTS_FAT_VOLUME_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "block/vvfat/guest-view.h"

/* A new directory of the test's own. workdir_free() removes it. */
char *workdir_new(void);
void workdir_free(char *dir);

/* Run a shell command in the directory; its exit status. The command finds
 * mkfs.fat and the like; mtools does not check geometries, and the time zone
 * is UTC. */
int workdir_status(const char *dir, const char *fmt, ...) G_GNUC_PRINTF(2, 3);

/* The same; a failure fails the test. */
void workdir_run(const char *dir, const char *fmt, ...) G_GNUC_PRINTF(2, 3);

/* Standard output of a command; a failure fails the test. g_free(). */
char *workdir_output(const char *dir, const char *fmt, ...)
    G_GNUC_PRINTF(2, 3);

/* Replace bytes of a file, wherever they stand; how often (at least once). */
unsigned workdir_replace(const char *dir, const char *file, const void *old,
                         const void *new, size_t bytes);

/* A volume on an image file, and its view. */
typedef struct FatVolume {
    int fd;
    uint64_t bytes;
    int64_t fail_after; /* reads until one fails with EIO; -1: never */
    int64_t bad_offset; /* reads of this byte fail; -1: none */
    Volume *volume;
    GuestView *view;
} FatVolume;

/* Open and load; a failure fails the test. */
FatVolume *fat_volume_open(const char *dir, const char *image, bool full);
void fat_volume_close(FatVolume *v);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(FatVolume, fat_volume_close)

int fat_volume_read(void *opaque, int64_t offset, int64_t bytes, void *buf);

/* The number of problems of a kind, at a path (NULL: of the volume). */
unsigned fat_volume_problems(const FatVolume *v, ProblemKind kind,
                             const char *path);

/* All problems, a line each, for messages of failed tests. g_free(). */
char *fat_volume_describe(const FatVolume *v);

#endif
