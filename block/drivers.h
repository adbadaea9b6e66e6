/* SPDX-License-Identifier: MIT */
/* The drivers that are built in, and the table they stand in. */
#ifndef BLOCK_DRIVERS_H
#define BLOCK_DRIVERS_H

#include "block/driver.h"

extern const BlockDriver bdrv_blkdebug;
extern const BlockDriver bdrv_file;
extern const BlockDriver bdrv_null;
extern const BlockDriver bdrv_qcow;
extern const BlockDriver bdrv_qcow2;
extern const BlockDriver bdrv_raw;
extern const BlockDriver bdrv_vvfat;

/* The driver whose protocol_name is the first `length` bytes of name. */
const BlockDriver *driver_find_protocol(const char *name, size_t length);

/* "blkdebug:, fat:, file:" for messages; g_free(). */
char *driver_list_protocols(void);

/* Visit every driver, built-in ones first, until a visitor returns false. */
typedef bool DriverVisitor(const BlockDriver *drv, void *opaque);
void driver_foreach(DriverVisitor *visit, void *opaque);

#endif
