/* SPDX-License-Identifier: MIT */
#include "tests/unit/host-tree.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define SHOWN_TEXT 40 /* bytes of text that are shown as they are */

/* ---- Making ---- */

int host_tree_dir(HostFs *fs, const char *path)
{
    int r = 0;

    for (const char *end = path; r == 0 && *end;) {
        g_autofree char *dir = NULL;

        end = strchrnul(*end == '/' ? end + 1 : end, '/');
        dir = g_strndup(path, (size_t)(end - path));
        r = fs->ops->mkdir(fs, dir, 0777);
        r = r == -EEXIST ? 0 : r;
    }
    return r;
}

static int open_empty(HostFs *fs, const char *path, HostFile **file)
{
    HostStat st;
    int r = fs->ops->file_create(fs, path, 0666, file);

    if (r != -EEXIST) {
        return r;
    }
    r = fs->ops->file_open_rw(fs, path, file, &st);
    if (r < 0) {
        return r;
    }
    r = fs->ops->file_truncate(fs, *file, 0);
    if (r < 0) {
        fs->ops->file_close(fs, *file);
    }
    return r;
}

int host_tree_file(HostFs *fs, const char *path, const void *data,
                   size_t bytes)
{
    const char *slash = strrchr(path, '/');
    g_autofree char *parent = slash ? g_strndup(path, (size_t)(slash - path))
                                    : g_strdup("");
    HostFile *file;
    int r = host_tree_dir(fs, parent);

    r = r < 0 ? r : open_empty(fs, path, &file);
    if (r == 0) {
        r = hostfs_write_full(fs, file, 0, data, bytes);
        fs->ops->file_close(fs, file);
    }
    return r;
}

int host_tree_text(HostFs *fs, const char *path, const char *text)
{
    return host_tree_file(fs, path, text, strlen(text));
}

/* ---- Removing ---- */

static int list_names(HostFs *fs, const char *path, GPtrArray *names)
{
    HostDir *dir;
    const char *name;
    int r = fs->ops->dir_open(fs, path, &dir);

    if (r < 0) {
        return r;
    }
    while ((r = fs->ops->dir_next(fs, dir, &name)) > 0) {
        g_ptr_array_add(names, g_strconcat(path, "/", name, NULL));
    }
    fs->ops->dir_close(fs, dir);
    return r;
}

int host_tree_remove(HostFs *fs, const char *path)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    HostStat st;
    int r = fs->ops->stat(fs, path, &st);

    if (r < 0 || st.kind != HOST_DIRECTORY) {
        return r < 0 ? r : fs->ops->unlink(fs, path);
    }
    r = list_names(fs, path, names);
    for (guint i = 0; r == 0 && i < names->len; i++) {
        r = host_tree_remove(fs, g_ptr_array_index(names, i));
    }
    return r < 0 ? r : fs->ops->rmdir(fs, path);
}

/* ---- Reading ---- */

static int read_file(HostFs *fs, const char *path, char **data, size_t *bytes)
{
    g_autofree char *buf = NULL;
    HostFile *file;
    HostStat st;
    IOVector iov;
    int r = fs->ops->file_open(fs, path, &file, &st);

    if (r < 0) {
        return r;
    }
    *bytes = (size_t)st.size;
    buf = g_malloc(*bytes + 1);
    buf[*bytes] = '\0';
    iov_init_buf(&iov, buf, *bytes);
    r = hostfs_read_full(fs, file, 0, &iov, 0, *bytes);
    fs->ops->file_close(fs, file);
    if (r == 0) {
        *data = g_steal_pointer(&buf);
    }
    return r;
}

char *host_tree_read(HostFs *fs, const char *path, size_t *bytes)
{
    char *data = NULL;
    size_t unused;

    return read_file(fs, path, &data, bytes ? bytes : &unused) < 0 ? NULL
                                                                   : data;
}

/* ---- Showing ---- */

typedef struct Dump {
    HostFs *fs;
    unsigned show;
    GString *out;
} Dump;

static bool is_text(const char *data, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        if (!g_ascii_isprint(data[i])) {
            return false;
        }
    }
    return bytes <= SHOWN_TEXT;
}

static void dump_contents(Dump *dump, const char *path)
{
    g_autofree char *data = NULL;
    size_t bytes;
    int r = read_file(dump->fs, path, &data, &bytes);

    if (r < 0) {
        g_string_append_printf(dump->out, " error %d", -r);
    } else if (is_text(data, bytes)) {
        g_string_append_printf(dump->out, " %zu '%s'", bytes, data);
    } else {
        g_autofree char *sum = g_compute_checksum_for_data(
            G_CHECKSUM_SHA1, (const guchar *)data, bytes);

        g_string_append_printf(dump->out, " %zu %s", bytes, sum);
    }
}

static void dump_rest(Dump *dump, const char *path, const HostStat *st)
{
    unsigned attr;

    if (dump->show & HOST_TREE_MODES) {
        g_string_append_printf(dump->out, " mode %04o", st->mode);
    }
    if (dump->show & HOST_TREE_TIMES) {
        g_string_append_printf(dump->out, " time %" PRId64 ".%09" PRIu32,
                               st->mtime, st->mtime_ns);
    }
    if (dump->show & HOST_TREE_ATTRS && st->kind != HOST_SYMLINK &&
        dump->fs->ops->get_dos_attrib(dump->fs, path, &attr) == 0) {
        g_string_append_printf(dump->out, " attr 0x%02x", attr);
    }
    if (dump->show & HOST_TREE_INODES) {
        g_string_append_printf(dump->out, " ino %" PRIu64, st->ino);
    }
    g_string_append_c(dump->out, '\n');
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The paths of what is in a directory, sorted. */
static GPtrArray *list_directory(Dump *dump, const char *path)
{
    GPtrArray *paths = g_ptr_array_new_with_free_func(g_free);
    const char *name;
    HostDir *dir;
    int r = dump->fs->ops->dir_open(dump->fs, path, &dir);

    if (r == 0) {
        while ((r = dump->fs->ops->dir_next(dump->fs, dir, &name)) > 0) {
            g_ptr_array_add(paths, *path ? g_strconcat(path, "/", name, NULL)
                                         : g_strdup(name));
        }
        dump->fs->ops->dir_close(dump->fs, dir);
    }
    if (r < 0) {
        g_string_append_printf(dump->out, "%s/ error %d\n", path, -r);
    }
    g_ptr_array_sort(paths, compare_names);
    return paths;
}

static void dump_entry(Dump *dump, const char *path, GQueue *todo)
{
    HostStat st;
    int r = dump->fs->ops->stat(dump->fs, path, &st);

    g_string_append(dump->out, path);
    if (r < 0) {
        g_string_append_printf(dump->out, " error %d\n", -r);
        return;
    }
    if (st.kind == HOST_DIRECTORY) {
        GPtrArray *paths;

        g_string_append_c(dump->out, '/');
        dump_rest(dump, path, &st);
        paths = list_directory(dump, path);
        for (unsigned i = paths->len; i-- > 0;) {
            g_queue_push_head(todo, g_strdup(paths->pdata[i]));
        }
        g_ptr_array_unref(paths);
        return;
    }
    if (st.kind == HOST_FILE) {
        dump_contents(dump, path);
    } else {
        g_string_append(dump->out,
                        st.kind == HOST_SYMLINK ? " -> ?" : " special");
    }
    dump_rest(dump, path, &st);
}

char *host_tree_dump(HostFs *fs, unsigned show)
{
    Dump dump = { .fs = fs, .show = show, .out = g_string_new(NULL) };
    g_autoptr(GPtrArray) paths = list_directory(&dump, "");
    GQueue todo = G_QUEUE_INIT;
    char *path;

    for (unsigned i = 0; i < paths->len; i++) {
        g_queue_push_tail(&todo, g_strdup(paths->pdata[i]));
    }
    while ((path = g_queue_pop_head(&todo))) {
        dump_entry(&dump, path, &todo);
        g_free(path);
    }
    return g_string_free(dump.out, FALSE);
}

/* ---- Comparing ---- */

static GHashTable *line_set(char **lines)
{
    GHashTable *set = g_hash_table_new(g_str_hash, g_str_equal);

    for (; *lines; lines++) {
        g_hash_table_add(set, *lines);
    }
    return set;
}

static void append_missing(GString *out, char sign, char **lines,
                           GHashTable *others)
{
    for (; *lines; lines++) {
        if (!g_hash_table_contains(others, *lines)) {
            g_string_append_printf(out, "%c%s\n", sign, *lines);
        }
    }
}

char *host_tree_diff(const char *a, const char *b)
{
    g_auto(GStrv) a_lines = g_strsplit(a, "\n", -1);
    g_auto(GStrv) b_lines = g_strsplit(b, "\n", -1);
    g_autoptr(GHashTable) a_set = line_set(a_lines);
    g_autoptr(GHashTable) b_set = line_set(b_lines);
    GString *out;

    if (strcmp(a, b) == 0) {
        return NULL;
    }
    out = g_string_new(NULL);
    append_missing(out, '-', a_lines, b_set);
    append_missing(out, '+', b_lines, a_set);
    return g_string_free(out, FALSE);
}
