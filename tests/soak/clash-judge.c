/* SPDX-License-Identifier: MIT */
#include <string.h>
#include <unistd.h>

#include "tests/soak/clash.h"

static void complain(Clash *c, const char *name, const char *what)
{
    worker_complain(c->worker, g_strdup_printf("'%s' %s", name, what));
}

/* ---- The directory ---- */

/*
 * A file that is no version. What the host has put hands on is shown to the
 * guest as far as it goes, and that is what is committed when the guest gives
 * it another name. Without such files there is no excuse.
 */
void clash_torn(Clash *c, const char *path)
{
    clash_log(c, "'%s' is no version", path);
    if (g_hash_table_size(c->handled) == 0) {
        complain(c, path, "is no version that anybody wrote");
    }
    unlink(path);
}

static bool is_known(Clash *c, GHashTable *current, Token token)
{
    return tokens_have(c->hosts, token) || tokens_have(c->handled, token) ||
           tokens_have(current, token);
}

/* All versions in DIR. */
static GHashTable *look_at_dir(Clash *c, GHashTable *current)
{
    GHashTable *found = tokens_new();
    g_autoptr(GDir) dir = g_dir_open(c->dir, 0, NULL);
    const char *name;

    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *path = g_build_filename(c->dir, name, NULL);
        Token token = token_of_file(path);

        if (!token) {
            clash_torn(c, path);
        } else if (!is_known(c, current, token)) {
            complain(c, name, "is a version that should not be there");
        }
        tokens_add(found, token);
    }
    return found;
}

static void check_hosts(Clash *c, GHashTable *found)
{
    GHashTableIter iter;
    gpointer token;

    g_hash_table_iter_init(&iter, c->hosts);
    while (g_hash_table_iter_next(&iter, &token, NULL)) {
        if (!tokens_have(found, GPOINTER_TO_UINT(token))) {
            worker_complain(c->worker,
                            g_strdup_printf("version %u, which the host "
                                            "wrote, is lost",
                                            GPOINTER_TO_UINT(token)));
        }
    }
}

/* ---- The guest's view ---- */

/* Read from the device, without what the guest has in memory of it. */
static Token read_version(Clash *c, const FatEntry *entry)
{
    uint32_t size = get32(entry->raw + E_SIZE);
    g_autofree uint8_t *data = g_malloc(size + TOKEN_BLOCK);
    uint32_t cluster = entry_cluster(c->vol, entry);

    for (uint32_t at = 0; at < size && cluster; at += TOKEN_BLOCK) {
        if (blk_pread(c->disk->blk, fatvol_cluster_at(c->vol, cluster),
                      TOKEN_BLOCK, data + at, 0) < 0) {
            return 0;
        }
        cluster = fatvol_next(c->vol, cluster);
    }
    return token_of(data, size);
}

static void check_files(Clash *c, GHashTable *found)
{
    GHashTableIter iter;
    gpointer name, value;
    FatEntry entry;

    g_hash_table_iter_init(&iter, c->files);
    while (g_hash_table_iter_next(&iter, &name, &value)) {
        Token token = GPOINTER_TO_UINT(value);

        if (!fatvol_find(c->vol, 0, name, &entry)) {
            complain(c, name, "is gone from the volume");
            return;
        }
        if (!tokens_have(c->handled, token)) {
            if (!tokens_have(found, token)) {
                complain(c, name, "as the guest wrote it is not in DIR");
            } else if (read_version(c, &entry) != token) {
                complain(c, name, "reads otherwise than it was written");
            }
        }
        fatvol_entry_clear(&entry);
    }
}

static void check_metadata(Clash *c)
{
    int64_t n = c->vol->data;
    g_autofree uint8_t *data = g_malloc((gsize)n);

    if (blk_pread(c->disk->blk, 0, n, data, 0) < 0 ||
        memcmp(data, c->disk->mem, (size_t)n) != 0) {
        worker_complain(c->worker, g_strdup("FATs or the root directory read "
                                            "otherwise than written"));
    }
}

GHashTable *clash_current(Clash *c)
{
    GHashTable *current = tokens_new();
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, c->files);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        tokens_add(current, GPOINTER_TO_UINT(value));
    }
    return current;
}

void clash_judge(Clash *c)
{
    g_autoptr(GHashTable) current = clash_current(c);
    g_autoptr(GHashTable) found = NULL;

    found = look_at_dir(c, current);
    check_hosts(c, found);
    check_metadata(c);
    check_files(c, found);
    c->worker->n_judged++;
}

void clash_learn(Clash *c)
{
    unsigned slot = 0, n = 0;
    FatEntry entry;

    g_hash_table_remove_all(c->files);
    g_hash_table_remove_all(c->handled);
    while (fatvol_read_dir(c->vol, 0, &slot, &entry)) {
        g_autofree char *path = g_build_filename(c->dir, entry.name, NULL);
        Token token = read_version(c, &entry);

        if (!token || token != token_of_file(path)) {
            complain(c, entry.name, "is shown as something else");
        }
        g_hash_table_insert(c->files, g_strdup(entry.name),
                            GUINT_TO_POINTER(token));
        fatvol_entry_clear(&entry);
        n++;
    }
    if (n != census_names(c->dir, "")) {
        worker_complain(c->worker,
                        g_strdup("not every file is shown on the volume"));
    }
}
