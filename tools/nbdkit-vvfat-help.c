/* SPDX-License-Identifier: MIT */
/*
 * Help for those who look for it, and for those who took the wrong tool.
 */
#include "tools/nbdkit-vvfat.h"

#include <errno.h>
#include <stdio.h>

#include "block/driver.h"
#include "tools/tool-output.h"

static const char other_tools[] =
    "Other plugins, for what FAT or this one cannot do:\n"
    "  nbdkit file FILE       the bytes of one file, as they are\n"
    "  nbdkit linuxdisk DIR   owners, modes and links, in ext2; read-only\n"
    "  nbdkit iso DIR...      several directories, large files; read-only\n"
    "  nbdkit floppy DIR      FAT32 again; read-only\n"
    "A directory that many write at once needs a network file system.";

char *plugin_help(void)
{
    g_autofree char *own = option_table_help(plugin_parameters);
    g_autofree char *driver = bdrv_format_options_help(DRIVER_NAME, false);

    return g_strconcat(own, driver, other_tools, NULL);
}

void plugin_dump(void)
{
    const BlockDriver *drv = bdrv_find_format(DRIVER_NAME);
    g_autofree const char **formats = bdrv_list_formats();

    printf("vvfat_version=%s\n", VVFAT_VERSION);
    printf("vvfat_formats=");
    for (const char **format = formats; *format; format++) {
        printf("%s%s", format == formats ? "" : " ", *format);
    }
    printf("\nvvfat_options=");
    for (const OptionDesc *desc = drv->options; desc->name; desc++) {
        printf("%s%s", desc == drv->options ? "" : " ", desc->name);
    }
    printf("\n");
}

int plugin_fail(GError *err)
{
    g_autofree char *text = tool_escape(err->message, true);

    nbdkit_error("%s", text);
    errno = -block_error_to_errno(err);
    g_error_free(err);
    return -1;
}

/* What helps a directory that does not open; NULL: the error says it. */
static const char *advice(const GError *err)
{
    int code = -block_error_to_errno(err);

    switch (code) {
    case EBUSY:
        return "without rw=on, any number of servers can show it at once";
    case EFBIG:
    case ENOSPC:
        if (g_str_has_suffix(err->message, g_strerror(code))) {
            return NULL; /* the host's limit, not that of FAT */
        }
        return "nbdkit linuxdisk and nbdkit iso show directories without the "
               "limits of FAT, read-only";
    default:
        return NULL;
    }
}

int plugin_fail_directory(GError *err)
{
    const char *more = advice(err);

    if (more) {
        char *all = g_strdup_printf("%s; %s", err->message, more);

        g_free(err->message);
        err->message = all;
    }
    return plugin_fail(err);
}
