/* SPDX-License-Identifier: MIT */
/* What the tests of vvfat share: temporary trees, images of them without the
 * block layer, and running other programs. A failure fails the test. */
#ifndef TESTS_VVFAT_FIXTURE_H
#define TESTS_VVFAT_FIXTURE_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "block/vvfat/layout.h"
#include "block/vvfat/read.h"
#include "block/vvfat/scan.h"

/* A temporary directory with `dir` for the tree and room beside it. */
typedef struct TempTree {
    char *top;
    char *dir;
} TempTree;

TempTree *temp_tree_new(void);
void temp_tree_free(TempTree *t);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TempTree, temp_tree_free)

/* Host path of a name in the tree, and of a file beside it. g_free(). */
char *temp_tree_path(const TempTree *t, const char *name);
char *temp_tree_beside(const TempTree *t, const char *name);

/* Make things in the tree, with the directories above them. */
void temp_tree_write(const TempTree *t, const char *name, const void *data,
                     size_t bytes);
void temp_tree_text(const TempTree *t, const char *name, const char *text);
void temp_tree_pattern(const TempTree *t, const char *name, size_t bytes,
                       uint32_t seed);
void temp_tree_sparse(const TempTree *t, const char *name, int64_t bytes);
void temp_tree_mkdir(const TempTree *t, const char *name);
void temp_tree_link(const TempTree *t, const char *name, const char *target);
void temp_tree_time(const TempTree *t, const char *name, int64_t seconds);

/* The byte at an offset of a pattern. */
uint8_t pattern_byte(uint32_t seed, uint64_t offset);

ScanOptions scan_options_default(void);

/* A disk made of a tree: everything from scan to read. */
typedef struct TestDisk {
    HostFs *fs;
    Report *report;
    Layout *layout;
    DiskReader *reader;
} TestDisk;

/* fs is owned from now on, also on failure. Either may be NULL: defaults. */
TestDisk *test_disk_try(HostFs *fs, const ScanOptions *scan,
                        const LayoutRequest *request, GError **errp);
TestDisk *test_disk_new(const TempTree *t, const LayoutRequest *request);
void test_disk_free(TestDisk *disk);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TestDisk, test_disk_free)

LayoutRequest layout_request_default(void);

/* Read a range into memory; 0 or -errno. */
int test_disk_read(TestDisk *disk, int64_t offset, size_t bytes, void *buf);

/* Write the disk, or its volume alone, to a file, holes left out. */
void test_disk_save(TestDisk *disk, const char *filename, bool volume_alone);

/* The report as text, "kind path: detail" a line, sorted. g_free(). */
char *report_text(const Report *report);

/* Run a shell command (printf format); its output, standard error included,
 * in *output (may be NULL; g_free()). The exit status. */
int run_command(char **output, const char *fmt, ...) G_GNUC_PRINTF(2, 3);

/* Skips the test when the program is not there. */
void need_program(const char *program);

#endif
