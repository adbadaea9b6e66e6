/* SPDX-License-Identifier: MIT */
/*
 * The options of vvfat: their table, their checks, and "fat:..." names.
 */
#ifndef VVFAT_VVFAT_OPTIONS_H
#define VVFAT_VVFAT_OPTIONS_H

#include <glib.h>
#include <stdbool.h>

#include "block/options.h"
#include "block/vvfat/committer.h"
#include "block/vvfat/layout.h"
#include "block/vvfat/scan.h"

extern const OptionDesc vvfat_option_table[];

/* Every option that changes what the image is. */
extern const char *const vvfat_strong_options[];

/* What becomes of a guest's writes to files without write permission. */
typedef enum ProtectPolicy {
    PROTECT_ERROR,  /* they are refused */
    PROTECT_REPORT, /* they are accepted, and held back */
    PROTECT_ALLOW,  /* the guest may do what their owner may; else refused */
} ProtectPolicy;

/* What the options ask for. */
typedef struct VvfatConfig {
    char *dir;
    char *label; /* NULL: none */
    bool rw;
    CommitPolicy commit;
    unsigned commit_delay;        /* milliseconds */
    ProtectPolicy protect;
    unsigned file_mode, dir_mode; /* of what the guest makes */
    int64_t overlay_max;          /* bytes; 0: no limit */
    char *overlay;                /* file that keeps the overlay, or NULL */
    char *shape;                  /* the options that shape the volume, as
                                     given: "size=64M:hidden=off" */
    LayoutRequest layout;         /* codes point to the two below */
    ScanOptions scan;             /* codepage is the one below */
    Codepage *codepage;
    uint8_t *boot_code, *mbr_code;
} VvfatConfig;

/* Take our options out of the set and check them, one by one and together. */
VvfatConfig *vvfat_config_new(Options *options, GError **errp);
void vvfat_config_free(VvfatConfig *config);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VvfatConfig, vvfat_config_free)

/* There is no directory dir: when it begins with what looks like an option,
 * say in the error that there is none of that name, and which was meant. */
void vvfat_explain_missing(const char *dir, GError *error);

/* BlockDriver.parse_filename. */
bool vvfat_parse_filename(const char *filename, Options *options,
                          GError **errp);

/* A name that gives exactly these options, or NULL when none does; g_free().
 */
char *vvfat_make_filename(const Options *options);

#endif
