/* SPDX-License-Identifier: MIT */
/* The driver through the block layer: names, options, status, information. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "block/block.h"
#include "block/vvfat/vvfat-options.h"
#include "vvfat-fixture.h"

/* ---- Names ---- */

static char *parsed(const char *filename)
{
    g_autoptr(Options) options = options_new();
    g_autoptr(GError) error = NULL;

    if (!vvfat_parse_filename(filename, options, &error)) {
        return g_strdup(error->message);
    }
    return options_to_json(options);
}

static void check_name(const char *filename, const char *want)
{
    g_autofree char *got = parsed(filename);

    cr_assert_str_eq(got, want, "%s: %s", filename, got);
}

Test(vvfat, leading_words_of_a_name_are_options_and_the_rest_is_the_directory)
{
    check_name("fat:dir", "{\"dir\": \"dir\"}");
    check_name("fat:12:dir", "{\"fat-type\": \"12\", \"dir\": \"dir\"}");
    check_name("fat:floppy:16:/a:b",
               "{\"floppy\": true, \"fat-type\": \"16\", \"dir\": \"/a:b\"}");
    check_name("fat:rw:dir:12:x", "{\"rw\": true, \"dir\": \"dir:12:x\"}");
    check_name("fat:label=BOOT:size=1G:.",
               "{\"label\": \"BOOT\", \"size\": \"1G\", \"dir\": \".\"}");
    check_name("fat:other=1:d", "{\"dir\": \"other=1:d\"}");
    check_name("fat:dir=x:d", "{\"dir\": \"dir=x:d\"}");
    check_name("fat:12", "{\"dir\": \"12\"}");
    check_name("vfat:dir", "File name string must start with 'fat:'");
    check_name("fat:", "'fat:' names no directory; write "
                       "fat:[12:|16:|32:][floppy:][rw:]DIR");
    check_name("fat:12:floppy:", "'fat:12:floppy:' names no directory; write "
                                 "fat:[12:|16:|32:][floppy:][rw:]DIR");
}

static void check_made(const char *keyval, const char *want)
{
    g_autoptr(Options) options = options_new();
    g_autofree char *name = NULL;

    cr_assert(options_parse_keyval(options, keyval, NULL, NULL));
    name = vvfat_make_filename(options);
    cr_assert_eq(g_strcmp0(name, want), 0, "%s gives %s", keyval,
                 name ? name : "none");
}

Test(vvfat, a_name_is_made_only_when_it_reads_back)
{
    check_made("dir=/x", "fat:/x");
    check_made("dir=/a:b,fat-type=12,floppy=on", "fat:12:floppy:/a:b");
    check_made("dir=d,size=1G,free=1M", "fat:size=1G:free=1M:d");
    check_made("dir=12:d", NULL);
    check_made("dir=rw:d", NULL);
    check_made("dir=d,label=a:b", NULL);
    check_made("dir=d,floppy=off", "fat:floppy=off:d");
    check_made("size=1G", NULL);
}

/* ---- Opening ---- */

static BlockBackend *open_image(const TempTree *t, const char *words,
                                unsigned flags, GError **errp)
{
    g_autofree char *name = g_strdup_printf("fat:%s%s", words, t->dir);

    return blk_open(name, NULL, flags | BDRV_O_PROTOCOL, errp);
}

static BlockBackend *opened(const TempTree *t, const char *words)
{
    g_autoptr(GError) error = NULL;
    BlockBackend *blk = open_image(t, words, 0, &error);

    cr_assert_not_null(blk, "%s", error ? error->message : "?");
    return blk;
}

static void check_refused(const TempTree *t, const char *words, int code,
                          const char *text)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(BlockBackend) blk = open_image(t, words, 0, &error);

    cr_assert_null(blk, "%s", words);
    cr_assert_not_null(error);
    cr_assert_not_null(strstr(error->message, text), "%s: %s", words,
                       error->message);
    cr_assert_eq(error->code, code, "%s: %d %s", words, error->code,
                 error->message);
}

Test(vvfat, wrong_options_are_refused_in_words)
{
    g_autoptr(TempTree) t = temp_tree_new();

    check_refused(t, "fat-type=13:", EINVAL,
                  "Valid FAT types are only 12, 16 and 32");
    check_refused(t, "label=TWELVE BYTES:", EINVAL,
                  "vvfat label cannot be longer than 11 bytes");
    check_refused(t, "label=a*b:", EINVAL, "vvfat label 'a*b'");
    check_refused(t, "rw:", EINVAL,
                  "Unable to set VVFAT to 'rw' when drive is read-only");
    check_refused(t, "size=1k:", ERANGE, "size");
    check_refused(t, "size=3T:", ERANGE, "size");
    check_refused(t, "cluster-size=3000:", EINVAL, "power of two");
    check_refused(t, "align=513:", EINVAL, "512");
    check_refused(t, "partition=apm:", EINVAL, "partition");
    check_refused(t, "timezone=CET:", EINVAL, "timezone");
    check_refused(t, "symlinks=all:", EINVAL, "symlinks");
    check_refused(t, "unsupported=x:", EINVAL, "unsupported");
    check_refused(t, "hidden=maybe:", EINVAL, "hidden");
    check_refused(t, "codepage=1:", EINVAL, "1");
    check_refused(t, "volume-id=0x100000000:", ERANGE, "volume-id");
    check_refused(t, "boot-code=/nonexistent:", ENOENT, "/nonexistent");
    check_refused(t, "mbr-code=/dev/zero:", EFBIG, "/dev/zero");
    check_refused(t, "floppy:size=64k:esp=on:", EINVAL, "'esp'");
}

Test(vvfat, one_disk_at_a_time_writes_into_a_directory)
{
    g_autoptr(TempTree) t = temp_tree_new();
    g_autoptr(GError) error = NULL;
    BlockBackend *blk = open_image(t, "rw:", BDRV_O_RDWR, &error);
    g_auto(GStrv) blockers = NULL;

    cr_assert_not_null(blk, "%s", error ? error->message : "");
    blockers = blk_get_state_save_blockers(blk);
    cr_assert_eq(g_strv_length(blockers), 1);
    cr_assert_not_null(strstr(blockers[0], "does not support live migration"));
    cr_assert_null(open_image(t, "rw:", BDRV_O_RDWR, &error));
    cr_assert_eq(error->code, EBUSY);
    cr_assert_not_null(strstr(error->message, "open for writing already"));
    /* Reading is no matter of that. */
    blk_close(opened(t, ""));
    blk_close(blk);
    blk_close(open_image(t, "rw:", BDRV_O_RDWR, NULL));
}

Test(vvfat, options_of_writing_need_rw)
{
    static const char *const words[] = {
        "commit=flush:",   "commit-delay=1:", "protect=report:",
        "file-mode=0644:", "dir-mode=0755:",  "overlay-max=1M:",
    };
    g_autoptr(TempTree) t = temp_tree_new();

    for (size_t i = 0; i < G_N_ELEMENTS(words); i++) {
        check_refused(t, words[i], EINVAL, "needs rw=on");
    }
}

Test(vvfat, without_rw_only_auto_read_only_opens_for_writing)
{
    g_autoptr(TempTree) t = temp_tree_new();
    g_autoptr(GError) error = NULL;
    g_autoptr(BlockBackend) blk = open_image(t, "", BDRV_O_RDWR, &error);
    char byte = 0;

    cr_assert_null(blk);
    cr_assert_not_null(error);
    blk = open_image(t, "", BDRV_O_RDWR | BDRV_O_AUTO_RDONLY, NULL);
    cr_assert_not_null(blk);
    cr_assert(blk_is_read_only(blk));
    cr_assert_lt(blk_pwrite(blk, 0, 1, &byte, 0), 0);
}

Test(vvfat, missing_directories_are_named)
{
    g_autoptr(TempTree) t = temp_tree_new();
    g_autoptr(Options) options = options_new();
    g_autoptr(GError) error = NULL;

    temp_tree_text(t, "file", "x");
    options_set(options, "driver", "vvfat");
    cr_assert_null(blk_open(NULL, options, 0, &error));
    cr_assert_not_null(strstr(error->message, "vvfat block driver requires a "
                                              "'dir' option"));
    g_clear_error(&error);
    options_set(options, "dir", "/nonexistent");
    cr_assert_null(blk_open(NULL, options, 0, &error));
    cr_assert_eq(error->code, ENOENT);
    cr_assert_not_null(strstr(error->message, "'/nonexistent'"));
    g_clear_error(&error);
    options_set(options, "dir", "/etc/passwd");
    cr_assert_null(blk_open(NULL, options, 0, &error));
    cr_assert_eq(error->code, ENOTDIR);
}

Test(vvfat, source_date_epoch_is_checked)
{
    g_autoptr(TempTree) t = temp_tree_new();

    g_setenv("SOURCE_DATE_EPOCH", "yesterday", TRUE);
    check_refused(t, "", EINVAL, "SOURCE_DATE_EPOCH is 'yesterday'");
    g_setenv("SOURCE_DATE_EPOCH", "1000000000", TRUE);
    blk_close(opened(t, ""));
}

/* ---- Reading ---- */

static uint8_t *read_all(BlockBackend *blk, int64_t *bytes)
{
    uint8_t *data;

    *bytes = blk_getlength(blk);
    cr_assert_gt(*bytes, 0);
    data = g_malloc((size_t)*bytes);
    cr_assert_eq(blk_pread(blk, 0, *bytes, data, 0), 0);
    return data;
}

Test(vvfat, the_name_of_an_image_opens_the_same_image)
{
    static const char *const words[] = {
        "",
        "12:",
        "floppy:",
        "label=X:volume-id=7:",
        "size=40M:free=1M:",
        "partition=gpt:hidden=off:",
        "esp=on:timezone=utc:codepage=850:",
        "partition=none:size=9M:cluster-size=2k:",
    };
    g_autoptr(TempTree) t = temp_tree_new();

    temp_tree_text(t, ".hidden", "x");
    temp_tree_text(t, "b\xc3\xa4", "y");
    for (unsigned i = 0; i < G_N_ELEMENTS(words); i++) {
        g_autoptr(BlockBackend) blk = opened(t, words[i]);
        g_autofree char *name = blk_get_filename(blk);
        g_autoptr(GError) error = NULL;
        g_autoptr(BlockBackend) again = blk_open(name, NULL, 0, &error);
        uint8_t a[65536], b[65536];
        int64_t length = blk_getlength(blk);

        cr_assert_not_null(again, "%s: %s", name,
                           error ? error->message : "?");
        cr_assert_eq(blk_getlength(again), length);
        for (int64_t at = 0; at < MIN(length, 8 << 20); at += sizeof(a)) {
            int64_t n = MIN(length - at, (int64_t)sizeof(a));

            cr_assert_eq(blk_pread(blk, at, n, a, 0), 0);
            cr_assert_eq(blk_pread(again, at, n, b, 0), 0);
            cr_assert_arr_eq(a, b, (size_t)n);
        }
    }
}

Test(vvfat, status_says_which_host_file_has_the_bytes)
{
    g_autoptr(TempTree) t = temp_tree_new();
    g_autofree char *path = temp_tree_path(t, "dir/file");
    g_autoptr(BlockBackend) blk = NULL;
    g_autofree uint8_t *data = NULL;
    int64_t length, found = 0;

    temp_tree_pattern(t, "dir/file", 100001, 9);
    blk = opened(t, "12:floppy:");
    data = read_all(blk, &length);
    for (int64_t at = 0; at < length;) {
        g_auto(BdrvBlockStatus) st = { 0 };

        cr_assert_eq(
            blk_block_status(blk, at, length - at, BDRV_WANT_HOST_FILE, &st),
            0);
        cr_assert_gt(st.bytes, 0);
        for (int64_t i = at; i < at + st.bytes; i++) {
            if (st.flags & BDRV_BLOCK_ZERO) {
                cr_assert_eq(data[i], 0);
            }
            if (st.flags & BDRV_BLOCK_OFFSET_VALID) {
                int64_t in_file = st.map + i - at;

                cr_assert_str_eq(st.host_file, path);
                cr_assert_eq(data[i], in_file < 100001
                                          ? pattern_byte(9, (uint64_t)in_file)
                                          : 0);
                found++;
            }
        }
        at += st.bytes;
    }
    cr_assert_eq(found, 100352, "whole sectors");
}

Test(vvfat, an_error_names_the_file)
{
    g_autoptr(TempTree) t = temp_tree_new();
    g_autoptr(BlockBackend) blk = NULL;
    g_autofree uint8_t *data = g_malloc(1440 * 1024);
    g_autofree char *message = NULL, *path = NULL;
    int r;

    temp_tree_pattern(t, "dir/file", 1000, 9);
    blk = opened(t, "12:floppy:");
    path = temp_tree_path(t, "dir/file");
    cr_assert_eq(truncate(path, 999), 0);
    r = blk_pread(blk, 0, 1440 * 1024, data, 0);
    message = blk_strerror(r);
    cr_assert_eq(r, -EIO, "%d: %s", r, message);
    cr_assert_not_null(strstr(message, "'dir/file'"), "%s", message);
}

/* ---- Information ---- */

static const char *fact(const BdrvInfo *info, const char *key)
{
    const char *value = options_get(info->specific, key);

    return value ? value : "(none)";
}

Test(vvfat, info_describes_the_volume_and_the_report)
{
    g_autoptr(TempTree) t = temp_tree_new();
    g_autoptr(BlockBackend) blk = NULL;
    g_autoptr(BdrvInfo) info = NULL;

    temp_tree_text(t, "a/b", "x");
    temp_tree_link(t, "dangling", "nowhere");
    blk = opened(t, "label=Sp\xc3\xa4ti:volume-id=0xABC:");
    info = blk_get_info(blk, NULL);
    cr_assert_not_null(info);
    cr_assert_str_eq(info->format, "vvfat");
    cr_assert_eq(info->virtual_size, 504 << 20);
    cr_assert_eq(info->cluster_size, 8192);
    cr_assert_str_eq(fact(info, "fat-type"), "16");
    cr_assert_str_eq(fact(info, "volume-id"), "00000abc");
    cr_assert_str_eq(fact(info, "label"), "Sp\xc3\xa4ti");
    cr_assert_str_eq(fact(info, "directory"), t->dir);
    cr_assert_str_eq(fact(info, "cluster-size"), "8192");
    cr_assert_str_eq(fact(info, "clusters"), "64474");
    cr_assert_str_eq(fact(info, "free-clusters"), "64472");
    cr_assert_str_eq(fact(info, "files"), "1");
    cr_assert_str_eq(fact(info, "directories"), "2");
    cr_assert_str_eq(fact(info, "partition"), "mbr");
    cr_assert_str_eq(fact(info, "volume-offset"), "32256");
    cr_assert_str_eq(fact(info, "report.0.kind"), "skipped");
    cr_assert_str_eq(fact(info, "report.0.path"), "dangling");
    cr_assert_str_eq(fact(info, "report.0.detail"),
                     "symbolic link that leads nowhere");
    cr_assert_str_eq(fact(info, "report.1.kind"), "(none)");
}

Test(vvfat, every_option_is_described_and_strong)
{
    unsigned n = 0;

    for (const OptionDesc *o = vvfat_option_table; o->name; o++, n++) {
        cr_assert_not_null(o->help, "%s", o->name);
        cr_assert(g_strv_contains(vvfat_strong_options, o->name), "%s",
                  o->name);
    }
    cr_assert_eq(g_strv_length((char **)vvfat_strong_options), n);
}
