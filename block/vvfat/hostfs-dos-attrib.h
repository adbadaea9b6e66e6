/* SPDX-License-Identifier: MIT */
/* The value of the extended attribute user.DOSATTRIB. Pure. */
#ifndef VVFAT_HOSTFS_DOS_ATTRIB_H
#define VVFAT_HOSTFS_DOS_ATTRIB_H

#include <glib.h>
#include <stddef.h>
#include <stdint.h>

/* What FAT has, of the attributes in there: read-only, hidden, system,
 * directory, archive. */
#define DOS_ATTRIB_FAT 0x37u

/* The FAT attributes of a value. -EINVAL when it is not understood. */
int dos_attrib_parse(const uint8_t *value, size_t bytes, unsigned *attr);

/* The value (of 0 bytes when there was none) with other FAT attributes, and
 * with the rest of it as it was, when that is understood. */
GByteArray *dos_attrib_change(const uint8_t *value, size_t bytes,
                              unsigned attr);

#endif
