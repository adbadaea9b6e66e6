/* SPDX-License-Identifier: MIT */
/*
 * The "file" driver: where the holes are.
 *
 * lseek(SEEK_DATA, SEEK_HOLE) moves the file offset, but its answer does not
 * depend on it and nobody else uses it, so threads do not disturb each other.
 *
 * SEEK_HOLE walks the whole data extent on some file systems (tmpfs, NFS), and
 * a copy asks once a chunk: the last data extent is kept, so that the cost of
 * a copy stays linear. Only data is kept, never holes: saying "data" of what
 * another process has turned into a hole costs a read, the other way round
 * would lose data. What this node itself turns into holes bumps a generation,
 * so that an answer from before is not stored after.
 */
#include "block/file-posix.h"

#include <errno.h>
#include <unistd.h>

void file_map_forget(FileState *s)
{
    pthread_mutex_lock(&s->lock);
    s->data_generation++;
    s->data_start = s->data_end = 0;
    pthread_mutex_unlock(&s->lock);
}

static unsigned known_data_end(FileState *s, int64_t offset, int64_t *end)
{
    pthread_mutex_lock(&s->lock);
    bool known = offset >= s->data_start && offset < s->data_end;
    unsigned generation = s->data_generation;
    *end = known ? s->data_end : 0;
    pthread_mutex_unlock(&s->lock);
    return generation;
}

static void remember_data(FileState *s, unsigned generation, int64_t start,
                          int64_t end)
{
    pthread_mutex_lock(&s->lock);
    if (generation == s->data_generation) {
        s->data_start = start;
        s->data_end = end;
    }
    pthread_mutex_unlock(&s->lock);
}

/*
 * The extent at offset: whether it is data, and its end. Whatever cannot be
 * found out is data; also what lies behind the end of a file that has shrunk,
 * so that reading it gives the error.
 */
static bool find_extent(FileState *s, int64_t offset, int64_t *end)
{
    *end = INT64_MAX;
    if (atomic_load(&s->lacks) & FILE_LACKS_SEEK_DATA) {
        return true;
    }
    int64_t data = lseek(s->fd, offset, SEEK_DATA);
    if (data < 0 && errno == ENXIO) {
        int64_t length = file_fd_length(s->fd, s->is_device);

        if (length > offset) {
            *end = length;
            return false;
        }
        return true;
    }
    if (data < 0) {
        /* Block devices; file systems that know no holes. */
        atomic_fetch_or(&s->lacks, FILE_LACKS_SEEK_DATA);
        return true;
    }
    if (data > offset) {
        *end = data;
        return false;
    }
    int64_t hole = lseek(s->fd, offset, SEEK_HOLE);
    if (hole > offset) {
        *end = hole;
    }
    return true;
}

int file_block_status(BlockDriverState *bs, unsigned want, int64_t offset,
                      int64_t bytes, BdrvBlockStatus *status)
{
    FileState *s = bdrv_opaque(bs);
    bool is_data = true;
    int64_t end;
    unsigned generation = known_data_end(s, offset, &end);

    (void)want;
    if (end == 0) {
        is_data = find_extent(s, offset, &end);
        if (is_data && end != INT64_MAX) {
            remember_data(s, generation, offset, end);
        }
    }
    status->flags = BDRV_BLOCK_ALLOCATED | BDRV_BLOCK_OFFSET_VALID |
                    (is_data ? BDRV_BLOCK_DATA : BDRV_BLOCK_ZERO);
    status->bytes = MIN(bytes, end - offset);
    status->map = offset;
    status->file = bs;
    return 0;
}
