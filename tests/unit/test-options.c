/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "block/error.h"
#include "block/options.h"

static void list_option(const char *key, const char *value, void *opaque)
{
    g_string_append_printf(opaque, "%s=%s|", key, value);
}

static void assert_lists(const Options *opts, const char *expected)
{
    g_autoptr(GString) seen = g_string_new(NULL);

    options_foreach(opts, list_option, seen);
    cr_assert_str_eq(seen->str, expected);
}

static void assert_json(const Options *opts, const char *expected)
{
    g_autofree char *text = options_to_json(opts);

    cr_assert_str_eq(text, expected);
}

static Options *keyval(const char *text)
{
    Options *opts = options_new();
    g_autoptr(GError) error = NULL;

    cr_assert(options_parse_keyval(opts, text, NULL, &error), "%s: %s", text,
              error->message);
    return opts;
}

/* ---- The set ---- */

Test(options, keeps_order_and_replaces_in_place)
{
    g_autoptr(Options) opts = options_new();

    options_set(opts, "b", "1");
    options_set(opts, "a", "2");
    options_set(opts, "c", "3");
    options_set(opts, "a", "4");
    assert_lists(opts, "b=1|a=4|c=3|");
    cr_assert_eq(options_size(opts), 3);
    cr_assert_str_eq(options_get(opts, "a"), "4");
    cr_assert_null(options_get(opts, "d"));
}

Test(options, value_may_come_from_the_set_itself)
{
    g_autoptr(Options) opts = options_new();

    options_set(opts, "a", "text");
    options_set(opts, "a", options_get(opts, "a") + 1);
    cr_assert_str_eq(options_get(opts, "a"), "ext");
}

Test(options, take_at_both_ends_and_between)
{
    g_autoptr(Options) opts = keyval("a=1,b=2,c=3,d=4");
    g_autofree char *b = options_take(opts, "b");
    g_autofree char *a = options_take(opts, "a");
    g_autofree char *d = options_take(opts, "d");
    g_autofree char *again = options_take(opts, "d");

    cr_assert_str_eq(a, "1");
    cr_assert_str_eq(b, "2");
    cr_assert_str_eq(d, "4");
    cr_assert_null(again);
    assert_lists(opts, "c=3|");
    options_set(opts, "a", "5");
    assert_lists(opts, "c=3|a=5|");
}

Test(options, default_does_not_replace)
{
    g_autoptr(Options) opts = keyval("a=1");

    options_set_default(opts, "a", "2");
    options_set_default(opts, "b", "3");
    assert_lists(opts, "a=1|b=3|");
}

Test(options, prefix_ends_at_a_dot)
{
    g_autoptr(Options) opts = keyval("filename=x,file.driver=y,file.a.b=z");
    g_autoptr(Options) file = NULL;

    cr_assert(options_has_prefix(opts, "file"));
    cr_assert(options_has_prefix(opts, "file.a"));
    cr_assert(options_has_prefix(opts, "filename"));
    cr_assert_not(options_has_prefix(opts, "fil"));
    file = options_take_prefix(opts, "file");
    assert_lists(file, "driver=y|a.b=z|");
    assert_lists(opts, "filename=x|");
    cr_assert_not(options_has_prefix(opts, "file"));
}

Test(options, merge_replaces_and_prefixes)
{
    g_autoptr(Options) dst = keyval("a=1,b=2");
    g_autoptr(Options) src = keyval("b=3,c=4");

    options_merge(dst, src, NULL);
    assert_lists(dst, "a=1|b=3|c=4|");
    options_merge(dst, src, "f");
    assert_lists(dst, "a=1|b=3|c=4|f.b=3|f.c=4|");
}

Test(options, copy_is_independent_and_keeps_forms)
{
    g_autoptr(Options) opts = options_new();
    g_autoptr(Options) copy = NULL;

    options_set_bool(opts, "rw", false);
    options_set_int(opts, "n", -3);
    copy = options_copy(opts);
    options_set(opts, "rw", "changed");
    assert_json(copy, "{\"rw\": false, \"n\": -3}");
}

Test(options, list_length_ends_at_the_first_gap)
{
    g_autoptr(Options) opts = keyval(
        "l.1.x=a,l.0=b,l.2.x.y=c,l.4=d,m.0x=e,m.00=f,n.4294967295=g,"
        "n.99999999999999999999=h,l2.0=i");

    cr_assert_eq(options_list_length(opts, "l"), 3);
    cr_assert_eq(options_list_length(opts, "m"), 0);
    cr_assert_eq(options_list_length(opts, "n"), 0);
    cr_assert_eq(options_list_length(opts, "none"), 0);
}

/* ---- key=value ---- */

Test(options, keyval_parts)
{
    static const struct {
        const char *text;
        const char *implied;
        const char *expected;
    } cases[] = {
        { "", NULL, "" },
        { "a=1", NULL, "a=1|" },
        { "a=1,b=2", NULL, "a=1|b=2|" },
        { "a=b,,c,d=e", NULL, "a=b,c|d=e|" },
        { "a=,,,,b", NULL, "a=,,b|" },
        { "a=,b=", NULL, "a=|b=|" },
        { "a=1=2", NULL, "a=1=2|" },
        { "a,nob,c=1", NULL, "a=on|nob=on|c=1|" },
        { "a=1,b=2,a=3", NULL, "a=3|b=2|" },
        { "a=1,", NULL, "a=1|" },
        { "a=1,,", NULL, "a=1,|" },
        { "/dir", "dir", "dir=/dir|" },
        { "/dir,,x,rw", "dir", "dir=/dir,x|rw=on|" },
        { "a=b", "dir", "a=b|" },
        { "x,dir=y", "dir", "dir=y|" },
        { "a= b ", NULL, "a= b |" },
        { "dir=\xff\xfe", NULL, "dir=\xff\xfe|" },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(Options) opts = options_new();

        cr_assert(
            options_parse_keyval(opts, cases[i].text, cases[i].implied, NULL),
            "%s", cases[i].text);
        assert_lists(opts, cases[i].expected);
    }
}

#define NAMELESS                                                              \
    "an option has no name; write NAME=VALUE, and a comma inside a value "    \
    "twice"

Test(options, keyval_refuses_bad_names_and_changes_nothing)
{
    static const struct {
        const char *text;
        const char *message;
    } cases[] = {
        { "=1", NAMELESS },
        { ",b=1", NAMELESS },
        { "a=1, ,=", NAMELESS },
        { "a=1,=2", NAMELESS },
        { "a=1,,,,=2,=", NAMELESS },
        { ".a=1", "option name '.a' has an empty part" },
        { "a.=1", "option name 'a.' has an empty part" },
        { "b=1,a..b=1", "option name 'a..b' has an empty part" },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(Options) opts = options_new();
        g_autoptr(GError) error = NULL;

        cr_assert_not(options_parse_keyval(opts, cases[i].text, NULL, &error),
                      "%s", cases[i].text);
        cr_assert(g_error_matches(error, BLOCK_ERROR, EINVAL));
        cr_assert_str_eq(error->message, cases[i].message);
        cr_assert_eq(options_size(opts), 0);
    }
}

Test(options, keyval_implied_value_is_not_empty)
{
    g_autoptr(Options) opts = options_new();

    cr_assert_not(options_parse_keyval(opts, ",rw", "dir", NULL));
}

Test(options, keyval_refuses_an_endless_name)
{
    g_autoptr(Options) opts = options_new();
    g_autofree char *name = g_strnfill(1025, 'x');
    g_autoptr(GError) error = NULL;

    cr_assert_not(options_parse_keyval(opts, name, NULL, &error));
    cr_assert_str_eq(error->message,
                     "an option name has 1025 bytes; 1024 are allowed");
    cr_assert(options_parse_keyval(opts, name + 1, NULL, NULL));
}

/* ---- JSON ---- */

static void assert_json_refused(const char *text, const char *message)
{
    g_autoptr(Options) opts = keyval("x=1");
    g_autoptr(GError) error = NULL;

    cr_assert_not(options_parse_json(opts, text, &error), "%s", text);
    cr_assert_str_eq(error->message, message);
    assert_lists(opts, "x=1|");
}

Test(options, json_is_flattened)
{
    g_autoptr(Options) opts = keyval("x=1,y=2");

    cr_assert(options_parse_json(
        opts,
        "{\"y\": true, \"file\": {\"driver\": \"raw\", \"l\": [1, \"b\"]}}",
        NULL));
    assert_lists(opts, "x=1|y=on|file.driver=raw|file.l.0=1|file.l.1=b|");
}

/* "backing": null is how QEMU names an image without its backing file. */
Test(options, json_null_is_the_empty_string)
{
    g_autoptr(Options) opts = options_new();

    cr_assert(options_parse_json(opts, "{\"backing\": null}", NULL));
    assert_lists(opts, "backing=|");
    assert_json(opts, "{\"backing\": null}");
}

Test(options, json_refuses_what_a_set_cannot_hold)
{
    assert_json_refused("{\"a\": 1,\n\"a\": 2}",
                        "JSON line 2, column 6: option 'a' is given twice");
    assert_json_refused("{\"a\": {\"b\": 1}, \"a.b\": 2}",
                        "JSON line 1, column 24: option 'a.b' is given twice");
    assert_json_refused("{\"\": 1}",
                        "JSON line 1, column 6: an option has no name");
    assert_json_refused("{\"a\": {\"\": 1}}", "JSON line 1, column 12: option "
                                              "name 'a.' has an empty part");
    assert_json_refused("{\"a\": 1", "JSON line 1, column 8: expected ',' or "
                                     "'}', but the text ends");
}

Test(options, to_json_nests_and_keeps_forms)
{
    g_autoptr(Options) opts = keyval("driver=raw,size=64");

    assert_json(opts, "{\"driver\": \"raw\", \"size\": \"64\"}");
    options_set_bool(opts, "ro", true);
    options_set_int(opts, "file.offset", 512);
    options_set(opts, "a", "b");
    options_set(opts, "file.x.y", "z");
    assert_json(opts, "{\"driver\": \"raw\", \"size\": \"64\", \"ro\": true, "
                      "\"file\": {\"offset\": 512, \"x\": {\"y\": \"z\"}}, "
                      "\"a\": \"b\"}");
    options_set(opts, "ro", "on");
    options_set(opts, "file.offset", "512");
    assert_json(opts, "{\"driver\": \"raw\", \"size\": \"64\", "
                      "\"ro\": \"on\", \"file\": {\"offset\": \"512\", "
                      "\"x\": {\"y\": \"z\"}}, \"a\": \"b\"}");
}

Test(options, to_json_makes_arrays_of_lists_without_gaps)
{
    g_autoptr(Options) list = keyval("l.1.x=b,l.0=a,l.2.0=c");
    g_autoptr(Options) gap = keyval("l.0=a,l.2=b");
    g_autoptr(Options) odd = keyval("l.0=a,l.01=b");
    g_autoptr(Options) top = keyval("0=a,1=b");

    assert_json(list, "{\"l\": [\"a\", {\"x\": \"b\"}, [\"c\"]]}");
    assert_json(gap, "{\"l\": {\"0\": \"a\", \"2\": \"b\"}}");
    assert_json(odd, "{\"l\": {\"0\": \"a\", \"01\": \"b\"}}");
    assert_json(top, "{\"0\": \"a\", \"1\": \"b\"}");
}

Test(options, to_json_of_a_key_that_is_also_a_prefix)
{
    g_autoptr(Options) opts = keyval("f.a=1,x=2,f=3,f.a.b=4,l.0=5,l.0.y=6");

    assert_json(opts, "{\"f\": \"3\", \"f.a\": \"1\", \"f.a.b\": \"4\", "
                      "\"x\": \"2\", "
                      "\"l\": {\"0\": \"5\", \"0.y\": \"6\"}}");
}

static void assert_round_trip(const Options *opts)
{
    g_autofree char *text = options_to_json(opts);
    g_autofree char *again = NULL;
    g_autoptr(Options) parsed = options_new();
    g_autoptr(GError) error = NULL;

    cr_assert(options_parse_json(parsed, text, &error), "%s: %s", text,
              error->message);
    cr_assert_eq(options_size(parsed), options_size(opts));
    again = options_to_json(parsed);
    cr_assert_str_eq(again, text);
}

Test(options, to_json_reads_back)
{
    g_autoptr(Options) opts = keyval("f.a=1,x=2,f=3,f.a.b=4,l.0=5,l.0.y=6,"
                                     "m.1=7,m.0=8,q=\"\\\n");
    g_autoptr(GString) deep = g_string_new("deep");

    for (int i = 0; i < 200; i++) {
        g_string_append(deep, ".0");
    }
    options_set(opts, deep->str, "x");
    assert_round_trip(opts);
    options_set_bool(opts, "b", false);
    cr_assert(options_parse_json(opts, "{\"n\": [1.5, -2e9]}", NULL));
    assert_round_trip(opts);
}

/* 100,000 keys take well below a second; anything quadratic takes minutes. */
Test(options, work_is_linear, .timeout = 60)
{
    g_autoptr(Options) opts = options_new();
    g_autoptr(Options) copy = NULL;
    g_autoptr(Options) taken = NULL;

    for (int i = 0; i < 100000; i++) {
        char key[32];

        snprintf(key, sizeof(key), "report.%d.%s", i / 2,
                 i % 2 == 0 ? "kind" : "path");
        options_set(opts, key, "x");
    }
    assert_round_trip(opts);
    copy = options_copy(opts);
    cr_assert_eq(options_list_length(copy, "report"), 50000);
    taken = options_take_prefix(copy, "report");
    cr_assert_eq(options_size(taken), 100000);
    cr_assert_eq(options_size(copy), 0);
}

/* ---- Tables ---- */

static const char *const fat_types[] = { "12", "16", "32", NULL };
static const char *const modes[] = { "slow", "fast", NULL };

static const OptionDesc table[] = {
    { .name = "dir", .help = "directory to show" },
    { .name = "label", .def = "QEMU VVFAT", .help = "volume label" },
    { .name = "floppy",
      .type = OPTION_BOOL,
      .def = "off",
      .help = "a floppy" },
    { .name = "count",
      .type = OPTION_NUMBER,
      .min = 1,
      .max = 8,
      .help = "how many" },
    { .name = "id", .type = OPTION_NUMBER, .help = "volume id" },
    { .name = "size",
      .type = OPTION_SIZE,
      .min = 64 << 10,
      .max = UINT64_C(2) << 40,
      .help = "size of the disk" },
    { .name = "align",
      .type = OPTION_SIZE,
      .def = "1M",
      .min = 512,
      .help = "alignment" },
    { .name = "tail", .type = OPTION_SIZE, .max = 1025, .help = "tail" },
    { .name = "fat-type",
      .type = OPTION_ENUM,
      .values = fat_types,
      .help = "width of the table's entries" },
    { .name = "mode",
      .type = OPTION_ENUM,
      .values = modes,
      .def = "fast",
      .help = "mode" },
    { .name = NULL },
};

static OptionValues *absorb(const char *text)
{
    g_autoptr(Options) opts = keyval(text);
    g_autoptr(GError) error = NULL;
    OptionValues *values = option_values_absorb(table, opts, &error);

    cr_assert_not_null(values, "%s: %s", text, error ? error->message : "");
    cr_assert_eq(options_size(opts), 0);
    return values;
}

Test(option_table, defaults)
{
    g_autoptr(OptionValues) values = absorb("");

    cr_assert_null(option_values_string(values, "dir"));
    cr_assert_str_eq(option_values_string(values, "label"), "QEMU VVFAT");
    cr_assert_not(option_values_bool(values, "floppy"));
    cr_assert_eq(option_values_number(values, "count"), 0);
    cr_assert_eq(option_values_size(values, "size"), 0);
    cr_assert_eq(option_values_size(values, "align"), 1 << 20);
    cr_assert_eq(option_values_enum(values, "fat-type"), -1);
    cr_assert_eq(option_values_enum(values, "mode"), 1);
    cr_assert_not(option_values_given(values, "label"));
    cr_assert_not(option_values_given(values, "dir"));
}

Test(option_table, values_given)
{
    g_autoptr(OptionValues) values = absorb(
        "dir=/x,label=,floppy,count=0x8,id=18446744073709551615,"
        "size=1.5G,tail=0,fat-type=32,mode=slow");

    cr_assert_str_eq(option_values_string(values, "dir"), "/x");
    cr_assert_str_eq(option_values_string(values, "label"), "");
    cr_assert(option_values_given(values, "label"));
    cr_assert(option_values_bool(values, "floppy"));
    cr_assert_eq(option_values_number(values, "count"), 8);
    cr_assert_eq(option_values_number(values, "id"), UINT64_MAX);
    cr_assert_eq(option_values_size(values, "size"), UINT64_C(3) << 29);
    cr_assert_eq(option_values_enum(values, "fat-type"), 2);
    cr_assert_eq(option_values_enum(values, "mode"), 0);
}

Test(option_table, leaves_other_keys)
{
    g_autoptr(Options) opts = keyval("dir=x,other=y,dir.z=1");
    g_autoptr(OptionValues) values = option_values_absorb(table, opts, NULL);

    cr_assert_not_null(values);
    assert_lists(opts, "other=y|dir.z=1|");
}

Test(option_table, words_for_booleans)
{
    static const char *const yes[] = { "on", "yes", "true" };
    static const char *const no[] = { "off", "no", "false" };

    for (size_t i = 0; i < G_N_ELEMENTS(yes); i++) {
        g_autofree char *t = g_strconcat("floppy=", yes[i], NULL);
        g_autofree char *f = g_strconcat("floppy=", no[i], NULL);
        g_autoptr(OptionValues) on = absorb(t);
        g_autoptr(OptionValues) off = absorb(f);

        cr_assert(option_values_bool(on, "floppy"));
        cr_assert_not(option_values_bool(off, "floppy"));
        cr_assert(option_values_given(off, "floppy"));
    }
}

Test(option_table, refuses_with_what_is_allowed)
{
    static const struct {
        const char *text;
        int err;
        const char *message;
    } cases[] = {
        { "floppy=maybe", EINVAL,
          "option 'floppy' must be on or off, not 'maybe'" },
        { "floppy=", EINVAL, "option 'floppy' must be on or off, not ''" },
        { "count=x", EINVAL,
          "option 'count' must be a whole number (1 to 8), not 'x'" },
        { "count=0", ERANGE,
          "option 'count' must be a whole number (1 to 8), not '0'" },
        { "count=9", ERANGE,
          "option 'count' must be a whole number (1 to 8), not '9'" },
        { "id=-1", EINVAL, "option 'id' must be a whole number, not '-1'" },
        { "id=18446744073709551616", EINVAL,
          "option 'id' must be a whole number, not '18446744073709551616'" },
        { "id=0x", EINVAL, "option 'id' must be a whole number, not '0x'" },
        { "id=0x0x1", EINVAL,
          "option 'id' must be a whole number, not '0x0x1'" },
        { "id=0x-1", EINVAL,
          "option 'id' must be a whole number, not '0x-1'" },
        { "id= 1", EINVAL, "option 'id' must be a whole number, not ' 1'" },
        { "id=1k", EINVAL, "option 'id' must be a whole number, not '1k'" },
        { "size=12x", EINVAL,
          "option 'size' must be a size such as 64M (64 KiB to 2 TiB), not "
          "'12x'" },
        { "size=63k", ERANGE,
          "option 'size' must be a size such as 64M (64 KiB to 2 TiB), not "
          "'63k'" },
        { "size=3T", ERANGE,
          "option 'size' must be a size such as 64M (64 KiB to 2 TiB), not "
          "'3T'" },
        { "size=99E", ERANGE,
          "option 'size' must be a size such as 64M (64 KiB to 2 TiB), not "
          "'99E'" },
        { "align=1", ERANGE,
          "option 'align' must be a size such as 64M (at least 512 B), not "
          "'1'" },
        { "tail=1026", ERANGE,
          "option 'tail' must be a size such as 64M (at most 1025 B), not "
          "'1026'" },
        { "fat-type=13", EINVAL,
          "option 'fat-type' must be 12, 16 or 32, not '13'" },
        { "mode=", EINVAL, "option 'mode' must be slow or fast, not ''" },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(Options) opts = keyval(cases[i].text);
        g_autoptr(GError) error = NULL;

        cr_assert_null(option_values_absorb(table, opts, &error), "%s",
                       cases[i].text);
        cr_assert(g_error_matches(error, BLOCK_ERROR, cases[i].err));
        cr_assert_str_eq(error->message, cases[i].message);
    }
}

Test(option_table, unknown_option_gets_a_suggestion)
{
    static const OptionDesc more[] = { { .name = "cluster-size" }, { 0 } };
    static const OptionDesc *const known[] = { table, more, NULL };
    static const struct {
        const char *key;
        const char *meant;
    } cases[] = {
        { "sise", "size" },
        { "lable", "label" },
        { "Size", "size" },
        { "flopy", "floppy" },
        { "fat_type", "fat-type" },
        { "fattype", "fat-type" },
        { "cluster_siz", "cluster-size" },
        { "dirs", "dir" },
        { "rw", NULL },
        { "xyz", NULL },
        { "x", NULL },
        { "", NULL },
        { "file.size", NULL },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(Options) opts = options_new();
        g_autoptr(GError) error = NULL;
        g_autofree char *expected =
            cases[i].meant != NULL
                ? g_strdup_printf("driver 'vvfat' has no option '%s'; did you "
                                  "mean '%s'?",
                                  cases[i].key, cases[i].meant)
                : g_strdup_printf("driver 'vvfat' has no option '%s'",
                                  cases[i].key);

        options_set(opts, cases[i].key, "1");
        options_set(opts, "later", "1");
        cr_assert_not(
            options_reject_unknown(opts, "driver 'vvfat'", known, &error));
        cr_assert(g_error_matches(error, BLOCK_ERROR, EINVAL));
        cr_assert_str_eq(error->message, expected);
    }
}

Test(option_table, suggestion_copes_with_long_names)
{
    static const OptionDesc *const known[] = { table, NULL };
    g_autoptr(Options) opts = options_new();
    g_autofree char *key = g_strnfill(100000, 's');

    cr_assert(options_reject_unknown(opts, "x", known, NULL));
    options_set(opts, key, "1");
    cr_assert_not(options_reject_unknown(opts, "x", known, NULL));
}

Test(option_table, help_says_all_there_is_to_know)
{
    g_autofree char *help = option_table_help(table);

    cr_assert_str_eq(
        help,
        "  dir=<string>         - directory to show\n"
        "  label=<string>       - volume label (default: QEMU VVFAT)\n"
        "  floppy=<on|off>      - a floppy (default: off)\n"
        "  count=<number>       - how many (1 to 8)\n"
        "  id=<number>          - volume id\n"
        "  size=<size>          - size of the disk (64 KiB to 2 TiB)\n"
        "  align=<size>         - alignment (at least 512 B; default: 1M)\n"
        "  tail=<size>          - tail (at most 1025 B)\n"
        "  fat-type=<12|16|32>  - width of the table's entries\n"
        "  mode=<slow|fast>     - mode (default: fast)\n");
}
