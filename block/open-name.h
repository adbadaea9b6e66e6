/* SPDX-License-Identifier: MIT */
/* Names of images: plain files, "protocol:rest" and "json:{...}". */
#ifndef BLOCK_OPEN_NAME_H
#define BLOCK_OPEN_NAME_H

#include "block/driver.h"

/*
 * The driver that a name belongs to. A name with a colon before any slash has
 * the protocol before the colon; every other one is a file, and so is one
 * that exists under just this name. NULL and *errp for an unknown protocol.
 */
const BlockDriver *open_name_driver(const char *name, GError **errp);

/* Bytes before the colon that ends a protocol, known or not; 0: the name has
 * none. */
size_t open_name_protocol_length(const char *name);

/* Whether the name begins with this driver's protocol. */
bool open_name_is_of(const char *name, const BlockDriver *drv);

/*
 * Add what the driver makes of a name to *options; what is there already has
 * precedence, but for "filename", which must not be given twice: a name
 * without the driver's protocol is one.
 */
bool open_name_to_options(const char *name, const BlockDriver *drv,
                          Options **options, GError **errp)
    G_GNUC_WARN_UNUSED_RESULT;

/*
 * Turn *name into options if it is "json:{...}", and *name into NULL; what
 * *options has already has precedence. Other names stay.
 */
bool open_name_json(const char **name, Options **options, GError **errp)
    G_GNUC_WARN_UNUSED_RESULT;

#endif
