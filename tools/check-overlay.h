/* SPDX-License-Identifier: MIT */
/* vvfat-img check: what an overlay keeps that its directory does not have. */
#ifndef TOOLS_CHECK_OVERLAY_H
#define TOOLS_CHECK_OVERLAY_H

#include <stdbool.h>

#include "block/block.h"

/* options: as kept_probe() gives them; the overlay is not open. Prints what is
 * pending, a line each. False, with the error printed. */
bool check_overlay_print(const char *name, const Options *options);

#endif
