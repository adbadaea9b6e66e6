/* SPDX-License-Identifier: MIT */
#include "tests/model/run.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "tests/model/hostdir.h"

#define COPY_CHUNK (INT64_C(1) << 20)
#define MAX_ROOM (UINT32_C(24) << 20)
#define XATTR "user.model"

/* Sizes for each type: small ones, so that they fill up, and now and then
 * what a name without any size gives. */
static const char *const sizes_12[] = {
    "size=2M:cluster-size=1k:", "size=4M:cluster-size=2k:",
    "size=1M:cluster-size=512:", "size=12M:cluster-size=4k:", ""
};
static const char *const sizes_16[] = {
    "size=16M:cluster-size=2k:", "size=6M:cluster-size=1k:",
    "size=40M:cluster-size=8k:", "size=12M:cluster-size=2k:"
};
static const char *const sizes_32[] = { "size=40M:cluster-size=512:",
                                        "size=36M:cluster-size=512:",
                                        "size=80M:cluster-size=1k:" };

/* Beside the directory for files, where nothing else may change. */
#define OVERLAY "-overlay.qcow2"

static char *device_name(const Run *run, bool rw)
{
    const Config *config = run->config;
    g_autofree char *overlay = NULL;
    Prng prng = { config->seed ^ 0x51 };
    const char *size =
        config->fat_type == 12
            ? sizes_12[prng_below(&prng, G_N_ELEMENTS(sizes_12))]
        : config->fat_type == 16
            ? sizes_16[prng_below(&prng, G_N_ELEMENTS(sizes_16))]
            : sizes_32[prng_below(&prng, G_N_ELEMENTS(sizes_32))];

    if (config->fat_type != 12 && prng_one_in(&prng, 24) && !config->small) {
        size = "";
    }
    if (rw && config->overlay) {
        overlay = g_strdup_printf("overlay=%s" OVERLAY ":", config->work);
    }
    return g_strdup_printf("fat:%s%d:%s%s%s%s", rw ? "rw:" : "",
                           config->fat_type, size, overlay ? overlay : "",
                           config->words ? config->words : "", run->dir);
}

/* The disk that the driver makes of the directory, as a file. */
static char *make_image(Run *run)
{
    g_autofree char *name = device_name(run, false);
    g_autofree uint8_t *buffer = g_malloc((gsize)COPY_CHUNK);
    g_autoptr(GError) error = NULL;
    g_autoptr(BlockBackend) blk = blk_open(name, NULL, 0, &error);
    int64_t size;
    int fd;

    if (!blk) {
        return g_strdup(error->message);
    }
    size = blk_getlength(blk);
    fd = open(run->image, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0644);
    if (fd < 0 || ftruncate(fd, size) < 0) {
        return g_strdup_printf("cannot make '%s'", run->image);
    }
    for (int64_t at = 0; at < size; at += COPY_CHUNK) {
        int64_t n = MIN(COPY_CHUNK, size - at);
        bool is_zero;

        if (blk_pread(blk, at, n, buffer, 0) < 0) {
            close(fd);
            return g_strdup("cannot read the device");
        }
        is_zero = buffer[0] == 0 &&
                  memcmp(buffer, buffer + 1, (size_t)n - 1) == 0;
        if (!is_zero && pwrite(fd, buffer, (size_t)n, at) != n) {
            close(fd);
            return g_strdup("cannot write the image");
        }
    }
    close(fd);
    return NULL;
}

char *run_attach(Run *run)
{
    g_autofree char *name = run->config->no_dir ? g_strdup(run->image)
                                                : device_name(run, true);
    g_autoptr(Options) options = options_new();
    g_autoptr(GError) error = NULL;
    unsigned flags = BDRV_O_RDWR | BDRV_O_UNMAP;
    BlockBackend *blk;
    char *why = NULL;

    if (run->config->no_dir) {
        /* Nobody asks whether the image survives a power cut. */
        flags |= BDRV_O_NO_FLUSH;
        options_set(options, "driver", "raw");
    }
    blk = run->config->open
              ? run->config->open(name, run->config->opaque, &error)
              : blk_open(name, options, flags, &error);
    if (!blk) {
        return g_strdup_printf("%s: %s", name, error->message);
    }
    run->disk = disk_new(blk, &why);
    if (!run->disk) {
        return why;
    }
    run->disk->keeps_free = run->config->keeps_free || run->config->no_dir;
    run->vol = fatvol_open(run->disk, &why);
    if (run->vol && run->vol->type != run->config->fat_type) {
        why = g_strdup_printf("the volume has %u clusters: no FAT%d",
                              run->vol->n_clusters, run->config->fat_type);
    }
    return why;
}

void run_detach(Run *run)
{
    fatvol_free(run->vol);
    disk_free(run->disk);
    run->vol = NULL;
    run->disk = NULL;
}

static uint32_t room(const Run *run)
{
    g_autofree char *name = device_name(run, false);
    const char *size = strstr(name, "size=");
    uint32_t mebibytes = size ? (uint32_t)g_ascii_strtoull(size + 5, NULL, 10)
                              : 32;

    return MIN(mebibytes << 20, MAX_ROOM) / 2;
}

Run *run_open(const Config *config, char **why)
{
    Run *run = g_new0(Run, 1);

    run->config = config;
    run->dir = g_build_filename(config->work, "dir", NULL);
    run->image = g_build_filename(config->work, "disk.raw", NULL);
    run->root = hostdir_make(run->dir, config->seed, room(run));
    run->has_attributes = config->no_dir;
    if (!config->no_dir && setxattr(run->dir, XATTR, "", 0, 0) == 0) {
        removexattr(run->dir, XATTR);
        run->has_attributes = true;
    }
    if (config->overlay) {
        g_autofree char *overlay = g_strconcat(config->work, OVERLAY, NULL);

        unlink(overlay);
    }
    *why = config->no_dir ? make_image(run) : NULL;
    if (!*why) {
        *why = run_attach(run);
    }
    if (!*why) {
        *why = judge_volume(run);
    }
    if (*why) {
        run_close(run);
        return NULL;
    }
    return run;
}

void run_close(Run *run)
{
    if (run) {
        run_detach(run);
        model_free(run->root);
        g_clear_pointer(&run->concerned, g_ptr_array_unref);
        g_free(run->damaged);
        g_free(run->outside);
        g_free(run->dir);
        g_free(run->image);
        g_free(run);
    }
}

char *run_op(Run *run, const Op *op)
{
    /* What a shorter list can have. */
    if ((run->is_damaged && op->kind < OP_DAMAGE) ||
        (run->is_planted && op->kind == OP_REOPEN)) {
        run->n_skipped++;
        return NULL;
    }
    if (op->kind >= OP_DAMAGE) {
        run->n_done++;
        return op_garbage(run, op);
    }
    if (op->kind >= OP_WRITEOUT) {
        run->n_done++;
        return op_cache(run, op);
    }
    if (op_fs(run, op)) {
        run->n_done++;
    } else {
        run->n_skipped++;
    }
    return NULL;
}

static void add_fact(const char *key, const char *value, void *opaque)
{
    if (g_str_has_prefix(key, "pending.") ||
        g_str_has_prefix(key, "commit.") || g_str_has_prefix(key, "report.")) {
        g_string_append_printf(opaque, "\n    %s: %s", key, value);
    }
}

/* The complaint, and what the driver has to say of itself. */
static char *add_facts(Run *run, char *why)
{
    g_autoptr(BdrvInfo) info = blk_get_info(run->disk->blk, NULL);
    GString *text = g_string_new(why);

    g_free(why);
    if (info && info->specific) {
        options_foreach(info->specific, add_fact, text);
    }
    return g_string_free(text, FALSE);
}

char *run_judge(Run *run, bool thorough)
{
    HostCheck check = { .thorough = thorough, .ignore = PLANTED };
    g_autoptr(GError) error = NULL;
    char *why;

    if (run->config->asks && blk_commit(run->disk->blk, false, &error) < 0) {
        return g_strdup_printf("a commit failed: %s", error->message);
    }
    check.dir_times = run->config->dir_times;
    run->n_judged++;
    if (run->config->no_dir) {
        return judge_image(run, thorough);
    }
    why = hostdir_compare(run->dir, run->root, &check);
    return why ? add_facts(run, why) : NULL;
}

char *run_finish(Run *run)
{
    char *why;
    int ret;

    fatvol_set_dirty(run->vol, false);
    fatvol_sync_fsinfo(run->vol);
    why = disk_write(run->disk, ORDER_LINUX, 0, 0, UINT32_MAX);
    if (why) {
        return why;
    }
    ret = blk_flush(run->disk->blk);
    if (ret < 0) {
        return g_strdup_printf("the last flush failed: %s", g_strerror(-ret));
    }
    why = disk_verify(run->disk, true, 0);
    why = why ? why : judge_volume(run);
    why = why ? why : run_judge(run, true);
    if (why || run->is_planted ||
        run->vol->n_free < run->vol->n_clusters / 8) {
        return why;
    }
    run_detach(run);
    why = run_attach(run);
    why = why ? why : judge_volume(run);
    return why ? why : run_judge(run, true);
}
