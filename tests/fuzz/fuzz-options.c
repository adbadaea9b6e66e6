/* SPDX-License-Identifier: MIT */
/*
 * Any text as key=value list, as JSON and as a size. What is accepted must
 * come back the same through options_to_json(), and tables must only give
 * values that they allow.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "block/options.h"
#include "util/size.h"

#define COUNT_MIN 3
#define COUNT_MAX 70000
#define SIZE_LIMIT (UINT64_C(1) << 40)

static const char *const choices[] = { "12", "16", "32", NULL };

static const OptionDesc table[] = {
    { .name = "s", .type = OPTION_STRING, .def = "x", .help = "string" },
    { .name = "b", .type = OPTION_BOOL, .def = "off", .help = "boolean" },
    { .name = "n",
      .type = OPTION_NUMBER,
      .min = COUNT_MIN,
      .max = COUNT_MAX,
      .help = "number" },
    { .name = "z", .type = OPTION_SIZE, .max = SIZE_LIMIT, .help = "size" },
    { .name = "e", .type = OPTION_ENUM, .values = choices, .help = "choice" },
    { .name = NULL },
};

static void expect(bool good)
{
    if (!good) {
        abort();
    }
}

static void expect_in_other(const char *key, const char *value, void *opaque)
{
    expect(g_strcmp0(options_get(opaque, key), value) == 0);
}

static void check_round_trip(const Options *opts, bool utf8)
{
    g_autoptr(Options) again = options_new();
    g_autofree char *json = options_to_json(opts);

    expect(g_utf8_validate(json, -1, NULL));
    if (utf8) {
        expect(options_parse_json(again, json, NULL));
        expect(options_size(again) == options_size(opts));
        options_foreach(opts, expect_in_other, again);
    }
}

static void check_table(const Options *opts)
{
    static const OptionDesc *const known[] = { table, NULL };
    g_autoptr(Options) rest = options_copy(opts);
    g_autoptr(GError) error = NULL, unknown = NULL;
    g_autoptr(OptionValues) values = option_values_absorb(table, rest, &error);
    bool all_known = options_reject_unknown(rest, "fuzz", known, &unknown);

    expect((values == NULL) == (error != NULL));
    expect(all_known == (unknown == NULL));
    if (values == NULL) {
        return;
    }
    expect(option_values_string(values, "s") != NULL);
    expect(option_values_bool(values, "b") <=
           option_values_given(values, "b"));
    if (option_values_given(values, "n")) {
        expect(option_values_number(values, "n") >= COUNT_MIN);
    }
    expect(option_values_number(values, "n") <= COUNT_MAX);
    expect(option_values_size(values, "z") <= SIZE_LIMIT);
    expect(option_values_enum(values, "e") >= -1);
    expect(option_values_enum(values, "e") < 3);
    expect((option_values_enum(values, "e") >= 0) ==
           option_values_given(values, "e"));
}

static void check_lists(const Options *opts)
{
    g_autoptr(Options) rest = options_copy(opts);
    unsigned length = options_list_length(rest, "l");
    unsigned size = options_size(rest);
    g_autoptr(Options) list = options_take_prefix(rest, "l");

    expect(length <= options_size(list));
    expect(options_size(list) + options_size(rest) == size);
}

static void check_set(Options *opts, bool utf8)
{
    check_round_trip(opts, utf8);
    check_table(opts);
    check_lists(opts);
}

static void check_keyval(const char *text, bool utf8, const char *implied)
{
    g_autoptr(Options) opts = options_new();
    g_autoptr(GError) error = NULL;

    if (options_parse_keyval(opts, text, implied, &error)) {
        expect(error == NULL);
        check_set(opts, utf8);
    } else {
        expect(error != NULL && options_size(opts) == 0);
    }
}

static void check_json(const char *text)
{
    g_autoptr(Options) opts = options_new();
    g_autoptr(GError) error = NULL;

    if (options_parse_json(opts, text, &error)) {
        expect(error == NULL);
        check_set(opts, true);
    } else {
        expect(error != NULL && options_size(opts) == 0);
    }
}

static void check_size(const char *text)
{
    uint64_t bytes;

    if (size_parse(text, &bytes, NULL)) {
        g_autofree char *format = size_format(bytes);

        expect(bytes <= INT64_MAX);
        expect(format[0] != '\0');
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    g_autofree char *text = g_strndup((const char *)data, bytes);
    bool utf8 = g_utf8_validate(text, -1, NULL);

    check_keyval(text, utf8, NULL);
    check_keyval(text, utf8, "s");
    check_json(text);
    check_size(text);
    return 0;
}
