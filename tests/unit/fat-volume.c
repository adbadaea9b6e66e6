/* SPDX-License-Identifier: MIT */
#include "fat-volume.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- Commands ---- */

#define SETTING                                                               \
    "PATH=$PATH:/usr/sbin:/sbin MTOOLS_SKIP_CHECK=1 LC_ALL=C.UTF-8 TZ=UTC; "  \
    "export PATH MTOOLS_SKIP_CHECK LC_ALL TZ; "

char *workdir_new(void)
{
    g_autoptr(GError) error = NULL;
    char *dir = g_dir_make_tmp("vvfat-test-XXXXXX", &error);

    cr_assert_not_null(dir, "%s", error ? error->message : "");
    return dir;
}

void workdir_free(char *dir)
{
    workdir_run("/", "chmod -R u+rwX '%s' && rm -rf '%s'", dir, dir);
    g_free(dir);
}

static int run(const char *dir, const char *command, char **output)
{
    g_autofree char *script = g_strdup_printf("%scd '%s' && { %s\n}", SETTING,
                                              dir, command);
    const char *argv[] = { "/bin/sh", "-c", script, NULL };
    g_autofree char *said = NULL;
    g_autofree char *complained = NULL;
    g_autoptr(GError) error = NULL;
    int status;

    cr_assert(g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_DEFAULT, NULL,
                           NULL, &said, &complained, &status, &error),
              "%s", error ? error->message : "");
    if (output) {
        *output = g_steal_pointer(&said);
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

int workdir_status(const char *dir, const char *fmt, ...)
{
    g_autofree char *command = NULL;
    va_list ap;

    va_start(ap, fmt);
    command = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    return run(dir, command, NULL);
}

void workdir_run(const char *dir, const char *fmt, ...)
{
    g_autofree char *command = NULL;
    va_list ap;
    int status;

    va_start(ap, fmt);
    command = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    status = run(dir, command, NULL);
    cr_assert(status == 0, "'%s' failed: %d", command, status);
}

char *workdir_output(const char *dir, const char *fmt, ...)
{
    g_autofree char *command = NULL;
    char *output = NULL;
    va_list ap;
    int status;

    va_start(ap, fmt);
    command = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    status = run(dir, command, &output);
    cr_assert(status == 0, "'%s' failed: %d", command, status);
    return output;
}

unsigned workdir_replace(const char *dir, const char *file, const void *old,
                         const void *new, size_t bytes)
{
    g_autofree char *path = g_build_filename(dir, file, NULL);
    g_autoptr(GMappedFile) map = g_mapped_file_new(path, TRUE, NULL);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    const char *start, *at, *end;
    unsigned n = 0;

    cr_assert(map && fd >= 0, "%s", path);
    start = g_mapped_file_get_contents(map);
    end = start + g_mapped_file_get_length(map);
    for (at = start; (at = memmem(at, (size_t)(end - at), old, bytes));
         at += bytes, n++) {
        cr_assert_eq(pwrite(fd, new, bytes, at - start), (ssize_t)bytes);
    }
    close(fd);
    cr_assert_gt(n, 0, "nothing to replace in '%s'", path);
    return n;
}

/* ---- Volumes ---- */

int fat_volume_read(void *opaque, int64_t offset, int64_t bytes, void *buf)
{
    FatVolume *v = opaque;

    if (v->fail_after >= 0 && v->fail_after-- == 0) {
        v->fail_after = 0; /* and so do all further ones */
        return -EIO;
    }
    if (v->bad_offset >= offset && v->bad_offset < offset + bytes) {
        return -EIO;
    }
    return pread(v->fd, buf, (size_t)bytes, offset) == bytes ? 0 : -EIO;
}

FatVolume *fat_volume_open(const char *dir, const char *image, bool full)
{
    g_autofree char *path = g_build_filename(dir, image, NULL);
    g_autoptr(GError) error = NULL;
    FatVolume *v = g_new0(FatVolume, 1);
    struct stat st;

    v->fail_after = -1;
    v->bad_offset = -1;
    v->fd = open(path, O_RDONLY | O_CLOEXEC);
    cr_assert(v->fd >= 0, "%s: %s", path, g_strerror(errno));
    cr_assert_eq(fstat(v->fd, &st), 0);
    v->bytes = st.st_size;
    v->volume = volume_open(fat_volume_read, v, v->bytes, NULL, &error);
    cr_assert_not_null(v->volume, "%s: %s", path, error->message);
    v->view = guest_view_load(v->volume, full, &error);
    cr_assert_not_null(v->view, "%s: %s", path, error->message);
    return v;
}

void fat_volume_close(FatVolume *v)
{
    guest_view_free(v->view);
    volume_free(v->volume);
    close(v->fd);
    g_free(v);
}

unsigned fat_volume_problems(const FatVolume *v, ProblemKind kind,
                             const char *path)
{
    unsigned n = 0;

    for (guint i = 0; i < v->view->problems->len; i++) {
        const Problem *p = g_ptr_array_index(v->view->problems, i);

        n += p->kind == kind && g_strcmp0(p->path, path) == 0;
    }
    return n;
}

char *fat_volume_describe(const FatVolume *v)
{
    GString *text = g_string_new(NULL);

    for (guint i = 0; i < v->view->problems->len; i++) {
        const Problem *p = g_ptr_array_index(v->view->problems, i);

        g_string_append_printf(text, "\n  %s %s '%s': %s",
                               p->is_damage ? "damage" : "note",
                               problem_kind_name(p->kind),
                               p->path ? p->path : "(volume)", p->text);
    }
    return g_string_free(text, FALSE);
}
