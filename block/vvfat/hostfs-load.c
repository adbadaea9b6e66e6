/* SPDX-License-Identifier: MIT */
/* Small files that options name: boot code, not contents of the volume. */
#include "block/vvfat/hostfs.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "block/error.h"

static bool load_fd(int fd, const char *filename, size_t max_bytes,
                    uint8_t **data, size_t *bytes, GError **errp)
{
    /* One byte more than allowed, to see that there is more. */
    g_autofree uint8_t *buf = g_malloc(max_bytes + 1);
    size_t have = 0;

    while (have <= max_bytes) {
        ssize_t n = read(fd, buf + have, max_bytes + 1 - have);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            block_error_set_errno(errp, errno, "Could not read '%s'",
                                  filename);
            return false;
        }
        if (n == 0) {
            *data = g_steal_pointer(&buf);
            *bytes = have;
            return true;
        }
        have += (size_t)n;
    }
    block_error_set(errp, EFBIG,
                    "'%s' is larger than %zu bytes, the most "
                    "that there is room for",
                    filename, max_bytes);
    return false;
}

bool hostfs_load(const char *filename, size_t max_bytes, uint8_t **data,
                 size_t *bytes, GError **errp)
{
    int fd = open(filename, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    bool ok;

    if (fd < 0) {
        block_error_set_errno(errp, errno, "Could not open '%s'", filename);
        return false;
    }
    ok = load_fd(fd, filename, max_bytes, data, bytes, errp);
    close(fd);
    return ok;
}
