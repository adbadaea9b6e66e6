/* SPDX-License-Identifier: MIT */
/*
 * The list of what was skipped, renamed or clamped. A tree of a million files
 * that are all too old makes a million entries, so they are packed: strings in
 * an arena, and a detail that is the same as the last one is shared.
 */
#include "block/vvfat/report.h"

#include <stdarg.h>
#include <string.h>

#include "util/arena.h"

typedef struct ReportEntry {
    const char *path;
    const char *detail;
    ReportKind kind;
} ReportEntry;

struct Report {
    GArray *entries; /* ReportEntry */
    Arena *strings;
};

static const char *const kind_names[] = {
    [REPORT_SKIPPED] = "skipped",   [REPORT_RENAMED] = "renamed",
    [REPORT_CLAMPED] = "clamped",   [REPORT_DANGLING] = "dangling",
    [REPORT_CONFLICT] = "conflict", [REPORT_NOT_KEPT] = "not-kept",
};

Report *report_new(void)
{
    Report *report = g_new(Report, 1);

    report->entries = g_array_new(FALSE, FALSE, sizeof(ReportEntry));
    report->strings = arena_new();
    return report;
}

void report_free(Report *report)
{
    if (report) {
        g_array_unref(report->entries);
        arena_free(report->strings);
        g_free(report);
    }
}

void report_add(Report *report, ReportKind kind, const char *path,
                const char *detail_fmt, ...)
{
    ReportEntry entry = { .kind = kind };
    g_autofree char *detail = NULL;
    va_list args;

    va_start(args, detail_fmt);
    detail = g_strdup_vprintf(detail_fmt, args);
    va_end(args);

    if (report->entries->len) {
        entry.detail = g_array_index(report->entries, ReportEntry,
                                     report->entries->len - 1)
                           .detail;
    }
    if (!entry.detail || strcmp(entry.detail, detail) != 0) {
        entry.detail = arena_strdup(report->strings, detail);
    }
    entry.path = arena_strdup(report->strings, path);
    g_array_append_val(report->entries, entry);
}

unsigned report_count(const Report *report)
{
    return report->entries->len;
}

char *report_escape(const char *path)
{
    GString *out = g_string_new(NULL);
    const char *end;

    while (!g_utf8_validate(path, -1, &end)) {
        g_string_append_len(out, path, end - path);
        g_string_append_printf(out, "\\x%02x", (unsigned char)*end);
        path = end + 1;
    }
    g_string_append(out, path);
    return g_string_free(out, FALSE);
}

static void option_set(Options *opts, unsigned index, const char *field,
                       const char *value)
{
    g_autofree char *key = g_strdup_printf("report.%u.%s", index, field);

    options_set(opts, key, value);
}

void report_to_options(const Report *report, Options *opts)
{
    for (unsigned i = 0; i < report->entries->len; i++) {
        const ReportEntry *entry = &g_array_index(report->entries, ReportEntry,
                                                  i);
        g_autofree char *path = report_escape(entry->path);
        g_autofree char *detail = report_escape(entry->detail);

        option_set(opts, i, "kind", kind_names[entry->kind]);
        option_set(opts, i, "path", path);
        option_set(opts, i, "detail", detail);
    }
}
