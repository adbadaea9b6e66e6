/* SPDX-License-Identifier: MIT */
/*
 * An nbdkit plugin: any image that the block layer can open, a directory by
 * default, for any NBD client.
 *
 *     nbdkit vvfat DIR [label=.. size=..]
 *     nbdkit vvfat image=NAME [format=..]
 *
 * One backend serves all connections. It is opened before nbdkit goes into
 * the background, so that errors reach the terminal and relative names mean
 * what the user meant; it is not touched again until the end, and the block
 * layer takes requests from any thread, so nothing is locked here.
 */
#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "block/driver.h"
#include "tools/tool-output.h"

#define THREAD_MODEL NBDKIT_THREAD_MODEL_PARALLEL

#define DRIVER_NAME "vvfat"

/* Parameters of the plugin's own; all others are options of the node. */
static const OptionDesc plugin_parameters[] = {
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

static Options *node_options;
static char *image;
static BlockBackend *blk;

/* ---- Configuring ---- */

/* Report the error and free it; for `return fail(err);`. */
static int fail(GError *err)
{
    g_autofree char *text = tool_escape(err->message, true);

    nbdkit_error("%s", text);
    errno = -block_error_to_errno(err);
    g_error_free(err);
    return -1;
}

static void plugin_load(void)
{
    node_options = options_new();
}

static void plugin_unload(void)
{
    options_free(node_options);
    g_free(image);
}

/* Whether the part before the first slash has a colon: "fat:", "json:". */
static bool name_has_protocol(const char *name)
{
    return name[strcspn(name, ":/")] == ':';
}

/*
 * nbdkit goes to "/" when it becomes a daemon: names of files are made
 * absolute as long as the user's directory is known.
 */
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

static int plugin_config(const char *key, const char *value)
{
    if (strcmp(key, "image") == 0) {
        char *name = name_has_protocol(value) || *value == '\0'
                         ? strdup(value)
                         : nbdkit_absolute_path(value);

        if (name == NULL) {
            return -1;
        }
        g_free(image);
        image = g_strdup(name);
        free(name);
        return 0;
    }
    if (strcmp(key, "dir") == 0) {
        return set_path(key, value);
    }
    if (strcmp(key, "format") == 0) {
        key = "driver";
    }
    options_set(node_options, key, value);
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

static int plugin_config_complete(void)
{
    GError *err = NULL;

    if (image == NULL) {
        if (options_has(node_options, "driver")) {
            nbdkit_error("format= goes with image=, not with a directory");
            return -1;
        }
        if (!check_directory_parameters(&err)) {
            return fail(err);
        }
        options_set(node_options, "driver", DRIVER_NAME);
    } else if (options_has(node_options, "dir")) {
        nbdkit_error("dir=%s and image=%s: only one can be served",
                     options_get(node_options, "dir"), image);
        return -1;
    }
    return 0;
}

/* Say what of the directory is not in the volume as it is: nbdkit has no
 * warnings of its own, and standard error is still the user's. */
static void warn_report(void)
{
    static const char *const fields[] = { "kind", "path", "detail" };
    g_autoptr(BdrvInfo) info = blk_get_info(blk, NULL);

    for (unsigned i = 0; info && info->specific; i++) {
        g_autofree char *line = NULL, *clean = NULL;
        const char *value[G_N_ELEMENTS(fields)];

        for (unsigned f = 0; f < G_N_ELEMENTS(fields); f++) {
            g_autofree char *key = g_strdup_printf("report.%u.%s", i,
                                                   fields[f]);

            value[f] = options_get(info->specific, key);
            if (value[f] == NULL) {
                return;
            }
        }
        line = g_strdup_printf("%s '%s': %s", value[0], value[1], value[2]);
        clean = tool_escape(line, false);
        fprintf(stderr, "nbdkit: vvfat: warning: %s\n", clean);
    }
}

static int plugin_get_ready(void)
{
    GError *err = NULL;

    /* Whether nbdkit was given -r is not known yet; with it, nbdkit refuses
     * all writes by itself. */
    blk = blk_open(image, node_options,
                   BDRV_O_RDWR | BDRV_O_AUTO_RDONLY | BDRV_O_UNMAP, &err);
    if (blk == NULL) {
        return fail(err);
    }
    warn_report();
    return 0;
}

static void plugin_cleanup(void)
{
    int ret = blk && !blk_is_read_only(blk) ? blk_flush(blk) : 0;

    if (ret < 0) {
        g_autofree char *reason = blk_strerror(ret);

        nbdkit_error("closing: %s", reason);
    }
    blk_close(blk);
    blk = NULL;
}

static void plugin_dump(void)
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

/* ---- A connection ---- */

static void *plugin_open(int readonly)
{
    (void)readonly; /* nbdkit itself sees to it */
    return blk;
}

static int64_t plugin_get_size(void *handle)
{
    int64_t size = blk_getlength(handle);

    if (size < 0) {
        g_autofree char *reason = blk_strerror((int)size);

        nbdkit_error("size of the image: %s", reason);
        errno = (int)-size;
        return -1;
    }
    return size;
}

static int plugin_can_write(void *handle)
{
    return !blk_is_read_only(handle);
}

static int plugin_can_flush(void *handle)
{
    (void)handle;
    return 1;
}

static int plugin_can_fua(void *handle)
{
    (void)handle;
    return NBDKIT_FUA_NATIVE; /* by a flush where the driver has none */
}

/* One backend: what one connection has flushed, all others see. */
static int plugin_can_multi_conn(void *handle)
{
    (void)handle;
    return 1;
}

static int plugin_can_fast_zero(void *handle)
{
    (void)handle;
    return 1; /* or an error at once, which is as good */
}

static int plugin_block_size(void *handle, uint32_t *minimum,
                             uint32_t *preferred, uint32_t *maximum)
{
    BdrvLimits limits = blk_get_limits(handle);
    uint64_t preference = MAX(4096, limits.request_alignment);

    /* A power of two, as NBD wants it, and of a sane size. */
    while ((int64_t)preference < limits.opt_transfer &&
           preference < 32 * 1024 * 1024) {
        preference *= 2;
    }
    *minimum = MIN(limits.request_alignment, 65536);
    *preferred = (uint32_t)preference;
    *maximum = UINT32_MAX; /* the block layer splits */
    return 0;
}

/* ---- Requests ---- */

/* nbdkit's answer for a result; the words are those of the driver. */
static int request_done(const char *what, uint64_t offset, uint32_t count,
                        int ret)
{
    if (ret < 0) {
        g_autofree char *reason = blk_strerror(ret);

        nbdkit_error("%s %" PRIu32 " bytes at offset %" PRIu64 ": %s", what,
                     count, offset, reason);
        errno = -ret;
        return -1;
    }
    return 0;
}

static unsigned request_flags(uint32_t flags)
{
    unsigned result = 0;

    if (flags & NBDKIT_FLAG_FUA) {
        result |= BDRV_REQ_FUA;
    }
    if (flags & NBDKIT_FLAG_MAY_TRIM) {
        result |= BDRV_REQ_MAY_UNMAP;
    }
    if (flags & NBDKIT_FLAG_FAST_ZERO) {
        result |= BDRV_REQ_NO_FALLBACK;
    }
    return result;
}

static int plugin_pread(void *handle, void *buf, uint32_t count,
                        uint64_t offset, uint32_t flags)
{
    (void)flags;
    return request_done("reading", offset, count,
                        blk_pread(handle, (int64_t)offset, count, buf, 0));
}

static int plugin_pwrite(void *handle, const void *buf, uint32_t count,
                         uint64_t offset, uint32_t flags)
{
    return request_done(
        "writing", offset, count,
        blk_pwrite(handle, (int64_t)offset, count, buf, request_flags(flags)));
}

static int plugin_zero(void *handle, uint32_t count, uint64_t offset,
                       uint32_t flags)
{
    int ret = blk_pwrite_zeroes(handle, (int64_t)offset, count,
                                request_flags(flags));

    if (ret == -ENOTSUP) {
        errno = ENOTSUP; /* to a fast zero, an answer and no error */
        return -1;
    }
    return request_done("zeroing", offset, count, ret);
}

static int plugin_trim(void *handle, uint32_t count, uint64_t offset,
                       uint32_t flags)
{
    int ret = blk_pdiscard(handle, (int64_t)offset, count);

    if (ret == -ENOTSUP) {
        ret = 0; /* a hint that nobody took */
    }
    if (ret == 0 && (flags & NBDKIT_FLAG_FUA)) {
        ret = blk_flush(handle);
    }
    return request_done("trimming", offset, count, ret);
}

static int plugin_flush(void *handle, uint32_t flags)
{
    int ret = blk_flush(handle);

    (void)flags;
    if (ret < 0) {
        g_autofree char *reason = blk_strerror(ret);

        nbdkit_error("flushing: %s", reason);
        errno = -ret;
        return -1;
    }
    return 0;
}

static int plugin_extents(void *handle, uint32_t count, uint64_t offset,
                          uint32_t flags, struct nbdkit_extents *extents)
{
    uint64_t end = offset + count;

    while (offset < end) {
        g_auto(BdrvBlockStatus) status = { 0 };
        uint32_t type = 0;
        int ret = blk_block_status(handle, (int64_t)offset,
                                   (int64_t)(end - offset), BDRV_WANT_PRECISE,
                                   &status);

        if (ret < 0) {
            return request_done("status of", offset, (uint32_t)(end - offset),
                                ret);
        }
        if (!(status.flags & BDRV_BLOCK_DATA)) {
            type |= NBDKIT_EXTENT_HOLE;
        }
        if (status.flags & BDRV_BLOCK_ZERO) {
            type |= NBDKIT_EXTENT_ZERO;
        }
        if (nbdkit_add_extent(extents, offset, (uint64_t)status.bytes, type) <
            0) {
            return -1;
        }
        offset += (uint64_t)status.bytes;
        if (flags & NBDKIT_FLAG_REQ_ONE) {
            break;
        }
    }
    return 0;
}

/* ---- Registering ---- */

static struct nbdkit_plugin plugin = {
    .name = "vvfat",
    .longname = "nbdkit vvfat plugin",
    .version = VVFAT_VERSION,
    .description = "A directory as a disk with a FAT file system",
    .magic_config_key = "dir",
    .load = plugin_load,
    .unload = plugin_unload,
    .config = plugin_config,
    .config_complete = plugin_config_complete,
    .get_ready = plugin_get_ready,
    .cleanup = plugin_cleanup,
    .dump_plugin = plugin_dump,
    .open = plugin_open,
    .get_size = plugin_get_size,
    .block_size = plugin_block_size,
    .can_write = plugin_can_write,
    .can_flush = plugin_can_flush,
    .can_fua = plugin_can_fua,
    .can_multi_conn = plugin_can_multi_conn,
    .can_trim = plugin_can_write,
    .can_zero = plugin_can_write,
    .can_fast_zero = plugin_can_fast_zero,
    .pread = plugin_pread,
    .pwrite = plugin_pwrite,
    .zero = plugin_zero,
    .trim = plugin_trim,
    .flush = plugin_flush,
    .extents = plugin_extents,
    .errno_is_preserved = 1,
};

/* nbdkit copies the struct when it registers the plugin, so the help, which
 * comes from the option tables, must be there before. */
static __attribute__((constructor)) void help_make(void)
{
    g_autofree char *own = option_table_help(plugin_parameters);
    g_autofree char *driver = bdrv_format_options_help(DRIVER_NAME, false);

    plugin.config_help = g_strdup_printf("%s%s", own, driver);
}

static __attribute__((destructor)) void help_free(void)
{
    g_free((char *)plugin.config_help);
}

NBDKIT_REGISTER_PLUGIN(plugin)
