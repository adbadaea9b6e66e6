/* SPDX-License-Identifier: MIT */
/*
 * A tree is scanned by several threads, and by several scans at a time: each
 * gives the same volume, and the same report in the same order.
 */
#include <glib/gstdio.h>
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "block/block.h"

#define SCANS 3
#define ROUNDS 2
#define DIRECTORIES 40
#define FLAT 1500

static void make_file(const char *dir, int i)
{
    g_autofree char *path = g_strdup_printf("%s/file number %d", dir, i);

    if (!g_file_set_contents_full(path, path, i % 50, G_FILE_SET_CONTENTS_NONE,
                                  0644, NULL)) {
        perror(path);
    }
    if (i % 7 == 0) {
        /* Hidden, where attributes can be kept. */
        (void)setxattr(path, "user.DOSATTRIB", "0x2", 3, 0);
    }
}

static void make_source(void)
{
    g_mkdir_with_parents("source/flat", 0777);
    for (int i = 0; i < FLAT; i++) {
        make_file("source/flat", i);
    }
    for (int d = 0; d < DIRECTORIES; d++) {
        g_autofree char *dir = g_strdup_printf("source/%d/below/%d", d / 6, d);
        g_autofree char *link = g_strdup_printf("%s/link", dir);

        g_mkdir_with_parents(dir, 0777);
        for (int i = 0; i < 3 * d; i++) {
            make_file(dir, i);
        }
        if (symlink("/", link) < 0) {
            perror(link);
        }
    }
}

static void add_fact(const char *key, const char *value, void *opaque)
{
    g_string_append_printf(opaque, "%s=%s\n", key, value);
}

/* What the volume says of itself, and its contents. */
static GBytes *scan(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(BlockBackend)
        blk = blk_open("fat:16:size=16M:timezone=utc:source", NULL, 0, &error);
    g_autoptr(BdrvInfo) info = NULL;
    GString *text = g_string_new(NULL);
    gsize facts;
    int64_t size;

    if (!blk) {
        fprintf(stderr, "%s\n", error->message);
        return g_string_free_to_bytes(text);
    }
    info = blk_get_info(blk, NULL);
    options_foreach(info->specific, add_fact, text);
    facts = text->len;
    size = blk_getlength(blk);
    g_string_set_size(text, facts + (gsize)size);
    if (blk_pread(blk, 0, size, text->str + facts, 0) < 0) {
        g_string_truncate(text, 0);
    }
    return g_string_free_to_bytes(text);
}

static gpointer scan_thread(gpointer opaque)
{
    (void)opaque;
    return scan();
}

int main(void)
{
    g_autoptr(GBytes) expected = NULL;
    int failed = 0;

    make_source();
    expected = scan();
    if (g_bytes_get_size(expected) == 0) {
        return 1;
    }
    for (int round = 0; round < ROUNDS; round++) {
        GThread *threads[SCANS];

        for (int i = 0; i < SCANS; i++) {
            threads[i] = g_thread_new("scan", scan_thread, NULL);
        }
        for (int i = 0; i < SCANS; i++) {
            g_autoptr(GBytes) bytes = g_thread_join(threads[i]);

            if (!g_bytes_equal(bytes, expected)) {
                fprintf(stderr, "round %d: another volume\n", round);
                failed = 1;
            }
        }
    }
    return failed;
}
