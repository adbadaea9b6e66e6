/* SPDX-License-Identifier: MIT */
#include "tools/check-volume.h"

#include <errno.h>
#include <inttypes.h>

#include "block/error.h"
#include "tools/tool-output.h"

static int64_t count_lost_problems(const GuestView *view)
{
    int64_t n = 0;

    for (guint i = 0; i < view->problems->len; i++) {
        const Problem *p = g_ptr_array_index(view->problems, i);
        n += p->is_damage && p->kind == PROBLEM_LOST_CLUSTERS;
    }
    return n;
}

VolumeCheck *volume_check_run(BlockBackend *blk, unsigned partition,
                              unsigned codepage)
{
    g_autoptr(GError) error = NULL;
    VolumeCheck *check = g_new0(VolumeCheck, 1);

    check->partition = partition;
    check->fat = fat_image_open(blk, (int)partition, codepage, &error);
    if (check->fat) {
        check->view = fat_image_load(check->fat, true, &error);
    }
    if (!check->view) {
        /* Damaged beyond reading, not what was asked for, or unreadable. */
        int code = -block_error_to_errno(error);
        check->completed = !check->fat && code != EMEDIUMTYPE && code != EIO;
        check->damages = check->completed;
        check->error = g_strdup(error->message);
        return check;
    }
    check->completed = true;
    check->leaks = (int64_t)check->view->lost_clusters;
    check->damages = (int64_t)check->view->n_damage -
                     count_lost_problems(check->view);
    return check;
}

void volume_check_free(void *opaque)
{
    VolumeCheck *check = opaque;

    fat_image_free(check->fat);
    g_free(check->error);
    g_free(check);
}

static char *volume_name(const VolumeCheck *check)
{
    return check->partition ? g_strdup_printf("partition %u", check->partition)
                            : g_strdup("volume");
}

static char *volume_label(const VolumeCheck *check)
{
    const Tree *tree = check->view->tree;
    char *label;

    if (!tree->has_label) {
        return NULL;
    }
    label = g_strndup((const char *)tree->label, sizeof(tree->label));
    g_strchomp(label);
    char *clean = tool_json_name(label);
    g_free(label);
    return clean;
}

static void print_problem(const char *volume, const Problem *p)
{
    g_autofree char *text = tool_escape(p->text, false);
    const char *kind = p->is_damage ? "" : "note: ";

    if (p->path) {
        g_autofree char *path = tool_escape(*p->path ? p->path : "/", false);
        printf("%s: %s'%s': %s\n", volume, kind, path, text);
    } else {
        printf("%s: %s%s\n", volume, kind, text);
    }
}

void volume_check_print(const VolumeCheck *check)
{
    g_autofree char *name = volume_name(check);
    const GuestView *view = check->view;

    if (!view) {
        printf("%s: %s\n", name, check->error);
        return;
    }
    for (guint i = 0; i < view->problems->len; i++) {
        print_problem(name, g_ptr_array_index(view->problems, i));
    }
    if (view->more_problems > 0) {
        printf("%s: %" PRIu64 " more problems\n", name, view->more_problems);
    }
    const BootInfo *boot = volume_boot_info(fat_image_volume(check->fat));
    g_autofree char *label = volume_label(check);
    g_autofree char *clean = label ? tool_escape(label, false) : NULL;
    const Tree *tree = view->tree;
    printf("%s: FAT%u%s%s%s, %" PRIu64 " file%s, %" PRIu64
           " director%s, %" PRIu64 "/%" PRIu32 " clusters of %" PRIu32
           " bytes\n",
           name, boot->fat_type, clean ? " '" : "", clean ? clean : "",
           clean ? "'" : "", tree->n_files, tree->n_files == 1 ? "" : "s",
           tree->n_directories, tree->n_directories == 1 ? "y" : "ies",
           view->used_clusters, boot->cluster_count,
           volume_cluster_size(fat_image_volume(check->fat)));
}

static void write_problem(const Problem *p, JsonWriter *w)
{
    g_autofree char *text = tool_json_name(p->text);

    json_begin_object(w, NULL);
    json_string(w, "kind", problem_kind_name(p->kind));
    json_bool(w, "damage", p->is_damage);
    if (p->path) {
        g_autofree char *path = tool_json_name(p->path);
        json_string(w, "path", path);
    }
    json_string(w, "text", text);
    json_end_object(w);
}

static void write_counts(const VolumeCheck *check, JsonWriter *w)
{
    const GuestView *view = check->view;
    const BootInfo *boot = volume_boot_info(fat_image_volume(check->fat));
    g_autofree char *label = volume_label(check);

    json_int(w, "fat-type", boot->fat_type);
    if (label) {
        json_string(w, "label", label);
    }
    json_int(w, "files", (int64_t)view->tree->n_files);
    json_int(w, "directories", (int64_t)view->tree->n_directories);
    json_int(w, "cluster-size",
             volume_cluster_size(fat_image_volume(check->fat)));
    json_int(w, "total-clusters", boot->cluster_count);
    json_int(w, "used-clusters", (int64_t)view->used_clusters);
    json_int(w, "free-clusters", (int64_t)view->free_clusters);
    json_int(w, "bad-clusters", (int64_t)view->bad_clusters);
    json_int(w, "lost-clusters", (int64_t)view->lost_clusters);
    if (view->more_problems > 0) {
        json_int(w, "more-problems", (int64_t)view->more_problems);
    }
    json_begin_array(w, "problems");
    for (guint i = 0; i < view->problems->len; i++) {
        write_problem(g_ptr_array_index(view->problems, i), w);
    }
    json_end_array(w);
}

void volume_check_write(const VolumeCheck *check, JsonWriter *w)
{
    json_begin_object(w, NULL);
    json_int(w, "partition", check->partition);
    if (check->view) {
        write_counts(check, w);
    } else {
        g_autofree char *error = tool_json_name(check->error);
        json_string(w, "error", error);
    }
    json_end_object(w);
}
