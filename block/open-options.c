/* SPDX-License-Identifier: MIT */
/* The options that every node has, and the flags that children inherit. */
#include "block/open-options.h"

#include <errno.h>
#include <string.h>

static const char *const discard_values[] = { "ignore", "off", "unmap", "on",
                                              NULL };
static const char *const detect_zeroes_values[] = { "off", "on", "unmap",
                                                    NULL };

static const OptionDesc generic_options[] = {
    { .name = "driver",
      .type = OPTION_STRING,
      .help = "format or protocol; without it the image is probed" },
    { .name = "node-name",
      .type = OPTION_STRING,
      .help = "name by which other nodes refer to this one" },
    { .name = "read-only", .type = OPTION_BOOL, .help = "never write" },
    { .name = "auto-read-only",
      .type = OPTION_BOOL,
      .help = "become read-only where writing is not possible" },
    { .name = "force-share",
      .type = OPTION_BOOL,
      .help = "read an image that others may be writing" },
    { .name = "discard",
      .type = OPTION_ENUM,
      .values = discard_values,
      .help = "what becomes of discards" },
    { .name = "detect-zeroes",
      .type = OPTION_ENUM,
      .def = "off",
      .values = detect_zeroes_values,
      .help = "write zeroes as zeroes, or as holes" },
    { .name = "cache.no-flush",
      .type = OPTION_BOOL,
      .help = "ignore flushes: fast, and unsafe" },
    { .name = "check-backing",
      .type = OPTION_BOOL,
      .help = "refuse a backing directory that has changed since the image "
              "was written (default on)" },
    { .name = NULL },
};

char *open_options_help(void)
{
    return option_table_help(generic_options);
}

static void apply_flag(const OptionValues *values, const char *name,
                       bool value, unsigned flag, unsigned *flags)
{
    if (option_values_given(values, name)) {
        *flags = value ? *flags | flag : *flags & ~flag;
    }
}

static void apply_flags(const OptionValues *values, unsigned *flags)
{
    int discard = option_values_enum(values, "discard");

    /* read-only is the one whose flag says the opposite. */
    apply_flag(values, "read-only", !option_values_bool(values, "read-only"),
               BDRV_O_RDWR, flags);
    apply_flag(values, "auto-read-only",
               option_values_bool(values, "auto-read-only"),
               BDRV_O_AUTO_RDONLY, flags);
    apply_flag(values, "force-share",
               option_values_bool(values, "force-share"), BDRV_O_FORCE_SHARE,
               flags);
    apply_flag(values, "cache.no-flush",
               option_values_bool(values, "cache.no-flush"), BDRV_O_NO_FLUSH,
               flags);
    apply_flag(values, "check-backing",
               !option_values_bool(values, "check-backing"),
               BDRV_O_ANY_BACKING, flags);
    apply_flag(values, "discard", discard >= 2, BDRV_O_UNMAP, flags);
}

const BlockDriver *open_options_driver(const char *name, GError **errp)
{
    const BlockDriver *drv = bdrv_find_format(name);

    if (drv == NULL) {
        g_autofree const char **names = bdrv_list_formats();
        g_autofree char *list = g_strjoinv(", ", (char **)names);
        block_error_set(errp, EINVAL, "Unknown driver '%s' (known: %s)", name,
                        list);
    }
    return drv;
}

static bool flags_agree(const OpenOptions *open, GError **errp)
{
    if ((open->flags & BDRV_O_FORCE_SHARE) && (open->flags & BDRV_O_RDWR)) {
        block_error_set(errp, EINVAL,
                        "force-share=on can only be used with read-only "
                        "images; add read-only=on");
        return false;
    }
    if (open->detect_zeroes == DETECT_ZEROES_UNMAP &&
        !(open->flags & BDRV_O_UNMAP)) {
        block_error_set(errp, EINVAL,
                        "detect-zeroes=unmap needs discard=unmap");
        return false;
    }
    return true;
}

bool open_options_take(OpenOptions *open, Options *options, unsigned flags,
                       GError **errp)
{
    g_autoptr(OptionValues)
        values = option_values_absorb(generic_options, options, errp);

    *open = (OpenOptions){ .flags = flags };
    if (values == NULL) {
        return false;
    }
    const char *driver = option_values_string(values, "driver");
    if (driver) {
        open->drv = open_options_driver(driver, errp);
        if (open->drv == NULL) {
            return false;
        }
    }
    apply_flags(values, &open->flags);
    open->detect_zeroes = option_values_enum(values, "detect-zeroes");
    if (!flags_agree(open, errp)) {
        return false;
    }
    open->node_name = g_strdup(option_values_string(values, "node-name"));
    return true;
}

void open_options_clear(OpenOptions *open)
{
    g_clear_pointer(&open->node_name, g_free);
}

bool open_options_reject_unknown(const BlockDriver *drv,
                                 const Options *options, GError **errp)
{
    const OptionDesc *with[] = { drv->options, generic_options, NULL };
    g_autofree char *who = g_strdup_printf("driver '%s'", drv->format_name);

    return options_reject_unknown(options, who, drv->options ? with : with + 1,
                                  errp);
}

/*
 * What a child has from its parent. Backing files are only read. A format
 * keeps its image in what is no format itself, unless a driver is named, and
 * decides about discards itself, so that they always pass its file. What was
 * asked about this image goes for what a filter shows too, and no further.
 */
static void inherit_options(unsigned role, bool parent_is_format,
                            unsigned parent_flags, unsigned *child_flags,
                            Options *child_options)
{
    (void)child_options; /* the flags say it all */
    *child_flags = parent_flags & ~BDRV_O_RESIZE;
    if (!(role & BDRV_CHILD_FILTERED)) {
        *child_flags &= ~(BDRV_O_NO_BACKING | BDRV_O_CHECK);
    }
    if (role & BDRV_CHILD_COW) {
        *child_flags &= ~(BDRV_O_RDWR | BDRV_O_AUTO_RDONLY | BDRV_O_PROTOCOL);
        *child_flags |= BDRV_O_BACKING;
    } else if (parent_is_format) {
        *child_flags |= BDRV_O_PROTOCOL | BDRV_O_UNMAP;
    }
}

const BdrvChildClass child_of_bds = { .inherit_options = inherit_options };
