/* SPDX-License-Identifier: MIT */
/* A temporary tree and the host's file system on it. A failure fails the
 * test. */
#ifndef TESTS_HOSTFS_FIXTURE_H
#define TESTS_HOSTFS_FIXTURE_H

#include "vvfat-fixture.h"

typedef struct TestHost {
    TempTree *t;
    HostFs *fs;
} TestHost;

TestHost test_host_new(void);
void test_host_clear(TestHost *host);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(TestHost, test_host_clear)

/* From here on the test owns the tree, and nothing else: no root. */
void test_host_drop_root(TestHost *host);

/* Make a file through the table, with this text. */
void test_host_create(HostFs *fs, const char *path, const char *text);

/* "x" for a file of this text, NULL for what cannot be read. g_free(). */
char *test_host_text(HostFs *fs, const char *path);

HostStat test_host_stat(HostFs *fs, const char *path);
bool test_host_exists(HostFs *fs, const char *path);

#endif
