/* SPDX-License-Identifier: MIT */
/*
 * Backing files: from what an image records to the child "backing".
 *
 * The name that an image records is relative to the directory of the image.
 * Names that begin with a protocol, and "json:{...}", are taken as they are;
 * so a relative directory in "fat:DIR" is relative to the working directory,
 * wherever it is written, as in QEMU. What follows "file:" is a path like
 * others. The options "backing" and "backing.*" come before the record.
 *
 * Opening the backing file opens its own one first, so the images on the way
 * down stand on a list of the opening thread, and one that occurs again is a
 * loop. Files are compared by device and inode: one file may have many names.
 */
#include "block/open-backing.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "block/drivers.h"
#include "block/filename.h"
#include "block/graph.h"
#include "block/open-name.h"
#include "block/open-options.h"
#include "block/open.h"

#define FILE_PREFIX "file:"

/* ---- Names ---- */

/* A path has no protocol but perhaps "file:", which is skipped; else NULL. */
static const char *name_to_path(const char *name)
{
    if (g_str_has_prefix(name, FILE_PREFIX)) {
        return name + strlen(FILE_PREFIX);
    }
    return open_name_protocol_length(name) > 0 ? NULL : name;
}

/* The directory that a name ends with and its slash, and what is before it;
 * of a name without a slash the protocol and its colon, if any. */
static char *name_directory(const char *image)
{
    const char *path = name_to_path(image);
    const char *name = path ? path : image;
    const char *slash = strrchr(name, '/');
    size_t length = 0;

    if (slash) {
        length = (size_t)(slash - name) + 1;
    } else if (path == NULL) {
        length = open_name_protocol_length(name) + 1;
    }
    return g_strndup(name, length);
}

char *bdrv_full_backing_filename(const char *image, const char *backing,
                                 GError **errp)
{
    const char *path = name_to_path(backing);

    if (path == NULL || path[0] == '/') {
        return g_strdup(path ? path : backing);
    }
    if (g_str_has_prefix(image, "json:")) {
        block_error_set(errp, EINVAL,
                        "'%s' is relative to the directory of the image "
                        "'%s', which has none; give an absolute name",
                        backing, image);
        return NULL;
    }
    g_autofree char *directory = name_directory(image);
    g_autofree char *full = g_strconcat(directory, path, NULL);
    if (name_to_path(image) && open_name_protocol_length(full) > 0) {
        return g_strconcat(FILE_PREFIX, full, NULL);
    }
    return g_steal_pointer(&full);
}

/* The name whose directory counts: the node's, or that of what it is kept in,
 * when it takes more than a name to open the node. */
static char *image_name(const BlockDriverState *bs)
{
    const BlockDriverState *named = bs;

    while (named && named->plain_filename == NULL) {
        named = node_primary(named);
    }
    return filename_of_node(named ? named : bs);
}

char *bdrv_resolve_backing_file(BlockDriverState *bs, const char *backing,
                                GError **errp)
{
    g_autofree char *image = image_name(bs);

    return bdrv_full_backing_filename(image, backing, errp);
}

/* ---- What is recorded ---- */

void bdrv_set_backing_file(BlockDriverState *bs, const char *filename,
                           const char *format)
{
    bool any = filename && *filename;

    graph_lock();
    g_free(bs->backing_file);
    g_free(bs->backing_format);
    bs->backing_file = any ? g_strdup(filename) : NULL;
    bs->backing_format = any && format && *format ? g_strdup(format) : NULL;
    graph_unlock();
}

void backing_get_recorded(BlockDriverState *bs, char **name, char **format,
                          char **full_name)
{
    graph_lock();
    *name = g_strdup(bs->backing_file);
    *format = g_strdup(bs->backing_format);
    graph_unlock();
    *full_name = NULL;
    if (*name) {
        *full_name = bdrv_resolve_backing_file(bs, *name, NULL);
    }
}

bool backing_is_overridden(BlockDriverState *bs)
{
    const BlockDriverState *backing = node_backing(bs);
    g_autofree char *name = NULL;
    g_autofree char *format = NULL;
    g_autofree char *full_name = NULL;

    if (!bs->backing_chosen || !bs->drv->supports_backing ||
        !options_has_prefix(bs->options, "backing")) {
        return false;
    }
    backing_get_recorded(bs, &name, &format, &full_name);
    if (backing == NULL || full_name == NULL || format == NULL) {
        return true;
    }
    g_autofree char *used = filename_of_node(backing);
    return strcmp(used, full_name) != 0 ||
           strcmp(backing->drv->format_name, format) != 0;
}

/* ---- Loops ---- */

/* An image whose backing file is being opened. */
typedef struct ChainLink {
    const struct ChainLink *above;
    const char *image;   /* its name */
    const char *opening; /* what its record gave, or NULL */
    bool is_file;        /* device and inode say which */
    dev_t dev;
    ino_t ino;
} ChainLink;

static _Thread_local const ChainLink *chain;

static bool stat_name(const char *name, struct stat *st)
{
    const char *path = name_to_path(name);

    return path && stat(path, st) == 0;
}

/*
 * Whether the file of this name is not among those that are being opened.
 * `overlay` is the image above it. recorded: the name is from a record, and
 * what is no file must not be recorded twice.
 */
static bool check_loop(const char *name, const char *overlay, bool recorded,
                       GError **errp)
{
    struct stat st;
    bool is_file = stat_name(name, &st);

    for (const ChainLink *link = chain; link; link = link->above) {
        if ((is_file && link->is_file && st.st_dev == link->dev &&
             st.st_ino == link->ino) ||
            (recorded && link->opening && strcmp(name, link->opening) == 0)) {
            block_error_set(errp, ELOOP,
                            "Backing file '%s' of '%s' creates a loop", name,
                            overlay);
            return false;
        }
    }
    return true;
}

/* ---- Opening ---- */

/* Whether the options say which file it is, so that the record does not. */
static bool options_name_file(const Options *options, const char *recorded)
{
    static const char *const keys[] = { "backing.filename", "backing.file",
                                        "backing.file.filename",
                                        "backing.file.driver" };
    const char *driver = options_get(options, "backing.driver");
    const BlockDriver *drv = driver ? bdrv_find_format(driver) : NULL;

    for (guint i = 0; i < G_N_ELEMENTS(keys); i++) {
        if (options_has(options, keys[i])) {
            return true;
        }
    }
    /* Other protocols make nothing of a path. */
    return drv && !driver_has_child(drv) && drv != &bdrv_file &&
           !open_name_is_of(recorded, drv);
}

static bool apply_recorded_format(const BlockDriverState *bs, Options *options,
                                  GError **errp)
{
    if (bs->backing_format == NULL || options_has(options, "backing.driver")) {
        return true;
    }
    if (open_options_driver(bs->backing_format, errp) == NULL) {
        g_prefix_error(errp, "The format that the image records for it: ");
        return false;
    }
    options_set(options, "backing.driver", bs->backing_format);
    return true;
}

/* name NULL: the options say it all. */
static bool open_below(BlockDriverState *bs, const char *name,
                       Options *options, GError **errp)
{
    return apply_recorded_format(bs, options, errp) &&
           open_named_child(bs, name, options, "backing", &child_of_bds,
                            BDRV_CHILD_COW, errp) != NULL;
}

static bool open_recorded(BlockDriverState *bs, ChainLink *link,
                          Options *options, GError **errp)
{
    g_autofree char *full = bdrv_resolve_backing_file(bs, bs->backing_file,
                                                      errp);

    if (full && !check_loop(full, link->image, true, errp)) {
        return false;
    }
    link->opening = full;
    if (full == NULL || !open_below(bs, full, options, errp)) {
        g_prefix_error(errp, "Could not open backing file '%s' of '%s': ",
                       full ? full : bs->backing_file, link->image);
        return false;
    }
    return true;
}

static bool open_described(BlockDriverState *bs, const char *image,
                           Options *options, GError **errp)
{
    if (!open_below(bs, NULL, options, errp)) {
        g_prefix_error(errp,
                       "Could not open the backing file of '%s': ", image);
        return false;
    }
    return true;
}

/* Nothing of it is wanted: drop what the options say. */
static bool open_none(Options *options, GError **errp)
{
    g_autofree char *reference = options_take(options, "backing");
    g_autoptr(Options) nested = options_take_prefix(options, "backing");

    if (reference && *reference == '\0' && options_size(nested) > 0) {
        block_error_set(errp, EINVAL,
                        "'backing=' asks for no backing file, so 'backing.*' "
                        "cannot be given");
        return false;
    }
    return true;
}

/* By the record or by "backing.*", with the image on the list meanwhile. */
static bool open_in_chain(BlockDriverState *bs, Options *options,
                          GError **errp)
{
    g_autofree char *image = filename_of_node(bs);
    ChainLink link = { .above = chain, .image = image };
    bool opened = true;
    struct stat st;

    /* Its name may have been hidden in options or "json:{...}". */
    if (chain && bs->plain_filename &&
        !check_loop(image, chain->image, false, errp)) {
        return false;
    }
    if (stat_name(image, &st)) {
        link.is_file = true;
        link.dev = st.st_dev;
        link.ino = st.st_ino;
    }
    chain = &link;
    if (bs->backing_file && !options_name_file(options, bs->backing_file)) {
        opened = open_recorded(bs, &link, options, errp);
    } else if (options_has_prefix(options, "backing")) {
        opened = open_described(bs, image, options, errp);
    }
    chain = link.above;
    return opened;
}

bool open_backing(BlockDriverState *bs, Options *options, GError **errp)
{
    const char *reference = options_get(options, "backing");
    bool done;

    if (!bs->drv->supports_backing || bs->backing) {
        return true;
    }
    if ((bs->open_flags & BDRV_O_NO_BACKING) ||
        (reference && *reference == '\0')) {
        done = open_none(options, errp);
    } else if (reference) {
        done = open_named_child(bs, NULL, options, "backing", &child_of_bds,
                                BDRV_CHILD_COW, errp) != NULL;
    } else {
        done = open_in_chain(bs, options, errp);
    }
    bs->backing_chosen = true;
    return done;
}
