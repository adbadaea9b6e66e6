/* SPDX-License-Identifier: MIT */
/* Sizes as people write them ("64k", "1.5G") and read them ("504 MiB"). */
#ifndef UTIL_SIZE_H
#define UTIL_SIZE_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * Bytes from text: digits, perhaps a fraction, perhaps one suffix of
 * b k M G T P E (powers of 1024) in either case. The result is rounded down
 * to a byte.
 * Fails on anything else, on a negative number and above INT64_MAX.
 */
bool size_parse(const char *text, uint64_t *bytes,
                GError **errp) G_GNUC_WARN_UNUSED_RESULT;

/* Three significant digits and a unit, as qemu-img prints it: "504 MiB",
 * "1.44 MiB", "512 B". g_free(). */
char *size_format(uint64_t bytes);

#endif
