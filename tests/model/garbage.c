/* SPDX-License-Identifier: MIT */
/*
 * Garbage on the device, and what must not come of it.
 *
 * The guest's memory (disk->mem) stays good: whatever is damaged becomes dirty
 * and is repaired by writing it again. Until then a file that the garbage does
 * not concern has to be as the model says: its clusters, its entry, its chain
 * and those of the directories above are whole, so the volume still says what
 * it holds, whatever else there may be on it.
 */
#include <errno.h>
#include <ftw.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/model/hostdir.h"
#include "tests/model/run.h"

#define CANARY "canary"
#define CANARY_FILE "secret"

/* ---- What is beside the directory ---- */

static GString *listing; /* nftw() passes nothing on */

/* Files of this program at the top, the directory itself, and what the driver
 * keeps of a disk that it does not commit. */
static bool is_ours(const char *name)
{
    static const char *const ours[] = { "dir", "disk.raw", "volume.img",
                                        "log" };
    bool found = g_str_has_prefix(name, "dir.vvfat-rescue-");

    for (size_t i = 0; i < G_N_ELEMENTS(ours); i++) {
        found |= strcmp(name, ours[i]) == 0;
    }
    return found;
}

static int list_one(const char *path, const struct stat *st, int type,
                    struct FTW *at)
{
    g_autofree char *data = NULL;
    g_autofree char *sum = NULL;
    gsize n = 0;

    if (at->level == 0) {
        return FTW_CONTINUE;
    }
    if (at->level == 1 && is_ours(path + at->base)) {
        return FTW_SKIP_SUBTREE;
    }
    if (type == FTW_F && g_file_get_contents(path, &data, &n, NULL)) {
        sum = g_compute_checksum_for_data(G_CHECKSUM_SHA256,
                                          (const guchar *)data, n);
    }
    g_string_append_printf(listing, "%s %o %" PRId64 " %" PRId64 ".%09ld %s\n",
                           path, (unsigned)st->st_mode, (int64_t)st->st_size,
                           (int64_t)st->st_mtim.tv_sec, st->st_mtim.tv_nsec,
                           sum ? sum : "");
    return FTW_CONTINUE;
}

static int compare_lines(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static char *list_outside(const Run *run)
{
    g_auto(GStrv) lines = NULL;

    listing = g_string_new(NULL);
    nftw(run->config->work, list_one, 16, FTW_PHYS | FTW_ACTIONRETVAL);
    lines = g_strsplit(listing->str, "\n", -1);
    g_string_free(listing, TRUE);
    qsort(lines, g_strv_length(lines), sizeof(*lines), compare_lines);
    return g_strjoinv("\n", lines);
}

static void make_canary(Run *run)
{
    g_autofree char *below = g_build_filename(run->config->work, CANARY, "sub",
                                              NULL);
    g_autofree char *secret = g_build_filename(run->config->work, CANARY,
                                               CANARY_FILE, NULL);
    g_autofree char *other = g_build_filename(below, "other", NULL);

    g_mkdir_with_parents(below, 0755);
    g_file_set_contents(secret, "nobody changes this", -1, NULL);
    g_file_set_contents(other, "nor this", -1, NULL);
    run->outside = list_outside(run);
    run->damaged = g_malloc0((gsize)(run->disk->size / SECTOR));
    run->concerned = g_ptr_array_new_with_free_func(g_free);
}

/* ---- What is concerned ---- */

static bool is_damaged(const Run *run, int64_t offset, int64_t bytes)
{
    for (int64_t s = offset / SECTOR; s <= (offset + bytes - 1) / SECTOR;
         s++) {
        if (run->damaged[s]) {
            return true;
        }
    }
    return false;
}

static bool chain_is_concerned(const Run *run, uint32_t first)
{
    const FatVol *vol = run->vol;

    for (uint32_t c = first; c; c = fatvol_next(vol, c)) {
        uint32_t at = (uint32_t)((uint64_t)c * (unsigned)vol->type / 8);

        if (is_damaged(run, vol->fat[0] + at, 4) ||
            is_damaged(run, vol->fat[1] + at, 4) ||
            is_damaged(run, fatvol_cluster_at(vol, c), vol->cluster_size)) {
            return true;
        }
    }
    return false;
}

static bool path_is_concerned(const Run *run, const char *path)
{
    for (guint i = 0; i < run->concerned->len; i++) {
        const char *one = g_ptr_array_index(run->concerned, i);
        size_t n = strlen(one);

        if (g_str_has_prefix(path, one) &&
            (path[n] == '/' || path[n] == '\0')) {
            return true;
        }
    }
    return g_str_has_prefix(path, PLANTED);
}

static char *judge_below(Run *run, Node *dir, uint32_t cluster)
{
    unsigned slot = 0;
    FatEntry entry;
    char *why = NULL;

    while (!why && fatvol_read_dir(run->vol, cluster, &slot, &entry)) {
        Node *node = model_child(dir, entry.name);
        uint32_t first = entry_cluster(run->vol, &entry);
        g_autofree char *path = node ? model_path(node) : NULL;

        if (node && !path_is_concerned(run, path) &&
            !chain_is_concerned(run, first)) {
            why = node->is_dir ? judge_below(run, node, first)
                               : hostdir_compare_file(run->dir, node);
        }
        fatvol_entry_clear(&entry);
    }
    return why;
}

char *garbage_judge(Run *run)
{
    g_autofree char *outside = list_outside(run);
    const FatVol *vol = run->vol;

    if (strcmp(outside, run->outside) != 0) {
        return g_strdup_printf("outside the directory was\n%s\nand now is\n%s",
                               run->outside, outside);
    }
    if (run->config->no_dir ||
        (vol->type == 32
             ? chain_is_concerned(run, vol->root_first)
             : is_damaged(run, vol->root, vol->n_root * ENTRY_SIZE))) {
        return NULL;
    }
    return judge_below(run, run->root, 0);
}

/* ---- The operations ---- */

static char *do_damage(Run *run, const Op *op)
{
    char *why = NULL;
    int ret;

    if (!run->is_damaged) {
        /* Otherwise what is concerned would not be known. */
        if (run->is_planted || disk_n_dirty(run->disk) > 0) {
            return NULL;
        }
        if (blk_flush(run->disk->blk) < 0) {
            return g_strdup("flushing failed, before any damage");
        }
        why = run_judge(run, false);
    }
    if (why) {
        return why;
    }
    run->is_damaged = true;
    damage(run, op);
    ret = blk_flush(run->disk->blk);
    run->n_flushes++;
    (void)ret; /* it may say that it could not */
    why = disk_verify(run->disk, false, op->seed);
    return why ? why : garbage_judge(run);
}

/* What was freed meanwhile need not hold what the guest takes it for. */
static void touch_loose(Run *run)
{
    const FatVol *vol = run->vol;

    for (uint32_t c = 2; c < vol->n_clusters + 2; c++) {
        int64_t at = fatvol_cluster_at(vol, c);
        bool is_used = fatvol_entry(vol, run->disk->mem + vol->fat[0], c);

        for (uint32_t i = 0; is_used && i < vol->cluster_size; i += SECTOR) {
            if (run->disk->loose[(at + i) / SECTOR]) {
                disk_touch(run->disk, at + i, SECTOR, CLASS_DATA);
            }
        }
    }
}

static char *do_repair(Run *run, const Op *op)
{
    char *why;
    int ret;

    if (!run->is_damaged) {
        return NULL;
    }
    touch_loose(run);
    why = disk_write(run->disk, op->a, op->b, op->seed, UINT32_MAX);
    if (why) {
        return why;
    }
    ret = blk_flush(run->disk->blk);
    run->n_flushes++;
    if (ret < 0) {
        g_autofree char *text = blk_strerror(ret);

        return g_strdup_printf("flushing what was repaired failed: %s", text);
    }
    run->is_damaged = false;
    memset(run->damaged, 0, (size_t)(run->disk->size / SECTOR));
    g_ptr_array_set_size(run->concerned, 0);
    why = disk_verify(run->disk, true, op->seed);
    why = why ? why : garbage_judge(run);
    return why ? why : run_judge(run, true);
}

/* As a second process would, behind the driver's back. */
static char *do_plant(Run *run, const Op *op)
{
    g_autofree char *link = g_build_filename(run->dir, op->path, NULL);
    g_autofree char *target = g_build_filename(
        run->config->work, CANARY, op->a ? NULL : CANARY_FILE, NULL);

    if (model_walk(run->root, op->path)) {
        return NULL; /* the guest has something of that name */
    }
    hostdir_remove(link);
    if (symlink(target, link) < 0) {
        return g_strdup_printf("cannot make the link '%s'", link);
    }
    run->is_planted = true;
    return NULL;
}

static char *do_unplant(Run *run)
{
    g_autoptr(GDir) dir = g_dir_open(run->dir, 0, NULL);
    const char *name;

    for (guint i = 0; i < run->root->children->len; i++) {
        const Node *node = g_ptr_array_index(run->root->children, i);

        if (g_str_has_prefix(node->name, PLANTED)) {
            return NULL; /* the guest has not given it up */
        }
    }
    while (dir && (name = g_dir_read_name(dir))) {
        if (g_str_has_prefix(name, PLANTED)) {
            g_autofree char *path = g_build_filename(run->dir, name, NULL);

            hostdir_remove(path);
        }
    }
    run->is_planted = false;
    return garbage_judge(run);
}

char *op_garbage(Run *run, const Op *op)
{
    if (!run->outside) {
        make_canary(run);
    }
    switch (op->kind) {
    case OP_DAMAGE:
        return do_damage(run, op);
    case OP_REPAIR:
        return do_repair(run, op);
    case OP_PLANT:
        return do_plant(run, op);
    default:
        return do_unplant(run);
    }
}
