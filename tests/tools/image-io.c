/* SPDX-License-Identifier: MIT */
/*
 * image-io [-f FORMAT] [-o OPTIONS] [-r] [-U] IMAGE [COMMAND]...
 *
 * Requests on an image through the library, for tests. A command is one
 * argument, or one line of standard input:
 *
 *   write PATTERN OFFSET LENGTH      writef: durable when it returns
 *   writec PATTERN OFFSET LENGTH     compressed
 *   writez [-u] OFFSET LENGTH        zeroes; -u: may unmap
 *   discard OFFSET LENGTH
 *   read [-P PATTERN] OFFSET LENGTH  fails unless the pattern is there
 *   status OFFSET LENGTH             a line about each piece
 *   load FILE                        the file's bytes, from the start on:
 *                                    writes the sectors that differ
 *   flush, truncate SIZE, empty
 *   commit, finish                   into what lies beneath; the last time
 *   facts                            "key=value" lines of the driver
 *   host COMMAND                     of the shell, which must succeed
 *   verify                           fails if the image's check finds anything
 *   abort                            ends at once: nothing is closed or flushed
 *
 * PATTERN is a byte, or sN: bytes that do not compress and are different for
 * each N and each place. The first command that fails ends the program.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "block/block.h"
#include "util/size.h"

#define MAX_WORDS 6
#define SECTOR INT64_C(512)
#define MAX_REQUEST (INT64_C(1) << 30)

typedef struct Words {
    char **word;
    int n;
    const char *command; /* the whole, for messages */
} Words;

G_NORETURN static void die(const Words *words, const char *what)
{
    fprintf(stderr, "image-io: %s: %s\n", words->command, what);
    exit(1);
}

static void must(const Words *words, int ret)
{
    if (ret < 0) {
        g_autofree char *text = blk_strerror(ret);

        die(words, text);
    }
}

static int64_t word_size(const Words *words, int i)
{
    g_autoptr(GError) error = NULL;
    uint64_t bytes;

    if (i < 0 || i >= words->n) {
        die(words, "a number is missing");
    }
    if (!size_parse(words->word[i], &bytes, &error)) {
        die(words, error->message);
    }
    return (int64_t)bytes;
}

/* The last two words: OFFSET LENGTH. */
static void word_range(const Words *words, int64_t *offset, int64_t *bytes)
{
    *offset = word_size(words, words->n - 2);
    *bytes = word_size(words, words->n - 1);
}

static bool word_is(const Words *words, int i, const char *text)
{
    return i < words->n && strcmp(words->word[i], text) == 0;
}

/* ---- Patterns ---- */

/* Good bits from a number: no two neighbours look alike. */
static uint64_t scramble(uint64_t n)
{
    n = (n ^ (n >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    n = (n ^ (n >> 27)) * UINT64_C(0x94d049bb133111eb);
    return n ^ (n >> 31);
}

static uint8_t *pattern_bytes(const Words *words, const char *pattern,
                              int64_t offset, int64_t bytes)
{
    bool seeded = pattern[0] == 's';
    uint64_t number = g_ascii_strtoull(pattern + seeded, NULL, 0);

    if (bytes > MAX_REQUEST) {
        die(words, "more than 1 GiB at a time");
    }
    uint8_t *buf = g_malloc((gsize)MAX(bytes, 1));
    for (int64_t i = 0; i < bytes; i++) {
        uint64_t at = (uint64_t)(offset + i);

        buf[i] = !seeded ? (uint8_t)number
                         : (uint8_t)(scramble(number << 40 ^ at / 8) >>
                                     at % 8 * 8);
    }
    return buf;
}

/* ---- Commands ---- */

static void do_write(BlockBackend *blk, const Words *words)
{
    unsigned flags = word_is(words, 0, "writec")   ? BDRV_REQ_WRITE_COMPRESSED
                     : word_is(words, 0, "writef") ? BDRV_REQ_FUA
                                                   : 0;
    int64_t offset, bytes;

    if (words->n != 4) {
        die(words, "PATTERN OFFSET LENGTH");
    }
    word_range(words, &offset, &bytes);
    g_autofree uint8_t *buf = pattern_bytes(words, words->word[1], offset,
                                            bytes);
    must(words, blk_pwrite(blk, offset, bytes, buf, flags));
}

static void do_writez(BlockBackend *blk, const Words *words)
{
    int64_t offset, bytes;

    word_range(words, &offset, &bytes);
    must(words,
         blk_pwrite_zeroes(blk, offset, bytes,
                           word_is(words, 1, "-u") ? BDRV_REQ_MAY_UNMAP : 0));
}

static void do_discard(BlockBackend *blk, const Words *words)
{
    int64_t offset, bytes;

    word_range(words, &offset, &bytes);
    must(words, blk_pdiscard(blk, offset, bytes));
}

static void do_read(BlockBackend *blk, const Words *words)
{
    int64_t offset, bytes;

    word_range(words, &offset, &bytes);
    if (bytes > MAX_REQUEST) {
        die(words, "more than 1 GiB at a time");
    }
    g_autofree uint8_t *buf = g_malloc((gsize)MAX(bytes, 1));
    must(words, blk_pread(blk, offset, bytes, buf, 0));
    if (!word_is(words, 1, "-P")) {
        return;
    }
    g_autofree uint8_t *wanted = pattern_bytes(
        words, words->n == 5 ? words->word[2] : "?", offset, bytes);
    for (int64_t i = 0; i < bytes; i++) {
        if (buf[i] != wanted[i]) {
            g_autofree char *text =
                g_strdup_printf("at byte %" PRId64 " is %u, not %u",
                                offset + i, buf[i], wanted[i]);
            die(words, text);
        }
    }
}

static void do_status(BlockBackend *blk, const Words *words)
{
    int64_t offset, bytes;

    word_range(words, &offset, &bytes);
    while (bytes > 0) {
        g_auto(BdrvBlockStatus) status = { 0 };

        must(words, blk_block_status(blk, offset, bytes, 0, &status));
        printf("%" PRId64 " %" PRId64 " depth %d%s%s%s%s\n", offset,
               status.bytes, status.depth,
               status.flags & BDRV_BLOCK_DATA ? " data" : "",
               status.flags & BDRV_BLOCK_ZERO ? " zero" : "",
               status.flags & BDRV_BLOCK_ALLOCATED ? " allocated" : "",
               status.flags & BDRV_BLOCK_COMPRESSED ? " compressed" : "");
        offset += status.bytes;
        bytes -= status.bytes;
    }
}

static void do_flush(BlockBackend *blk, const Words *words)
{
    must(words, blk_flush(blk));
}

static void do_truncate(BlockBackend *blk, const Words *words)
{
    g_autoptr(GError) error = NULL;

    if (blk_truncate(blk, word_size(words, 1), true, PREALLOC_MODE_OFF,
                     &error) < 0) {
        die(words, error->message);
    }
}

static void do_empty(BlockBackend *blk, const Words *words)
{
    g_autoptr(GError) error = NULL;

    if (blk_make_empty(blk, &error) < 0) {
        die(words, error->message);
    }
}

/* One that cannot be read differs, too. */
static bool differs(BlockBackend *blk, int64_t at, const char *bytes,
                    int64_t length)
{
    int64_t n = MIN(SECTOR, length - at);
    char old[SECTOR];

    return n > 0 && (blk_pread(blk, at, n, old, 0) < 0 ||
                     memcmp(old, bytes + at, (gsize)n) != 0);
}

static void load_sectors(BlockBackend *blk, const Words *words,
                         const char *bytes, int64_t length)
{
    int64_t at = 0, n;

    while (at < length) {
        for (n = 0; differs(blk, at + n, bytes, length); n += SECTOR) {
        }
        n = MIN(n, length - at);
        must(words, blk_pwrite(blk, at, n, bytes + at, 0));
        at += n + SECTOR;
    }
}

static void do_load(BlockBackend *blk, const Words *words)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *bytes = NULL;
    gsize length;

    if (words->n != 2) {
        die(words, "FILE");
    }
    if (!g_file_get_contents(words->word[1], &bytes, &length, &error)) {
        die(words, error->message);
    }
    load_sectors(blk, words, bytes, (int64_t)length);
}

static void do_commit(BlockBackend *blk, const Words *words)
{
    g_autoptr(GError) error = NULL;

    if (blk_commit(blk, word_is(words, 0, "finish"), &error) < 0) {
        die(words, error->message);
    }
}

static void print_fact(const char *key, const char *value, void *opaque)
{
    (void)opaque;
    printf("%s=%s\n", key, value);
}

static void do_facts(BlockBackend *blk, const Words *words)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(BdrvInfo) info = blk_get_info(blk, &error);

    if (!info) {
        die(words, error->message);
    }
    options_foreach(info->specific, print_fact, NULL);
    fflush(stdout);
}

static void do_host(BlockBackend *blk, const Words *words)
{
    (void)blk;
    if (system(words->command + strlen("host")) != 0) {
        die(words, "failed");
    }
}

static void print_finding(const char *text, void *opaque)
{
    (void)opaque;
    fprintf(stderr, "%s\n", text);
}

static void do_verify(BlockBackend *blk, const Words *words)
{
    g_autoptr(GError) error = NULL;
    BdrvCheckResult result = { .message = print_finding };

    if (blk_check(blk, &result, 0, &error) < 0) {
        die(words, error->message);
    }
    if (result.corruptions || result.leaks || result.check_errors) {
        die(words, "the image is damaged or has leaks");
    }
}

static void do_abort(BlockBackend *blk, const Words *words)
{
    (void)blk;
    (void)words;
    fflush(NULL);
    _exit(0);
}

static const struct {
    const char *name;
    void (*run)(BlockBackend *blk, const Words *words);
} commands[] = {
    { "write", do_write },       { "writec", do_write },
    { "writef", do_write },      { "writez", do_writez },
    { "discard", do_discard },   { "read", do_read },
    { "status", do_status },     { "flush", do_flush },
    { "truncate", do_truncate }, { "empty", do_empty },
    { "verify", do_verify },     { "abort", do_abort },
    { "load", do_load },         { "commit", do_commit },
    { "finish", do_commit },     { "facts", do_facts },
    { "host", do_host },
};

static void run_command(BlockBackend *blk, const char *text)
{
    g_autofree char *copy = g_strstrip(g_strdup(text));
    g_auto(GStrv) word = g_strsplit_set(copy, " \t", MAX_WORDS);
    Words words = { word, (int)g_strv_length(word), copy };

    if (words.n == 0 || word[0][0] == '#') {
        return;
    }
    for (guint i = 0; i < G_N_ELEMENTS(commands); i++) {
        if (strcmp(commands[i].name, word[0]) == 0) {
            commands[i].run(blk, &words);
            return;
        }
    }
    die(&words, "no such command");
}

static void run_input(BlockBackend *blk)
{
    char *line = NULL;
    size_t size = 0;

    while (getline(&line, &size, stdin) > 0) {
        run_command(blk, line);
    }
    free(line);
}

int main(int argc, char **argv)
{
    g_autoptr(Options) options = options_new();
    g_autoptr(GError) error = NULL;
    unsigned flags = BDRV_O_RDWR | BDRV_O_RESIZE | BDRV_O_UNMAP;
    int c;

    while ((c = getopt(argc, argv, "f:o:rU")) != -1) {
        if (c == 'f') {
            options_set(options, "driver", optarg);
        } else if (c == 'r') {
            flags = 0;
        } else if (c == 'U') {
            flags = BDRV_O_FORCE_SHARE;
        } else if (c != 'o' ||
                   !options_parse_keyval(options, optarg, NULL, &error)) {
            fprintf(stderr, "image-io: %s\n", error ? error->message : "-?");
            return 2;
        }
    }
    if (optind == argc) {
        fputs("usage: image-io [-f FORMAT] [-o OPTIONS] [-r] [-U] IMAGE "
              "[COMMAND]...\n",
              stderr);
        return 2;
    }
    BlockBackend *blk = blk_open(argv[optind], options, flags, &error);
    if (blk == NULL) {
        fprintf(stderr, "image-io: %s\n", error->message);
        return 1;
    }
    for (int i = optind + 1; i < argc; i++) {
        run_command(blk, argv[i]);
    }
    if (optind + 1 == argc) {
        run_input(blk);
    }
    int ret = blk_flush(blk);
    if (ret < 0) {
        g_autofree char *text = blk_strerror(ret);

        fprintf(stderr, "image-io: flush at the end: %s\n", text);
    } else if ((ret = blk_commit(blk, true, &error)) < 0) {
        fprintf(stderr, "image-io: %s\n", error->message);
    }
    blk_close(blk);
    return ret < 0;
}
