/* SPDX-License-Identifier: MIT */
/*
 * Creating and measuring images. Options are validated against the driver's
 * table before it is called, so that a typing error creates nothing.
 */
#include <errno.h>

#include "block/backend.h"
#include "block/block-int.h"
#include "block/open-name.h"
#include "block/open-options.h"

static bool validate_options(const BlockDriver *drv, const Options *options,
                             GError **errp)
{
    static const OptionDesc no_options[] = { { .name = NULL } };
    const OptionDesc *table = drv->create_options ? drv->create_options
                                                  : no_options;
    const OptionDesc *const known[] = { table, NULL };
    g_autoptr(Options) rest = options ? options_copy(options) : options_new();
    g_autofree char *who = g_strdup_printf("format '%s'", drv->format_name);
    g_autoptr(OptionValues) values = option_values_absorb(table, rest, errp);

    return values != NULL && options_reject_unknown(rest, who, known, errp);
}

/* A name with a protocol is no file name: "fat:DIR" must not make a file that
 * is called so. */
static bool check_protocol(const char *filename, GError **errp)
{
    const BlockDriver *drv = open_name_driver(filename, errp);

    if (drv != NULL && drv->create == NULL) {
        block_error_set(errp, ENOTSUP,
                        "Images with names like '%s' cannot be created",
                        filename);
        return false;
    }
    return drv != NULL;
}

bool bdrv_create(const char *format, const char *filename,
                 const Options *options, GError **errp)
{
    const BlockDriver *drv = open_options_driver(format, errp);

    if (drv == NULL) {
        return false;
    }
    if (drv->create == NULL) {
        block_error_set(errp, ENOTSUP,
                        "Images of the format '%s' cannot be created", format);
        return false;
    }
    if (!validate_options(drv, options, errp) ||
        !check_protocol(filename, errp)) {
        return false;
    }
    g_autoptr(Options) copy = options ? options_copy(options) : options_new();
    return drv->create(filename, copy, errp);
}

bool bdrv_measure(const char *format, const Options *options,
                  BlockBackend *source, BdrvMeasure *measure, GError **errp)
{
    const BlockDriver *drv = open_options_driver(format, errp);

    if (drv == NULL) {
        return false;
    }
    if (drv->measure == NULL) {
        block_error_set(errp, ENOTSUP,
                        "Images of the format '%s' cannot be measured",
                        format);
        return false;
    }
    if (!validate_options(drv, options, errp)) {
        return false;
    }
    g_autoptr(Options) copy = options ? options_copy(options) : options_new();
    bool ok = drv->measure(copy, source ? backend_enter(source) : NULL,
                           measure, errp);

    if (source) {
        backend_leave(source);
    }
    return ok;
}
