/* SPDX-License-Identifier: MIT */
/*
 * Scatter lists.
 *
 * An IOVector describes memory it does not own. Drivers get one that holds
 * exactly the bytes of the request. Slices and copies are cheap: a vector of
 * one element needs no allocation. A vector is not copied by assignment: it
 * may point into itself; iov_init_slice() makes another one.
 */
#ifndef BLOCK_IOV_H
#define BLOCK_IOV_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

G_BEGIN_DECLS

typedef struct IOVector {
    struct iovec *iov;     /* the elements: `local`, the caller's or ours */
    int niov;              /* number of elements */
    int nalloc;            /* allocated elements; 0: not ours to free */
    size_t size;           /* bytes described */
    struct iovec local[4]; /* room for short lists */
} IOVector;

/* Describe one buffer. Nothing to free. */
void iov_init_buf(IOVector *v, void *buf, size_t bytes);

/* Describe the caller's array, which must stay in place while v is used. */
void iov_init_external(IOVector *v, struct iovec *iov, int niov);

/* An empty vector to be grown by iov_add(). Ends with iov_clear(). */
void iov_init(IOVector *v);

/* Append a buffer to a vector that iov_init() or iov_init_slice() made. */
void iov_add(IOVector *v, void *buf, size_t bytes);

/*
 * Make v describe `bytes` bytes of `src` from `offset` on. The range must lie
 * inside src. Ends with iov_clear(); src's memory must outlive v.
 */
void iov_init_slice(IOVector *v, const IOVector *src, size_t offset,
                    size_t bytes);

/* Free what the vector itself allocated, and leave it empty. */
void iov_clear(IOVector *v);

/* Copy in or out, at `offset` of the vector. The range must lie inside. */
void iov_from_buf(const IOVector *v, size_t offset, const void *buf,
                  size_t bytes);
void iov_to_buf(const IOVector *v, size_t offset, void *buf, size_t bytes);
void iov_memset(const IOVector *v, size_t offset, int byte, size_t bytes);

/* Whether the range holds zeroes alone. */
bool iov_is_zero(const IOVector *v, size_t offset, size_t bytes);

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(IOVector, iov_clear)

G_END_DECLS

#endif
