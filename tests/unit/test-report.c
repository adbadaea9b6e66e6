/* SPDX-License-Identifier: MIT */
/* The report: what it lists, and paths that are not UTF-8. */
#include <criterion/criterion.h>

#include "block/vvfat/report.h"

Test(report, lists_everything_in_order)
{
    g_autoptr(Report) report = report_new();
    g_autoptr(Options) opts = options_new();

    report_add(report, REPORT_SKIPPED, "a/fifo", "why %d", 1);
    report_add(report, REPORT_RENAMED, "b", "why %d", 1);
    report_add(report, REPORT_CLAMPED, "c", "else");
    cr_assert_eq(report_count(report), 3);
    report_to_options(report, opts);
    cr_assert_eq(options_size(opts), 9);
    cr_assert_str_eq(options_get(opts, "report.0.kind"), "skipped");
    cr_assert_str_eq(options_get(opts, "report.0.path"), "a/fifo");
    cr_assert_str_eq(options_get(opts, "report.1.kind"), "renamed");
    cr_assert_str_eq(options_get(opts, "report.1.detail"), "why 1");
    cr_assert_str_eq(options_get(opts, "report.2.kind"), "clamped");
    cr_assert_str_eq(options_get(opts, "report.2.detail"), "else");
}

Test(report, bytes_that_are_not_utf8_are_escaped)
{
    g_autofree char *bad = report_escape("a\xff\xc3\xa9\xe9");
    g_autofree char *good = report_escape("na\xc3\xafve");

    cr_assert_str_eq(bad, "a\\xff\xc3\xa9\\xe9");
    cr_assert_str_eq(good, "na\xc3\xafve");
}
