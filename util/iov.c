/* SPDX-License-Identifier: MIT */
/*
 * Scatter lists. `iov` points to `local` until more than IOV_LOCAL elements
 * are added; then to an allocated array of `nalloc`. A vector from
 * iov_init_external() has the caller's array and is never grown.
 */
#include "block/iov.h"

#include <assert.h>
#include <string.h>

#define IOV_LOCAL ((int)G_N_ELEMENTS(((IOVector *)NULL)->local))

void iov_init(IOVector *v)
{
    v->iov = v->local;
    v->niov = 0;
    v->nalloc = 0;
    v->size = 0;
}

void iov_init_buf(IOVector *v, void *buf, size_t bytes)
{
    iov_init(v);
    iov_add(v, buf, bytes);
}

void iov_init_external(IOVector *v, struct iovec *iov, int niov)
{
    v->iov = iov;
    v->niov = niov;
    v->nalloc = 0;
    v->size = 0;
    for (int i = 0; i < niov; i++) {
        v->size += iov[i].iov_len;
    }
}

static void iov_grow(IOVector *v)
{
    if (v->nalloc == 0) {
        v->nalloc = 4 * IOV_LOCAL;
        v->iov = g_new(struct iovec, v->nalloc);
        memcpy(v->iov, v->local, sizeof(v->local));
    } else {
        v->nalloc *= 2;
        v->iov = g_renew(struct iovec, v->iov, v->nalloc);
    }
}

void iov_add(IOVector *v, void *buf, size_t bytes)
{
    assert(v->nalloc > 0 || v->iov == v->local);
    if (bytes == 0) {
        return;
    }
    if (v->niov == (v->nalloc > 0 ? v->nalloc : IOV_LOCAL)) {
        iov_grow(v);
    }
    v->iov[v->niov++] = (struct iovec){ .iov_base = buf, .iov_len = bytes };
    v->size += bytes;
}

void iov_clear(IOVector *v)
{
    if (v->nalloc > 0) {
        g_free(v->iov);
    }
    iov_init(v);
}

/* A walk over the pieces of a range. */
typedef struct IovCursor {
    const struct iovec *elem;
    size_t skip; /* bytes of elem that lie before the range */
    size_t left; /* bytes of the range from here on */
} IovCursor;

static IovCursor iov_cursor(const IOVector *v, size_t offset, size_t bytes)
{
    IovCursor c = { .elem = v->iov, .skip = offset, .left = bytes };

    assert(offset <= v->size && bytes <= v->size - offset);
    return c;
}

/* The next piece, never empty; false at the end of the range. */
static bool iov_cursor_next(IovCursor *c, struct iovec *piece)
{
    if (c->left == 0) {
        return false;
    }
    while (c->skip >= c->elem->iov_len) {
        c->skip -= c->elem->iov_len;
        c->elem++;
    }
    piece->iov_base = (char *)c->elem->iov_base + c->skip;
    piece->iov_len = MIN(c->elem->iov_len - c->skip, c->left);
    c->left -= piece->iov_len;
    c->skip = 0;
    c->elem++;
    return true;
}

void iov_init_slice(IOVector *v, const IOVector *src, size_t offset,
                    size_t bytes)
{
    IovCursor c = iov_cursor(src, offset, bytes);
    struct iovec piece;

    iov_init(v);
    while (iov_cursor_next(&c, &piece)) {
        iov_add(v, piece.iov_base, piece.iov_len);
    }
}

void iov_from_buf(const IOVector *v, size_t offset, const void *buf,
                  size_t bytes)
{
    IovCursor c = iov_cursor(v, offset, bytes);
    const char *from = buf;
    struct iovec piece;

    while (iov_cursor_next(&c, &piece)) {
        memcpy(piece.iov_base, from, piece.iov_len);
        from += piece.iov_len;
    }
}

void iov_to_buf(const IOVector *v, size_t offset, void *buf, size_t bytes)
{
    IovCursor c = iov_cursor(v, offset, bytes);
    char *to = buf;
    struct iovec piece;

    while (iov_cursor_next(&c, &piece)) {
        memcpy(to, piece.iov_base, piece.iov_len);
        to += piece.iov_len;
    }
}

void iov_memset(const IOVector *v, size_t offset, int byte, size_t bytes)
{
    IovCursor c = iov_cursor(v, offset, bytes);
    struct iovec piece;

    while (iov_cursor_next(&c, &piece)) {
        memset(piece.iov_base, byte, piece.iov_len);
    }
}

/*
 * The first bytes are looked at; the rest is zero when the buffer equals
 * itself moved by them, and memcmp() is the fastest loop at hand.
 */
static bool buffer_is_zero(const char *p, size_t bytes)
{
    size_t head = MIN(bytes, 16);

    for (size_t i = 0; i < head; i++) {
        if (p[i] != 0) {
            return false;
        }
    }
    return memcmp(p, p + head, bytes - head) == 0;
}

bool iov_is_zero(const IOVector *v, size_t offset, size_t bytes)
{
    IovCursor c = iov_cursor(v, offset, bytes);
    struct iovec piece;

    while (iov_cursor_next(&c, &piece)) {
        if (!buffer_is_zero(piece.iov_base, piece.iov_len)) {
            return false;
        }
    }
    return true;
}
