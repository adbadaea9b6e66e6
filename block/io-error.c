/* SPDX-License-Identifier: MIT */
/* One message a thread: why its last request failed, in words. */
#include <stdarg.h>

#include "block/io.h"

static GPrivate io_error = G_PRIVATE_INIT(g_free);

void io_error_clear(void)
{
    if (g_private_get(&io_error)) {
        g_private_replace(&io_error, NULL);
    }
}

char *io_error_swap(char *message)
{
    char *before = g_private_get(&io_error);

    g_private_set(&io_error, message);
    return before;
}

void bdrv_set_io_error(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    g_private_replace(&io_error, g_strdup_vprintf(fmt, ap));
    va_end(ap);
}

char *blk_strerror(int ret)
{
    const char *message = g_private_get(&io_error);

    return g_strdup(message ? message : g_strerror(ret < 0 ? -ret : ret));
}
