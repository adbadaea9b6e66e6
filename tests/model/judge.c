/* SPDX-License-Identifier: MIT */
/* Who else has a say: fsck.fat and mtools about an image, and a reading of
 * the volume that starts from its bytes. */
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/model/hostdir.h"
#include "tests/model/run.h"

#define JUDGE_EVERY 8
#define COPY_CHUNK (INT64_C(64) << 10)

/* ---- Other programs ---- */

static char *run_program(const char *const *argv)
{
    g_autofree char *out = NULL;
    g_autofree char *err = NULL;
    g_autoptr(GError) error = NULL;
    int status = 0;

    if (!g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH, NULL,
                      NULL, &out, &err, &status, &error)) {
        return g_strdup(error->message);
    }
    if (status != 0) {
        return g_strdup_printf("%s says (%d): %s%s", argv[0], status, out,
                               err);
    }
    return NULL;
}

/* The volume alone, as it was written. */
static bool save_volume(const Run *run, const char *path)
{
    const Disk *disk = run->disk;
    int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0644);
    bool ok = fd >= 0 && ftruncate(fd, disk->size - run->vol->start) == 0;

    for (int64_t at = run->vol->start; ok && at < disk->size;
         at += COPY_CHUNK) {
        size_t n = (size_t)MIN(COPY_CHUNK, disk->size - at);
        const uint8_t *p = disk->shadow + at;

        if (p[0] != 0 || memcmp(p, p + 1, n - 1) != 0) {
            ok = pwrite(fd, p, n, at - run->vol->start) == (ssize_t)n;
        }
    }
    if (fd >= 0) {
        close(fd);
    }
    return ok;
}

static char *extract(Run *run, const char *volume, const char *to)
{
    const char *fsck[] = { "fsck.fat", "-n", volume, NULL };
    const char *mcopy[] = { "mcopy", "-s",   "-Q",  "-n", "-p", "-m",
                            "-i",    volume, "::/", to,   NULL };
    HostCheck check = { .thorough = true, .by_mtools = true };
    char *why = run_program(fsck);

    if (why) {
        return why;
    }
    if (mkdir(to, 0755) < 0) {
        return g_strdup_printf("cannot make '%s'", to);
    }
    why = run_program(mcopy);
    why = why ? why : hostdir_compare(to, run->root, &check);
    hostdir_remove(to);
    return why;
}

char *judge_image(Run *run, bool thorough)
{
    g_autofree char *volume = g_build_filename(run->config->work, "volume.img",
                                               NULL);
    g_autofree char *to = g_build_filename(run->config->work, "out", NULL);
    char *why;

    if (!thorough && run->n_judged % JUDGE_EVERY != 0) {
        return NULL;
    }
    fatvol_set_dirty(run->vol, false);
    fatvol_sync_fsinfo(run->vol);
    why = disk_write(run->disk, ORDER_LINUX, 0, 0, UINT32_MAX);
    if (!why && !save_volume(run, volume)) {
        why = g_strdup_printf("cannot write '%s'", volume);
    }
    return why ? why : extract(run, volume, to);
}

/* ---- The volume's bytes ---- */

static char *compare_entry(Run *run, Node *node, const FatEntry *entry)
{
    uint8_t attributes = entry->raw[E_ATTR] & (uint8_t)~ATTR_DIR;
    bool times = !node->is_dir || run->config->dir_times;
    int64_t mtime = entry_time(entry);

    if (entry_is_dir(entry) != node->is_dir) {
        return g_strdup("has become something else");
    }
    if (!run->has_attributes) {
        node->attributes = (uint8_t)((node->attributes & ATTR_READ_ONLY) |
                                     (attributes & ~ATTR_READ_ONLY));
    }
    if (attributes != node->attributes) {
        return g_strdup_printf("has attributes %02x, not %02x", attributes,
                               node->attributes);
    }
    if (times && ABS(mtime - node->mtime) > 2) {
        return g_strdup_printf("was modified at %" PRId64 ", not %" PRId64,
                               mtime, node->mtime);
    }
    node->mtime = times ? node->mtime : mtime;
    if (!node->is_dir) {
        g_autofree uint8_t *data = g_malloc(node->data->len + 1);

        if (get32(entry->raw + E_SIZE) != node->data->len) {
            return g_strdup_printf("has %u bytes, not %u",
                                   get32(entry->raw + E_SIZE),
                                   node->data->len);
        }
        if (!fatvol_read(run->vol, entry, data)) {
            return g_strdup("has a chain of another length");
        }
        if (node->data->len &&
            memcmp(data, node->data->data, node->data->len) != 0) {
            return g_strdup("holds something else");
        }
    }
    return NULL;
}

static char *compare_tree(Run *run, Node *dir, uint32_t cluster)
{
    unsigned slot = 0, n = 0;
    g_autofree char *why = NULL;
    FatEntry entry;

    while (!why && fatvol_read_dir(run->vol, cluster, &slot, &entry)) {
        Node *node = model_child(dir, entry.name);

        n++;
        why = node ? compare_entry(run, node, &entry)
                   : g_strdup("should not be there");
        if (why) {
            char *what = g_strdup_printf("in the volume, '%s' (in '%s') %s",
                                         entry.name, dir->name, why);

            fatvol_entry_clear(&entry);
            return what;
        }
        if (node->is_dir) {
            char *below = compare_tree(run, node,
                                       entry_cluster(run->vol, &entry));

            if (below) {
                fatvol_entry_clear(&entry);
                return below;
            }
        }
        fatvol_entry_clear(&entry);
    }
    if (n != dir->children->len) {
        return g_strdup_printf("in the volume, '%s' has %u entries, not %u",
                               dir->name, n, dir->children->len);
    }
    return NULL;
}

char *judge_volume(Run *run)
{
    return compare_tree(run, run->root, 0);
}
