/* SPDX-License-Identifier: MIT */
/*
 * A device in which there is no medium: no bytes, and every request fails. It
 * is what a change of the medium leaves when neither the new one can be had
 * nor the old one again. No name opens it.
 */
#include <errno.h>

#include "block/backend.h"

static int64_t none_getlength(BlockDriverState *bs)
{
    (void)bs;
    return 0;
}

static int64_t none_get_allocated_size(BlockDriverState *bs)
{
    (void)bs;
    return 0;
}

static char *none_get_filename(BlockDriverState *bs)
{
    (void)bs;
    return g_strdup("");
}

const BlockDriver bdrv_no_medium = {
    .format_name = "no-medium",
    .getlength = none_getlength,
    .get_allocated_size = none_get_allocated_size,
    .get_filename = none_get_filename,
};
