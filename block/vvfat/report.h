/* SPDX-License-Identifier: MIT */
/*
 * What was skipped, renamed or changed to fit, by name: so that nothing is
 * silent. Not locked.
 */
#ifndef VVFAT_REPORT_H
#define VVFAT_REPORT_H

#include <glib.h>

#include "block/options.h"

typedef enum ReportKind {
    REPORT_SKIPPED,  /* not in the volume */
    REPORT_RENAMED,  /* under another name */
    REPORT_CLAMPED,  /* a time FAT cannot hold */
    REPORT_DANGLING, /* a link whose target the guest renamed or removed */
    REPORT_CONFLICT, /* changed on the host and by the guest */
    REPORT_NOT_KEPT, /* what the host does not let a file have */
} ReportKind;

typedef struct Report Report;

Report *report_new(void);
void report_free(Report *report);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Report, report_free)

/* path: below the directory, host bytes; detail: why, or the new name. */
void report_add(Report *report, ReportKind kind, const char *path,
                const char *detail_fmt, ...) G_GNUC_PRINTF(4, 5);

unsigned report_count(const Report *report);

/* Write all as "report.N.kind", ".path" and ".detail". Paths that are not
 * UTF-8 are escaped (\xNN). */
void report_to_options(const Report *report, Options *opts);

/* A host path for messages: bytes that are not UTF-8 as \xNN. g_free(). */
char *report_escape(const char *path);

#endif
