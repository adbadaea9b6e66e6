/* SPDX-License-Identifier: MIT */
/*
 * What the nbdkit plugin was asked to serve. A few parameters are its own; all
 * others are options of the node and go to the driver as they are.
 */
#include "tools/nbdkit-vvfat.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "block/driver.h"

/* Filters see parameters first, and some have names that are ours, too. */
#define OWN_PREFIX DRIVER_NAME "."

const OptionDesc plugin_parameters[] = {
    {
        .name = "image",
        .type = OPTION_STRING,
        .help = "image to serve instead of a directory: a file, a name with "
                "a protocol prefix, or json:{...}",
    },
    {
        .name = "format",
        .type = OPTION_STRING,
        .help = "driver for image; probed when not given",
    },
    { .name = NULL },
};

/*
 * Options that name files. nbdkit goes to "/" when it becomes a daemon: these
 * are made absolute as long as the user's directory is known, so that messages
 * and whatever the driver puts beside such a file mean the same place.
 */
static const char *const path_options[] = { "dir", "overlay", "boot-code",
                                            "mbr-code" };

static Options *node_options;
static char *image;

void plugin_load(void)
{
    node_options = options_new();
}

void plugin_unload(void)
{
    g_clear_pointer(&node_options, options_free);
    g_clear_pointer(&image, g_free);
}

const char *plugin_image(void)
{
    return image;
}

const Options *plugin_node_options(void)
{
    return node_options;
}

/* Whether a directory is to be written to. What is not valid is refused when
 * it is opened. */
static bool writes_directory(void)
{
    const BlockDriver *drv = bdrv_find_format(DRIVER_NAME);
    g_autoptr(Options) rest = options_copy(node_options);
    g_autoptr(OptionValues) values = NULL;

    if (image == NULL) {
        values = option_values_absorb(drv->options, rest, NULL);
    }
    return values && option_values_bool(values, "rw");
}

Options *plugin_trial_options(void)
{
    Options *trial = options_copy(node_options);

    if (writes_directory()) {
        options_set(trial, "commit", "manual");
    }
    return trial;
}

/* Whether the part before the first slash has a colon: "fat:", "json:". */
static bool name_has_protocol(const char *name)
{
    return name[strcspn(name, ":/")] == ':';
}

static bool names_file(const char *key)
{
    for (size_t i = 0; i < G_N_ELEMENTS(path_options); i++) {
        if (strcmp(key, path_options[i]) == 0) {
            return true;
        }
    }
    return false;
}

static int set_path(const char *key, const char *path)
{
    char *absolute;

    if (*path == '\0') {
        options_set(node_options, key, path); /* the driver's to refuse */
        return 0;
    }
    absolute = nbdkit_absolute_path(path);
    if (absolute == NULL) {
        return -1;
    }
    options_set(node_options, key, absolute);
    free(absolute);
    return 0;
}

static int set_image(const char *value)
{
    char *name = name_has_protocol(value) || *value == '\0'
                     ? strdup(value)
                     : nbdkit_absolute_path(value);

    if (name == NULL) {
        return -1;
    }
    image = g_strdup(name);
    free(name);
    return 0;
}

static int refuse_second(const char *key, const char *value)
{
    GError *err = NULL;

    block_error_set(&err, EINVAL,
                    "%s=%s: one disk is served, and it is another one "
                    "already; start nbdkit once for each",
                    key, value);
    return plugin_fail(err);
}

int plugin_config(const char *key, const char *value)
{
    if (g_str_has_prefix(key, OWN_PREFIX)) {
        key += strlen(OWN_PREFIX);
    }
    if (strcmp(key, "image") == 0) {
        return image ? refuse_second(key, value) : set_image(value);
    }
    if (strcmp(key, "dir") == 0 && options_has(node_options, key)) {
        return refuse_second(key, value);
    }
    if (names_file(key)) {
        return set_path(key, value);
    }
    options_set(node_options, strcmp(key, "format") == 0 ? "driver" : key,
                value);
    return 0;
}

/* A directory's parameters are known: a slip is found, and named, here. */
static bool check_directory_parameters(GError **errp)
{
    const BlockDriver *drv = bdrv_find_format(DRIVER_NAME);
    const OptionDesc *const known[] = { plugin_parameters, drv->options,
                                        NULL };
    g_autoptr(Options) unknown = options_copy(node_options);

    for (const OptionDesc *desc = drv->options; desc->name; desc++) {
        g_free(options_take(unknown, desc->name));
    }
    if (!options_reject_unknown(unknown, "plugin 'vvfat'", known, errp)) {
        return false;
    }
    if (!options_has(node_options, "dir")) {
        block_error_set(errp, EINVAL,
                        "Nothing to serve: give a directory (dir=DIR) or an "
                        "image (image=NAME)");
        return false;
    }
    return true;
}

/* A directory where a file belongs, or a file where a directory does. */
static bool check_kind(GError **errp)
{
    const char *dir = options_get(node_options, "dir");

    if (image && g_file_test(image, G_FILE_TEST_IS_DIR)) {
        block_error_set(errp, EISDIR,
                        "image=%s is a directory; dir=%s serves it as a disk",
                        image, image);
        return false;
    }
    if (!image && g_file_test(dir, G_FILE_TEST_EXISTS) &&
        !g_file_test(dir, G_FILE_TEST_IS_DIR)) {
        block_error_set(errp, ENOTDIR,
                        "dir=%s is not a directory; image=%s serves the disk "
                        "that an image holds, and nbdkit file the bytes of "
                        "any file",
                        dir, dir);
        return false;
    }
    return true;
}

int plugin_config_complete(void)
{
    GError *err = NULL;

    if (image == NULL) {
        if (options_has(node_options, "driver")) {
            nbdkit_error("format= goes with image=, not with a directory");
            return -1;
        }
        if (!check_directory_parameters(&err)) {
            return plugin_fail(err);
        }
        options_set(node_options, "driver", DRIVER_NAME);
    } else if (options_has(node_options, "dir")) {
        return refuse_second("image", image);
    }
    if (!check_kind(&err)) {
        return plugin_fail(err);
    }
    return 0;
}
