/* SPDX-License-Identifier: MIT */
/*
 * Eight threads, each with a context of its own, keep asynchronous requests
 * under way: on a writable directory that is committed meanwhile, on an image
 * that all share, and on an image of their own. They cancel some, drain what
 * is shared, close and reopen what is their own, and give contexts up; flushes
 * and commits go to a context that another thread dispatches. Everybody finds
 * what they left, in the end the directory holds it, and the thread sanitizer
 * sees no race.
 */
#include <errno.h>
#include <glib/gstdio.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "block/aio.h"

#define CLIENTS 8u
#define ROUNDS 2500
#define SLOT 2048 /* bytes */
#define SLOTS 6   /* of a client on each disk */
#define MARK "vvfat-aio-client"
#define RW (BDRV_O_RDWR | BDRV_O_UNMAP)

enum { DIRECTORY, SHARED, OWN, DISKS };

typedef struct Client Client;

typedef struct Slot {
    Client *client;
    unsigned disk;
    int64_t offset;
    BlockAIOCB *acb; /* NULL: nothing is under way */
    bool reads;
    uint8_t fill; /* what it holds, */
    uint8_t next; /* or will hold */
    uint8_t buf[SLOT];
} Slot;

struct Client {
    unsigned self;
    GRand *rand;
    AioContext *ctx, *hub;
    BlockBackend *disk[DISKS];
    char *image; /* OWN */
    Slot slots[DISKS * SLOTS];
    const char *wrong; /* what failed first; NULL: nothing */
};

static atomic_uint hub_calls, hub_errors, clients_done;
static uint8_t scratch[SLOT];

static unsigned pick(Client *c, unsigned n)
{
    return (unsigned)g_rand_int_range(c->rand, 0, (gint32)n);
}

/* ---- Slots ---- */

static bool is_filled(const uint8_t *buf, uint8_t fill)
{
    return buf[0] == fill && memcmp(buf, buf + 1, SLOT - 1) == 0;
}

static void slot_done(void *opaque, int ret)
{
    Slot *slot = opaque;

    slot->acb = NULL;
    if (ret == -ECANCELED) {
        return;
    }
    if (ret < 0) {
        slot->client->wrong = "a request failed";
    } else if (!slot->reads) {
        slot->fill = slot->next;
    } else if (!is_filled(slot->buf, slot->fill)) {
        slot->client->wrong = "a slot does not hold what was written";
    }
}

static void slot_start(Slot *slot)
{
    Client *c = slot->client;
    BlockBackend *blk = c->disk[slot->disk];
    unsigned kind = pick(c, 10);
    IOVector iov;

    iov_init_buf(&iov, slot->buf, SLOT);
    slot->reads = kind < 4;
    slot->next = kind == 4 ? 0 : (uint8_t)(1 + pick(c, 255));
    if (kind < 4) {
        memset(slot->buf, 0xee, SLOT);
        slot->acb = blk_aio_preadv(blk, c->ctx, slot->offset, &iov, 0,
                                   slot_done, slot);
    } else if (kind == 4) {
        slot->acb = blk_aio_pwrite_zeroes(blk, c->ctx, slot->offset, SLOT,
                                          BDRV_REQ_MAY_UNMAP, slot_done, slot);
    } else {
        memset(slot->buf, slot->next, SLOT);
        slot->acb = blk_aio_pwritev(blk, c->ctx, slot->offset, &iov,
                                    kind == 9 ? BDRV_REQ_FUA : 0, slot_done,
                                    slot);
    }
}

static void slot_step(Slot *slot)
{
    Client *c = slot->client;

    if (slot->acb == NULL) {
        slot_start(slot);
    } else if (pick(c, 3) == 0) {
        blk_aio_cancel(slot->acb);
    } else {
        aio_context_poll(c->ctx, -1);
    }
}

/* ---- What happens now and then ---- */

static BlockBackend *open_image(const char *path)
{
    g_autoptr(Options) options = options_new();

    options_set(options, "driver", "raw");
    return blk_open(path, options, RW, NULL);
}

static void hub_done(void *opaque, int ret)
{
    (void)opaque;
    hub_calls++;
    hub_errors += ret < 0;
}

static void unheard(void *opaque, int ret)
{
    Client *c = opaque;

    (void)ret;
    c->wrong = "a context that was given up told of a request";
}

static void change_context(Client *c)
{
    /* Behind the slots of all. */
    int64_t end = blk_getlength(c->disk[OWN]) - SLOT;
    IOVector iov;

    aio_context_drain(c->ctx);
    iov_init_buf(&iov, scratch, SLOT);
    for (unsigned i = 0; i < 5; i++) {
        blk_aio_pwritev(c->disk[OWN], c->ctx, end, &iov, 0, unheard, c);
        blk_aio_flush(c->disk[i % 2], c->ctx, unheard, c);
    }
    aio_context_unref(c->ctx);
    c->ctx = aio_context_new(1 + pick(c, 4), NULL);
}

static void reopen_own(Client *c)
{
    blk_close(c->disk[OWN]);
    c->disk[OWN] = open_image(c->image);
    if (c->disk[OWN] == NULL) {
        c->wrong = "an image did not open again";
    }
}

static void drain_section(Client *c, BlockBackend *blk)
{
    blk_drained_begin(blk);
    for (unsigned i = 0; i < DISKS * SLOTS; i++) {
        Slot *slot = &c->slots[i];

        if (slot->acb == NULL && pick(c, 2) == 0) {
            slot_start(slot);
        }
    }
    aio_context_dispatch(c->ctx);
    blk_drained_end(blk);
}

static void now_and_then(Client *c)
{
    BlockBackend *shared = c->disk[pick(c, 2)];
    BlkGeometry geometry;

    switch (pick(c, 8)) {
    case 0:
        change_context(c);
        break;
    case 1:
        reopen_own(c);
        break;
    case 2:
        drain_section(c, shared);
        break;
    case 3:
        blk_drain(shared);
        break;
    case 4:
        blk_aio_commit(shared, c->hub, false, hub_done, NULL);
        break;
    case 5:
        if (blk_get_geometry(shared, &geometry) < 0) {
            c->wrong = "there is no geometry";
        }
        break;
    default:
        blk_aio_flush(shared, c->hub, hub_done, NULL);
        break;
    }
}

static gpointer client_run(gpointer opaque)
{
    Client *c = opaque;

    for (int i = 0; i < ROUNDS && !c->wrong; i++) {
        if (pick(c, 30) == 0) {
            now_and_then(c);
        } else {
            slot_step(&c->slots[pick(c, DISKS * SLOTS)]);
        }
    }
    aio_context_drain(c->ctx);
    for (unsigned i = 0; i < DISKS * SLOTS && !c->wrong; i++) {
        Slot *slot = &c->slots[i];

        if (blk_pread(c->disk[slot->disk], slot->offset, SLOT, slot->buf, 0) <
                0 ||
            !is_filled(slot->buf, slot->fill)) {
            c->wrong = "in the end, a slot does not hold what was written";
        }
    }
    clients_done++;
    return NULL;
}

/* ---- The place ---- */

typedef struct Place {
    char *top, *dir;
} Place;

static char *client_file(const char *where, unsigned self)
{
    g_autofree char *name = g_strdup_printf("client%u", self);

    return g_build_filename(where, name, NULL);
}

static bool make_file(const char *path, unsigned self, gsize bytes)
{
    g_autofree char *data = g_malloc0(bytes);

    g_snprintf(data, 64, MARK " %u", self);
    return g_file_set_contents(path, data, (gssize)bytes, NULL);
}

static BlockBackend *open_directory(const Place *p)
{
    g_autoptr(Options) options = options_new();

    options_set(options, "driver", "vvfat");
    options_set(options, "dir", p->dir);
    options_set(options, "rw", "on");
    options_set(options, "size", "16M");
    options_set(options, "commit-delay", "5");
    return blk_open(NULL, options, RW, NULL);
}

/* Where the mark of the client is: the beginning of its file. */
static int64_t find_mark(BlockBackend *blk, unsigned self)
{
    g_autofree char *mark = g_strdup_printf(MARK " %u", self);
    char sector[512] = "";
    int64_t offset = -512;

    do {
        offset += 512;
        if (blk_pread(blk, offset, 512, sector, 0) < 0) {
            return -1;
        }
    } while (strncmp(sector, mark, sizeof(sector)) != 0);
    return offset;
}

static bool client_init(Client *c, const Place *p, BlockBackend *directory,
                        BlockBackend *shared, AioContext *hub, unsigned self)
{
    int64_t start[DISKS] = {
        find_mark(directory, self) + SLOT,
        (int64_t)self * SLOTS * SLOT,
        SLOT,
    };

    c->self = self;
    c->rand = g_rand_new_with_seed(self + 1);
    c->ctx = aio_context_new(0, NULL);
    c->hub = hub;
    c->image = client_file(p->top, self);
    c->disk[DIRECTORY] = directory;
    c->disk[SHARED] = shared;
    c->disk[OWN] = make_file(c->image, self, 64 << 10) ? open_image(c->image)
                                                       : NULL;
    for (unsigned i = 0; i < DISKS * SLOTS; i++) {
        Slot *slot = &c->slots[i];

        slot->client = c;
        slot->disk = i / SLOTS;
        slot->offset = start[slot->disk] + (int64_t)(i % SLOTS) * SLOT;
    }
    return start[DIRECTORY] >= SLOT && c->ctx && c->disk[OWN];
}

static void client_clear(Client *c)
{
    blk_close(c->disk[OWN]);
    aio_context_unref(c->ctx);
    g_rand_free(c->rand);
    g_unlink(c->image);
    g_free(c->image);
}

/* What the client left is in its file on the host. */
static bool host_agrees(const Client *c, const Place *p)
{
    g_autofree char *path = client_file(p->dir, c->self);
    g_autofree char *data = NULL;
    gsize n;

    if (!g_file_get_contents(path, &data, &n, NULL) ||
        n != (SLOTS + 1) * SLOT) {
        return false;
    }
    for (unsigned i = 0; i < SLOTS; i++) {
        if (!is_filled((uint8_t *)data + (i + 1) * SLOT, c->slots[i].fill)) {
            return false;
        }
    }
    return true;
}

/* ---- All of it ---- */

static const char *run(Client *clients, AioContext *hub)
{
    GThread *threads[CLIENTS];
    const char *wrong = NULL;

    for (unsigned i = 0; i < CLIENTS; i++) {
        threads[i] = g_thread_new("client", client_run, &clients[i]);
    }
    while (clients_done < CLIENTS) {
        if (aio_context_poll(hub, 20) == 0) {
            g_usleep(1000);
        }
    }
    for (unsigned i = 0; i < CLIENTS; i++) {
        g_thread_join(threads[i]);
        wrong = wrong ? wrong : clients[i].wrong;
    }
    aio_context_drain(hub);
    if (!wrong && (hub_errors > 0 || hub_calls == 0)) {
        wrong = "flushes or commits failed, or there were none";
    }
    return wrong;
}

static const char *run_in(const Place *p, Client *clients)
{
    g_autofree char *image = g_build_filename(p->top, "shared", NULL);
    AioContext *hub = aio_context_new(3, NULL);
    BlockBackend *directory, *shared;
    const char *wrong = NULL;

    for (unsigned i = 0; i < CLIENTS; i++) {
        g_autofree char *path = client_file(p->dir, i);

        make_file(path, i, (SLOTS + 1) * SLOT);
    }
    make_file(image, CLIENTS, CLIENTS * SLOTS * SLOT);
    directory = open_directory(p);
    shared = open_image(image);
    if (!hub || !directory || !shared ||
        blk_pwrite_zeroes(shared, 0, SLOT, 0) < 0) {
        return "it did not open";
    }
    for (unsigned i = 0; i < CLIENTS; i++) {
        if (!client_init(&clients[i], p, directory, shared, hub, i)) {
            return "a client could not begin";
        }
    }
    wrong = run(clients, hub);
    blk_close(shared);
    if (blk_commit(directory, true, NULL) < 0 && !wrong) {
        wrong = "the last commit failed";
    }
    blk_close(directory);
    for (unsigned i = 0; i < CLIENTS; i++) {
        if (!wrong && !host_agrees(&clients[i], p)) {
            wrong = "a file on the host is not what was written";
        }
        client_clear(&clients[i]);
    }
    aio_context_unref(hub);
    g_unlink(image);
    return wrong;
}

int main(int argc, char **argv)
{
    Place p;
    Client *clients;
    const char *wrong;

    (void)argc;
    if (!g_getenv("G_SLICE")) {
        /* GLib's own allocator hands memory from one thread to another
         * without the sanitizer seeing it. */
        g_setenv("G_SLICE", "always-malloc", TRUE);
        execv("/proc/self/exe", argv);
    }
    p.top = g_dir_make_tmp("vvfat-aio-XXXXXX", NULL);
    p.dir = g_build_filename(p.top, "dir", NULL);
    g_assert(g_mkdir(p.dir, 0755) == 0);
    clients = g_new0(Client, CLIENTS);
    wrong = run_in(&p, clients);
    if (wrong) {
        fprintf(stderr, "%s\n", wrong);
    }
    g_free(clients);
    for (unsigned i = 0; i < CLIENTS; i++) {
        g_autofree char *path = client_file(p.dir, i);

        g_unlink(path);
    }
    g_rmdir(p.dir);
    if (g_rmdir(p.top) < 0 && !wrong) {
        wrong = "something is left";
        fprintf(stderr, "%s\n", wrong);
    }
    g_free(p.dir);
    g_free(p.top);
    return wrong != NULL;
}
