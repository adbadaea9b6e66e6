/* SPDX-License-Identifier: MIT */
/*
 * An nbdkit plugin: any image that the block layer can open, a directory by
 * default, for any NBD client.
 *
 *     nbdkit vvfat DIR [rw=on label=.. size=..]
 *     nbdkit vvfat image=NAME [format=..]
 *
 * Here is what nbdkit gets to see of it.
 */
#include "tools/nbdkit-vvfat.h"

#define THREAD_MODEL NBDKIT_THREAD_MODEL_PARALLEL

static struct nbdkit_plugin plugin = {
    .name = DRIVER_NAME,
    .longname = "nbdkit vvfat plugin",
    .version = VVFAT_VERSION,
    .description = "A directory as a disk with a FAT file system",
    .magic_config_key = "dir",
    .load = plugin_load,
    .unload = plugin_unload,
    .config = plugin_config,
    .config_complete = plugin_config_complete,
    .get_ready = plugin_get_ready,
    .after_fork = plugin_after_fork,
    .cleanup = plugin_cleanup,
    .dump_plugin = plugin_dump,
    .errno_is_preserved = 1,
};

/* nbdkit copies the struct when it registers the plugin, so the help, which
 * comes from the option tables, must be there before. */
static __attribute__((constructor)) void plugin_make(void)
{
    plugin.config_help = plugin_help();
    plugin_serve(&plugin);
}

static __attribute__((destructor)) void help_free(void)
{
    g_free((char *)plugin.config_help);
}

NBDKIT_REGISTER_PLUGIN(plugin)
