/* SPDX-License-Identifier: MIT */
/* Names of images. */
#include "block/open-name.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "block/drivers.h"

size_t open_name_protocol_length(const char *name)
{
    size_t length = strcspn(name, ":/");

    return name[length] == ':' ? length : 0;
}

bool open_name_is_of(const char *name, const BlockDriver *drv)
{
    size_t length = open_name_protocol_length(name);

    return length > 0 && drv->protocol_name &&
           strlen(drv->protocol_name) == length &&
           memcmp(name, drv->protocol_name, length) == 0;
}

const BlockDriver *open_name_driver(const char *name, GError **errp)
{
    size_t length = open_name_protocol_length(name);
    const BlockDriver *drv;

    if (length > 0) {
        drv = driver_find_protocol(name, length);
        if (drv) {
            return drv;
        }
        if (access(name, F_OK) < 0) {
            g_autofree char *known = driver_list_protocols();
            block_error_set(errp, EINVAL,
                            "Unknown protocol '%.*s' in '%s' (known: %s); a "
                            "file of that name is './%s'",
                            (int)length, name, name, known, name);
            return NULL;
        }
    }
    return &bdrv_file;
}

/* Make *options what was parsed, and what *options has on top of it. */
static void take_defaults(Options **options, Options *parsed)
{
    options_merge(parsed, *options, NULL);
    options_free(*options);
    *options = parsed;
}

bool open_name_to_options(const char *name, const BlockDriver *drv,
                          Options **options, GError **errp)
{
    g_autoptr(Options) parsed = options_new();

    if (!open_name_is_of(name, drv)) {
        options_set(parsed, "filename", name);
    } else if (!drv->parse_filename(name, parsed, errp)) {
        return false;
    }
    if (options_has(parsed, "filename") && options_has(*options, "filename")) {
        block_error_set(errp, EINVAL,
                        "Both the name '%s' and the option filename=%s are "
                        "given; leave one out",
                        name, options_get(*options, "filename"));
        return false;
    }
    take_defaults(options, g_steal_pointer(&parsed));
    return true;
}

bool open_name_json(const char **name, Options **options, GError **errp)
{
    g_autoptr(Options) parsed = options_new();

    if (*name == NULL || !g_str_has_prefix(*name, "json:")) {
        return true;
    }
    if (!options_parse_json(parsed, *name + strlen("json:"), errp)) {
        g_prefix_error(errp, "Could not parse '%s': ", *name);
        return false;
    }
    take_defaults(options, g_steal_pointer(&parsed));
    *name = NULL;
    return true;
}

bool bdrv_parse_child_name(const char *name, Options *options, const char *key,
                           GError **errp)
{
    g_autoptr(Options) child = options_new();

    if (!open_name_json(&name, &child, errp)) {
        return false;
    }
    if (name != NULL) {
        const BlockDriver *drv = open_name_driver(name, errp);

        if (drv == NULL || !open_name_to_options(name, drv, &child, errp)) {
            return false;
        }
        if (drv != &bdrv_file) {
            options_set(child, "driver", drv->format_name);
        }
    }
    options_merge(options, child, key);
    return true;
}
