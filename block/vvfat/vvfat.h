/* SPDX-License-Identifier: MIT */
/* For tests that put another host behind the driver. */
#ifndef VVFAT_VVFAT_H
#define VVFAT_VVFAT_H

#include "block/vvfat/hostfs.h"

/* What `dir` is. NULL and *errp. */
typedef HostFs *VvfatHostOpener(const char *dir, GError **errp);

/* Opens the host's file system for nodes opened from now on; NULL: the host's
 * own (hostfs_posix_new()). Not beside an open. */
void vvfat_set_host(VvfatHostOpener *opener);

#endif
