/* SPDX-License-Identifier: MIT */
#include "block/error.h"

#include <errno.h>

G_DEFINE_QUARK(block_error, block_error)

/* cause: what goes behind the message, or NULL. */
G_GNUC_PRINTF(4, 0)
static void error_set_va(GError **errp, int err, const char *cause,
                         const char *fmt, va_list ap)
{
    g_autofree char *text = NULL;

    if (errp == NULL) {
        return;
    }
    text = g_strdup_vprintf(fmt, ap);
    if (cause != NULL) {
        g_set_error(errp, BLOCK_ERROR, err, "%s: %s", text, cause);
    } else {
        g_set_error_literal(errp, BLOCK_ERROR, err, text);
    }
}

void block_error_set(GError **errp, int err, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    error_set_va(errp, err, NULL, fmt, ap);
    va_end(ap);
}

void block_error_set_errno(GError **errp, int err, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    error_set_va(errp, err, g_strerror(err), fmt, ap);
    va_end(ap);
}

int block_error_to_errno(const GError *error)
{
    if (error == NULL || error->domain != BLOCK_ERROR || error->code <= 0) {
        return -EIO;
    }
    return -error->code;
}
