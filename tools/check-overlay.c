/* SPDX-License-Identifier: MIT */
#include "tools/check-overlay.h"

#include <stdio.h>

#include "tools/tool-output.h"

static void print_pending(const Options *facts, const char *dir)
{
    g_autofree char *clean = tool_escape(dir, true);
    const char *suspended = options_get(facts, "commit.suspended");

    if (suspended) {
        g_autofree char *why = tool_escape(suspended, true);

        printf("Nothing is committed into '%s': %s\n", clean, why);
    }
    for (unsigned i = 0;; i++) {
        g_autofree char *path_key = g_strdup_printf("pending.%u.path", i);
        g_autofree char *why_key = g_strdup_printf("pending.%u.reason", i);
        const char *path = options_get(facts, path_key);
        g_autofree char *name = NULL;
        g_autofree char *why = NULL;

        if (!path) {
            if (i == 0 && !suspended) {
                printf("'%s' has everything that the overlay keeps.\n", clean);
            }
            return;
        }
        name = tool_escape(path, true);
        why = tool_escape(options_get(facts, why_key), true);
        if (i == 0) {
            printf("Not in '%s' yet:\n", clean);
        }
        printf("    %s: %s\n", name, why);
    }
}

bool check_overlay_print(const char *name, const Options *options)
{
    g_autoptr(Options) look = options_copy(options);
    g_autoptr(GError) error = NULL;
    g_autoptr(BlockBackend) blk = NULL;
    g_autoptr(BdrvInfo) info = NULL;

    options_set(look, "commit", "manual");
    blk = blk_open(NULL, look, BDRV_O_RDWR, &error);
    info = blk ? blk_get_info(blk, &error) : NULL;
    if (!info) {
        tool_error("%s: what is pending is not known: %s", name,
                   error->message);
        return false;
    }
    print_pending(info->specific, options_get(options, "dir"));
    return true;
}
