/* SPDX-License-Identifier: MIT */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/soak/soak.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
/* gcc has it, but not its header (sanitizer/allocator_interface.h). */
size_t __sanitizer_get_current_allocated_bytes(void);
#define IS_SANITIZED true
#define heap_bytes() ((int64_t)__sanitizer_get_current_allocated_bytes())
#else
#define IS_SANITIZED false

static int64_t heap_bytes(void)
{
    struct mallinfo2 info;

    malloc_trim(0);
    info = mallinfo2();
    return (int64_t)(info.uordblks + info.hblkhd);
}
#endif

/* What pools and caches of the C library and GLib may differ by. */
#define HEAP_ALLOWANCE (INT64_C(192) << 10)
#define MAPPINGS_ALLOWANCE 64
#define RESIDENT_ALLOWANCE (INT64_C(24) << 20)
#define SETTLE_MICROSECONDS 10000
#define SETTLE_TRIES 1000

bool census_is_slow(void)
{
    return IS_SANITIZED;
}

unsigned census_names(const char *path, const char *prefix)
{
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    const char *name;
    unsigned n = 0;

    while (dir && (name = g_dir_read_name(dir))) {
        n += g_str_has_prefix(name, prefix);
    }
    return n;
}

static char *proc_path(int pid, const char *name)
{
    return pid ? g_strdup_printf("/proc/%d/%s", pid, name)
               : g_strconcat("/proc/self/", name, NULL);
}

unsigned census_descriptors(int pid)
{
    g_autofree char *path = proc_path(pid, "fd");

    return census_names(path, "");
}

int64_t census_resident(int pid)
{
    g_autofree char *path = proc_path(pid, "statm");
    g_autofree char *text = NULL;
    unsigned long long size, resident;

    if (!g_file_get_contents(path, &text, NULL, NULL) ||
        sscanf(text, "%llu %llu", &size, &resident) != 2) {
        return 0;
    }
    return (int64_t)resident * sysconf(_SC_PAGESIZE);
}

static unsigned count_lines(const char *path)
{
    FILE *file = fopen(path, "re");
    unsigned n = 0;
    int c;

    while (file && (c = fgetc(file)) != EOF) {
        n += c == '\n';
    }
    if (file) {
        fclose(file);
    }
    return n;
}

/* Threads that were joined, or are ending, are still seen for a while. */
static unsigned settled_threads(unsigned expected)
{
    unsigned n = 0;

    g_thread_pool_stop_unused_threads();
    for (int i = 0; i < SETTLE_TRIES; i++) {
        n = census_names("/proc/self/task", "");
        if (expected && n <= expected) {
            break;
        }
        g_usleep(SETTLE_MICROSECONDS);
        if (!expected && i * SETTLE_MICROSECONDS > G_USEC_PER_SEC) {
            break;
        }
    }
    return n;
}

void census_take(Census *census, unsigned expected)
{
    census->threads = settled_threads(expected);
    census->descriptors = census_descriptors(0);
    census->heap = heap_bytes();
    census->mappings = count_lines("/proc/self/maps");
    census->resident = census_resident(0);
}

static char *compare(const char *what, int64_t before, int64_t after,
                     int64_t allowance)
{
    return after - before <= allowance
               ? NULL
               : g_strdup_printf("%s: %" G_GINT64_FORMAT
                                 " before, %" G_GINT64_FORMAT " after",
                                 what, before, after);
}

char *census_compare_still(const Census *before, const Census *after)
{
    char *why = compare("open descriptors", before->descriptors,
                        after->descriptors, 0);

    return why ? why : compare("threads", before->threads, after->threads, 0);
}

char *census_compare(const Census *before, const Census *after)
{
    char *why = census_compare_still(before, after);

    why = why ? why
              : compare("bytes on the heap", before->heap, after->heap,
                        HEAP_ALLOWANCE);
    if (why || IS_SANITIZED) {
        return why; /* its own memory grows */
    }
    why = compare("mappings", before->mappings, after->mappings,
                  MAPPINGS_ALLOWANCE);
    return why ? why
               : compare("bytes of memory", before->resident, after->resident,
                         RESIDENT_ALLOWANCE);
}

char *census_text(const Census *c)
{
    return g_strdup_printf("%u descriptors, %u threads, %u mappings, "
                           "%" G_GINT64_FORMAT " KiB on the heap, "
                           "%" G_GINT64_FORMAT " KiB in memory",
                           c->descriptors, c->threads, c->mappings,
                           c->heap >> 10, c->resident >> 10);
}
