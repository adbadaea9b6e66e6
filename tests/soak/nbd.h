/* SPDX-License-Identifier: MIT */
/*
 * The Network Block Device protocol, as much as a soak test needs of it: a
 * block driver that is a client, and a server of a backend. Both follow the
 * document of the protocol ("doc/proto.md"): fixed newstyle, one export of no
 * name, simple replies.
 */
#ifndef TESTS_SOAK_NBD_H
#define TESTS_SOAK_NBD_H

#include "block/block.h"

#define NBD_MAGIC UINT64_C(0x4e42444d41474943)
#define NBD_OPT_MAGIC UINT64_C(0x49484156454f5054)
#define NBD_REQUEST_MAGIC UINT32_C(0x25609513)
#define NBD_REPLY_MAGIC UINT32_C(0x67446698)
#define NBD_OPT_EXPORT_NAME UINT32_C(1)
#define NBD_FLAG_FIXED_NEWSTYLE 1u
#define NBD_FLAG_NO_ZEROES 2u
/* Has flags; flush, FUA, trim and zeroes; several connections. */
#define NBD_EXPORT_FLAGS 0x016du
#define NBD_MAX_BYTES (UINT32_C(32) << 20)

enum {
    NBD_CMD_READ,
    NBD_CMD_WRITE,
    NBD_CMD_DISC,
    NBD_CMD_FLUSH,
    NBD_CMD_TRIM,
    NBD_CMD_WRITE_ZEROES = 6,
};

#define NBD_CMD_FLAG_FUA 1u
#define NBD_CMD_FLAG_NO_HOLE 2u

/* Both in the protocol's byte order: big-endian. */
typedef struct __attribute__((packed)) NbdRequest {
    uint32_t magic;
    uint16_t flags;
    uint16_t type;
    uint64_t cookie;
    uint64_t offset;
    uint32_t bytes;
} NbdRequest;
_Static_assert(sizeof(NbdRequest) == 28, "NBD request");

typedef struct __attribute__((packed)) NbdReply {
    uint32_t magic;
    uint32_t error; /* 0, or an errno of Linux */
    uint64_t cookie;
} NbdReply;
_Static_assert(sizeof(NbdReply) == 16, "NBD reply");

/* All of it; false: the other end is gone. */
bool nbd_send(int fd, const void *data, size_t n);
bool nbd_receive(int fd, void *data, size_t n);

/*
 * The driver "soak-nbd" (nbd-client.c). It goes on for ever: when the
 * connection breaks, it connects again and repeats the request, as a guest's
 * machine does that waits for its server. Now and then it breaks the
 * connection itself, in the middle of a request that leaves nothing behind.
 */
bool nbd_register(GError **errp);

/* Connect to a Unix socket; seed: of its disconnects. */
BlockBackend *nbd_open(const char *socket, uint64_t seed, GError **errp);

/* How often clients of this process connected again. */
unsigned nbd_reconnects(void);

/*
 * Serve blk on a Unix socket until SIGTERM, which must be blocked in the
 * calling thread, the only one so far (nbd-server.c). Any number of
 * connections, each with a thread.
 */
bool nbd_serve(BlockBackend *blk, const char *socket);

#endif
