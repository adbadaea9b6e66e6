/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/model/prng.h"
#include "tests/soak/soak.h"

#define MAX_FILES 24u
#define MAX_BYTES 20000u
#define REST_MICROSECONDS 4000u

typedef struct Item {
    char *path;
    char *data;
    gsize bytes;
} Item;

struct Visitor {
    char *dir, *prefix;
    Prng prng;
    GMutex lock; /* of the items, and of what they stand for */
    GPtrArray *items;
    unsigned n_made;
    char *why;
    gint stop;
    GThread *thread;
};

static void item_free(gpointer opaque)
{
    Item *item = opaque;

    g_free(item->path);
    g_free(item->data);
    g_free(item);
}

static char *new_path(Visitor *v)
{
    return g_strdup_printf("%s/%s%u", v->dir, v->prefix, v->n_made++);
}

static void complain(Visitor *v, const Item *item, const char *what)
{
    if (!v->why) {
        v->why = g_strdup_printf("'%s', which is the host's, %s", item->path,
                                 what);
    }
}

static void check(Visitor *v, const Item *item)
{
    g_autofree char *data = NULL;
    gsize bytes;

    if (!g_file_get_contents(item->path, &data, &bytes, NULL)) {
        complain(v, item, "is gone");
    } else if (bytes != item->bytes || memcmp(data, item->data, bytes) != 0) {
        complain(v, item, "holds something else");
    }
}

/* New contents; in place, or in another file that takes the name. */
static void fill(Visitor *v, Item *item, bool in_place)
{
    gsize bytes = prng_below(&v->prng, MAX_BYTES);
    bool ok;

    g_free(item->data);
    item->data = g_malloc(bytes + 1);
    item->bytes = bytes;
    prng_fill(&v->prng, (uint8_t *)item->data, bytes);
    if (in_place) {
        int fd = open(item->path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC,
                      0644);

        ok = fd >= 0 && write(fd, item->data, bytes) == (ssize_t)bytes;
        close(fd);
    } else {
        ok = g_file_set_contents(item->path, item->data, (gssize)bytes, NULL);
    }
    if (!ok) {
        complain(v, item, "cannot be written");
    }
}

static void rename_item(Visitor *v, Item *item)
{
    g_autofree char *path = new_path(v);

    if (rename(item->path, path) < 0) {
        complain(v, item, g_strerror(errno));
        return;
    }
    g_free(item->path);
    item->path = g_steal_pointer(&path);
}

static void visit(Visitor *v)
{
    unsigned n = v->items->len;
    Item *item;

    if (n == 0 || (n < MAX_FILES && prng_one_in(&v->prng, 4))) {
        item = g_new0(Item, 1);
        item->path = new_path(v);
        g_ptr_array_add(v->items, item);
        fill(v, item, true);
        return;
    }
    n = prng_below(&v->prng, n);
    item = g_ptr_array_index(v->items, n);
    check(v, item);
    switch (prng_below(&v->prng, 5)) {
    case 0:
        unlink(item->path);
        g_ptr_array_remove_index_fast(v->items, n);
        break;
    case 1:
        rename_item(v, item);
        break;
    case 2:
        if (chmod(item->path, prng_one_in(&v->prng, 2) ? 0600 : 0644) < 0) {
            complain(v, item, g_strerror(errno));
        }
        break;
    default:
        fill(v, item, prng_one_in(&v->prng, 2));
    }
}

static gpointer visitor_run(gpointer opaque)
{
    Visitor *v = opaque;

    while (!g_atomic_int_get(&v->stop)) {
        g_mutex_lock(&v->lock);
        visit(v);
        g_mutex_unlock(&v->lock);
        g_usleep(REST_MICROSECONDS);
    }
    return NULL;
}

Visitor *visitor_new(const char *dir, const char *prefix, uint64_t seed)
{
    Visitor *v = g_new0(Visitor, 1);

    v->dir = g_strdup(dir);
    v->prefix = g_strdup(prefix);
    v->prng.state = seed;
    g_mutex_init(&v->lock);
    v->items = g_ptr_array_new_with_free_func(item_free);
    v->thread = g_thread_new("visitor", visitor_run, v);
    return v;
}

char *visitor_pause(Visitor *v, bool leave)
{
    g_mutex_lock(&v->lock);
    for (guint i = 0; i < v->items->len; i++) {
        const Item *item = g_ptr_array_index(v->items, i);

        check(v, item);
        if (leave) {
            unlink(item->path);
        }
    }
    if (leave) {
        g_ptr_array_set_size(v->items, 0);
    }
    return g_strdup(v->why);
}

void visitor_resume(Visitor *v)
{
    g_mutex_unlock(&v->lock);
}

char *visitor_free(Visitor *v)
{
    char *why;

    g_atomic_int_set(&v->stop, 1);
    g_thread_join(v->thread);
    why = visitor_pause(v, true);
    visitor_resume(v);
    g_ptr_array_unref(v->items);
    g_mutex_clear(&v->lock);
    g_free(v->why);
    g_free(v->prefix);
    g_free(v->dir);
    g_free(v);
    return why;
}
