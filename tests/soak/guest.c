/* SPDX-License-Identifier: MIT */
/*
 * The model's guest, and others beside it: a reader of the same device, and
 * the host in the same directory.
 *
 *   attached   taken to change the device (alone), or to use it beside the
 *              guest (shared)
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/model/hostdir.h"
#include "tests/model/run.h"
#include "tests/soak/nbd.h"
#include "tests/soak/soak.h"

#define READ_MOST 200000u
#define REST_MICROSECONDS 3000u
#define SERVER_DESCRIPTORS 144u           /* files being read; connections */
#define SERVER_MEMORY (INT64_C(64) << 20) /* of growth */

typedef struct Guest {
    Worker *worker;
    Config config;
    Prng prng;
    Run *run;
    Server *server; /* NULL: the device is in this process */
    char *socket, *overlay, *words;
    Visitor *visitor;
    pthread_rwlock_t attached;
    GThread *reader;
    gint stop;
    char *reader_why;
    bool is_steady;
} Guest;

/* ---- The reader ---- */

static void reader_complain(Guest *g, const char *what, int ret)
{
    g_autofree char *text = blk_strerror(ret);

    if (!g->reader_why) {
        g->reader_why = g_strdup_printf("beside the guest, %s failed: %s",
                                        what, text);
    }
}

static void read_something(Guest *g, BlockBackend *blk, Prng *prng)
{
    int64_t size = blk_getlength(blk);
    int64_t at = (int64_t)(prng_next(prng) % (uint64_t)size);
    int64_t most = 1 + prng_below(prng, READ_MOST);
    int64_t n = MIN(most, size - at);
    g_autofree uint8_t *data = g_malloc((gsize)n);
    g_auto(BdrvBlockStatus) status = { 0 };
    int ret = blk_pread(blk, at, n, data, 0);

    if (ret < 0) {
        reader_complain(g, "reading", ret);
    }
    ret = blk_block_status(blk, at, n, 0, &status);
    if (ret < 0) {
        reader_complain(g, "asking for block status", ret);
    }
}

static void use_beside(Guest *g, BlockBackend *blk, Prng *prng)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(BdrvInfo) info = NULL;
    int ret = 0;

    switch (prng_below(prng, 12)) {
    case 0:
        ret = blk_flush(blk);
        break;
    case 1:
        ret = blk_commit(blk, false, &error);
        break;
    case 2:
        info = blk_get_info(blk, NULL);
        break;
    default:
        read_something(g, blk, prng);
    }
    if (ret < 0) {
        reader_complain(g, "a flush or commit", ret);
    }
}

static gpointer reader_run(gpointer opaque)
{
    Guest *g = opaque;
    Prng prng = { g->worker->seed ^ 0x7ead };

    while (!g_atomic_int_get(&g->stop)) {
        pthread_rwlock_rdlock(&g->attached);
        if (g->run->disk) {
            use_beside(g, g->run->disk->blk, &prng);
        }
        pthread_rwlock_unlock(&g->attached);
        g_usleep(REST_MICROSECONDS);
    }
    return NULL;
}

/* ---- What kind of guest ---- */

static BlockBackend *open_served(const char *name, void *opaque, GError **errp)
{
    Guest *g = opaque;
    const Soak *soak = g->worker->soak;

    if (!g->server) {
        g->server = server_new(soak, prng_next(&g->prng), name, g->socket,
                               g->overlay, g->is_steady);
    }
    return nbd_open(g->socket, prng_next(&g->prng), errp);
}

static void choose(Guest *g)
{
    static const int types[] = { 12, 16, 32 };
    static const char *const policies[] = { "flush", "write", "idle", "close",
                                            "manual" };
    const Soak *soak = g->worker->soak;
    bool is_served = soak->plugin || prng_one_in(&g->prng, 3);
    /* A flush that does not commit, and no way to ask for it. */
    unsigned n_policies = is_served ? 2 : G_N_ELEMENTS(policies);
    const char *policy = policies[prng_below(&g->prng, n_policies)];
    unsigned delay = 1 + prng_below(&g->prng, 60);
    /* A commit after each sector takes its time: of small volumes alone. */
    bool is_slow = strcmp(policy, "write") == 0;

    g->config.work = g->worker->work;
    g->config.seed = g->worker->seed;
    g->config.n_ops = is_slow ? soak->n_ops / 4 : soak->n_ops;
    g->config.fat_type = is_slow ? 12 : types[prng_below(&g->prng, 3)];
    g->config.small = is_served || census_is_slow();
    g->config.overlay = is_served || prng_one_in(&g->prng, 2);
    g->config.asks = policy != policies[0] && policy != policies[1];
    g->words = g_strdup_printf(
        "timezone=utc:commit=%s:commit-delay=%u:", policy, delay);
    g->config.words = g->words;
    g->is_steady = is_served && prng_one_in(&g->prng, 4);
    if (is_served) {
        g->config.open = open_served;
        g->config.opaque = g;
    }
    g->socket = g_strconcat(g->worker->work, ".sock", NULL);
    g->overlay = g_strconcat(g->worker->work, "-overlay.qcow2", NULL);
    g->worker->what = g_strdup_printf(
        "guest, seed %" PRIu64 ", FAT%d, %s%s%s", g->config.seed,
        g->config.fat_type, g->words, g->config.overlay ? " overlay" : "",
        g->is_steady ? ", served"
        : is_served  ? ", served and killed"
                     : "");
}

/* ---- Its day ---- */

static void guest_complain(Guest *g, const char *where, char *why)
{
    if (why) {
        worker_complain(g->worker, g_strdup_printf("%s: %s", where, why));
        g_free(why);
    }
}

/* With nobody beside it; a new device does not show the host's files. */
static void reopen(Guest *g, const Op *op)
{
    pthread_rwlock_wrlock(&g->attached);
    guest_complain(g, "the host", visitor_pause(g->visitor, true));
    if (!g->worker->why) {
        guest_complain(g, "opened again", run_op(g->run, op));
    }
    visitor_resume(g->visitor);
    pthread_rwlock_unlock(&g->attached);
}

static void live(Guest *g, FILE *log)
{
    Prng ops = { g->config.seed };

    for (unsigned i = 0; i < g->config.n_ops && !g->worker->why; i++) {
        Op *op = op_make(g->run, &ops);
        g_autofree char *line = op_to_line(op);

        fputs(line, log);
        fflush(log);
        if (op->kind == OP_REOPEN) {
            reopen(g, op);
        } else {
            guest_complain(g, "an operation", run_op(g->run, op));
        }
        op_free(op);
    }
}

static void check_server(Guest *g, unsigned descriptors, int64_t memory)
{
    unsigned now = server_descriptors(g->server);
    int64_t grown = server_memory(g->server) - memory;

    if (now > descriptors + SERVER_DESCRIPTORS) {
        worker_complain(g->worker,
                        g_strdup_printf("the server has %u descriptors, "
                                        "and had %u",
                                        now, descriptors));
    }
    if (grown > SERVER_MEMORY) {
        worker_complain(g->worker,
                        g_strdup_printf("the server has grown by %" PRId64
                                        " bytes",
                                        grown));
    }
}

/*
 * All of the disk through other connections of the server, four at a time, by
 * a program that is not ours: what was flushed is what it gets.
 */
static void copy_and_compare(Guest *g)
{
    const Disk *disk = g->run->disk;
    g_autofree char *uri = g_strconcat("nbd+unix:///?socket=", g->socket,
                                       NULL);
    g_autofree char *copy = g_strconcat(g->worker->work, ".copy", NULL);
    const char *argv[] = { "nbdcopy", "--connections=4", uri, copy, NULL };
    g_autofree char *data = NULL;
    g_autoptr(GError) error = NULL;
    int status = 0;
    gsize n = 0;

    if (!g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH, NULL,
                      NULL, NULL, NULL, &status, &error) ||
        !g_spawn_check_wait_status(status, &error) ||
        !g_file_get_contents(copy, &data, &n, &error)) {
        worker_complain(g->worker, g_strdup(error->message));
        return;
    }
    unlink(copy);
    for (gsize at = 0; at < n && !g->worker->why; at += SECTOR) {
        if (!disk->loose[at / SECTOR] &&
            memcmp(data + at, disk->shadow + at, SECTOR) != 0) {
            worker_complain(g->worker,
                            g_strdup_printf("nbdcopy gets another sector %zu",
                                            (size_t)(at / SECTOR)));
        }
    }
}

static void end(Guest *g)
{
    g_atomic_int_set(&g->stop, 1);
    g_thread_join(g->reader);
    guest_complain(g, "the host", visitor_free(g->visitor));
    if (g->reader_why) {
        worker_complain(g->worker, g->reader_why);
    }
    if (!g->worker->why) {
        guest_complain(g, "in the end", run_finish(g->run));
    }
    if (!g->worker->why && g->worker->soak->plugin && g->is_steady) {
        copy_and_compare(g);
    }
    g->worker->n_ops += g->run->n_done;
    g->worker->n_judged += g->run->n_judged;
}

/* What may not be there when it is over. */
static void check_remains(Guest *g)
{
    g_autofree char *dir = g_build_filename(g->worker->work, "dir", NULL);

    if (census_names(dir, ".vvfat-") > 0) {
        worker_complain(g->worker, g_strdup("temporary files are left"));
    }
    if (census_names(g->worker->work, "") != 2) {
        worker_complain(g->worker, g_strdup("something was kept beside the "
                                            "directory that need not be"));
    }
}

void guest_work(Worker *worker)
{
    Guest g = { .worker = worker, .prng = { worker->seed } };
    g_autofree char *log_name = g_build_filename(worker->work, "log", NULL);
    FILE *log = fopen(log_name, "we");
    unsigned descriptors = 0;
    int64_t memory = 0;
    char *why = NULL;

    choose(&g);
    g.run = run_open(&g.config, &why);
    if (!g.run) {
        guest_complain(&g, "the start", why);
    } else {
        pthread_rwlock_init(&g.attached, NULL);
        if (g.is_steady) {
            descriptors = server_descriptors(g.server);
            memory = server_memory(g.server);
        }
        g.visitor = visitor_new(g.run->dir, PLANTED, worker->seed);
        g.reader = g_thread_new("reader", reader_run, &g);
        live(&g, log);
        end(&g);
        if (g.is_steady) {
            check_server(&g, descriptors, memory);
        }
        run_close(g.run);
        pthread_rwlock_destroy(&g.attached);
    }
    if (g.server) {
        guest_complain(&g, "the server",
                       server_free(g.server, &worker->n_kills));
    }
    fclose(log);
    check_remains(&g);
    if (!worker->why) {
        unlink(g.overlay);
    }
    g_free(g.socket);
    g_free(g.overlay);
    g_free(g.words);
}
