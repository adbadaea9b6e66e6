/* SPDX-License-Identifier: MIT */
/*
 * Options to what scan and layout ask for. Nothing below this file knows a
 * text form.
 */
#include "block/vvfat/vvfat-options.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "block/error.h"

#define LABEL_DEFAULT "QEMU VVFAT"
#define MAX_BOOT_CODE (64 * 1024)

/* In the order of the enums they stand for. */
static const char *const partition_names[] = { "none", "mbr", "gpt", NULL };
static const char *const symlink_names[] = { "inside", "skip", "error", NULL };
static const char *const unsupported_names[] = { "error", "skip", NULL };
static const char *const timezone_names[] = { "local", "utc", NULL };
static const char *const commit_names[] = { "write", "flush",  "idle",
                                            "close", "manual", NULL };
static const char *const protect_names[] = { "error", "report", "allow",
                                             NULL };

const OptionDesc vvfat_option_table[] = {
    { .name = "dir",
      .type = OPTION_STRING,
      .help = "directory to show as a disk" },
    { .name = "fat-type",
      .type = OPTION_NUMBER,
      .help = "12, 16 or 32 (default: 16 while everything fits, else 32)" },
    { .name = "floppy",
      .type = OPTION_BOOL,
      .def = "off",
      .help = "a floppy rather than a hard disk" },
    { .name = "label",
      .type = OPTION_STRING,
      .def = LABEL_DEFAULT,
      .help = "volume label, at most 11 characters; empty: none" },
    { .name = "rw",
      .type = OPTION_BOOL,
      .def = "off",
      .help = "what is written to the disk becomes files in the directory" },
    { .name = "size",
      .type = OPTION_SIZE,
      .min = 64 << 10,
      .max = UINT64_C(2) << 40,
      .help =
          "size of the disk (default: the original's, or what is needed)" },
    { .name = "cluster-size",
      .type = OPTION_SIZE,
      .min = 512,
      .max = 64 << 10,
      .help = "bytes a cluster, a power of two (default: as usual)" },
    { .name = "free",
      .type = OPTION_SIZE,
      .max = UINT64_C(2) << 40,
      .help = "room to leave free at least (default: 64M or an eighth, when "
              "the disk grows)" },
    { .name = "partition",
      .type = OPTION_ENUM,
      .values = partition_names,
      .help = "partition table (default: mbr, with esp gpt)" },
    { .name = "align",
      .type = OPTION_SIZE,
      .min = 512,
      .max = 1 << 30,
      .help = "where the partition may begin (default: 1M, on disks like the "
              "original's sector 63)" },
    { .name = "esp",
      .type = OPTION_BOOL,
      .def = "off",
      .help = "mark the partition an EFI system partition" },
    { .name = "volume-id",
      .type = OPTION_NUMBER,
      .def = "0xfabe1afd",
      .max = UINT32_MAX,
      .help = "serial number of the volume" },
    { .name = "boot-code",
      .type = OPTION_STRING,
      .help = "file with the code for the boot sector" },
    { .name = "mbr-code",
      .type = OPTION_STRING,
      .help = "file with the code for the MBR" },
    { .name = "timezone",
      .type = OPTION_ENUM,
      .values = timezone_names,
      .help = "times in local time or UTC (default: local, with "
              "SOURCE_DATE_EPOCH utc)" },
    { .name = "codepage",
      .type = OPTION_NUMBER,
      .max = UINT16_MAX,
      .def = "437",
      .help = "code page of short names and label" },
    { .name = "symlinks",
      .type = OPTION_ENUM,
      .def = "inside",
      .values = symlink_names,
      .help = "symbolic links: follow those that stay inside, or none" },
    { .name = "unsupported",
      .type = OPTION_ENUM,
      .def = "error",
      .values = unsupported_names,
      .help = "files that are too large or may not be read" },
    { .name = "hidden",
      .type = OPTION_BOOL,
      .def = "on",
      .help = "take names with a leading dot" },
    { .name = "commit",
      .type = OPTION_ENUM,
      .def = "flush",
      .values = commit_names,
      .help = "with rw, when that comes to the directory: after each write, "
              "when the guest flushes, when it is idle, at the end, or on "
              "request alone; each includes those behind it" },
    { .name = "commit-delay",
      .type = OPTION_NUMBER,
      .def = "1000",
      .max = 3600000,
      .help = "with rw, milliseconds without a write after which the guest is "
              "idle" },
    { .name = "protect",
      .type = OPTION_ENUM,
      .def = "error",
      .values = protect_names,
      .help = "with rw, writes to files without write permission: refuse "
              "them, accept them and hold them back, or allow what their "
              "owner may do" },
    { .name = "file-mode",
      .type = OPTION_STRING,
      .def = "0666",
      .help = "with rw, permissions of new files, octal, less the umask" },
    { .name = "dir-mode",
      .type = OPTION_STRING,
      .def = "0777",
      .help = "with rw, permissions of new directories, octal, less the "
              "umask" },
    { .name = "overlay-max",
      .type = OPTION_SIZE,
      .help = "with rw, most bytes that wait outside of the directory "
              "(default: no limit)" },
    { .name = "overlay",
      .type = OPTION_STRING,
      .help =
          "with rw, file that keeps what the guest wrote, and the volume, for the "
          "next time; made when it is not there" },
    { .name = NULL },
};

const char *const vvfat_strong_options[] = {
    "dir",          "fat-type",     "floppy",      "label",     "rw",
    "size",         "cluster-size", "free",        "partition", "align",
    "esp",          "volume-id",    "boot-code",   "mbr-code",  "timezone",
    "codepage",     "symlinks",     "unsupported", "hidden",    "commit",
    "commit-delay", "protect",      "file-mode",   "dir-mode",  "overlay-max",
    "overlay",      NULL,
};

/* Those without which a kept volume would be another one. */
static const char *const shape_options[] = {
    "fat-type",  "floppy",    "label",    "size",     "cluster-size",
    "free",      "partition", "align",    "esp",      "volume-id",
    "boot-code", "mbr-code",  "timezone", "codepage", "symlinks",
    "hidden",    NULL,
};

static char *shape_of(const Options *options)
{
    GString *shape = g_string_new(NULL);

    for (const char *const *name = shape_options; *name; name++) {
        const char *value = options_get(options, *name);

        if (value) {
            g_string_append_printf(shape, "%s%s=%s", shape->len ? ":" : "",
                                   *name, value);
        }
    }
    return g_string_free(shape, FALSE);
}

/* ---- Groups of options ---- */

static bool take_label(VvfatConfig *config, const OptionValues *values,
                       GError **errp)
{
    const char *label = option_values_string(values, "label");

    if (!g_utf8_validate(label, -1, NULL)) {
        block_error_set(errp, EINVAL, "vvfat label is not valid UTF-8");
        return false;
    }
    if (g_utf8_strlen(label, -1) > (glong)FAT_SHORT_NAME_SIZE) {
        block_error_set(errp, EINVAL,
                        "vvfat label cannot be longer than %u bytes",
                        FAT_SHORT_NAME_SIZE);
        return false;
    }
    if (!*label) {
        memset(config->layout.label, ' ', FAT_SHORT_NAME_SIZE);
        return true;
    }
    config->label = g_strdup(label);
    if (!names_label_from_utf8(config->codepage, label, true,
                               config->layout.label)) {
        block_error_set(errp, EINVAL,
                        "vvfat label '%s' begins with a space or has a "
                        "character that FAT or the code page does not allow "
                        "in a label",
                        label);
        return false;
    }
    return true;
}

static bool take_geometry(VvfatConfig *config, const OptionValues *values,
                          GError **errp)
{
    GeometryRequest *g = &config->layout.geometry;
    uint64_t type = option_values_number(values, "fat-type");

    if (option_values_given(values, "fat-type") && type != 12 && type != 16 &&
        type != 32) {
        block_error_set(errp, EINVAL,
                        "Valid FAT types are only 12, 16 and 32");
        return false;
    }
    g->fat_type = (unsigned)type;
    g->floppy = option_values_bool(values, "floppy");
    g->size = option_values_size(values, "size");
    g->cluster_size = (uint32_t)option_values_size(values, "cluster-size");
    g->free_given = option_values_given(values, "free");
    g->free = option_values_size(values, "free");
    g->partition_given = option_values_given(values, "partition");
    if (g->partition_given) {
        g->partition = (PartitionTable)option_values_enum(values, "partition");
    }
    g->align = option_values_size(values, "align");
    g->esp = option_values_bool(values, "esp");
    return true;
}

static bool take_code(VvfatConfig *config, const OptionValues *values,
                      GError **errp)
{
    const char *boot = option_values_string(values, "boot-code");
    const char *mbr = option_values_string(values, "mbr-code");
    LayoutRequest *layout = &config->layout;

    if (boot && !hostfs_load(boot, MAX_BOOT_CODE, &config->boot_code,
                             &layout->boot_code_bytes, errp)) {
        g_prefix_error(errp, "boot-code: ");
        return false;
    }
    if (mbr && !hostfs_load(mbr, SECTOR_SIZE, &config->mbr_code,
                            &layout->mbr_code_bytes, errp)) {
        g_prefix_error(errp, "mbr-code: ");
        return false;
    }
    layout->boot_code = config->boot_code;
    layout->mbr_code = config->mbr_code;
    return true;
}

/* SOURCE_DATE_EPOCH, as reproducible-builds.org has it: no later time is
 * shown, and the builder's time zone plays no part. */
static bool take_times(ScanOptions *scan, const OptionValues *values,
                       GError **errp)
{
    const char *epoch = getenv("SOURCE_DATE_EPOCH");

    scan->clamp_time = INT64_MAX;
    if (epoch && *epoch) {
        gint64 seconds;

        if (!g_ascii_string_to_signed(epoch, 10, 0, INT64_MAX, &seconds,
                                      NULL)) {
            block_error_set(errp, EINVAL,
                            "SOURCE_DATE_EPOCH is '%s', and "
                            "should be a number of seconds since 1970",
                            epoch);
            return false;
        }
        scan->clamp_time = seconds;
        scan->utc = true;
    }
    if (option_values_given(values, "timezone")) {
        scan->utc = option_values_enum(values, "timezone") == 1;
    }
    return true;
}

static bool take_scan(VvfatConfig *config, const OptionValues *values,
                      GError **errp)
{
    ScanOptions *scan = &config->scan;

    config->codepage =
        codepage_new((unsigned)option_values_number(values, "codepage"), errp);
    if (!config->codepage) {
        return false;
    }
    scan->codepage = config->codepage;
    scan->symlinks = (SymlinkPolicy)option_values_enum(values, "symlinks");
    scan->unsupported = (UnsupportedPolicy)option_values_enum(values,
                                                              "unsupported");
    scan->hidden = option_values_bool(values, "hidden");
    return take_times(scan, values, errp);
}

static bool take_mode(const OptionValues *values, const char *name,
                      unsigned *mode, GError **errp)
{
    const char *text = option_values_string(values, name);
    char *end;
    unsigned long value = strtoul(text, &end, 8);

    if (!g_ascii_isdigit(*text) || *end || value > 0777) {
        block_error_set(errp, EINVAL,
                        "Option '%s' is '%s', and should be permissions as an "
                        "octal number, 0 to 0777",
                        name, text);
        return false;
    }
    *mode = (unsigned)value;
    return true;
}

static bool take_writing(VvfatConfig *config, const OptionValues *values,
                         GError **errp)
{
    static const char *const needs_rw[] = { "commit",   "commit-delay",
                                            "protect",  "file-mode",
                                            "dir-mode", "overlay-max",
                                            "overlay" };

    config->rw = option_values_bool(values, "rw");
    for (size_t i = 0; !config->rw && i < G_N_ELEMENTS(needs_rw); i++) {
        if (option_values_given(values, needs_rw[i])) {
            block_error_set(errp, EINVAL, "Option '%s' needs rw=on",
                            needs_rw[i]);
            return false;
        }
    }
    config->commit = (CommitPolicy)option_values_enum(values, "commit");
    config->commit_delay = (unsigned)option_values_number(values,
                                                          "commit-delay");
    config->protect = (ProtectPolicy)option_values_enum(values, "protect");
    config->overlay_max = (int64_t)option_values_size(values, "overlay-max");
    config->overlay = g_strdup(option_values_string(values, "overlay"));
    if (config->overlay && !*config->overlay) {
        block_error_set(errp, EINVAL, "Option 'overlay' names no file");
        return false;
    }
    return take_mode(values, "file-mode", &config->file_mode, errp) &&
           take_mode(values, "dir-mode", &config->dir_mode, errp);
}

/* ---- All ---- */

VvfatConfig *vvfat_config_new(Options *options, GError **errp)
{
    g_autoptr(VvfatConfig) config = g_new0(VvfatConfig, 1);
    g_autofree char *shape = shape_of(options);
    g_autoptr(OptionValues)
        values = option_values_absorb(vvfat_option_table, options, errp);

    if (!values) {
        return NULL;
    }
    config->shape = g_steal_pointer(&shape);
    config->dir = g_strdup(option_values_string(values, "dir"));
    if (!config->dir || !*config->dir) {
        block_error_set(errp, EINVAL,
                        "vvfat block driver requires a 'dir' option; as a "
                        "name, a directory is fat:DIR");
        return NULL;
    }
    config->layout.volume_id = (uint32_t)option_values_number(values,
                                                              "volume-id");
    if (!take_writing(config, values, errp) ||
        !take_scan(config, values, errp) ||
        !take_label(config, values, errp) ||
        !take_geometry(config, values, errp) ||
        !take_code(config, values, errp)) {
        return NULL;
    }
    return g_steal_pointer(&config);
}

void vvfat_config_free(VvfatConfig *config)
{
    if (config) {
        codepage_free(config->codepage);
        g_free(config->boot_code);
        g_free(config->mbr_code);
        g_free(config->dir);
        g_free(config->overlay);
        g_free(config->shape);
        g_free(config->label);
        g_free(config);
    }
}
