/* SPDX-License-Identifier: MIT */
/*
 * vvfat-img check: the structure of an image, and of the FAT volumes in it.
 *
 * The image's format comes first; -r repairs it, and nothing else. Then what
 * the disk holds is looked at, as it reads by then: partition table and FAT
 * volumes. What is wrong there counts together with what is (still) wrong in
 * the format. Of an overlay that a writable directory keeps, what is pending
 * is told at the end.
 *
 * Exit status as qemu-img's: 0 nothing is wrong, 1 the check could not be
 * completed, 2 something is damaged, 3 there are only leaks (in a FAT volume:
 * lost clusters), 63 there is nothing that can be checked.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "block/vvfat/kept-probe.h"
#include "tools/check-overlay.h"
#include "tools/check-volume.h"
#include "tools/tool-args.h"
#include "tools/tool-fat.h"
#include "tools/tool-output.h"

enum {
    STATUS_CLEAN = 0,
    STATUS_INCOMPLETE = 1,
    STATUS_DAMAGED = 2,
    STATUS_LEAKS = 3,
    STATUS_UNSUPPORTED = 63,
};

typedef struct Check {
    FatArgs fat;
    bool json, quiet;
    unsigned fix; /* -r: BDRV_FIX_* */
    const char *name;
    BlockBackend *blk;
    bool has_format_check;
    BdrvCheckResult image; /* the format's own check, all volumes added */
    GPtrArray *volumes;    /* VolumeCheck */
    GPtrArray *defects;    /* char *: of the partition table */
} Check;

/* ---- The format ---- */

/* On standard error, as qemu-img: JSON is not disturbed by it. */
static void print_finding(const char *text, void *opaque)
{
    const Check *check = opaque;

    if (!check->quiet) {
        tool_hint("%s", text);
    }
}

static bool run_format_check(Check *check, unsigned fix)
{
    g_autoptr(GError) error = NULL;
    BdrvCheckResult result = { .message = print_finding, .opaque = check };
    int ret = blk_check(check->blk, &result, fix, &error);

    check->image = result;
    check->has_format_check = ret != -ENOTSUP;
    if (ret < 0 && ret != -ENOTSUP && fix && blk_is_read_only(check->blk)) {
        tool_error("Could not repair '%s': it can only be opened for reading",
                   check->name);
        return false;
    }
    if (ret < 0 && ret != -ENOTSUP) {
        tool_error("Check failed: %s", error->message);
        return false;
    }
    ret = fix && ret == 0 ? blk_flush(check->blk) : 0;
    if (ret < 0) {
        g_autofree char *reason = blk_strerror(ret);
        tool_error("Check failed: could not write what was repaired: %s",
                   reason);
    }
    return ret >= 0;
}

/* What was repaired is checked once more; that it was is remembered. */
static bool check_format(Check *check)
{
    if (!run_format_check(check, check->fix)) {
        return false;
    }
    BdrvCheckResult first = check->image;
    if (first.leaks_fixed == 0 && first.corruptions_fixed == 0) {
        return true;
    }
    if (!check->json && !check->quiet) {
        printf("The following inconsistencies were found and repaired:\n\n"
               "    %" PRId64 " leaked clusters\n    %" PRId64
               " corruptions\n\nDouble checking the fixed image now...\n",
               first.leaks_fixed, first.corruptions_fixed);
    }
    if (!run_format_check(check, 0)) {
        return false;
    }
    check->image.leaks_fixed = first.leaks_fixed;
    check->image.corruptions_fixed = first.corruptions_fixed;
    return true;
}

/* ---- Partitions ---- */

static void add_defect(Check *check, char *text)
{
    g_ptr_array_add(check->defects, text);
    check->image.corruptions++;
}

static bool check_partition(Check *check, const Partition *p)
{
    bool wanted = check->fat.partition == (int)p->number;

    if (check->fat.partition != FAT_IMAGE_ANY_PARTITION && !wanted) {
        return true;
    }
    if (!wanted && !fat_image_holds_fat(check->blk, p)) {
        if (partition_is_fat_type(p)) {
            add_defect(
                check,
                g_strdup_printf(
                    "partition %u: its type is FAT, but it holds no FAT volume",
                    p->number));
        }
        return true;
    }
    VolumeCheck *volume = volume_check_run(check->blk, p->number,
                                           check->fat.codepage);
    g_ptr_array_add(check->volumes, volume);
    check->image.corruptions += volume->damages;
    check->image.leaks += volume->leaks;
    return volume->completed;
}

static bool check_partitions(Check *check)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(PartitionList) list = fat_image_list(check->blk, &error);
    bool found = check->fat.partition == FAT_IMAGE_ANY_PARTITION;
    bool ok = true;

    if (!list) {
        tool_error("%s: %s", check->name, error->message);
        return false;
    }
    for (guint i = 0; i < list->defects->len; i++) {
        add_defect(check, g_strdup(g_ptr_array_index(list->defects, i)));
    }
    for (guint i = 0; i < list->partitions->len; i++) {
        const Partition *p = &g_array_index(list->partitions, Partition, i);
        found = found || check->fat.partition == (int)p->number;
        ok = check_partition(check, p) && ok;
    }
    if (!found) {
        tool_error("%s: there is no partition %d", check->name,
                   check->fat.partition);
    }
    return ok && found;
}

/* ---- Output ---- */

static void print_totals(const BdrvCheckResult *r, bool completed)
{
    if (completed && r->corruptions == 0 && r->leaks == 0 &&
        r->check_errors == 0) {
        printf("No errors were found on the image.\n");
        return;
    }
    if (r->corruptions > 0) {
        printf("\n%" PRId64 " errors were found on the image.\nData may be "
               "corrupted, or further writes to the image may corrupt it.\n",
               r->corruptions);
    }
    if (r->leaks > 0) {
        printf("\n%" PRId64 " leaked clusters were found on the image.\n"
               "This means waste of disk space, but no harm to data.\n",
               r->leaks);
    }
    if (r->check_errors > 0) {
        printf("\n%" PRId64 " internal errors have occurred during the "
               "check.\n",
               r->check_errors);
    }
}

static void print_human(const Check *check, bool completed)
{
    const BdrvCheckResult *r = &check->image;

    for (guint i = 0; i < check->defects->len; i++) {
        printf("%s\n", (const char *)g_ptr_array_index(check->defects, i));
    }
    for (guint i = 0; i < check->volumes->len; i++) {
        volume_check_print(g_ptr_array_index(check->volumes, i));
    }
    print_totals(r, completed);
    if (r->total_clusters > 0 && r->allocated_clusters > 0) {
        double allocated = (double)r->allocated_clusters;
        printf("%" PRId64 "/%" PRId64 " = %0.2f%% allocated, %0.2f%% "
               "fragmented, %0.2f%% compressed clusters\n",
               r->allocated_clusters, r->total_clusters,
               allocated * 100 / (double)r->total_clusters,
               (double)r->fragmented_clusters * 100 / allocated,
               (double)r->compressed_clusters * 100 / allocated);
    }
    if (r->image_end_offset > 0) {
        printf("Image end offset: %" PRId64 "\n", r->image_end_offset);
    }
}

static void add_count(JsonWriter *w, const char *name, int64_t n)
{
    if (n > 0) {
        json_int(w, name, n);
    }
}

/* A check that was not completed has at least one error. */
static void print_json(const Check *check, bool completed)
{
    const BdrvCheckResult *r = &check->image;
    g_autofree char *filename = tool_json_name(check->name);
    JsonWriter *w = json_writer_new(true);

    json_begin_object(w, NULL);
    add_count(w, "image-end-offset", r->image_end_offset);
    add_count(w, "compressed-clusters", r->compressed_clusters);
    add_count(w, "total-clusters", r->total_clusters);
    add_count(w, "corruptions", r->corruptions);
    add_count(w, "corruptions-fixed", r->corruptions_fixed);
    json_int(w, "check-errors",
             completed ? r->check_errors : MAX(r->check_errors, 1));
    add_count(w, "leaks", r->leaks);
    add_count(w, "leaks-fixed", r->leaks_fixed);
    add_count(w, "allocated-clusters", r->allocated_clusters);
    json_string(w, "filename", filename);
    json_string(w, "format", blk_get_format_name(check->blk));
    add_count(w, "fragmented-clusters", r->fragmented_clusters);
    json_begin_array(w, "partition-defects");
    for (guint i = 0; i < check->defects->len; i++) {
        json_string(w, NULL, g_ptr_array_index(check->defects, i));
    }
    json_end_array(w);
    json_begin_array(w, "volumes");
    for (guint i = 0; i < check->volumes->len; i++) {
        volume_check_write(g_ptr_array_index(check->volumes, i), w);
    }
    json_end_array(w);
    json_end_object(w);
    tool_print_json(w);
}

static int check_status(const Check *check, bool completed)
{
    if (!check->has_format_check && completed &&
        check->volumes->len + check->defects->len == 0) {
        tool_error("This image format does not support checks, and there is "
                   "no FAT volume on '%s'",
                   check->name);
        return STATUS_UNSUPPORTED;
    }
    if (check->json) {
        print_json(check, completed);
    } else if (!check->quiet) {
        print_human(check, completed);
    }
    if (!completed || check->image.check_errors > 0) {
        return STATUS_INCOMPLETE;
    }
    if (check->image.corruptions > 0) {
        return STATUS_DAMAGED;
    }
    return check->image.leaks > 0 ? STATUS_LEAKS : STATUS_CLEAN;
}

static unsigned parse_fix(const char *text)
{
    if (g_str_equal(text, "leaks")) {
        return BDRV_FIX_LEAKS;
    }
    if (!g_str_equal(text, "all")) {
        tool_args_usage("Unknown option value for -r (expecting 'leaks' or "
                        "'all'): %s",
                        text);
    }
    return BDRV_FIX_LEAKS | BDRV_FIX_ERRORS;
}

static int check_opened(Check *check)
{
    if (!check_format(check)) {
        return STATUS_INCOMPLETE;
    }
    if (check->fix && !check->has_format_check) {
        tool_error("This image format does not support checks, and FAT "
                   "volumes are not repaired; run the check without -r");
        return STATUS_UNSUPPORTED;
    }
    /* In a damaged image they may be out of reach; that is no other error. */
    bool is_damaged = check->image.corruptions > 0;
    bool completed = check_partitions(check) || is_damaged;
    return check_status(check, completed);
}

static BlockBackend *open_image(const Check *check)
{
    unsigned flags = BDRV_O_CHECK;

    if (check->fix) {
        flags |= BDRV_O_RDWR | BDRV_O_AUTO_RDONLY;
    }
    return image_open_flags(check->name, &check->fat.image, flags);
}

static int run_check(const Command *command, int argc, char **argv)
{
    Check check = { .fat = FAT_ARGS_DEFAULT };
    g_autoptr(Options) directory = NULL;
    int status = STATUS_INCOMPLETE;
    const char *arg;
    int key, n;

    tool_args_begin(command, argc, argv);
    while ((key = tool_args_next(&arg)) != -1) {
        if (key == KEY_OUTPUT) {
            check.json = tool_args_output_is_json(arg);
        } else if (key == 'q') {
            check.quiet = true;
        } else if (key == 'r') {
            check.fix = parse_fix(arg);
        } else {
            fat_args_take(&check.fat, key, arg);
        }
    }
    image_args_check(&check.fat.image);
    if (check.fix && check.fat.image.force_share) {
        tool_args_usage("-r and -U are mutually exclusive: what another "
                        "program writes cannot be repaired");
    }
    char **names = tool_args_operands(1, 1, "Expecting one image file name",
                                      &n);
    check.name = names[0];
    check.blk = open_image(&check);
    check.volumes = g_ptr_array_new_with_free_func(volume_check_free);
    check.defects = g_ptr_array_new_with_free_func(g_free);
    if (check.blk) {
        status = check_opened(&check);
    }
    if (!image_finish(check.blk, check.name) && status == STATUS_CLEAN) {
        status = STATUS_INCOMPLETE;
    }
    if (status == STATUS_CLEAN && !check.json && !check.quiet &&
        !check.fat.image.image_opts) {
        directory = kept_probe(check.blk, check.name);
    }
    g_ptr_array_free(check.volumes, TRUE);
    g_ptr_array_free(check.defects, TRUE);
    blk_close(check.blk);
    if (directory && !check_overlay_print(check.name, directory)) {
        status = STATUS_INCOMPLETE;
    }
    return status;
}

static const ToolOption options[] = {
    { 'r', NULL, "leaks|all",
      "Repair what is wrong in the format (qcow2): leaks alone, or all" },
    TOOL_OPTION_PARTITION,
    TOOL_OPTION_OUTPUT,
    TOOL_OPTION_QUIET,
    TOOL_OPTION_CODEPAGE,
    TOOL_OPTION_FORMAT,
    TOOL_OPTION_SRC_CACHE,
    TOOL_OPTION_FORCE_SHARE,
    TOOL_OPTION_IMAGE_OPTS,
    { 0 },
};

const Command command_check = {
    .name = "check",
    .operands = "IMAGE",
    .summary = "Check an image, and the FAT volumes on it",
    .notes = "Exit status: 0 nothing wrong, 1 not completed, 2 damage, 3 only "
             "leaks (lost\nclusters), 63 nothing that can be checked. FAT "
             "volumes are never repaired.\n",
    .options = options,
    .run = run_check,
};
