/* SPDX-License-Identifier: MIT */
/*
 * Damaged qcow2 images: tests/fixtures/qcow2/ (see its README). What our check
 * finds must be what the fixture says, and qemu-img check must agree. After
 * the repair both must find nothing, and the guest must read what it read
 * before but where the fixture says that data is lost.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "block/qcow2/qcow2-format.h"
#include "tests/unit/image-fixture.h"

#define FIXTURES "tests/fixtures/qcow2"

TestSuite(qcow2_check, .init = image_dir_init, .fini = image_dir_fini,
          .timeout = 300);

typedef struct Fixture {
    const char *name;
    int fd;                    /* of the image being damaged */
    bool made;                 /* its sound copy is there */
    char *create, *size;       /* for qemu-img create */
    GString *writes;           /* shell commands that fill it */
    char *found, *leaks, *all; /* expected results; NULL: clean */
    char *qemu;                /* QEMU's verdict, when it is another */
    char *refused;             /* part of the error of opening */
    GPtrArray *say;            /* parts of messages */
    GArray *lost;              /* int64_t: guest clusters that become zeroes */
    GArray *changed;           /* int64_t: and that become anything */
} Fixture;

/* ---- The image ---- */

static uint64_t get(const Fixture *f, uint64_t offset, unsigned bytes)
{
    uint8_t buf[8];
    uint64_t value = 0;

    cr_assert_eq(pread(f->fd, buf, bytes, (off_t)offset), (ssize_t)bytes,
                 "%s: nothing at %" PRIu64, f->name, offset);
    for (unsigned i = 0; i < bytes; i++) {
        value = value << 8 | buf[i];
    }
    return value;
}

static void put(const Fixture *f, uint64_t offset, unsigned bytes,
                uint64_t value)
{
    uint8_t buf[8];

    for (unsigned i = bytes; i-- > 0; value >>= 8) {
        buf[i] = (uint8_t)value;
    }
    cr_assert_eq(pwrite(f->fd, buf, bytes, (off_t)offset), (ssize_t)bytes);
}

static const struct {
    const char *name;
    uint16_t offset, bytes;
} fields[] = {
#define FIELD(name)                                                           \
    {                                                                         \
#name, offsetof(Qcow2DiskHeader, name),                               \
            sizeof(((Qcow2DiskHeader *)0)->name)                              \
    }
    FIELD(magic),
    FIELD(version),
    FIELD(backing_file_offset),
    FIELD(backing_file_size),
    FIELD(cluster_bits),
    FIELD(size),
    FIELD(crypt_method),
    FIELD(l1_size),
    FIELD(l1_table_offset),
    FIELD(refcount_table_offset),
    FIELD(refcount_table_clusters),
    FIELD(nb_snapshots),
    FIELD(snapshots_offset),
    FIELD(incompatible_features),
    FIELD(compatible_features),
    FIELD(autoclear_features),
    FIELD(refcount_order),
    FIELD(header_length),
    FIELD(compression_type),
#undef FIELD
    { "extension", 112, 4 }, /* the first extension's type */
    { "extension_length", 116, 4 },
};

static uint64_t header(const Fixture *f, const char *name, uint64_t *offset,
                       unsigned *bytes)
{
    for (size_t i = 0; i < G_N_ELEMENTS(fields); i++) {
        if (!strcmp(fields[i].name, name)) {
            *offset = fields[i].offset;
            *bytes = fields[i].bytes;
            return get(f, *offset, *bytes);
        }
    }
    cr_assert_fail("%s: no field '%s'", f->name, name);
    return 0;
}

static uint64_t header_value(const Fixture *f, const char *name)
{
    uint64_t offset;
    unsigned bytes;

    return header(f, name, &offset, &bytes);
}

static uint64_t cluster_size(const Fixture *f)
{
    return UINT64_C(1) << header_value(f, "cluster_bits");
}

/* The offset of entry i of a directory of bitmaps; at i = -1, of the
 * directory's own offset in the header. */
static uint64_t find_bitmaps(const Fixture *f)
{
    uint64_t at = header_value(f, "header_length");

    while (get(f, at, 4) != QCOW2_EXT_BITMAPS) {
        cr_assert_neq(get(f, at, 4), QCOW2_EXT_END);
        at += 8 + ((get(f, at + 4, 4) + 7) & ~UINT64_C(7));
    }
    return at + 8;
}

static uint64_t snapshot_at(const Fixture *f, unsigned index)
{
    uint64_t at = header_value(f, "snapshots_offset");

    for (; index > 0; index--) {
        at += 40 + get(f, at + 12, 2) + get(f, at + 14, 2) +
              get(f, at + 36, 4);
        at = (at + 7) & ~UINT64_C(7);
    }
    return at;
}

/*
 * Where something of the README's list stands, and its bytes. l2[I], refblock
 * and the like are no places but tables; their places are the entries that
 * name them.
 */
static uint64_t place(const Fixture *f, const char *text, unsigned *bytes)
{
    unsigned i = 0, j = 0;
    uint64_t at;

    *bytes = 8;
    if (sscanf(text, "l1[%u]", &i) == 1) {
        return header_value(f, "l1_table_offset") + i * 8;
    }
    if (sscanf(text, "l2[%u][%u]", &i, &j) == 2) {
        at = header_value(f, "l1_table_offset") + i * 8;
        return (get(f, at, 8) & QCOW2_L1_OFFSET) + j * 8;
    }
    if (sscanf(text, "reftable[%u]", &i) == 1) {
        return header_value(f, "refcount_table_offset") + i * 8;
    }
    if (sscanf(text, "refcount[%u]", &i) == 1) { /* of 16 bits, block 0 */
        *bytes = 2;
        return get(f, header_value(f, "refcount_table_offset"), 8) + i * 2;
    }
    if (sscanf(text, "snapshot[%u]+%u/%u", &i, &j, bytes) == 3) {
        return snapshot_at(f, i) + j;
    }
    if (sscanf(text, "snapshot_l1[%u][%u]", &i, &j) == 2) {
        return get(f, snapshot_at(f, i), 8) + j * 8;
    }
    if (sscanf(text, "bitmaps+%u/%u", &j, bytes) == 2) {
        return find_bitmaps(f) + j;
    }
    if (sscanf(text, "directory+%u/%u", &j, bytes) == 2) {
        return get(f, find_bitmaps(f) + 16, 8) + j;
    }
    header(f, text, &at, bytes);
    return at;
}

/* A table or a number, or what stands at a place. */
static uint64_t term(const Fixture *f, const char *text)
{
    static const struct {
        const char *name;
        uint64_t value;
    } flags[] = { { "copied", QCOW2_COPIED },
                  { "zero", QCOW2_ZERO },
                  { "compressed", QCOW2_COMPRESSED } };
    unsigned i, bytes;
    int end = 0;

    for (size_t k = 0; k < G_N_ELEMENTS(flags); k++) {
        if (!strcmp(text, flags[k].name)) {
            return flags[k].value;
        }
    }
    if (!strcmp(text, "end")) {
        off_t length = lseek(f->fd, 0, SEEK_END);
        return ((uint64_t)length + cluster_size(f) - 1) & -cluster_size(f);
    }
    if (sscanf(text, "l2[%u]%n", &i, &end) == 1 && !text[end]) {
        g_autofree char *entry = g_strdup_printf("l1[%u]", i);
        return get(f, place(f, entry, &bytes), 8) & QCOW2_L1_OFFSET;
    }
    if (g_ascii_isdigit(*text)) {
        return g_ascii_strtoull(text, NULL, 0);
    }
    uint64_t at = place(f, text, &bytes);
    return get(f, at, bytes);
}

/* Terms, added up. */
static uint64_t value(const Fixture *f, const char *text)
{
    g_auto(GStrv) terms = g_strsplit(text, " + ", -1);
    uint64_t sum = 0;

    for (char **t = terms; *t; t++) {
        sum += term(f, *t);
    }
    return sum;
}

/* ---- Making it ---- */

static void run(const Fixture *f, const char *command)
{
    int status;
    g_autofree char *output = image_shell(&status, "%s", command);

    cr_assert_eq(status, 0, "%s: %s: %s", f->name, command, output);
}

static void make_sound(Fixture *f)
{
    g_autofree char *path = image_path("damaged.qcow2");
    g_autofree char *create = g_strdup_printf(
        "rm -f sound.qcow2 && qemu-img create -q -f qcow2 -o %s sound.qcow2 "
        "%s",
        f->create ? f->create : "cluster_size=512", f->size ? f->size : "64k");

    run(f, create);
    run(f, f->writes->len > 0
               ? f->writes->str
               : "qemu-io -c 'write -P 1 0 4k' -c 'write -P 2 32k 2k' "
                 "sound.qcow2");
    run(f, "cp sound.qcow2 damaged.qcow2");
    f->fd = open(path, O_RDWR | O_CLOEXEC);
    cr_assert_geq(f->fd, 0);
    f->made = true;
}

static void damage(Fixture *f, char **words)
{
    unsigned bytes;

    if (!f->made) {
        make_sound(f);
    }
    if (!strcmp(words[0], "length")) {
        cr_assert_eq(ftruncate(f->fd, (off_t)value(f, words[1])), 0);
        return;
    }
    cr_assert_str_eq(words[0], "set", "%s: '%s'?", f->name, words[0]);
    g_auto(GStrv) sides = g_strsplit(words[1], " = ", 2);
    cr_assert_eq(g_strv_length(sides), 2, "%s: %s", f->name, words[1]);
    uint64_t new_value = value(f, sides[1]);
    uint64_t at = place(f, sides[0], &bytes);
    put(f, at, bytes, new_value);
}

static void parse_offsets(GArray *list, const char *text)
{
    g_auto(GStrv) offsets = g_strsplit(text, " ", -1);

    for (char **o = offsets; *o; o++) {
        int64_t offset = g_ascii_strtoll(*o, NULL, 0);
        g_array_append_val(list, offset);
    }
}

static bool is_listed(const GArray *list, int64_t offset)
{
    for (guint i = 0; i < list->len; i++) {
        if (g_array_index(list, int64_t, i) == offset) {
            return true;
        }
    }
    return false;
}

static void parse_line(Fixture *f, const char *line)
{
    g_auto(GStrv) words = g_strsplit(line, " ", 2);
    const char *key = words[0];
    const struct {
        const char *key;
        char **text;
    } texts[] = {
        { "create", &f->create },   { "size", &f->size },
        { "found", &f->found },     { "leaks", &f->leaks },
        { "all", &f->all },         { "qemu", &f->qemu },
        { "refused", &f->refused },
    };

    if (!*line || *line == '#') {
        return;
    }
    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
        if (!strcmp(key, texts[i].key)) {
            g_free(*texts[i].text);
            *texts[i].text = g_strdup(words[1]);
            return;
        }
    }
    if (!strcmp(key, "io")) {
        g_string_append_printf(f->writes, "%sqemu-io -c '%s' sound.qcow2",
                               f->writes->len ? " && " : "", words[1]);
    } else if (!strcmp(key, "img")) {
        g_string_append_printf(f->writes, "%sqemu-img %s",
                               f->writes->len ? " && " : "", words[1]);
    } else if (!strcmp(key, "say")) {
        g_ptr_array_add(f->say, g_strdup(words[1]));
    } else if (!strcmp(key, "lost")) {
        parse_offsets(f->lost, words[1]);
    } else if (!strcmp(key, "changed")) {
        parse_offsets(f->changed, words[1]);
    } else {
        damage(f, words);
    }
}

/* ---- Judging ---- */

static void collect(const char *text, void *opaque)
{
    g_string_append_printf(opaque, "%s\n", text);
}

/* Check damaged.qcow2; "clean", "leaks 1", "errors 2 leaks 1". */
static char *our_check(const Fixture *f, unsigned fix, GString *messages)
{
    unsigned flags = fix ? BDRV_O_RDWR | BDRV_O_RESIZE : 0;
    g_autoptr(BlockBackend)
        blk = image_open(flags | BDRV_O_CHECK | BDRV_O_NO_BACKING,
                         "driver=qcow2,file.filename=%D/damaged.qcow2");
    BdrvCheckResult r = { .message = collect, .opaque = messages };
    g_autoptr(GError) error = NULL;

    cr_assert_eq(blk_check(blk, &r, fix, &error), 0, "%s: %s", f->name,
                 error ? error->message : "?");
    cr_assert_eq(r.check_errors, 0, "%s: %s", f->name, messages->str);
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
static void expect(const Fixture *f, const char *when, const char *expected,
                   const char *found, const char *messages)
{
    bool any = !strcmp(expected, "errors") || !strcmp(expected, "leaks");

    cr_expect(
        any ? g_str_has_prefix(found, expected) : !strcmp(found, expected),
        "%s, %s: %s, not %s:\n%s", f->name, when, found, expected, messages);
}

/* What repairing leaks leaves: the errors. */
static char *without_leaks(const char *found)
{
    const char *leaks = strstr(found, "leaks");

    return leaks == found ? g_strdup("clean")
           : leaks        ? g_strndup(found, (gsize)(leaks - 1 - found))
                          : g_strdup(found);
}

static void expect_qemu(const Fixture *f, const char *when,
                        const char *expected)
{
    g_autofree char *output = NULL;
    g_autofree char *verdict = qemu_check(&output);

    cr_expect(g_str_has_prefix(expected, verdict),
              "%s, %s: QEMU says %s, not %s:\n%s", f->name, when, verdict,
              expected, output);
}

/* The guest's bytes before and after; cluster by cluster. */
static void compare_data(const Fixture *f)
{
    int64_t size = f->size ? g_ascii_strtoll(f->size, NULL, 10) * 1024 : 65536;
    g_autofree char *before_path = image_path("before.raw");
    g_autofree char *after_path = image_path("after.raw");
    g_autofree char *before = NULL, *after = NULL;
    gsize before_size, after_size;

    run(f, "rm -f before.raw after.raw && "
           "qemu-img convert -U -f qcow2 -O raw sound.qcow2 before.raw && "
           "qemu-img convert -U -f qcow2 -O raw damaged.qcow2 after.raw");
    cr_assert(g_file_get_contents(before_path, &before, &before_size, NULL));
    cr_assert(g_file_get_contents(after_path, &after, &after_size, NULL));
    cr_assert_eq(before_size, (gsize)size);
    cr_assert_eq(after_size, before_size);
    for (int64_t at = 0; at < size; at += 512) {
        static const char zeroes[512];
        bool lost = is_listed(f->lost, at);

        if (is_listed(f->changed, at)) {
            continue;
        }
        cr_expect(memcmp(after + at, lost ? zeroes : before + at, 512) == 0,
                  "%s: after the repair other data at 0x%" PRIx64, f->name,
                  at);
    }
}

static void judge_refused(const Fixture *f)
{
    g_autofree char *message =
        image_open_error(BDRV_O_CHECK | BDRV_O_NO_BACKING,
                         "driver=qcow2,file.filename=%D/damaged.qcow2");

    cr_expect(strstr(message, f->refused) != NULL, "%s: '%s' is not in '%s'",
              f->name, f->refused, message);
    expect_qemu(f, "refused", f->qemu ? f->qemu : "refuses");
}

static void judge(const Fixture *f)
{
    g_autoptr(GString) messages = g_string_new(NULL);
    g_autoptr(GString) repairs = g_string_new(NULL);
    const char *wanted = f->found ? f->found : "clean";
    const char *all_wanted = f->all ? f->all : "clean";
    g_autofree char *found = our_check(f, 0, messages);
    g_autofree char *left = without_leaks(wanted);

    expect(f, "found", wanted, found, messages->str);
    for (guint i = 0; i < f->say->len; i++) {
        const char *part = g_ptr_array_index(f->say, i);
        cr_expect(strstr(messages->str, part) != NULL,
                  "%s: '%s' was not said:\n%s", f->name, part, messages->str);
    }
    expect_qemu(f, "found", f->qemu ? f->qemu : found);
    g_autofree char *leaks = our_check(f, BDRV_FIX_LEAKS, repairs);
    expect(f, "-r leaks", f->leaks ? f->leaks : left, leaks, repairs->str);
    g_autofree char *all = our_check(f, BDRV_FIX_LEAKS | BDRV_FIX_ERRORS,
                                     repairs);
    expect(f, "-r all", all_wanted, all, repairs->str);
    g_autofree char *again = our_check(f, 0, messages);
    expect(f, "checked again", all_wanted, again, repairs->str);
    expect_qemu(f, "-r all", all_wanted);
    compare_data(f);
}

static void run_fixture(const char *name)
{
    g_autofree char *path = g_build_filename(FIXTURES, name, NULL);
    g_autofree char *text = NULL;
    g_auto(GStrv) lines = NULL;
    Fixture f = {
        .name = name,
        .fd = -1,
        .writes = g_string_new(NULL),
        .say = g_ptr_array_new_with_free_func(g_free),
        .lost = g_array_new(FALSE, FALSE, sizeof(int64_t)),
        .changed = g_array_new(FALSE, FALSE, sizeof(int64_t)),
    };

    cr_assert(g_file_get_contents(path, &text, NULL, NULL), "%s", path);
    lines = g_strsplit(text, "\n", -1);
    for (char **line = lines; *line; line++) {
        parse_line(&f, *line);
    }
    if (!f.made) {
        make_sound(&f);
    }
    close(f.fd);
    if (f.refused) {
        judge_refused(&f);
    } else {
        judge(&f);
    }
    g_string_free(f.writes, TRUE);
    g_ptr_array_unref(f.say);
    g_array_unref(f.lost);
    g_array_unref(f.changed);
    char *owned[] = { f.create, f.size, f.found,  f.leaks,
                      f.all,    f.qemu, f.refused };
    for (size_t i = 0; i < G_N_ELEMENTS(owned); i++) {
        g_free(owned[i]);
    }
}

Test(qcow2_check, fixtures)
{
    g_autoptr(GDir) fixtures = g_dir_open(FIXTURES, 0, NULL);
    const char *only = g_getenv("FIXTURE");
    const char *name;
    unsigned n = 0;

    cr_assert_not_null(fixtures, "run this from the top of the source");
    while ((name = g_dir_read_name(fixtures))) {
        if (g_str_has_suffix(name, ".txt") && (!only || strstr(name, only))) {
            run_fixture(name);
            n++;
        }
    }
    cr_assert_gt(n, 0);
}
