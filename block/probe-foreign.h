/* SPDX-License-Identifier: MIT */
/* Images of formats that no driver here reads. */
#ifndef BLOCK_PROBE_FOREIGN_H
#define BLOCK_PROBE_FOREIGN_H

#include <stddef.h>
#include <stdint.h>

/* The format that an image with these first bytes has, such as "VMDK"; NULL:
 * none that is known. Static. */
const char *probe_foreign(const uint8_t *buf, size_t size);

#endif
