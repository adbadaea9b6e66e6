/* SPDX-License-Identifier: MIT */
/*
 * Which drivers there are: the built-in ones, in the order in which they are
 * probed, and those that the program has added. Drivers are never removed, so
 * a pointer to one is good for ever; the lock guards the list alone.
 */
#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "block/drivers.h"
#include "block/open-options.h"

static const BlockDriver *const builtin_drivers[] = {
    &bdrv_file, &bdrv_raw,   &bdrv_null,  &bdrv_blkdebug,
    &bdrv_qcow, &bdrv_qcow2, &bdrv_vvfat,
};

static pthread_rwlock_t table_lock = PTHREAD_RWLOCK_INITIALIZER;
static GPtrArray *added_drivers; /* table_lock */

void driver_foreach(DriverVisitor *visit, void *opaque)
{
    bool more = true;

    for (guint i = 0; more && i < G_N_ELEMENTS(builtin_drivers); i++) {
        more = visit(builtin_drivers[i], opaque);
    }
    pthread_rwlock_rdlock(&table_lock);
    for (guint i = 0; more && added_drivers && i < added_drivers->len; i++) {
        more = visit(g_ptr_array_index(added_drivers, i), opaque);
    }
    pthread_rwlock_unlock(&table_lock);
}

typedef struct DriverSearch {
    const char *format;   /* NULL: any */
    const char *protocol; /* NULL: any; of protocol_length bytes */
    size_t protocol_length;
    const BlockDriver *found;
} DriverSearch;

static bool search_visit(const BlockDriver *drv, void *opaque)
{
    DriverSearch *search = opaque;
    const char *protocol = drv->protocol_name;

    if (search->format && strcmp(drv->format_name, search->format) != 0) {
        return true;
    }
    if (search->protocol &&
        (protocol == NULL || strlen(protocol) != search->protocol_length ||
         memcmp(protocol, search->protocol, search->protocol_length) != 0)) {
        return true;
    }
    search->found = drv;
    return false;
}

const BlockDriver *bdrv_find_format(const char *format_name)
{
    DriverSearch search = { .format = format_name };

    if (format_name == NULL) {
        return NULL;
    }
    driver_foreach(search_visit, &search);
    return search.found;
}

const BlockDriver *driver_find_protocol(const char *name, size_t length)
{
    DriverSearch search = { .protocol = name, .protocol_length = length };

    driver_foreach(search_visit, &search);
    return search.found;
}

/* Whether the driver keeps the promises that the core relies on. */
static bool driver_is_sound(const BlockDriver *drv, GError **errp)
{
    const char *lacks = NULL;

    if (drv->format_name == NULL || *drv->format_name == '\0') {
        lacks = "format_name";
    } else if (drv->open == NULL) {
        lacks = "open";
    } else if (drv->getlength == NULL && !drv->is_filter) {
        lacks = "getlength";
    } else if (drv->protocol_name && drv->parse_filename == NULL) {
        lacks = "parse_filename";
    }
    if (lacks) {
        block_error_set(errp, EINVAL, "Driver '%s' lacks %s",
                        drv->format_name ? drv->format_name : "", lacks);
    }
    return lacks == NULL;
}

static bool driver_add(const BlockDriver *drv, GError **errp)
{
    bool added = false;

    if (bdrv_find_format(drv->format_name)) {
        block_error_set(errp, EEXIST, "There is a driver '%s' already",
                        drv->format_name);
        return false;
    }
    if (drv->protocol_name &&
        driver_find_protocol(drv->protocol_name, strlen(drv->protocol_name))) {
        block_error_set(errp, EEXIST,
                        "The protocol '%s:' belongs to another driver already",
                        drv->protocol_name);
        return false;
    }
    pthread_rwlock_wrlock(&table_lock);
    if (added_drivers == NULL) {
        added_drivers = g_ptr_array_new();
    }
    if (!g_ptr_array_find(added_drivers, drv, NULL)) {
        g_ptr_array_add(added_drivers, (gpointer)drv);
        added = true;
    }
    pthread_rwlock_unlock(&table_lock);
    if (!added) {
        block_error_set(errp, EEXIST, "There is a driver '%s' already",
                        drv->format_name);
    }
    return added;
}

bool bdrv_register_sized(const BlockDriver *drv, size_t size, GError **errp)
{
    g_autofree BlockDriver *full = NULL;

    if (size > sizeof(*drv)) {
        block_error_set(errp, EINVAL,
                        "The driver '%s' was built for a newer libvvfat: use "
                        "that, or build the driver with the headers of this "
                        "one",
                        drv->format_name);
        return false;
    } else if (size < sizeof(*drv)) { /* what it does not know is NULL */
        full = g_new0(BlockDriver, 1);
        memcpy(full, drv, size);
        drv = full;
    }
    if (!driver_is_sound(drv, errp) || !driver_add(drv, errp)) {
        return false;
    }
    (void)g_steal_pointer(&full);
    return true;
}

static gint compare_names(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool collect_format(const BlockDriver *drv, void *opaque)
{
    g_ptr_array_add(opaque, (gpointer)drv->format_name);
    return true;
}

const char **bdrv_list_formats(void)
{
    GPtrArray *names = g_ptr_array_new();

    driver_foreach(collect_format, names);
    g_ptr_array_sort(names, compare_names);
    g_ptr_array_add(names, NULL);
    return (const char **)g_ptr_array_free(names, FALSE);
}

static bool collect_protocol(const BlockDriver *drv, void *opaque)
{
    if (drv->protocol_name) {
        g_ptr_array_add(opaque, (gpointer)drv->protocol_name);
    }
    return true;
}

char *driver_list_protocols(void)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    GString *text = g_string_new(NULL);

    driver_foreach(collect_protocol, names);
    g_ptr_array_sort(names, compare_names);
    for (guint i = 0; i < names->len; i++) {
        g_string_append_printf(text, "%s%s:", i ? ", " : "",
                               (const char *)g_ptr_array_index(names, i));
    }
    return g_string_free(text, FALSE);
}

char *bdrv_format_options_help(const char *format, bool create)
{
    const BlockDriver *drv = bdrv_find_format(format);

    if (format == NULL) {
        return create ? NULL : open_options_help();
    }
    if (drv == NULL) {
        return NULL;
    }
    const OptionDesc *table = create ? drv->create_options : drv->options;
    return table ? option_table_help(table) : NULL;
}
