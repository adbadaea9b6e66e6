/* SPDX-License-Identifier: MIT */
/* For tests of the block drivers: a directory, host files, open images. */
#ifndef TESTS_IMAGE_FIXTURE_H
#define TESTS_IMAGE_FIXTURE_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "block/block.h"

/* The test's own directory, without a slash at the end; empty between
 * image_dir_init() and image_dir_fini(), which suit .init and .fini. */
extern char image_dir[];
void image_dir_init(void);
void image_dir_fini(void);

/* The path of a file in it. g_free(). */
char *image_path(const char *name);

/*
 * Mount a file system of the test's own at `name` in the directory (options
 * as mount takes them, or mkfs options of a loop mount). False, with the
 * reason printed, when that cannot be done here: then skip the test.
 */
bool image_mount_tmpfs(const char *name, const char *options);
bool image_mount_loop(const char *name, const char *mkfs);

/* A loop device over a file of so many MiB; NULL if there are none. Gone with
 * image_loop_free(). */
char *image_loop_new(const char *name, unsigned mib);
void image_loop_free(char *device);

/* Host files: bytes at i are (i * 7 + seed) % 251, or a hole with seed -1. */
void image_make(const char *name, int64_t bytes, int seed);
bool image_holds(const char *name, int64_t offset, int64_t bytes, int seed,
                 int64_t from);
bool image_is_zero(const char *name, int64_t offset, int64_t bytes);
bool image_is_hole(const char *name, int64_t offset, int64_t bytes);
int64_t image_size(const char *name);
int64_t image_allocated(const char *name);
bool image_exists(const char *name);

/* The same pattern in memory: the bytes that stand at `from`. */
void image_pattern(uint8_t *buf, size_t bytes, int seed, int64_t from);
bool image_pattern_is(const uint8_t *buf, size_t bytes, int seed,
                      int64_t from);

/*
 * Open from "key=value,..." text, in which %D stands for the directory. The
 * first fails the test, the second gives the message (g_free()).
 */
BlockBackend *image_open(unsigned flags, const char *options);
char *image_open_error(unsigned flags, const char *options);

/* Open by name, %D as above. */
BlockBackend *image_open_name(unsigned flags, const char *name);

/* Fail the test unless text holds `part`. */
void image_check_text(const char *text, const char *part);

/* Fail the test unless the last request failed with ret, in these words. */
void image_check_io(int ret, int expected, const char *part);

/* Standard output and error of a shell command in the directory; *status its
 * exit status. g_free(). */
char *image_shell(int *status, const char *fmt, ...) G_GNUC_PRINTF(2, 3);

/* Skip the test where a program is not installed. */
void image_need_program(const char *name);

#endif
