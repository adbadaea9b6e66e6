/* SPDX-License-Identifier: MIT */
#include "tests/soak/clash.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define FIRST_FILES 14u
#define NAMES 30u
#define BOUT 10u /* changes of either between two judgements */
#define REOPEN_ONE_IN 6u

Token clash_token(Clash *c)
{
    return (Token)g_atomic_int_add(&c->n_tokens, 1) + 1;
}

void clash_log(Clash *c, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    g_mutex_lock(&c->lock);
    fprintf(c->log, "%" PRId64 " ", g_get_monotonic_time());
    vfprintf(c->log, fmt, args);
    fputc('\n', c->log);
    fflush(c->log);
    g_mutex_unlock(&c->lock);
    va_end(args);
}

char *clash_name(Prng *prng)
{
    unsigned n = prng_below(prng, NAMES);

    return n % 3 ? g_strdup_printf("file-%u", n)
                 : g_strdup_printf("A long name, number %u.text", n);
}

/* ---- The guest's changes ---- */

static void guest_complain(Clash *c, const char *what)
{
    worker_complain(c->worker, g_strdup(what));
}

static void set_file(Clash *c, const char *name, Token token)
{
    gpointer old = g_hash_table_lookup(c->files, name);

    if (old) {
        /* One of the host's that the guest was shown is the guest's, too. */
        g_mutex_lock(&c->lock);
        tokens_drop(c->hosts, GPOINTER_TO_UINT(old));
        g_mutex_unlock(&c->lock);
    }
    if (token) {
        g_hash_table_insert(c->files, g_strdup(name), GUINT_TO_POINTER(token));
    } else {
        g_hash_table_remove(c->files, name);
    }
}

static void write_version(Clash *c, const char *name, FatEntry *entry)
{
    Token token = clash_token(c);
    uint32_t bytes;
    g_autofree uint8_t *data = token_data(token, &bytes);

    clash_log(c, "guest: '%s' is %u, %u bytes, was %u", name, token, bytes,
              get32(entry->raw + E_SIZE));
    entry_set_time(c->vol, entry, 1000000000 + 2 * (int64_t)token);
    if (!fatvol_resize(c->vol, entry, bytes) ||
        !fatvol_write(c->vol, entry, 0, data, bytes)) {
        guest_complain(c, "there is no room on the volume");
    }
    set_file(c, name, token);
}

static void create(Clash *c, const char *name)
{
    FatEntry entry;

    if (!fatvol_add(c->vol, 0, name, false, SLOT_ANY, &entry)) {
        guest_complain(c, "there is no room for an entry");
        return;
    }
    entry.raw[E_ATTR] = ATTR_ARCHIVE;
    write_version(c, name, &entry);
    fatvol_entry_clear(&entry);
}

static void change(Clash *c, const char *name, FatEntry *entry)
{
    g_autofree char *other = clash_name(&c->prng);
    gpointer token = g_hash_table_lookup(c->files, name);
    FatEntry there;

    switch (prng_below(&c->prng, 6)) {
    case 0:
        clash_log(c, "guest: '%s' is deleted", name);
        fatvol_delete_tree(c->vol, entry);
        set_file(c, name, 0);
        break;
    case 1:
        if (fatvol_find(c->vol, 0, other, &there)) {
            fatvol_entry_clear(&there);
        } else if (fatvol_move(c->vol, entry, 0, other, false,
                               prng_one_in(&c->prng, 2))) {
            clash_log(c, "guest: '%s' becomes '%s'", name, other);
            g_hash_table_remove(c->files, name);
            g_hash_table_insert(c->files, g_strdup(other), token);
        }
        break;
    case 2:
    case 3:
        fatvol_delete_tree(c->vol, entry);
        create(c, name);
        break;
    default: /* in the same clusters, as many as there are */
        write_version(c, name, entry);
    }
}

static void write_out(Clash *c)
{
    char *why = disk_write(c->disk, prng_below(&c->prng, N_ORDERS),
                           prng_below(&c->prng, N_STYLES), prng_next(&c->prng),
                           UINT32_MAX);

    if (why) {
        worker_complain(c->worker, why);
    }
    clash_log(c, "guest: written out");
}

/* What a file held that the host took away cannot be given another name. */
#define GONE "changed on the host meanwhile"

/* False: it waits for contents that are gone. */
static bool commit(Clash *c)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *text = NULL;
    int ret;

    g_mutex_lock(&c->commits);
    clash_log(c, "commit");
    ret = prng_one_in(&c->prng, 3) ? blk_flush(c->disk->blk) : 0;
    if (ret == 0) {
        ret = blk_commit(c->disk->blk, false, &error);
    }
    text = error ? g_strdup(error->message) : blk_strerror(ret);
    clash_log(c, "committed: %s", text);
    g_mutex_unlock(&c->commits);
    if (ret < 0 && !strstr(text, GONE)) {
        worker_complain(c->worker,
                        g_strdup_printf("a commit failed: %s", text));
    }
    return ret == 0;
}

/* Write anew what the host has put hands on. */
static void recover(Clash *c)
{
    g_autoptr(GList) names = g_hash_table_get_keys(c->files);

    for (GList *l = names; l; l = l->next) {
        g_autofree char *name = g_strdup(l->data);
        gpointer token = g_hash_table_lookup(c->files, name);
        FatEntry entry;

        if (tokens_have(c->handled, GPOINTER_TO_UINT(token)) &&
            fatvol_find(c->vol, 0, name, &entry)) {
            if (prng_one_in(&c->prng, 2)) {
                write_version(c, name, &entry);
            } else {
                fatvol_delete_tree(c->vol, &entry);
                create(c, name);
            }
            fatvol_entry_clear(&entry);
        }
    }
    write_out(c);
    if (!commit(c)) {
        guest_complain(c, "what was written anew is not committed");
    }
}

static void guest_step(Clash *c)
{
    g_autofree char *name = clash_name(&c->prng);
    FatEntry entry;

    if (fatvol_find(c->vol, 0, name, &entry)) {
        change(c, name, &entry);
        fatvol_entry_clear(&entry);
    } else {
        create(c, name);
    }
    c->worker->n_ops++;
    if (prng_one_in(&c->prng, 2)) {
        write_out(c);
    }
    if (prng_one_in(&c->prng, 3)) {
        (void)commit(c);
    }
}

/* ---- Devices ---- */

static void attach(Clash *c)
{
    g_autoptr(GError) error = NULL;
    BlockBackend *blk = blk_open(c->device, NULL, BDRV_O_RDWR | BDRV_O_UNMAP,
                                 &error);
    char *why = NULL;

    if (!blk) {
        guest_complain(c, error->message);
        return;
    }
    c->disk = disk_new(blk, &why);
    c->vol = c->disk ? fatvol_open(c->disk, &why) : NULL;
    if (why) {
        worker_complain(c->worker, why);
        return;
    }
    c->vol->policy = ALLOC_NEXT_FIT;
}

static void detach(Clash *c)
{
    fatvol_free(c->vol);
    disk_free(c->disk);
    c->vol = NULL;
    c->disk = NULL;
}

static void reopen(Clash *c)
{
    clash_log(c, "opened again");
    detach(c);
    clash_thin_out(c);
    attach(c);
    if (!c->worker->why && !c->is_kept) {
        clash_learn(c);
    }
}

/* ---- All of it ---- */

static gpointer host_run(gpointer opaque)
{
    clash_host(opaque, BOUT);
    return NULL;
}

static void bout(Clash *c)
{
    GThread *host = g_thread_new("host", host_run, c);
    bool is_committed, will_reopen;

    for (unsigned i = 0; i < BOUT && !c->worker->why; i++) {
        guest_step(c);
    }
    g_thread_join(host);
    if (c->host_why && !c->worker->why) {
        guest_complain(c, c->host_why);
    }
    if (c->worker->why) {
        return;
    }
    write_out(c);
    is_committed = commit(c);
    clash_settle(c);
    will_reopen = prng_one_in(&c->prng, REOPEN_ONE_IN);
    if (!is_committed || will_reopen || prng_one_in(&c->prng, 2)) {
        recover(c);
    }
    if (!c->worker->why) {
        clash_judge(c);
    }
    if (!c->worker->why && will_reopen) {
        reopen(c);
    }
}

static void make_first(Clash *c)
{
    g_assert(g_mkdir_with_parents(c->dir, 0755) == 0);
    g_assert(g_mkdir_with_parents(c->attic, 0755) == 0);
    for (unsigned i = 0; i < FIRST_FILES; i++) {
        g_autofree char *name = clash_name(&c->prng);
        g_autofree char *path = g_build_filename(c->dir, name, NULL);
        Token token = clash_token(c);

        if (token_put(path, token, false)) {
            tokens_add(c->hosts, token);
        }
    }
}

static void choose(Clash *c)
{
    Worker *w = c->worker;
    g_autofree char *overlay = NULL;
    g_autofree char *log = g_build_filename(w->work, "log", NULL);

    c->log = fopen(log, "we");
    c->dir = g_build_filename(w->work, "dir", NULL);
    c->attic = g_build_filename(w->work, "attic", NULL);
    c->is_kept = prng_one_in(&c->prng, 2);
    overlay = c->is_kept
                  ? g_strdup_printf("overlay=%s/overlay.qcow2:", w->work)
                  : g_strdup("");
    /* A cluster is a sector and a unit of the overlay: what is written never
     * needs what the host took away. */
    c->device = g_strdup_printf(
        "fat:rw:size=4M:cluster-size=512:timezone=utc:commit=%s:%s%s",
        prng_one_in(&c->prng, 2) ? "flush" : "manual", overlay, c->dir);
    w->what = g_strdup_printf("clash, seed %" PRIu64 ", %s", w->seed,
                              c->device);
}

void clash_work(Worker *worker)
{
    Clash c = {
        .worker = worker,
        .prng = { worker->seed },
        .host_prng = { worker->seed ^ 0x4057 },
        .files = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL),
        .hosts = tokens_new(),
        .handled = tokens_new(),
        .vacated = g_hash_table_new_full(g_str_hash, g_str_equal, g_free,
                                         NULL),
    };

    choose(&c);
    make_first(&c);
    attach(&c);
    if (!worker->why) {
        clash_learn(&c);
    }
    for (unsigned i = 0; i < worker->soak->n_ops / BOUT && !worker->why; i++) {
        bout(&c);
    }
    detach(&c);
    if (!worker->why && census_names(c.dir, ".vvfat-") > 0) {
        guest_complain(&c, "temporary files are left");
    }
    if (!worker->why && census_names(worker->work, "") != 3u + c.is_kept) {
        guest_complain(&c, "something was kept that need not be");
    }
    g_hash_table_unref(c.files);
    g_hash_table_unref(c.hosts);
    g_hash_table_unref(c.handled);
    g_hash_table_unref(c.vacated);
    fclose(c.log);
    g_free(c.host_why);
    g_free(c.device);
    g_free(c.attic);
    g_free(c.dir);
}
