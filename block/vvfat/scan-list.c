/* SPDX-License-Identifier: MIT */
/*
 * The work is cut into steps: listing a directory, and looking at CHUNK
 * entries of one that is listed. Threads take steps of the lists in the order
 * in which these were begun last, and so does the scan itself, of the list
 * that it waits for: with no other thread it does all of them.
 *
 * Bounded: the lists that are begun ahead, each with an open directory, and
 * the chunks of a list that are looked at before the scan comes to them.
 */
#include "block/vvfat/scan-list.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "block/vvfat/names.h"
#include "util/thread.h"

#define CHUNK 128u
#define CHUNKS_AHEAD 16u
#define LISTS_AHEAD 16u
#define MAX_THREADS 8u
/* Names that were found before threads are worth their while. */
#define NAMES_FOR_THREADS 512u

/* In one directory; most could be skipped, so this is beyond what FAT holds. */
#define MAX_NAMES (1u << 24)

typedef enum ListState {
    LIST_WAITS,
    LIST_READS, /* somebody lists it */
    LIST_IS_READ,
} ListState;

struct ScanList {
    ScanList *next; /* lock */
    char *path;

    /* Whose step it is to list it; from LIST_IS_READ on, nobody's. */
    int ret;
    bool is_opened;
    HostDir *dir; /* until all entries were looked at */
    GStringChunk *text;
    GPtrArray *names;

    /* Under the lock. */
    ListState state;
    unsigned n_chunks, next_chunk; /* the first that nobody has taken */
    unsigned n_looked;             /* how many were looked at */
    unsigned at;                   /* the one that the scan is at */
    ScanEntry **chunks;            /* NULL: not there yet, or not any more */
};

/* A device whose file system keeps no attributes. */
typedef struct PlainDevice {
    bool is_known;
    uint64_t dev;
} PlainDevice;

struct ScanLister {
    HostFs *fs;
    bool hidden;
    pthread_t threads[MAX_THREADS];
    unsigned n_threads;
    unsigned n_lists;
    uint64_t n_names; /* the scan's */

    pthread_mutex_t lock;
    pthread_cond_t work; /* there is a step to take, or it is over */
    pthread_cond_t done; /* a step is done */
    ScanList *lists;
    bool is_over;
    PlainDevice plain;
};

/* ---- Steps ---- */

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int read_names(HostFs *fs, ScanList *list)
{
    const char *name;
    int r;

    while ((r = fs->ops->dir_next(fs, list->dir, &name)) > 0) {
        if (list->names->len == MAX_NAMES) {
            return -EOVERFLOW;
        }
        g_ptr_array_add(list->names, g_string_chunk_insert(list->text, name));
    }
    g_ptr_array_sort(list->names, compare_names);
    return r;
}

static void read_list(const ScanLister *l, ScanList *list)
{
    list->ret = l->fs->ops->dir_open(l->fs, list->path, &list->dir);
    if (list->ret < 0) {
        list->dir = NULL;
        return;
    }
    list->is_opened = true;
    list->text = g_string_chunk_new(4096);
    list->names = g_ptr_array_new();
    list->ret = read_names(l->fs, list);
}

static void close_dir(const ScanLister *l, ScanList *list)
{
    if (list->dir) {
        l->fs->ops->dir_close(l->fs, list->dir);
        list->dir = NULL;
    }
}

static const char *why_left_out(const ScanLister *l, const char *name)
{
    if (names_is_temporary(name)) {
        return NAMES_WHY_TEMPORARY;
    }
    return name[0] == '.' && !l->hidden ? "hidden, and hidden=off" : NULL;
}

/* One call for each file of a scan, where it makes sense. */
static void ask_attributes(const ScanLister *l, ScanList *list,
                           ScanEntry *entry, PlainDevice *plain)
{
    if (plain->is_known && plain->dev == entry->st.dev) {
        return;
    }
    entry->attr_ret = l->fs->ops->dos_attrib_at(l->fs, list->dir, entry->name,
                                                &entry->attr);
    if (entry->attr_ret == -ENOTSUP) {
        *plain = (PlainDevice){ .is_known = true, .dev = entry->st.dev };
    }
}

static void look_at(const ScanLister *l, ScanList *list, ScanEntry *entry,
                    PlainDevice *plain)
{
    entry->left_out = why_left_out(l, entry->name);
    entry->attr_ret = -ENODATA;
    if (entry->left_out) {
        return;
    }
    entry->ret = l->fs->ops->stat_at(l->fs, list->dir, entry->name,
                                     &entry->st);
    if (entry->ret == 0 &&
        (entry->st.kind == HOST_FILE || entry->st.kind == HOST_DIRECTORY)) {
        ask_attributes(l, list, entry, plain);
    }
}

static ScanEntry *look_at_chunk(const ScanLister *l, ScanList *list,
                                unsigned chunk, PlainDevice *plain)
{
    unsigned first = chunk * CHUNK;
    unsigned n = MIN(CHUNK, list->names->len - first);
    ScanEntry *entries = g_new0(ScanEntry, n);

    for (unsigned i = 0; i < n; i++) {
        entries[i].name = list->names->pdata[first + i];
        look_at(l, list, &entries[i], plain);
    }
    return entries;
}

/* Take a step of the list, if there is one that may be taken now. With the
 * lock held, which is let go meanwhile. */
static bool take_step(ScanLister *l, ScanList *list)
{
    if (list->state == LIST_WAITS) {
        list->state = LIST_READS;
        pthread_mutex_unlock(&l->lock);
        read_list(l, list);
        pthread_mutex_lock(&l->lock);
        if (list->ret == 0) {
            list->n_chunks = (list->names->len + CHUNK - 1) / CHUNK;
            list->chunks = g_new0(ScanEntry *, list->n_chunks);
        }
        list->state = LIST_IS_READ;
        pthread_cond_broadcast(&l->work);
    } else if (list->state == LIST_IS_READ &&
               list->next_chunk < list->n_chunks &&
               list->next_chunk < list->at + CHUNKS_AHEAD) {
        unsigned chunk = list->next_chunk++;
        PlainDevice plain = l->plain;
        ScanEntry *entries;

        pthread_mutex_unlock(&l->lock);
        entries = look_at_chunk(l, list, chunk, &plain);
        pthread_mutex_lock(&l->lock);
        l->plain = plain.is_known ? plain : l->plain;
        list->chunks[chunk] = entries;
        if (++list->n_looked == list->n_chunks) {
            close_dir(l, list);
        }
    } else {
        return false;
    }
    pthread_cond_signal(&l->done);
    return true;
}

/* ---- Threads ---- */

static bool take_any_step(ScanLister *l)
{
    for (ScanList *list = l->lists; list; list = list->next) {
        if (take_step(l, list)) {
            return true;
        }
    }
    return false;
}

static void *lister_thread(void *opaque)
{
    ScanLister *l = opaque;

    pthread_mutex_lock(&l->lock);
    while (!l->is_over) {
        if (!take_any_step(l)) {
            pthread_cond_wait(&l->work, &l->lock);
        }
    }
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

/* Where there can be none, the scan does it alone. */
static void start_threads(ScanLister *l)
{
    unsigned most = MIN(g_get_num_processors() - 1, MAX_THREADS);

    while (l->n_threads < most &&
           thread_create(&l->threads[l->n_threads], lister_thread, l) == 0) {
        l->n_threads++;
    }
}

/* ---- For the scan ---- */

ScanLister *scan_lister_new(HostFs *fs, bool hidden)
{
    ScanLister *l = g_new0(ScanLister, 1);

    l->fs = fs;
    l->hidden = hidden;
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->work, NULL);
    pthread_cond_init(&l->done, NULL);
    return l;
}

static void list_free(const ScanLister *l, ScanList *list)
{
    for (unsigned i = 0; i < list->n_chunks; i++) {
        g_free(list->chunks[i]);
    }
    g_free(list->chunks);
    close_dir(l, list);
    if (list->is_opened) {
        g_string_chunk_free(list->text);
        g_ptr_array_unref(list->names);
    }
    g_free(list->path);
    g_free(list);
}

void scan_lister_free(ScanLister *l)
{
    if (!l) {
        return;
    }
    pthread_mutex_lock(&l->lock);
    l->is_over = true;
    pthread_cond_broadcast(&l->work);
    pthread_mutex_unlock(&l->lock);
    for (unsigned i = 0; i < l->n_threads; i++) {
        pthread_join(l->threads[i], NULL);
    }
    while (l->lists) {
        ScanList *list = l->lists;

        l->lists = list->next;
        list_free(l, list);
    }
    pthread_cond_destroy(&l->done);
    pthread_cond_destroy(&l->work);
    pthread_mutex_destroy(&l->lock);
    g_free(l);
}

unsigned scan_lister_room(const ScanLister *l)
{
    return l->n_lists < LISTS_AHEAD ? LISTS_AHEAD - l->n_lists : 0;
}

ScanList *scan_list_begin(ScanLister *l, char *path)
{
    ScanList *list = g_new0(ScanList, 1);

    list->path = path;
    l->n_lists++;
    pthread_mutex_lock(&l->lock);
    list->next = l->lists;
    l->lists = list;
    pthread_cond_signal(&l->work);
    pthread_mutex_unlock(&l->lock);
    return list;
}

int64_t scan_list_count(ScanLister *l, ScanList *list, bool *opened)
{
    pthread_mutex_lock(&l->lock);
    while (list->state != LIST_IS_READ) {
        if (!take_step(l, list)) {
            pthread_cond_wait(&l->done, &l->lock);
        }
    }
    pthread_mutex_unlock(&l->lock);
    *opened = list->is_opened;
    if (list->ret < 0) {
        return list->ret;
    }
    l->n_names += list->names->len;
    if (l->n_threads == 0 && l->n_names >= NAMES_FOR_THREADS) {
        start_threads(l);
    }
    return list->names->len;
}

const ScanEntry *scan_list_entry(ScanLister *l, ScanList *list, unsigned i)
{
    unsigned chunk = i / CHUNK;

    if (i % CHUNK == 0) {
        pthread_mutex_lock(&l->lock);
        list->at = chunk;
        if (chunk > 0) {
            g_clear_pointer(&list->chunks[chunk - 1], g_free);
            pthread_cond_signal(&l->work);
        }
        while (!list->chunks[chunk]) {
            if (!take_step(l, list)) {
                pthread_cond_wait(&l->done, &l->lock);
            }
        }
        pthread_mutex_unlock(&l->lock);
    }
    return &list->chunks[chunk][i % CHUNK];
}

void scan_list_end(ScanLister *l, ScanList *list)
{
    ScanList **link = &l->lists;

    pthread_mutex_lock(&l->lock);
    while (*link != list) {
        link = &(*link)->next;
    }
    *link = list->next;
    pthread_mutex_unlock(&l->lock);
    l->n_lists--;
    list_free(l, list);
}
