/* SPDX-License-Identifier: MIT */
#include "block/new-file.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool new_file_create(NewFile *file, const char *filename, bool nocow,
                     GError **errp)
{
    g_autoptr(Options) options = options_new();
    const char *path = g_str_has_prefix(filename, "file:")
                           ? filename + strlen("file:")
                           : filename;
    bool existed = stat(path, &file->st) == 0;

    file->path = NULL;
    options_set_bool(options, "nocow", nocow);
    if (!bdrv_create("file", filename, options, errp)) {
        return false;
    }
    if (!existed) {
        new_file_note(file, path);
    }
    return true;
}

void new_file_note(NewFile *file, const char *path)
{
    file->path = realpath(path, NULL);
    if (file->path && stat(file->path, &file->st) < 0) {
        new_file_clear(file);
    }
}

void new_file_clear(NewFile *file)
{
    free(file->path);
    file->path = NULL;
}

void new_file_remove(const NewFile *file)
{
    struct stat st;

    if (file->path && lstat(file->path, &st) == 0 &&
        st.st_dev == file->st.st_dev && st.st_ino == file->st.st_ino) {
        (void)unlink(file->path);
    }
}
