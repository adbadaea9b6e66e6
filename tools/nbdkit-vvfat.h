/* SPDX-License-Identifier: MIT */
/*
 * The parts of the nbdkit plugin: what the user asked for (-config), the
 * backend that serves it (-backend), connections and their requests (-serve),
 * and the table that nbdkit gets (-plugin). The functions are nbdkit's
 * callbacks unless it says otherwise: 0 or a value, or -1 after nbdkit_error().
 */
#ifndef TOOLS_NBDKIT_VVFAT_H
#define TOOLS_NBDKIT_VVFAT_H

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#include "block/block.h"

#define DRIVER_NAME "vvfat"

/* ---- nbdkit-vvfat-config.c ---- */

void plugin_load(void);
void plugin_unload(void);
int plugin_config(const char *key, const char *value);
int plugin_config_complete(void);

/* Not callbacks: what blk_open() takes, once the configuration is complete.
 * The configuration keeps both; the name is NULL for a directory. */
const char *plugin_image(void);
const Options *plugin_node_options(void);

/* Not a callback: a line about each parameter; g_free(). */
char *plugin_parameters_help(void);

/* Not a callback: report the error and free it; for `return plugin_fail(e)`. */
int plugin_fail(GError *err);

/* ---- nbdkit-vvfat-backend.c ---- */

int plugin_get_ready(void);
int plugin_after_fork(void);
void plugin_cleanup(void);

/* Not a callback: the backend, from after_fork to cleanup. */
BlockBackend *plugin_backend(void);

/* ---- nbdkit-vvfat-serve.c ---- */

/* Fill in the callbacks of a connection and of its requests. */
void plugin_serve(struct nbdkit_plugin *plugin);

#endif
