/* SPDX-License-Identifier: MIT */
/*
 * The parts of the nbdkit plugin: what the user asked for (-config), the
 * backend that serves it (-backend), connections and their requests (-serve),
 * what the log is told (-log), help (-help), and the table that nbdkit gets
 * (-plugin). The functions are nbdkit's callbacks unless it says
 * otherwise: 0 or a value, or -1 after nbdkit_error().
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
/* The same for an opening that is to leave no traces in a directory; for
 * options_free(). */
Options *plugin_trial_options(void);

/* Not a callback: those that are not options of a node; ends with NULL. */
extern const OptionDesc plugin_parameters[];

/* ---- nbdkit-vvfat-help.c ---- */

void plugin_dump(void);

/* Not callbacks, all of them. The text of --help; g_free(). */
char *plugin_help(void);

/* Report the error and free it; for `return plugin_fail(e)`. */
int plugin_fail(GError *err);
/* The same for a directory that did not open: with what to do instead. */
int plugin_fail_directory(GError *err);

/* ---- nbdkit-vvfat-log.c: no callbacks; any thread ---- */

/* What of the directory is not on the disk as it is. */
void plugin_log_report(BlockBackend *blk);
/* All else that the driver knows, for `nbdkit -v`; when: static. */
void plugin_log_facts(BlockBackend *blk, const char *when);
/* From now on, what happens to it by itself, until it is closed. */
void plugin_log_watch(BlockBackend *blk);
/* A request that failed; the driver's words. */
void plugin_log_failure(const char *what, const char *reason);
/* When everything is closed. */
void plugin_log_end(void);

/* ---- nbdkit-vvfat-backend.c ---- */

int plugin_get_ready(void);
int plugin_after_fork(void);
void plugin_cleanup(void);

/* Not callbacks: the backend, and what it is called, from after_fork to
 * cleanup. */
BlockBackend *plugin_backend(void);
const char *plugin_description(void);

/* ---- nbdkit-vvfat-serve.c ---- */

/* Fill in the callbacks of a connection and of its requests. */
void plugin_serve(struct nbdkit_plugin *plugin);

#endif
