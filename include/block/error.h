/* SPDX-License-Identifier: MIT */
/*
 * Errors of everything that opens, creates or configures.
 *
 * A GError of the domain BLOCK_ERROR; its code is a positive errno value, so
 * that callers can tell EACCES from ENOENT. The message names what failed,
 * where, and what to do about it; it ends without a full stop or newline.
 */
#ifndef BLOCK_ERROR_H
#define BLOCK_ERROR_H

#include <glib.h>

G_BEGIN_DECLS

#define BLOCK_ERROR block_error_quark()

GQuark block_error_quark(void);

/* Set *errp (unless errp is NULL) to the message. err: positive errno. */
void block_error_set(GError **errp, int err, const char *fmt, ...)
    G_GNUC_PRINTF(3, 4);

/* The same, with ": " and the system's text for err behind the message. */
void block_error_set_errno(GError **errp, int err, const char *fmt, ...)
    G_GNUC_PRINTF(3, 4);

/*
 * The negative errno for a GError: -code in the domain BLOCK_ERROR, -EIO in
 * any other, and -EIO for NULL.
 */
int block_error_to_errno(const GError *error);

G_END_DECLS

#endif
