/* SPDX-License-Identifier: MIT */
#include "block/vvfat/kept-probe.h"

#include <errno.h>
#include <string.h>

#include "block/vvfat/journal.h"
#include "block/vvfat/kept-identity.h"
#include "block/vvfat/vvfat-options.h"

static int read_blk(void *opaque, int64_t offset, int64_t bytes, void *buf)
{
    return blk_pread(opaque, offset, bytes, buf, 0);
}

static int refuse_write(void *opaque, int64_t offset, int64_t bytes,
                        const void *buf)
{
    (void)opaque;
    (void)offset;
    (void)bytes;
    (void)buf;
    return -EROFS;
}

static int no_flush(void *opaque)
{
    (void)opaque;
    return 0;
}

static void no_discard(void *opaque, int64_t offset, int64_t bytes)
{
    (void)opaque;
    (void)offset;
    (void)bytes;
}

static bool is_option(const char *part)
{
    const char *equals = strchr(part, '=');

    for (const OptionDesc *o = vvfat_option_table; equals && o->name; o++) {
        if (strlen(o->name) == (size_t)(equals - part) &&
            strncmp(o->name, part, strlen(o->name)) == 0) {
            return true;
        }
    }
    return false;
}

static void set_option(Options *options, const char *text)
{
    const char *equals = strchr(text, '=');
    g_autofree char *key = g_strndup(text, (size_t)(equals - text));

    options_set(options, key, equals + 1);
}

/* A part that is no option is one of the value before it: it had a colon. */
static void set_shape(Options *options, const char *shape)
{
    g_auto(GStrv) parts = g_strsplit(shape, ":", -1);
    g_autoptr(GString) option = g_string_new(NULL);

    for (char **part = parts; *part; part++) {
        if (is_option(*part) && option->len) {
            set_option(options, option->str);
            g_string_truncate(option, 0);
        }
        if (option->len || is_option(*part)) {
            g_string_append_printf(option, "%s%s", option->len ? ":" : "",
                                   *part);
        }
    }
    if (option->len) {
        set_option(options, option->str);
    }
}

static Options *make_options(const KeptIdentity *id, const char *filename)
{
    Options *options = options_new();

    options_set(options, "driver", "vvfat");
    options_set(options, "dir", id->dir);
    options_set(options, "rw", "on");
    options_set(options, "overlay", filename);
    set_shape(options, id->shape);
    return options;
}

Options *kept_probe(BlockBackend *blk, const char *filename)
{
    const JournalStore store = {
        .read = read_blk,
        .write = refuse_write,
        .flush = no_flush,
        .discard = no_discard,
        .opaque = blk,
        .supers = { 0, JOURNAL_SUPER_BYTES },
        .area_bytes = INT64_MAX,
    };
    g_autoptr(Journal) journal = journal_new(&store);
    g_autoptr(GByteArray) bytes = NULL;
    KeptIdentity id = { 0 };
    Options *options = NULL;
    JournalState state;

    if (blk_getlength(blk) < 2 * (int64_t)JOURNAL_SUPER_BYTES ||
        journal_probe(journal, &state, &bytes) < 0 || !bytes) {
        return NULL;
    }
    if (kept_identity_decode(bytes, &id)) {
        options = make_options(&id, filename);
    }
    kept_identity_clear(&id);
    return options;
}
