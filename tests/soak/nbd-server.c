/* SPDX-License-Identifier: MIT */
/*
 * The server. Each connection is a thread that carries out one request after
 * the other; the thread that was called waits for SIGTERM, and then ends the
 * connections by shutting down their sockets.
 */
#include <endian.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/soak/nbd.h"

typedef struct Connection {
    BlockBackend *blk;
    int fd;
    gint over;
    GThread *thread;
} Connection;

static bool greet(const Connection *c)
{
    struct __attribute__((packed)) {
        uint64_t magic, opt_magic;
        uint16_t flags;
    } hello = {
        htobe64(NBD_MAGIC),
        htobe64(NBD_OPT_MAGIC),
        htobe16(NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES),
    };
    struct __attribute__((packed)) {
        uint32_t flags;
        uint64_t magic;
        uint32_t option, bytes;
    } answer;
    struct __attribute__((packed)) {
        uint64_t size;
        uint16_t flags;
    } offer = {
        htobe64((uint64_t)blk_getlength(c->blk)),
        htobe16(NBD_EXPORT_FLAGS),
    };

    return nbd_send(c->fd, &hello, sizeof(hello)) &&
           nbd_receive(c->fd, &answer, sizeof(answer)) &&
           be64toh(answer.magic) == NBD_OPT_MAGIC &&
           be32toh(answer.option) == NBD_OPT_EXPORT_NAME &&
           answer.bytes == 0 && nbd_send(c->fd, &offer, sizeof(offer));
}

static int carry_out(BlockBackend *blk, const NbdRequest *r, void *data)
{
    int64_t offset = (int64_t)be64toh(r->offset);
    int64_t bytes = be32toh(r->bytes);
    unsigned flags = be16toh(r->flags);

    switch (be16toh(r->type)) {
    case NBD_CMD_READ:
        return blk_pread(blk, offset, bytes, data, 0);
    case NBD_CMD_WRITE:
        return blk_pwrite(blk, offset, bytes, data,
                          flags & NBD_CMD_FLAG_FUA ? BDRV_REQ_FUA : 0);
    case NBD_CMD_FLUSH:
        return blk_flush(blk);
    case NBD_CMD_TRIM:
        return blk_pdiscard(blk, offset, bytes);
    case NBD_CMD_WRITE_ZEROES:
        return blk_pwrite_zeroes(
            blk, offset, bytes,
            flags & NBD_CMD_FLAG_NO_HOLE ? 0 : BDRV_REQ_MAY_UNMAP);
    default:
        return -EINVAL;
    }
}

/* False: this connection is over. */
static bool serve_one(const Connection *c)
{
    NbdRequest r;
    NbdReply reply = { .magic = htobe32(NBD_REPLY_MAGIC) };
    g_autofree void *data = NULL;
    unsigned type;
    size_t n;

    if (!nbd_receive(c->fd, &r, sizeof(r)) ||
        be32toh(r.magic) != NBD_REQUEST_MAGIC) {
        return false;
    }
    type = be16toh(r.type);
    n = type == NBD_CMD_READ || type == NBD_CMD_WRITE ? be32toh(r.bytes) : 0;
    if (type == NBD_CMD_DISC || n > NBD_MAX_BYTES) {
        return false;
    }
    data = g_malloc(n + 1);
    if (type == NBD_CMD_WRITE && !nbd_receive(c->fd, data, n)) {
        return false;
    }
    reply.cookie = r.cookie;
    reply.error = htobe32((uint32_t)-carry_out(c->blk, &r, data));
    return nbd_send(c->fd, &reply, sizeof(reply)) &&
           (type != NBD_CMD_READ || reply.error || nbd_send(c->fd, data, n));
}

static gpointer serve(gpointer opaque)
{
    Connection *c = opaque;

    if (greet(c)) {
        while (serve_one(c)) {
        }
    }
    shutdown(c->fd, SHUT_RDWR);
    g_atomic_int_set(&c->over, 1);
    return NULL;
}

static int listen_at(const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    g_strlcpy(address.sun_path, path, sizeof(address.sun_path));
    unlink(path);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
        listen(fd, 8) < 0) {
        return -1;
    }
    return fd;
}

static void connection_free(gpointer opaque)
{
    Connection *c = opaque;

    shutdown(c->fd, SHUT_RDWR);
    g_thread_join(c->thread);
    close(c->fd);
    g_free(c);
}

static void accept_one(BlockBackend *blk, int fd, GPtrArray *connections)
{
    Connection *c = g_new0(Connection, 1);

    for (guint i = connections->len; i-- > 0;) {
        Connection *old = g_ptr_array_index(connections, i);

        if (g_atomic_int_get(&old->over)) {
            g_ptr_array_remove_index_fast(connections, i);
        }
    }
    c->blk = blk;
    c->fd = fd;
    c->thread = g_thread_new("connection", serve, c);
    g_ptr_array_add(connections, c);
}

bool nbd_serve(BlockBackend *blk, const char *path)
{
    g_autoptr(GPtrArray)
        connections = g_ptr_array_new_with_free_func(connection_free);
    struct pollfd polls[2] = { { .events = POLLIN }, { .events = POLLIN } };
    sigset_t term;

    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    polls[0].fd = signalfd(-1, &term, SFD_CLOEXEC);
    polls[1].fd = listen_at(path);
    if (polls[0].fd < 0 || polls[1].fd < 0) {
        return false;
    }
    while (!polls[0].revents) {
        if (poll(polls, 2, -1) > 0 && polls[1].revents) {
            int fd = accept4(polls[1].fd, NULL, NULL, SOCK_CLOEXEC);

            if (fd >= 0) {
                accept_one(blk, fd, connections);
            }
        }
    }
    close(polls[0].fd);
    close(polls[1].fd);
    return true;
}
