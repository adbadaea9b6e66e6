/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "block/error.h"
#include "util/json.h"

static bool list_scalar(const char *path, JsonType type, const char *text,
                        void *opaque, GError **errp)
{
    static const char letters[] = {
        [JSON_STRING] = 's', [JSON_NUMBER] = 'n', [JSON_TRUE] = 't',
        [JSON_FALSE] = 'f',  [JSON_NULL] = '0',
    };

    (void)errp;
    g_string_append_printf(opaque, "%s:%c:%s|", path, letters[type], text);
    return true;
}

static void assert_reads(const char *text, const char *expected)
{
    g_autoptr(GString) seen = g_string_new(NULL);
    g_autoptr(GError) error = NULL;

    cr_assert(json_visit_object(text, list_scalar, seen, &error), "%s: %s",
              text, error->message);
    cr_assert_str_eq(seen->str, expected);
}

static void assert_refuses(const char *text, const char *message)
{
    g_autoptr(GString) seen = g_string_new(NULL);
    g_autoptr(GError) error = NULL;

    cr_assert_not(json_visit_object(text, list_scalar, seen, &error), "%s",
                  text);
    cr_assert(g_error_matches(error, BLOCK_ERROR, EINVAL));
    cr_assert_str_eq(error->message, message);
    /* The caller may not want to know why. */
    cr_assert_not(json_visit_object(text, list_scalar, seen, NULL));
}

Test(json, reads_scalars_in_order)
{
    assert_reads("{}", "");
    assert_reads(" \t\r\n{ } \n", "");
    assert_reads("{\"b\": \"x\", \"a\": 1, \"t\":true,\"f\":false,\"n\":null}",
                 "b:s:x|a:n:1|t:t:true|f:f:false|n:0:null|");
}

Test(json, paths_join_names_and_indices)
{
    assert_reads("{\"a\":{\"b\":{\"c\":1},\"d\":2},\"e\":3}",
                 "a.b.c:n:1|a.d:n:2|e:n:3|");
    assert_reads("{\"l\":[1,[2,3],{\"x\":4},[],{}]}",
                 "l.0:n:1|l.1.0:n:2|l.1.1:n:3|l.2.x:n:4|");
    assert_reads("{\"a.b\":{\"c.d\":1}}", "a.b.c.d:n:1|");
    assert_reads("{\"\":{\"\":1},\"a\":{\"\":2}}", ".:n:1|a.:n:2|");
}

Test(json, numbers_are_kept_as_written)
{
    assert_reads("{\"a\":[0,-0,10,1.50,-1e3,2E+07,1e-2,"
                 "123456789012345678901234567890]}",
                 "a.0:n:0|a.1:n:-0|a.2:n:10|a.3:n:1.50|a.4:n:-1e3|"
                 "a.5:n:2E+07|a.6:n:1e-2|"
                 "a.7:n:123456789012345678901234567890|");
}

Test(json, refuses_malformed_numbers)
{
    static const char *const numbers[] = {
        "01",  "-",    "+1", ".5",  "1.",       "1.e1",  "1e",
        "1e+", "0x10", "-a", "NaN", "Infinity", "1_000", "- 1",
    };

    for (size_t i = 0; i < G_N_ELEMENTS(numbers); i++) {
        g_autofree char *text = g_strdup_printf("{\"a\":%s}", numbers[i]);
        g_autoptr(GString) seen = g_string_new(NULL);

        cr_assert_not(json_visit_object(text, list_scalar, seen, NULL), "%s",
                      text);
    }
}

Test(json, decodes_escapes)
{
    assert_reads("{\"a\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"}",
                 "a:s:\"\\/\b\f\n\r\t|");
    assert_reads("{\"\\u00e4\":\"\\u20AC\\u0001\"}",
                 "\xc3\xa4:s:\xe2\x82\xac\x01|");
    assert_reads("{\"a\":\"\\ud83d\\uDE00!\"}", "a:s:\xf0\x9f\x98\x80!|");
    assert_reads("{\"a\":\"\xf0\x9f\x98\x80\"}", "a:s:\xf0\x9f\x98\x80|");
}

Test(json, refuses_bad_escapes)
{
    assert_refuses("{\"a\":\"x\\u0000\"}",
                   "JSON line 1, column 8: \\u0000 is not allowed in strings");
    assert_refuses("{\"a\":\"\\udc00\"}",
                   "JSON line 1, column 7: a low surrogate stands alone");
    assert_refuses("{\"a\":\"\\ud800\"}",
                   "JSON line 1, column 7: a high surrogate stands alone");
    assert_refuses("{\"a\":\"\\ud800\\n\"}",
                   "JSON line 1, column 7: a high surrogate stands alone");
    assert_refuses("{\"a\":\"\\ud800\\ud800\"}",
                   "JSON line 1, column 13: a high surrogate is not followed "
                   "by a low one");
    assert_refuses("{\"a\":\"\\u12g4\"}", "JSON line 1, column 7: \\u needs "
                                          "four hexadecimal digits");
    assert_refuses("{\"a\":\"\\u12", "JSON line 1, column 7: \\u needs four "
                                     "hexadecimal digits");
    assert_refuses("{\"a\":\"\\x\"}", "JSON line 1, column 7: unknown escape "
                                      "sequence in a string");
    assert_refuses("{\"a\":\"\\", "JSON line 1, column 7: unknown escape "
                                  "sequence in a string");
}

Test(json, refuses_broken_structure)
{
    assert_refuses("", "JSON line 1, column 1: expected an object ('{'), but "
                       "the text ends");
    assert_refuses("[1]", "JSON line 1, column 1: expected an object ('{'), "
                          "not '['");
    assert_refuses("{", "JSON line 1, column 2: expected a name in double "
                        "quotes, but the text ends");
    assert_refuses("{a:1}", "JSON line 1, column 2: expected a name in double "
                            "quotes, not 'a'");
    assert_refuses("{\"a\":1,}", "JSON line 1, column 8: expected a name in "
                                 "double quotes, not '}'");
    assert_refuses("{\"a\" 1}", "JSON line 1, column 6: expected ':', not "
                                "'1'");
    assert_refuses("{\"a\":}", "JSON line 1, column 6: expected a value, not "
                               "'}'");
    assert_refuses("{\"a\":True}", "JSON line 1, column 6: expected a value, "
                                   "not 'T'");
    assert_refuses("{\"a\":truex}", "JSON line 1, column 10: expected ',' or "
                                    "'}', not 'x'");
    assert_refuses("{\"a\":[1 2]}", "JSON line 1, column 9: expected ',' or "
                                    "']', not '2'");
    assert_refuses("{\"a\":[1,]}", "JSON line 1, column 9: expected a value, "
                                   "not ']'");
    assert_refuses("{\"a\":1", "JSON line 1, column 7: expected ',' or '}', "
                               "but the text ends");
    assert_refuses("{} {}", "JSON line 1, column 4: expected the end of the "
                            "text, not '{'");
    assert_refuses("{\"a\":\"x", "JSON line 1, column 8: the text ends within "
                                 "a string");
    assert_refuses("{\"a\":\"x\ny\"}",
                   "JSON line 1, column 8: a control character stands in a "
                   "string; write it as an escape");
    assert_refuses("{\v}", "JSON line 1, column 2: expected a name in double "
                           "quotes, not U+000B");
}

Test(json, position_counts_lines_and_characters)
{
    assert_refuses("{\n  \"\xc3\xa4\xe2\x82\xac\": x}",
                   "JSON line 2, column 9: expected a value, not 'x'");
}

Test(json, refuses_text_that_is_not_utf8)
{
    static const char *const bad[] = {
        "\xff", "\xc3", "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80",
    };

    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autofree char *text = g_strdup_printf("{\"a\":\"%s\"}", bad[i]);

        assert_refuses(text, "JSON line 1, column 7: the text is not valid "
                             "UTF-8");
    }
}

/* {"a":[[...[1]...]]} with `depth` brackets, braces included */
static char *nested_text(unsigned depth)
{
    GString *text = g_string_new("{\"a\":");

    for (unsigned i = 1; i < depth; i++) {
        g_string_append_c(text, '[');
    }
    g_string_append_c(text, '1');
    for (unsigned i = 1; i < depth; i++) {
        g_string_append_c(text, ']');
    }
    g_string_append_c(text, '}');
    return g_string_free(text, FALSE);
}

Test(json, depth_is_bounded)
{
    g_autofree char *deepest = nested_text(JSON_MAX_DEPTH);
    g_autofree char *deeper = nested_text(JSON_MAX_DEPTH + 1);
    g_autofree char *bomb = nested_text(1000000);
    g_autoptr(GString) seen = g_string_new(NULL);

    cr_assert(json_visit_object(deepest, list_scalar, seen, NULL));
    assert_refuses(deeper, "JSON line 1, column 69: objects and arrays are "
                           "nested too deeply");
    assert_refuses(bomb, "JSON line 1, column 69: objects and arrays are "
                         "nested too deeply");
}

Test(json, path_length_is_bounded)
{
    g_autofree char *name = g_strnfill(JSON_MAX_PATH - 2, 'x');
    g_autofree char *fits = g_strdup_printf("{\"%s\":{\"y\":1}}", name);
    g_autofree char *longer = g_strdup_printf("{\"%s\":{\"yz\":1}}", name);
    g_autoptr(GString) seen = g_string_new(NULL);

    cr_assert(json_visit_object(fits, list_scalar, seen, NULL));
    cr_assert_not(json_visit_object(longer, list_scalar, seen, NULL));
}

static bool refuse(const char *path, JsonType type, const char *text,
                   void *opaque, GError **errp)
{
    (void)type;
    (void)text;
    (void)opaque;
    block_error_set(errp, ERANGE, "not %s", path);
    return false;
}

Test(json, visitor_stops_the_reader)
{
    g_autoptr(GError) error = NULL;

    cr_assert_not(json_visit_object("{\"l\": [12]}", refuse, NULL, &error));
    cr_assert(g_error_matches(error, BLOCK_ERROR, ERANGE));
    cr_assert_str_eq(error->message, "JSON line 1, column 8: not l.0");
}

/* ---- Writing ---- */

static char *write_sample(bool pretty)
{
    JsonWriter *w = json_writer_new(pretty);

    json_begin_object(w, NULL);
    json_string(w, "s", "x");
    json_int(w, "i", INT64_MIN);
    json_number(w, "n", "1.5e3");
    json_begin_array(w, "l");
    json_int(w, NULL, 1);
    json_begin_object(w, NULL);
    json_bool(w, "b", true);
    json_end_object(w);
    json_end_array(w);
    json_begin_array(w, "empty");
    json_end_array(w);
    json_begin_object(w, "none");
    json_end_object(w);
    json_end_object(w);
    return json_writer_finish(w);
}

Test(json, writes_one_line)
{
    g_autofree char *text = write_sample(false);

    cr_assert_str_eq(text, "{\"s\": \"x\", \"i\": -9223372036854775808, "
                           "\"n\": 1.5e3, \"l\": [1, {\"b\": true}], "
                           "\"empty\": [], \"none\": {}}");
}

Test(json, writes_pretty)
{
    g_autofree char *text = write_sample(true);

    cr_assert_str_eq(text, "{\n"
                           "    \"s\": \"x\",\n"
                           "    \"i\": -9223372036854775808,\n"
                           "    \"n\": 1.5e3,\n"
                           "    \"l\": [\n"
                           "        1,\n"
                           "        {\n"
                           "            \"b\": true\n"
                           "        }\n"
                           "    ],\n"
                           "    \"empty\": [],\n"
                           "    \"none\": {}\n"
                           "}\n");
}

Test(json, pretty_array_at_the_top)
{
    JsonWriter *w = json_writer_new(true);
    g_autofree char *text = NULL;

    json_begin_array(w, NULL);
    json_int(w, NULL, 1);
    json_int(w, NULL, 2);
    json_end_array(w);
    text = json_writer_finish(w);
    cr_assert_str_eq(text, "[\n    1,\n    2\n]\n");
}

Test(json, strings_are_escaped_and_made_valid)
{
    JsonWriter *w = json_writer_new(false);
    g_autofree char *text = NULL;

    json_begin_object(w, NULL);
    json_string(w, "q\"", "\\\b\f\n\r\t\x01\x1f\x7f/\xc3\xa4\xf0\x9f\x98\x80");
    json_string(w, "bad", "a\xff\xc3z");
    json_end_object(w);
    text = json_writer_finish(w);
    cr_assert_str_eq(text,
                     "{\"q\\\"\": \"\\\\\\b\\f\\n\\r\\t\\u0001\\u001f\\u007f/"
                     "\xc3\xa4\xf0\x9f\x98\x80\", "
                     "\"bad\": \"a\xef\xbf\xbd\xef\xbf\xbdz\"}");
}

/* A program that we did not write reads what the writer made. */
Test(json, python_reads_every_character_back)
{
    JsonWriter *w = json_writer_new(true);
    g_autofree char *text = NULL, *python = NULL, *out = NULL;
    g_autofree char *path = NULL;
    g_autoptr(GString) all = g_string_new(NULL);
    const char *script =
        "import json,sys; "
        "s=json.load(open(sys.argv[1],encoding='utf-8'))['all']; "
        "assert s==''.join(map(chr,range(1,0x800))), ascii(s); print('same')";
    const char *argv[] = { "python3", "-c", script, NULL, NULL };
    int fd;

    python = g_find_program_in_path("python3");
    if (python == NULL) {
        cr_skip_test("python3 is missing");
    }
    for (gunichar c = 1; c < 0x800; c++) {
        g_string_append_unichar(all, c);
    }
    json_begin_object(w, NULL);
    json_string(w, "all", all->str);
    json_end_object(w);
    text = json_writer_finish(w);
    fd = g_file_open_tmp("vvfat-json-XXXXXX", &path, NULL);
    cr_assert_geq(fd, 0);
    close(fd);
    cr_assert(g_file_set_contents(path, text, -1, NULL));
    argv[3] = path;
    cr_assert(g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH,
                           NULL, NULL, &out, NULL, NULL, NULL));
    unlink(path);
    cr_assert_str_eq(out, "same\n");
}
