/* SPDX-License-Identifier: MIT */
#include "tests/model/hostdir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/model/fatvol.h"
#include "tests/model/prng.h"

/* ---- Comparing ---- */

#define MARCH_2100 INT64_C(4107542400)
#define DAY 86400

typedef struct Walk {
    const HostCheck *check;
    char *why;
} Walk;

static void complain(Walk *walk, const Node *dir, const char *name,
                     const char *what)
{
    g_autofree char *path = model_path(dir);

    walk->why = g_strdup_printf("'%s%s%s' %s", path, *path ? "/" : "", name,
                                what);
}

static char *name_by_mtools(const char *name)
{
    GString *text = g_string_new(NULL);

    for (const char *p = name; *p; p = g_utf8_next_char(p)) {
        gunichar c = g_utf8_get_char(p);

        if (c > 0xffff) {
            g_string_append(text, "__");
        } else {
            g_string_append_unichar(text,
                                    c == '?' || c == ':' ? c + 0xf000 : c);
        }
    }
    return g_string_free(text, FALSE);
}

static Node *find_child(const Walk *walk, const Node *dir, const char *name)
{
    for (guint i = 0; walk->check->by_mtools && i < dir->children->len; i++) {
        Node *child = g_ptr_array_index(dir->children, i);
        g_autofree char *there = name_by_mtools(child->name);

        if (strcmp(there, name) == 0) {
            return child;
        }
    }
    return model_child(dir, name);
}

static bool is_same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino &&
           a->st_size == b->st_size && a->st_mode == b->st_mode &&
           a->st_ctim.tv_sec == b->st_ctim.tv_sec &&
           a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

/* NULL, or what is wrong with what the file holds; g_free(). */
static char *compare_data(int dir, const char *name, const Node *node)
{
    g_autofree uint8_t *data = g_malloc(node->data->len + 1);
    int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    size_t n = 0;
    ssize_t ret = 1;

    if (fd < 0) {
        return g_strdup_printf("cannot be opened: %s", g_strerror(errno));
    }
    while (n <= node->data->len && ret > 0) {
        ret = read(fd, data + n, node->data->len + 1 - n);
        n += ret > 0 ? (size_t)ret : 0;
    }
    close(fd);
    if (n != node->data->len) {
        return g_strdup_printf("has %zu bytes to read, not %u", n,
                               node->data->len);
    }
    for (size_t i = 0; i < n; i++) {
        if (data[i] != node->data->data[i]) {
            return g_strdup_printf("has 0x%02x at byte %zu of %zu, not 0x%02x",
                                   data[i], i, n, node->data->data[i]);
        }
    }
    return NULL;
}

static char *compare_times(const Walk *walk, const Node *node,
                           const struct stat *st)
{
    int64_t apart = st->st_mtim.tv_sec - node->mtime;

    if (walk->check->by_mtools && node->mtime >= MARCH_2100) {
        apart -= DAY;
    }
    if (apart < -2 || apart > 2) {
        return g_strdup_printf("was modified at %" PRId64 ", not %" PRId64,
                               (int64_t)st->st_mtim.tv_sec, node->mtime);
    }
    return NULL;
}

static char *compare_file(const Walk *walk, int dir, const char *name,
                          Node *node, const struct stat *st)
{
    bool read_only = node->attributes & 1;
    char *what = NULL;

    if (!S_ISREG(st->st_mode)) {
        return g_strdup("is no regular file");
    }
    if (st->st_size != node->data->len) {
        return g_strdup_printf("has %" PRId64 " bytes, not %u",
                               (int64_t)st->st_size, node->data->len);
    }
    if (!walk->check->by_mtools && !(st->st_mode & S_IWUSR) != read_only) {
        return g_strdup_printf("has mode %04o, but is %s",
                               (unsigned)st->st_mode & 07777,
                               read_only ? "read-only" : "not read-only");
    }
    if (walk->check->thorough || !node->is_seen ||
        !is_same_file(st, &node->seen)) {
        what = compare_data(dir, name, node);
        node->is_seen = what == NULL;
        node->seen = *st;
    }
    return what ? what : compare_times(walk, node, st);
}

static void compare_dir(Walk *walk, int fd, Node *node);

static void compare_entry(Walk *walk, int dir, Node *parent, Node *node,
                          const char *name)
{
    g_autofree char *what = NULL;
    struct stat st;
    int fd;

    if (!node) {
        complain(walk, parent, name, "should not be there");
        return;
    }
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
        complain(walk, parent, name, g_strerror(errno));
        return;
    }
    if (!node->is_dir) {
        what = compare_file(walk, dir, name, node, &st);
    } else {
        fd = openat(dir, name,
                    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0) {
            what = g_strdup_printf("as a directory: %s", g_strerror(errno));
        } else {
            compare_dir(walk, fd, node);
        }
        if (!walk->why && !what && walk->check->dir_times) {
            what = compare_times(walk, node, &st);
        }
    }
    if (what && !walk->why) {
        complain(walk, parent, name, what);
    }
}

/* Closes fd. */
static void compare_dir(Walk *walk, int fd, Node *node)
{
    DIR *dir = fdopendir(fd);
    const char *ignore = node->parent ? NULL : walk->check->ignore;
    GHashTable *found = g_hash_table_new(NULL, NULL);
    struct dirent *entry;
    Node *child;

    while (!walk->why && (entry = readdir(dir))) {
        if (strcmp(entry->d_name, ".") == 0 ||
            strcmp(entry->d_name, "..") == 0 ||
            (ignore && g_str_has_prefix(entry->d_name, ignore))) {
            continue;
        }
        child = find_child(walk, node, entry->d_name);
        g_hash_table_add(found, child);
        compare_entry(walk, fd, node, child, entry->d_name);
    }
    for (guint i = 0; i < node->children->len && !walk->why; i++) {
        child = g_ptr_array_index(node->children, i);
        if (!g_hash_table_contains(found, child) &&
            !(ignore && g_str_has_prefix(child->name, ignore))) {
            complain(walk, node, child->name, "is missing");
        }
    }
    g_hash_table_destroy(found);
    closedir(dir);
}

char *hostdir_compare(const char *path, Node *root, const HostCheck *check)
{
    Walk walk = { .check = check };
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0) {
        return g_strdup_printf("'%s': %s", path, g_strerror(errno));
    }
    compare_dir(&walk, fd, root);
    return walk.why;
}

char *hostdir_compare_file(const char *path, Node *node)
{
    const HostCheck check = { .thorough = false };
    Walk walk = { .check = &check };
    g_autofree char *inner = model_path(node);
    g_autofree char *host = g_build_filename(path, inner, NULL);
    g_autofree char *what = NULL;
    struct stat st;

    if (lstat(host, &st) < 0) {
        return g_strdup_printf("'%s', which no garbage concerns: %s", inner,
                               g_strerror(errno));
    }
    what = compare_file(&walk, AT_FDCWD, host, node, &st);
    return what ? g_strdup_printf("'%s', which no garbage concerns, %s", inner,
                                  what)
                : NULL;
}

/* ---- Making and deleting ---- */

typedef struct Seed {
    const char *path;
    uint32_t weight; /* of its size, in 1/64 of the largest */
    bool sparse;
} Seed;

static const Seed seeds[] = {
    { "README.TXT", 1, false },
    { "plain", 0, false },
    { "A long name with spaces, and more.text", 2, false },
    { "\xc3\xa4rger mit \xce\xbb und \xf0\x9f\x98\x80.txt", 1, false },
    { "sub/", 0, false },
    { "sub/one.c", 1, false },
    { "sub/One and a half", 3, false },
    { "sub/deeper/", 0, false },
    { "sub/deeper/still deeper/", 0, false },
    { "sub/deeper/still deeper/leaf.dat", 5, false },
    { "sub/deeper/.hidden", 1, false },
    { "Empty Directory/", 0, false },
    { "large.bin", 64, false },
    { "sparse.img", 64, true },
    { "question? a:b", 1, false },
    { "many.d/", 0, false },
};

static void make_file(const char *path, Node *node, uint32_t bytes,
                      bool sparse, Prng *prng)
{
    int fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644);

    g_assert(fd >= 0);
    model_resize(node, bytes);
    if (sparse) {
        int ret = ftruncate(fd, bytes);

        g_assert(ret == 0);
        prng_fill(prng, node->data->data + bytes / 2, bytes / 16);
        for (size_t at = bytes / 2, n = bytes / 16; n > 0;) {
            ssize_t done = pwrite(fd, node->data->data + at, n, (off_t)at);

            g_assert(done > 0);
            at += (size_t)done;
            n -= (size_t)done;
        }
    } else {
        prng_fill(prng, node->data->data, bytes);
        for (size_t at = 0; at < bytes;) {
            ssize_t done = write(fd, node->data->data + at, bytes - at);

            g_assert(done > 0);
            at += (size_t)done;
        }
    }
    close(fd);
}

static void make_one(const char *path, Node *root, const Seed *seed,
                     uint32_t room, Prng *prng)
{
    bool is_dir = g_str_has_suffix(seed->path, "/");
    g_autofree char *inner = g_strndup(seed->path,
                                       strlen(seed->path) - is_dir);
    g_autofree char *host = g_build_filename(path, inner, NULL);
    g_autofree char *name = g_path_get_basename(inner);
    g_autofree char *above = g_path_get_dirname(inner);
    Node *parent = strcmp(above, ".") == 0 ? root : model_walk(root, above);
    Node *node = model_new(parent, name, is_dir);
    struct timespec times[2] = { 0 };

    if (is_dir) {
        int ret = mkdir(host, 0755);

        g_assert(ret == 0);
    } else {
        uint32_t most = room / 8 / 64 * seed->weight;

        node->attributes = 0x20;
        make_file(host, node, most ? most / 2 + prng_below(prng, most / 2) : 0,
                  seed->sparse, prng);
    }
    node->mtime = 1000000000 + prng_below(prng, 600000000);
    times[0].tv_sec = times[1].tv_sec = node->mtime;
    utimensat(AT_FDCWD, host, times, 0);
}

Node *hostdir_make(const char *path, uint64_t seed, uint32_t room)
{
    Prng prng = { seed };
    Node *root = model_new(NULL, "", true);
    unsigned n_many;
    int ret = mkdir(path, 0755);

    g_assert(ret == 0);
    for (size_t i = 0; i < G_N_ELEMENTS(seeds); i++) {
        make_one(path, root, &seeds[i], room, &prng);
    }
    n_many = prng_below(&prng, 60);
    for (unsigned i = 0; i < n_many; i++) {
        g_autofree char *name = g_strdup_printf("many.d/File number %u", i);
        Seed one = { .path = name, .weight = prng_below(&prng, 2) };

        make_one(path, root, &one, room, &prng);
    }
    return root;
}

static int remove_one(const char *path, const struct stat *st, int type,
                      struct FTW *at)
{
    (void)st, (void)type, (void)at;
    return remove(path);
}

static int unprotect_one(const char *path, const struct stat *st, int type,
                         struct FTW *ftw)
{
    (void)ftw;
    if (type == FTW_F && !(st->st_mode & 0222)) {
        return chmod(path, st->st_mode | 0200);
    }
    return 0;
}

void hostdir_unprotect(const char *path, Node *root)
{
    g_autoptr(GPtrArray) nodes = g_ptr_array_new();

    nftw(path, unprotect_one, 16, FTW_PHYS);
    model_list(root, nodes);
    for (guint i = 0; i < nodes->len; i++) {
        Node *node = g_ptr_array_index(nodes, i);

        node->is_seen &= !(node->attributes & ATTR_READ_ONLY);
        node->attributes &= (uint8_t)~ATTR_READ_ONLY;
    }
}

void hostdir_remove(const char *path)
{
    nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}
