/* SPDX-License-Identifier: MIT */
#include "tests/unit/qcow2-damage.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "block/qcow2/qcow2-format.h"
#include "tests/unit/image-fixture.h"

#define FIXTURES "tests/fixtures/qcow2"

/* ---- The image ---- */

static uint64_t get(const Damage *d, uint64_t offset, unsigned bytes)
{
    uint8_t buf[8];
    uint64_t value = 0;

    cr_assert_eq(pread(d->fd, buf, bytes, (off_t)offset), (ssize_t)bytes,
                 "%s: nothing at %" PRIu64, d->name, offset);
    for (unsigned i = 0; i < bytes; i++) {
        value = value << 8 | buf[i];
    }
    return value;
}

static void put(const Damage *d, uint64_t offset, unsigned bytes,
                uint64_t value)
{
    uint8_t buf[8];

    for (unsigned i = bytes; i-- > 0; value >>= 8) {
        buf[i] = (uint8_t)value;
    }
    cr_assert_eq(pwrite(d->fd, buf, bytes, (off_t)offset), (ssize_t)bytes);
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

static uint64_t header(const Damage *d, const char *name, uint64_t *offset,
                       unsigned *bytes)
{
    for (size_t i = 0; i < G_N_ELEMENTS(fields); i++) {
        if (!strcmp(fields[i].name, name)) {
            *offset = fields[i].offset;
            *bytes = fields[i].bytes;
            return get(d, *offset, *bytes);
        }
    }
    cr_assert_fail("%s: no field '%s'", d->name, name);
    return 0;
}

static uint64_t header_value(const Damage *d, const char *name)
{
    uint64_t offset;
    unsigned bytes;

    return header(d, name, &offset, &bytes);
}

static uint64_t cluster_size(const Damage *d)
{
    return UINT64_C(1) << header_value(d, "cluster_bits");
}

/* The offset of entry i of a directory of bitmaps; at i = -1, of the
 * directory's own offset in the header. */
static uint64_t find_bitmaps(const Damage *d)
{
    uint64_t at = header_value(d, "header_length");

    while (get(d, at, 4) != QCOW2_EXT_BITMAPS) {
        cr_assert_neq(get(d, at, 4), QCOW2_EXT_END);
        at += 8 + ((get(d, at + 4, 4) + 7) & ~UINT64_C(7));
    }
    return at + 8;
}

static uint64_t snapshot_at(const Damage *d, unsigned index)
{
    uint64_t at = header_value(d, "snapshots_offset");

    for (; index > 0; index--) {
        at += 40 + get(d, at + 12, 2) + get(d, at + 14, 2) +
              get(d, at + 36, 4);
        at = (at + 7) & ~UINT64_C(7);
    }
    return at;
}

/*
 * Where something of the README's list stands, and its bytes. l2[I], refblock
 * and the like are no places but tables; their places are the entries that
 * name them.
 */
static uint64_t place(const Damage *d, const char *text, unsigned *bytes)
{
    unsigned i = 0, j = 0;
    uint64_t at;

    *bytes = 8;
    if (sscanf(text, "l1[%u]", &i) == 1) {
        return header_value(d, "l1_table_offset") + i * 8;
    }
    if (sscanf(text, "l2[%u][%u]", &i, &j) == 2) {
        at = header_value(d, "l1_table_offset") + i * 8;
        return (get(d, at, 8) & QCOW2_L1_OFFSET) + j * 8;
    }
    if (sscanf(text, "reftable[%u]", &i) == 1) {
        return header_value(d, "refcount_table_offset") + i * 8;
    }
    if (sscanf(text, "refcount[%u]", &i) == 1) { /* of 16 bits, block 0 */
        *bytes = 2;
        return get(d, header_value(d, "refcount_table_offset"), 8) + i * 2;
    }
    if (sscanf(text, "snapshot[%u]+%u/%u", &i, &j, bytes) == 3) {
        return snapshot_at(d, i) + j;
    }
    if (sscanf(text, "snapshot_l1[%u][%u]", &i, &j) == 2) {
        return get(d, snapshot_at(d, i), 8) + j * 8;
    }
    if (sscanf(text, "bitmaps+%u/%u", &j, bytes) == 2) {
        return find_bitmaps(d) + j;
    }
    if (sscanf(text, "directory+%u/%u", &j, bytes) == 2) {
        return get(d, find_bitmaps(d) + 16, 8) + j;
    }
    header(d, text, &at, bytes);
    return at;
}

/* A table or a number, or what stands at a place. */
static uint64_t term(const Damage *d, const char *text)
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
        off_t length = lseek(d->fd, 0, SEEK_END);
        return ((uint64_t)length + cluster_size(d) - 1) & -cluster_size(d);
    }
    if (sscanf(text, "l2[%u]%n", &i, &end) == 1 && !text[end]) {
        g_autofree char *entry = g_strdup_printf("l1[%u]", i);
        return get(d, place(d, entry, &bytes), 8) & QCOW2_L1_OFFSET;
    }
    if (g_ascii_isdigit(*text)) {
        return g_ascii_strtoull(text, NULL, 0);
    }
    uint64_t at = place(d, text, &bytes);
    return get(d, at, bytes);
}

/* Terms, added up. */
static uint64_t value(const Damage *d, const char *text)
{
    g_auto(GStrv) terms = g_strsplit(text, " + ", -1);
    uint64_t sum = 0;

    for (char **t = terms; *t; t++) {
        sum += term(d, *t);
    }
    return sum;
}

/* ---- Making it ---- */

void damage_run(const Damage *d, const char *command)
{
    int status;
    g_autofree char *output = image_shell(&status, "%s", command);

    cr_assert_eq(status, 0, "%s: %s: %s", d->name, command, output);
}

static void make_sound(Damage *d)
{
    g_autofree char *path = image_path("damaged.qcow2");
    g_autofree char *create = g_strdup_printf(
        "rm -f sound.qcow2 && qemu-img create -q -f qcow2 -o %s sound.qcow2 "
        "%s",
        d->create ? d->create : "cluster_size=512", d->size ? d->size : "64k");

    damage_run(d, create);
    damage_run(d, d->writes->len > 0
                      ? d->writes->str
                      : "qemu-io -c 'write -P 1 0 4k' -c 'write -P 2 32k 2k' "
                        "sound.qcow2");
    damage_run(d, "cp sound.qcow2 damaged.qcow2");
    d->fd = open(path, O_RDWR | O_CLOEXEC);
    cr_assert_geq(d->fd, 0);
    d->made = true;
}

static void damage(Damage *d, char **words)
{
    unsigned bytes;

    if (!d->made) {
        make_sound(d);
    }
    if (!strcmp(words[0], "length")) {
        cr_assert_eq(ftruncate(d->fd, (off_t)value(d, words[1])), 0);
        return;
    }
    cr_assert_str_eq(words[0], "set", "%s: '%s'?", d->name, words[0]);
    g_auto(GStrv) sides = g_strsplit(words[1], " = ", 2);
    cr_assert_eq(g_strv_length(sides), 2, "%s: %s", d->name, words[1]);
    uint64_t new_value = value(d, sides[1]);
    uint64_t at = place(d, sides[0], &bytes);
    put(d, at, bytes, new_value);
}

static void parse_offsets(GArray *list, const char *text)
{
    g_auto(GStrv) offsets = g_strsplit(text, " ", -1);

    for (char **o = offsets; *o; o++) {
        int64_t offset = g_ascii_strtoll(*o, NULL, 0);
        g_array_append_val(list, offset);
    }
}

bool damage_lists(const GArray *list, int64_t offset)
{
    for (guint i = 0; i < list->len; i++) {
        if (g_array_index(list, int64_t, i) == offset) {
            return true;
        }
    }
    return false;
}

static void parse_line(Damage *d, const char *line)
{
    g_auto(GStrv) words = g_strsplit(line, " ", 2);
    const char *key = words[0];
    const struct {
        const char *key;
        char **text;
    } texts[] = {
        { "create", &d->create },   { "size", &d->size },
        { "found", &d->found },     { "leaks", &d->leaks },
        { "all", &d->all },         { "qemu", &d->qemu },
        { "refused", &d->refused },
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
        g_string_append_printf(d->writes, "%sqemu-io -c '%s' sound.qcow2",
                               d->writes->len ? " && " : "", words[1]);
    } else if (!strcmp(key, "img")) {
        g_string_append_printf(d->writes, "%sqemu-img %s",
                               d->writes->len ? " && " : "", words[1]);
    } else if (!strcmp(key, "say")) {
        g_ptr_array_add(d->say, g_strdup(words[1]));
    } else if (!strcmp(key, "lost")) {
        parse_offsets(d->lost, words[1]);
    } else if (!strcmp(key, "changed")) {
        parse_offsets(d->changed, words[1]);
    } else {
        damage(d, words);
    }
}

/* ---- All of them ---- */

static void visit_file(const char *name, DamageVisitor *visit)
{
    g_autofree char *path = g_build_filename(FIXTURES, name, NULL);
    g_autofree char *text = NULL;
    g_auto(GStrv) lines = NULL;
    Damage d = {
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
        parse_line(&d, *line);
    }
    if (!d.made) {
        make_sound(&d);
    }
    close(d.fd);
    visit(&d);
    g_string_free(d.writes, TRUE);
    g_ptr_array_unref(d.say);
    g_array_unref(d.lost);
    g_array_unref(d.changed);
    char *owned[] = { d.create, d.size, d.found,  d.leaks,
                      d.all,    d.qemu, d.refused };
    for (size_t i = 0; i < G_N_ELEMENTS(owned); i++) {
        g_free(owned[i]);
    }
}

void damage_foreach(DamageVisitor *visit)
{
    g_autoptr(GDir) fixtures = g_dir_open(FIXTURES, 0, NULL);
    const char *only = g_getenv("FIXTURE");
    const char *name;
    unsigned n = 0;

    cr_assert_not_null(fixtures, "run this from the top of the source");
    while ((name = g_dir_read_name(fixtures))) {
        if (g_str_has_suffix(name, ".txt") && (!only || strstr(name, only))) {
            visit_file(name, visit);
            n++;
        }
    }
    cr_assert_gt(n, 0);
}

/* ---- What remains ---- */

void damage_compare(const Damage *d, const uint8_t *before,
                    const uint8_t *after)
{
    static const uint8_t zeroes[512];

    for (int64_t at = 0; at < damage_size(d); at += 512) {
        bool lost = damage_lists(d->lost, at);

        if (damage_lists(d->changed, at)) {
            continue;
        }
        cr_expect(memcmp(after + at, lost ? zeroes : before + at, 512) == 0,
                  "%s: after the repair other data at 0x%" PRIx64, d->name,
                  at);
    }
}
