/* SPDX-License-Identifier: MIT */
/*
 * The client. One connection a node, one request at a time under `lock`.
 */
#include <endian.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "block/driver.h"
#include "tests/model/prng.h"
#include "tests/soak/nbd.h"

#define PATIENCE_SECONDS 120 /* for a server that is on its way */
#define DISCONNECT_ONE_IN 400

static gint n_reconnects;

unsigned nbd_reconnects(void)
{
    return (unsigned)g_atomic_int_get(&n_reconnects);
}

bool nbd_send(int fd, const void *data, size_t n)
{
    const char *p = data;

    while (n > 0) {
        ssize_t done = send(fd, p, n, MSG_NOSIGNAL);

        if (done < 0 && errno == EINTR) {
            continue;
        }
        if (done <= 0) {
            return false;
        }
        p += done;
        n -= (size_t)done;
    }
    return true;
}

bool nbd_receive(int fd, void *data, size_t n)
{
    char *p = data;

    while (n > 0) {
        ssize_t done = recv(fd, p, n, 0);

        if (done < 0 && errno == EINTR) {
            continue;
        }
        if (done <= 0) {
            return false;
        }
        p += done;
        n -= (size_t)done;
    }
    return true;
}

/* ---- The node ---- */

typedef struct NbdState {
    GMutex lock;
    char *socket;
    int fd; /* -1: not connected */
    int64_t size;
    uint64_t cookie;
    Prng prng;
} NbdState;

static const OptionDesc nbd_options[] = {
    { .name = "socket", .type = OPTION_STRING, .help = "of the server" },
    { .name = "seed", .type = OPTION_NUMBER, .help = "of disconnects" },
    { .name = NULL },
};

static void disconnect(NbdState *s)
{
    if (s->fd >= 0) {
        close(s->fd);
        s->fd = -1;
    }
}

static bool shake_hands(NbdState *s)
{
    struct __attribute__((packed)) {
        uint64_t magic, opt_magic;
        uint16_t flags;
    } hello;
    struct __attribute__((packed)) {
        uint32_t flags;
        uint64_t magic;
        uint32_t option, bytes;
    } answer = {
        htobe32(NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES),
        htobe64(NBD_OPT_MAGIC),
        htobe32(NBD_OPT_EXPORT_NAME),
        0,
    };
    struct __attribute__((packed)) {
        uint64_t size;
        uint16_t flags;
    } offer;

    if (!nbd_receive(s->fd, &hello, sizeof(hello)) ||
        be64toh(hello.magic) != NBD_MAGIC ||
        !nbd_send(s->fd, &answer, sizeof(answer)) ||
        !nbd_receive(s->fd, &offer, sizeof(offer))) {
        return false;
    }
    s->size = (int64_t)be64toh(offer.size);
    return true;
}

/* Until the server is there. False: patience is at its end. */
static bool connect_again(NbdState *s)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    gint64 end = g_get_monotonic_time() + PATIENCE_SECONDS * G_USEC_PER_SEC;

    g_strlcpy(address.sun_path, s->socket, sizeof(address.sun_path));
    while (s->fd < 0) {
        s->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (s->fd >= 0 &&
            connect(s->fd, (struct sockaddr *)&address, sizeof(address)) ==
                0 &&
            shake_hands(s)) {
            g_atomic_int_inc(&n_reconnects);
            return true;
        }
        disconnect(s);
        if (g_get_monotonic_time() > end) {
            return false;
        }
        g_usleep(2000);
    }
    return true;
}

static bool nbd_open_node(BlockDriverState *bs, Options *options,
                          unsigned flags, GError **errp)
{
    NbdState *s = bdrv_opaque(bs);
    g_autoptr(OptionValues)
        values = option_values_absorb(nbd_options, options, errp);

    (void)flags;
    if (!values) {
        return false;
    }
    g_mutex_init(&s->lock);
    s->socket = g_strdup(option_values_string(values, "socket"));
    s->prng.state = option_values_number(values, "seed");
    s->fd = -1;
    if (!connect_again(s)) {
        block_error_set(errp, ETIMEDOUT, "No server at '%s'", s->socket);
        g_free(s->socket);
        g_mutex_clear(&s->lock);
        return false;
    }
    return true;
}

static void nbd_close_node(BlockDriverState *bs)
{
    NbdState *s = bdrv_opaque(bs);

    disconnect(s);
    g_free(s->socket);
    g_mutex_clear(&s->lock);
}

static int64_t nbd_getlength(BlockDriverState *bs)
{
    const NbdState *s = bdrv_opaque(bs);

    return s->size;
}

/* ---- Requests ---- */

/* Leave the server in the middle. It must not carry out what it has half of,
 * and may well carry out the rest, which changes nothing. */
static void abandon(NbdState *s, const NbdRequest *request, unsigned type,
                    const void *data, size_t n)
{
    if (type == NBD_CMD_WRITE) {
        if (nbd_send(s->fd, request, sizeof(*request))) {
            (void)!nbd_send(s->fd, data, n / 2);
        }
    } else if (type == NBD_CMD_READ || type == NBD_CMD_FLUSH) {
        (void)!nbd_send(s->fd, request, sizeof(*request));
    }
    disconnect(s);
}

/* A positive number: the server's errno; -1: the connection broke, or the
 * server is about to end. */
static int ask(NbdState *s, const NbdRequest *request, unsigned type,
               void *data, size_t n)
{
    NbdReply reply;

    if (!nbd_send(s->fd, request, sizeof(*request)) ||
        (type == NBD_CMD_WRITE && !nbd_send(s->fd, data, n)) ||
        !nbd_receive(s->fd, &reply, sizeof(reply)) ||
        be32toh(reply.magic) != NBD_REPLY_MAGIC ||
        reply.cookie != request->cookie) {
        return -1;
    }
    if (reply.error) {
        return be32toh(reply.error) == ESHUTDOWN ? -1
                                                 : (int)be32toh(reply.error);
    }
    return type == NBD_CMD_READ && !nbd_receive(s->fd, data, n) ? -1 : 0;
}

static int request(BlockDriverState *bs, unsigned type, unsigned flags,
                   int64_t offset, int64_t bytes, void *data)
{
    NbdState *s = bdrv_opaque(bs);
    NbdRequest r = {
        .magic = htobe32(NBD_REQUEST_MAGIC),
        .flags = htobe16((uint16_t)flags),
        .type = htobe16((uint16_t)type),
        .offset = htobe64((uint64_t)offset),
        .bytes = htobe32((uint32_t)bytes),
    };
    int ret = -1;

    g_mutex_lock(&s->lock);
    while (ret < 0) {
        r.cookie = htobe64(++s->cookie);
        if (!connect_again(s)) {
            ret = ETIMEDOUT;
        } else if (prng_one_in(&s->prng, DISCONNECT_ONE_IN)) {
            abandon(s, &r, type, data, (size_t)bytes);
        } else {
            ret = ask(s, &r, type, data, (size_t)bytes);
            if (ret < 0) {
                disconnect(s);
            }
        }
    }
    g_mutex_unlock(&s->lock);
    return -ret;
}

static int nbd_preadv(BlockDriverState *bs, int64_t offset, int64_t bytes,
                      const IOVector *iov, unsigned flags)
{
    g_autofree void *data = g_malloc((gsize)bytes);
    int ret = request(bs, NBD_CMD_READ, 0, offset, bytes, data);

    (void)flags;
    if (ret == 0) {
        iov_from_buf(iov, 0, data, (size_t)bytes);
    }
    return ret;
}

static int nbd_pwritev(BlockDriverState *bs, int64_t offset, int64_t bytes,
                       const IOVector *iov, unsigned flags)
{
    g_autofree void *data = g_malloc((gsize)bytes);

    iov_to_buf(iov, 0, data, (size_t)bytes);
    return request(bs, NBD_CMD_WRITE,
                   flags & BDRV_REQ_FUA ? NBD_CMD_FLAG_FUA : 0, offset, bytes,
                   data);
}

static int nbd_pwrite_zeroes(BlockDriverState *bs, int64_t offset,
                             int64_t bytes, unsigned flags)
{
    return request(bs, NBD_CMD_WRITE_ZEROES,
                   flags & BDRV_REQ_MAY_UNMAP ? 0 : NBD_CMD_FLAG_NO_HOLE,
                   offset, bytes, NULL);
}

static int nbd_pdiscard(BlockDriverState *bs, int64_t offset, int64_t bytes)
{
    return request(bs, NBD_CMD_TRIM, 0, offset, bytes, NULL);
}

static int nbd_flush(BlockDriverState *bs)
{
    return request(bs, NBD_CMD_FLUSH, 0, 0, 0, NULL);
}

static void nbd_refresh_limits(BlockDriverState *bs, BdrvLimits *limits)
{
    (void)bs;
    limits->max_transfer = NBD_MAX_BYTES;
    limits->max_pwrite_zeroes = NBD_MAX_BYTES;
    limits->max_pdiscard = NBD_MAX_BYTES;
    limits->supported_write_flags = BDRV_REQ_FUA;
    limits->supported_zero_flags = BDRV_REQ_MAY_UNMAP;
}

static const BlockDriver nbd_driver = {
    .format_name = "soak-nbd",
    .instance_size = sizeof(NbdState),
    .generated = true,
    .options = nbd_options,
    .open = nbd_open_node,
    .close = nbd_close_node,
    .refresh_limits = nbd_refresh_limits,
    .getlength = nbd_getlength,
    .preadv = nbd_preadv,
    .pwritev = nbd_pwritev,
    .pwrite_zeroes = nbd_pwrite_zeroes,
    .pdiscard = nbd_pdiscard,
    .flush = nbd_flush,
};

bool nbd_register(GError **errp)
{
    return bdrv_register(&nbd_driver, errp);
}

BlockBackend *nbd_open(const char *socket, uint64_t seed, GError **errp)
{
    g_autoptr(Options) options = options_new();
    g_autofree char *number = g_strdup_printf("%" G_GUINT64_FORMAT,
                                              seed & INT32_MAX);

    options_set(options, "driver", "soak-nbd");
    options_set(options, "socket", socket);
    options_set(options, "seed", number);
    return blk_open(NULL, options, BDRV_O_RDWR | BDRV_O_UNMAP, errp);
}
