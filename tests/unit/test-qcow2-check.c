/* SPDX-License-Identifier: MIT */
/*
 * Damaged qcow2 images: tests/fixtures/qcow2/ (see its README). What our check
 * finds must be what the file says, and qemu-img check must agree. After the
 * repair both must find nothing, and the guest must read what it read before
 * but where the file says that data is lost.
 */
#include <criterion/criterion.h>
#include <inttypes.h>
#include <string.h>

#include "tests/unit/image-fixture.h"
#include "tests/unit/qcow2-damage.h"

TestSuite(qcow2_check, .init = image_dir_init, .fini = image_dir_fini,
          .timeout = 300);

static void collect(const char *text, void *opaque)
{
    g_string_append_printf(opaque, "%s\n", text);
}

/* Check damaged.qcow2; "clean", "leaks 1", "errors 2 leaks 1". */
static char *our_check(const Damage *d, unsigned fix, GString *messages)
{
    unsigned flags = fix ? BDRV_O_RDWR | BDRV_O_RESIZE : 0;
    g_autoptr(BlockBackend)
        blk = image_open(flags | BDRV_O_CHECK | BDRV_O_NO_BACKING,
                         "driver=qcow2,file.filename=%D/damaged.qcow2");
    BdrvCheckResult r = { .message = collect, .opaque = messages };
    g_autoptr(GError) error = NULL;

    cr_assert_eq(blk_check(blk, &r, fix, &error), 0, "%s: %s", d->name,
                 error ? error->message : "?");
    cr_assert_eq(r.check_errors, 0, "%s: %s", d->name, messages->str);
    cr_assert(fix || r.corruptions_fixed + r.leaks_fixed == 0);
    if (r.corruptions > 0 && r.leaks > 0) {
        return g_strdup_printf("errors %" PRId64 " leaks %" PRId64,
                               r.corruptions, r.leaks);
    }
    return r.corruptions > 0
               ? g_strdup_printf("errors %" PRId64, r.corruptions)
           : r.leaks > 0 ? g_strdup_printf("leaks %" PRId64, r.leaks)
                         : g_strdup("clean");
}

static char *qemu_check(char **output)
{
    int status;

    *output = image_shell(&status, "qemu-img check -f qcow2 damaged.qcow2");
    return g_strdup(status == 0   ? "clean"
                    : status == 2 ? "errors"
                    : status == 3 ? "leaks"
                                  : "refuses");
}

/* "errors" alone stands for any number of them, and of leaks. */
static void expect(const Damage *d, const char *when, const char *expected,
                   const char *found, const char *messages)
{
    bool any = !strcmp(expected, "errors") || !strcmp(expected, "leaks");

    cr_expect(
        any ? g_str_has_prefix(found, expected) : !strcmp(found, expected),
        "%s, %s: %s, not %s:\n%s", d->name, when, found, expected, messages);
}

/* What repairing leaks leaves: the errors. */
static char *without_leaks(const char *found)
{
    const char *leaks = strstr(found, "leaks");

    return leaks == found ? g_strdup("clean")
           : leaks        ? g_strndup(found, (gsize)(leaks - 1 - found))
                          : g_strdup(found);
}

static void expect_qemu(const Damage *d, const char *when,
                        const char *expected)
{
    g_autofree char *output = NULL;
    g_autofree char *verdict = qemu_check(&output);

    cr_expect(g_str_has_prefix(expected, verdict),
              "%s, %s: QEMU says %s, not %s:\n%s", d->name, when, verdict,
              expected, output);
}

static void compare_data(const Damage *d)
{
    g_autofree char *before_path = image_path("before.raw");
    g_autofree char *after_path = image_path("after.raw");
    g_autofree char *before = NULL, *after = NULL;
    gsize before_size, after_size;

    damage_run(d, "rm -f before.raw after.raw && "
                  "qemu-img convert -f qcow2 -O raw sound.qcow2 before.raw && "
                  "qemu-img convert -f qcow2 -O raw damaged.qcow2 after.raw");
    cr_assert(g_file_get_contents(before_path, &before, &before_size, NULL));
    cr_assert(g_file_get_contents(after_path, &after, &after_size, NULL));
    cr_assert_eq(before_size, (gsize)damage_size(d));
    cr_assert_eq(after_size, before_size);
    damage_compare(d, (uint8_t *)before, (uint8_t *)after);
}

static void judge_refused(const Damage *d)
{
    g_autofree char *message =
        image_open_error(BDRV_O_CHECK | BDRV_O_NO_BACKING,
                         "driver=qcow2,file.filename=%D/damaged.qcow2");

    cr_expect(strstr(message, d->refused) != NULL, "%s: '%s' is not in '%s'",
              d->name, d->refused, message);
    expect_qemu(d, "refused", d->qemu ? d->qemu : "refuses");
}

static void judge(const Damage *d)
{
    g_autoptr(GString) messages = g_string_new(NULL);
    g_autoptr(GString) repairs = g_string_new(NULL);
    const char *wanted = d->found ? d->found : "clean";
    const char *all_wanted = d->all ? d->all : "clean";
    g_autofree char *found = our_check(d, 0, messages);
    g_autofree char *left = without_leaks(wanted);

    expect(d, "found", wanted, found, messages->str);
    for (guint i = 0; i < d->say->len; i++) {
        const char *part = g_ptr_array_index(d->say, i);
        cr_expect(strstr(messages->str, part) != NULL,
                  "%s: '%s' was not said:\n%s", d->name, part, messages->str);
    }
    expect_qemu(d, "found", d->qemu ? d->qemu : found);
    g_autofree char *leaks = our_check(d, BDRV_FIX_LEAKS, repairs);
    expect(d, "-r leaks", d->leaks ? d->leaks : left, leaks, repairs->str);
    g_autofree char *all = our_check(d, BDRV_FIX_LEAKS | BDRV_FIX_ERRORS,
                                     repairs);
    expect(d, "-r all", all_wanted, all, repairs->str);
    g_autofree char *again = our_check(d, 0, messages);
    expect(d, "checked again", all_wanted, again, repairs->str);
    expect_qemu(d, "-r all", all_wanted);
    compare_data(d);
}

static void judge_any(const Damage *d)
{
    if (d->refused) {
        judge_refused(d);
    } else {
        judge(d);
    }
}

Test(qcow2_check, fixtures)
{
    damage_foreach(judge_any);
}
