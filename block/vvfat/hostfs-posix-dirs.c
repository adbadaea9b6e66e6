/* SPDX-License-Identifier: MIT */
/*
 * The directories that a batch of calls has found, by path.
 *
 * Of every few calls that a commit makes most are for the same one or two
 * directories. Their descriptors are kept, a few, for a moment: what is renamed
 * or removed here is forgotten at once, and what others do to the tree is seen
 * after DIRS_AGE_MS at the latest. Each was found beneath the root, as every
 * path is.
 *
 * They belong to the thread whose batch it is; calls of other threads open
 * directories as ever.
 */
#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "block/vvfat/hostfs-posix-int.h"

#define DIRS_AGE_MS 20

static _Thread_local const PosixFs *batch_of;

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void drop(PosixDir *dir)
{
    close(dir->fd);
    g_free(dir->path);
    *dir = (PosixDir){ 0 };
}

static void drop_all(PosixFs *p)
{
    for (unsigned i = 0; i < POSIX_DIRS; i++) {
        if (p->dirs[i].path) {
            drop(&p->dirs[i]);
        }
    }
}

void posix_batch(HostFs *fs, bool begin)
{
    PosixFs *p = posix_fs(fs);

    drop_all(p);
    batch_of = begin ? p : NULL;
}

/* The one with the path, if it is still to be trusted. */
static PosixDir *find(PosixFs *p, const char *path, size_t n, int64_t now)
{
    for (unsigned i = 0; i < POSIX_DIRS; i++) {
        PosixDir *dir = &p->dirs[i];

        if (!dir->path || strncmp(dir->path, path, n) != 0 ||
            dir->path[n] != '\0') {
            continue;
        }
        if (dir->users == 0 && now - dir->found >= DIRS_AGE_MS) {
            drop(dir);
            return NULL;
        }
        return dir;
    }
    return NULL;
}

/* A place for another: an unused one, or the longest unused. */
static PosixDir *make_place(PosixFs *p)
{
    PosixDir *oldest = NULL;

    for (unsigned i = 0; i < POSIX_DIRS; i++) {
        PosixDir *dir = &p->dirs[i];

        if (!dir->path) {
            return dir;
        }
        if (dir->users == 0 && (!oldest || dir->used < oldest->used)) {
            oldest = dir;
        }
    }
    if (oldest) {
        drop(oldest);
    }
    return oldest;
}

int posix_dir_get(PosixFs *p, const char *path, size_t n)
{
    bool is_batch = batch_of == p;
    int64_t now = is_batch ? now_ms() : 0;
    PosixDir *dir = is_batch ? find(p, path, n, now) : NULL;
    g_autofree char *whole = NULL;
    int fd;

    if (!dir) {
        whole = g_strndup(path, n);
        fd = posix_open_beneath(p, whole, O_PATH | O_DIRECTORY);
        dir = fd >= 0 && is_batch ? make_place(p) : NULL;
        if (!dir) {
            return fd;
        }
        *dir = (PosixDir){
            .path = g_steal_pointer(&whole),
            .fd = fd,
            .found = now,
        };
    }
    dir->users++;
    dir->used = ++p->dir_uses;
    return dir->fd;
}

void posix_dir_put(PosixFs *p, int fd)
{
    for (unsigned i = 0; batch_of == p && i < POSIX_DIRS; i++) {
        PosixDir *dir = &p->dirs[i];

        if (dir->path && dir->fd == fd) {
            dir->users--;
            return;
        }
    }
    close(fd);
}

void posix_dir_forget(PosixFs *p, const char *path)
{
    size_t n = strlen(path);

    for (unsigned i = 0; batch_of == p && i < POSIX_DIRS; i++) {
        PosixDir *dir = &p->dirs[i];

        if (dir->path && strncmp(dir->path, path, n) == 0 &&
            (dir->path[n] == '/' || dir->path[n] == '\0')) {
            drop(dir);
        }
    }
}
