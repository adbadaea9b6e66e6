/* SPDX-License-Identifier: MIT */
/*
 * A cache of open host files.
 *
 * An entry is OPENING while one thread opens the file, with the lock
 * released; others that want the same file wait for that, and nobody else
 * does. READY entries have a count of users; those without users stand in
 * `idle`, the longest unused first, and the first ones go when there are too
 * many. An entry whose opening failed leaves the table at once and is freed by
 * its last waiter, so the next request tries again.
 *
 * The lock guards the table, `idle` and all fields of entries but `host` of a
 * READY one. No file-system call is made under it.
 */
#include "block/vvfat/open-files.h"

#include <errno.h>
#include <pthread.h>

#include "block/driver.h"
#include "block/vvfat/report.h"

typedef enum OpenState {
    OPENING,
    READY,
    FAILED,
} OpenState;

struct OpenFile {
    const void *key;
    HostFile *host;
    unsigned users; /* readers and waiters */
    OpenState state;
    int error;
    char
        *message; /* FAILED: for each who wanted it; messages are a thread's */
    GList idle_link; /* in OpenFiles.idle while users is 0 */
};

struct OpenFiles {
    OpenFilesSource source;
    HostFs *fs;
    unsigned max_idle;

    pthread_mutex_t lock;  /* GLib's own are hidden from sanitizers */
    pthread_cond_t opened; /* some entry stopped OPENING */
    GHashTable *table;     /* key -> OpenFile */
    GQueue idle;
};

OpenFiles *open_files_new(const OpenFilesSource *source, HostFs *fs,
                          unsigned max)
{
    OpenFiles *files = g_new0(OpenFiles, 1);

    files->source = *source;
    files->fs = fs;
    files->max_idle = max;
    files->table = g_hash_table_new(NULL, NULL);
    pthread_mutex_init(&files->lock, NULL);
    pthread_cond_init(&files->opened, NULL);
    g_queue_init(&files->idle);
    return files;
}

/* Take the longest unused entry out of the cache; NULL when there is none.
 * Under the lock. */
static OpenFile *evict(OpenFiles *files)
{
    GList *link = g_queue_pop_head_link(&files->idle);
    OpenFile *file = link ? link->data : NULL;

    if (file) {
        g_hash_table_remove(files->table, file->key);
    }
    return file;
}

static void close_evicted(OpenFiles *files, OpenFile *file)
{
    if (file) {
        files->fs->ops->file_close(files->fs, file->host);
        g_free(file);
    }
}

void open_files_free(OpenFiles *files)
{
    OpenFile *file;

    if (!files) {
        return;
    }
    while ((file = evict(files))) {
        close_evicted(files, file);
    }
    g_hash_table_unref(files->table);
    pthread_mutex_destroy(&files->lock);
    pthread_cond_destroy(&files->opened);
    g_free(files);
}

HostFile *open_file_host(const OpenFile *file)
{
    return file->host;
}

/* ---- Opening ---- */

/* Open, and free a descriptor of an unused file when there are no more. */
static int open_host(OpenFiles *files, const char *path, HostFile **host,
                     HostStat *st)
{
    for (;;) {
        int r = files->fs->ops->file_open(files->fs, path, host, st);
        OpenFile *victim = NULL;

        if (r == -EMFILE || r == -ENFILE) {
            pthread_mutex_lock(&files->lock);
            victim = evict(files);
            pthread_mutex_unlock(&files->lock);
        }
        if (!victim) {
            return r;
        }
        close_evicted(files, victim);
    }
}

/* Whether an error says that the host has the file no more: nothing, or (the
 * last two) something that is no file. */
static bool is_gone(int r)
{
    return r == -ENOENT || r == -ENOTDIR || r == -ELOOP || r == -EINVAL;
}

/* Open the file of a key, and check that it is the one that is meant. *message
 * says what is wrong. */
static int open_checked(OpenFiles *files, const void *key, HostFile **host,
                        char **message)
{
    const OpenFilesSource *source = &files->source;
    g_autofree char *path = source->path(key, source->opaque);
    HostStat st;
    int r = path ? open_host(files, path, host, &st) : -ENOENT;
    const char *changed = r < 0 ? NULL
                                : source->changed(key, &st, source->opaque);

    if (r == 0 && !changed) {
        return 0;
    }
    g_autofree char *text = report_escape(path ? path : "?");
    if (changed) {
        files->fs->ops->file_close(files->fs, *host);
        *message = g_strdup_printf("'%s' %s since the image was opened; open "
                                   "the image again",
                                   text, changed);
        return -EIDRM;
    }
    *message = g_strdup_printf("Could not open '%s', which was there when "
                               "the image was opened: %s",
                               text, g_strerror(-r));
    return is_gone(r) ? -EIDRM : -EIO;
}

/* The entry of a key, new and OPENING if there was none. Under the lock. */
static OpenFile *enter(OpenFiles *files, const void *key, bool *is_new)
{
    OpenFile *file = g_hash_table_lookup(files->table, key);

    *is_new = !file;
    if (!file) {
        file = g_new0(OpenFile, 1);
        file->key = key;
        file->state = OPENING;
        file->idle_link.data = file;
        g_hash_table_insert(files->table, (gpointer)key, file);
    } else if (file->users == 0) {
        g_queue_unlink(&files->idle, &file->idle_link);
    }
    file->users++;
    return file;
}

/* Open the file of a new entry. Gives the lock up for that time. */
static void open_entry(OpenFiles *files, OpenFile *file)
{
    char *message = NULL;
    HostFile *host = NULL;
    int r;

    pthread_mutex_unlock(&files->lock);
    r = open_checked(files, file->key, &host, &message);
    pthread_mutex_lock(&files->lock);

    file->host = host;
    file->error = r;
    file->message = message;
    file->state = r < 0 ? FAILED : READY;
    if (r < 0) {
        g_hash_table_remove(files->table, file->key);
    }
    pthread_cond_broadcast(&files->opened);
}

int open_files_get(OpenFiles *files, const void *key, OpenFile **out)
{
    OpenFile *file;
    bool is_new;
    int r;

    pthread_mutex_lock(&files->lock);
    file = enter(files, key, &is_new);
    if (is_new) {
        open_entry(files, file);
    }
    while (file->state == OPENING) {
        pthread_cond_wait(&files->opened, &files->lock);
    }
    r = file->error;
    if (r < 0) {
        bdrv_set_io_error("%s", file->message);
        if (--file->users == 0) {
            g_free(file->message);
            g_free(file);
        }
        file = NULL;
    }
    pthread_mutex_unlock(&files->lock);
    *out = file;
    return r;
}

void open_files_put(OpenFiles *files, OpenFile *file)
{
    OpenFile *victim = NULL;

    pthread_mutex_lock(&files->lock);
    if (--file->users == 0) {
        g_queue_push_tail_link(&files->idle, &file->idle_link);
        if (files->idle.length > files->max_idle) {
            victim = evict(files);
        }
    }
    pthread_mutex_unlock(&files->lock);
    close_evicted(files, victim);
}

static int fail_read(const OpenFiles *files, const void *key, int r)
{
    const OpenFilesSource *source = &files->source;
    g_autofree char *path = source->path(key, source->opaque);
    g_autofree char *text = report_escape(path ? path : "?");

    if (r == -ENODATA) {
        bdrv_set_io_error("'%s' has shrunk since the image was opened; open "
                          "the image again",
                          text);
        return -EIDRM;
    }
    bdrv_set_io_error("Could not read '%s': %s", text, g_strerror(-r));
    return r;
}

int open_files_deleted(void)
{
    bdrv_set_io_error("The host has deleted the file whose bytes these are");
    return -EIDRM;
}

int open_files_guest_error(int r)
{
    return r == -EIDRM ? -EIO : r;
}

int open_files_read(OpenFiles *files, const void *key, int64_t offset,
                    const IOVector *iov, size_t iov_offset, size_t bytes)
{
    OpenFile *file;
    int r = open_files_get(files, key, &file);

    if (r < 0) {
        return r;
    }
    r = hostfs_read_full(files->fs, file->host, offset, iov, iov_offset,
                         bytes);
    open_files_put(files, file);
    return r < 0 ? fail_read(files, key, r) : 0;
}

void open_files_forget(OpenFiles *files, const void *key)
{
    OpenFile *file;

    pthread_mutex_lock(&files->lock);
    file = g_hash_table_lookup(files->table, key);
    if (file && file->users == 0) {
        g_queue_unlink(&files->idle, &file->idle_link);
        g_hash_table_remove(files->table, key);
    } else {
        file = NULL;
    }
    pthread_mutex_unlock(&files->lock);
    close_evicted(files, file);
}
