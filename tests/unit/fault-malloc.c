/* SPDX-License-Identifier: MIT */
#include "tests/unit/fault-malloc.h"

#include <glib.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

static atomic_uint count, fail_at;

void fault_malloc_arm(unsigned k)
{
    count = 0;
    fail_at = k;
}

unsigned fault_malloc_count(void)
{
    return count;
}

static bool is_due(void)
{
    return ++count == fail_at;
}

/* In the place of GLib's. */
gpointer g_try_malloc(gsize bytes)
{
    return bytes == 0 || is_due() ? NULL : malloc(bytes);
}

gpointer g_try_malloc0(gsize bytes)
{
    return bytes == 0 || is_due() ? NULL : calloc(1, bytes);
}

gpointer g_try_malloc_n(gsize n, gsize bytes)
{
    gsize all;

    return __builtin_mul_overflow(n, bytes, &all) ? NULL : g_try_malloc(all);
}

gpointer g_try_malloc0_n(gsize n, gsize bytes)
{
    gsize all;

    return __builtin_mul_overflow(n, bytes, &all) ? NULL : g_try_malloc0(all);
}
