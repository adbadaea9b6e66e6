/* SPDX-License-Identifier: MIT */
/*
 * The internal snapshots of an image, as its driver lists them: "N.id",
 * "N.name", "N.vm-state-size", "N.date-sec" and more.
 */
#ifndef TOOLS_INFO_SNAPSHOTS_H
#define TOOLS_INFO_SNAPSHOTS_H

#include "block/options.h"
#include "util/json.h"

/* As a table on standard output; nothing when there are none. */
void info_snapshots_print(const Options *snapshots);

/* As the member "snapshots"; none when there are none. */
void info_snapshots_write(const Options *snapshots, JsonWriter *w);

#endif
