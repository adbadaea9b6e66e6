/* SPDX-License-Identifier: MIT */
/* Images on a directory that changes: the extension that keeps what it was
 * like, what counts as a change, and what is refused then. */
#include <criterion/criterion.h>
#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>

#include "block/qcow2/qcow2.h"
#include "tests/unit/image-fixture.h"

TestSuite(qcow2_fingerprint, .init = image_dir_init, .fini = image_dir_fini,
          .timeout = 60);

#define RW BDRV_O_RDWR
#define DIR "driver=vvfat,fat-type=12,size=1M,timezone=utc,dir=%D/dir"
#define IMAGE "driver=qcow2,file.filename=%D/i"
#define CHANGED "dir' has changed since '"

/* ---- The extension ---- */

static const BdrvFingerprint sample = {
    .disk_bytes = UINT64_C(0x123456789a),
    .n_files = 7,
    .n_directories = 3,
    .cluster_bytes = 4096,
    .digest = { 1, 2, 3, [31] = 32 },
};

static void release(void *data)
{
    g_bytes_unref(((Qcow2Extension *)data)->data);
}

static Qcow2Header header_new(unsigned cluster_bits)
{
    Qcow2Header h = { .version = 3,
                      .cluster_bits = cluster_bits,
                      .header_length = sizeof(Qcow2DiskHeader) };

    h.extensions = g_array_new(FALSE, FALSE, sizeof(Qcow2Extension));
    g_array_set_clear_func(h.extensions, release);
    return h;
}

static void add(Qcow2Header *h, uint32_t type, const void *data, size_t bytes)
{
    Qcow2Extension ext = { type, g_bytes_new(data, bytes) };

    g_array_append_val(h->extensions, ext);
}

static bool is_sample(const BdrvFingerprint *f)
{
    return f->disk_bytes == sample.disk_bytes &&
           f->n_files == sample.n_files &&
           f->n_directories == sample.n_directories &&
           f->cluster_bytes == sample.cluster_bytes &&
           memcmp(f->digest, sample.digest, sizeof(f->digest)) == 0;
}

Test(qcow2_fingerprint, stands_in_an_extension_as_documented)
{
    static const uint8_t expected[64] = {
        0,    0,    0,    1,    0, 0, 0x10, 0, 0, 0, 0, 0x12,
        0x34, 0x56, 0x78, 0x9a, 0, 0, 0,    0, 0, 0, 0, 7,
        0,    0,    0,    0,    0, 0, 0,    3, 1, 2, 3, [63] = 32,
    };
    Qcow2Header h = header_new(16);
    BdrvFingerprint f = { 0 };
    gsize size;

    cr_assert_eq(qcow2_fingerprint_get(&h, &f), QCOW2_FINGERPRINT_NONE);
    add(&h, QCOW2_EXT_FEATURE_NAMES, "x", 1);
    qcow2_fingerprint_set(&h, &sample);
    qcow2_fingerprint_set(&h, &sample);
    cr_assert_eq(h.extensions->len, 2);
    const Qcow2Extension *ext = &g_array_index(h.extensions, Qcow2Extension,
                                               1);
    cr_assert_eq(ext->type, 0x4641544c);
    const void *data = g_bytes_get_data(ext->data, &size);
    cr_assert_eq(size, sizeof(expected));
    cr_assert_arr_eq(data, expected, sizeof(expected));
    cr_assert_eq(qcow2_fingerprint_get(&h, &f), QCOW2_FINGERPRINT_KNOWN);
    cr_assert(is_sample(&f));
    qcow2_fingerprint_set(&h, NULL);
    cr_assert_eq(h.extensions->len, 1);
    qcow2_header_clear(&h);
}

Test(qcow2_fingerprint, other_lengths_and_versions_are_told_apart)
{
    static const struct {
        uint32_t version;
        size_t bytes;
        Qcow2FingerprintState state;
    } cases[] = {
        { 1, 0, QCOW2_FINGERPRINT_DAMAGED },
        { 1, 3, QCOW2_FINGERPRINT_DAMAGED },
        { 1, 4, QCOW2_FINGERPRINT_DAMAGED },
        { 1, 63, QCOW2_FINGERPRINT_DAMAGED },
        { 1, 64, QCOW2_FINGERPRINT_KNOWN },
        { 1, 65, QCOW2_FINGERPRINT_DAMAGED },
        { 0, 64, QCOW2_FINGERPRINT_DAMAGED },
        { 2, 4, QCOW2_FINGERPRINT_UNKNOWN },
        { 2, 64, QCOW2_FINGERPRINT_UNKNOWN },
        { UINT32_MAX, 200, QCOW2_FINGERPRINT_UNKNOWN },
    };
    uint8_t bytes[200] = { 0 };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        Qcow2Header h = header_new(16);
        guint32 version = GUINT32_TO_BE(cases[i].version);
        BdrvFingerprint f;

        memcpy(bytes, &version, sizeof(version));
        add(&h, QCOW2_EXT_FINGERPRINT, bytes, cases[i].bytes);
        cr_assert_eq(qcow2_fingerprint_get(&h, &f), cases[i].state,
                     "version %u, %zu bytes", cases[i].version,
                     cases[i].bytes);
        qcow2_header_clear(&h);
    }
}

Test(qcow2_fingerprint, is_left_out_where_there_is_no_room)
{
    Qcow2Header h = header_new(9);
    BdrvFingerprint f;

    /* Header, fingerprint and the end take 112 + 72 + 8 of 512 bytes. */
    h.backing_file = g_strnfill(320, 'x');
    qcow2_fingerprint_set(&h, &sample);
    cr_assert_eq(qcow2_fingerprint_get(&h, &f), QCOW2_FINGERPRINT_KNOWN);
    g_free(h.backing_file);
    h.backing_file = g_strnfill(321, 'x');
    qcow2_fingerprint_set(&h, &sample);
    cr_assert_eq(qcow2_fingerprint_get(&h, &f), QCOW2_FINGERPRINT_NONE);
    g_autoptr(GByteArray) written = qcow2_header_serialise(&h, NULL);
    cr_assert_not_null(written);
    qcow2_header_clear(&h);
}

/* ---- What counts as a change ---- */

static void host_write(const char *name, const char *text)
{
    g_autofree char *path = image_path(name);

    cr_assert(g_file_set_contents(path, text, -1, NULL));
}

static void host_move(const char *from, const char *to)
{
    g_autofree char *old = image_path(from), *new = image_path(to);

    cr_assert_eq(g_rename(old, new), 0);
}

static void host_mkdir(const char *name)
{
    g_autofree char *path = image_path(name);

    cr_assert_eq(g_mkdir(path, 0755), 0);
}

static void make_dir(void)
{
    host_mkdir("dir");
    host_mkdir("dir/sub");
    host_write("dir/a", "aaaa");
    host_write("dir/b", "bbbb");
    host_write("dir/sub/c", "cccc");
}

static BdrvFingerprint fingerprint_of(const char *options)
{
    g_autoptr(BlockBackend) blk = image_open(0, options);
    BdrvFingerprint f;

    cr_assert(bdrv_get_fingerprint(blk_bs(blk), &f));
    return f;
}

static bool digests_differ(const BdrvFingerprint *a, const BdrvFingerprint *b)
{
    return memcmp(a->digest, b->digest, sizeof(a->digest)) != 0;
}

Test(qcow2_fingerprint, says_where_files_lie_and_nothing_else)
{
    make_dir();
    BdrvFingerprint first = fingerprint_of(DIR), f;

    cr_assert_eq(first.n_files, 3);
    cr_assert_eq(first.n_directories, 2);
    cr_assert_eq(first.disk_bytes, 1 << 20);
    f = fingerprint_of("driver=raw,file.driver=vvfat,file.fat-type=12,"
                       "file.size=1M,file.timezone=utc,file.dir=%D/dir");
    cr_assert(!digests_differ(&first, &f));

    /* Other contents, another inode, other times. */
    host_write("dir/a", "AAAA");
    f = fingerprint_of(DIR);
    cr_assert(!digests_differ(&first, &f));

    host_move("dir/a", "dir/aa");
    f = fingerprint_of(DIR);
    cr_assert(digests_differ(&first, &f), "another name");
    host_move("dir/aa", "dir/a");
    host_write("dir/a", "AAAAA");
    f = fingerprint_of(DIR);
    cr_assert(digests_differ(&first, &f), "another size");
    host_write("dir/a", "AAAA");
    host_move("dir/b", "dir/sub/b");
    f = fingerprint_of(DIR);
    cr_assert(digests_differ(&first, &f), "another place");
    host_move("dir/sub/b", "dir/b");
    f = fingerprint_of(DIR ",cluster-size=1k");
    cr_assert(digests_differ(&first, &f), "another shape");
    f = fingerprint_of(DIR);
    cr_assert(!digests_differ(&first, &f), "all undone");
}

Test(qcow2_fingerprint, is_nothing_that_a_file_has)
{
    BdrvFingerprint f;

    image_make("base", 4096, 1);
    g_autoptr(BlockBackend)
        blk = image_open(0, "driver=raw,file.filename=%D/base");
    cr_assert(!bdrv_get_fingerprint(blk_bs(blk), &f));
}

/* ---- Images ---- */

static void create_as(const char *extra)
{
    g_autoptr(Options) options = options_new();
    g_autofree char *path = image_path("i");
    g_autofree char *backing =
        g_strdup_printf("fat:12:size=1M:timezone=utc:%s/dir", image_dir);

    cr_assert(options_parse_keyval(options, extra, NULL, NULL));
    options_set(options, "backing_file", backing);
    options_set(options, "backing_fmt", "vvfat");
    if (!options_has(options, "size")) {
        options_set(options, "size", "1M");
    }
    cr_assert(bdrv_create("qcow2", path, options, NULL));
}

/* What the image has of it, or NONE. */
static Qcow2FingerprintState kept(BdrvFingerprint *f)
{
    g_autoptr(BlockBackend)
        blk = image_open(BDRV_O_NO_BACKING | BDRV_O_FORCE_SHARE, IMAGE);

    return qcow2_fingerprint_get(
        &((Qcow2State *)bdrv_opaque(blk_bs(blk)))->header, f);
}

static void write_some(unsigned flags)
{
    uint8_t buf[512] = { 1 };
    g_autoptr(BlockBackend) blk = image_open(RW | flags, IMAGE);

    cr_assert_eq(blk_pwrite(blk, 600 << 10, sizeof(buf), buf, 0), 0);
    cr_assert_eq(blk_flush(blk), 0);
}

/* An image on "dir" that holds something, and "dir" has changed. */
static void make_misfit(void)
{
    make_dir();
    create_as("");
    write_some(0);
    host_write("dir/aa", "aa");
}

Test(qcow2_fingerprint, is_taken_with_the_first_write)
{
    static const char *const compat[] = { "compat=0.10", "compat=1.1",
                                          "cluster_size=512" };
    make_dir();
    BdrvFingerprint now = fingerprint_of(DIR), f;

    for (size_t i = 0; i < G_N_ELEMENTS(compat); i++) {
        create_as(compat[i]);
        {
            g_autoptr(BlockBackend) blk = image_open(RW, IMAGE);
            cr_assert_eq(blk_flush(blk), 0);
        }
        cr_assert_eq(kept(&f), QCOW2_FINGERPRINT_NONE);
        write_some(0);
        cr_assert_eq(kept(&f), QCOW2_FINGERPRINT_KNOWN, "%s", compat[i]);
        cr_assert(!digests_differ(&now, &f));
    }
}

Test(qcow2_fingerprint, of_an_image_that_holds_nothing_follows_the_directory)
{
    BdrvFingerprint f, now;

    make_misfit();
    {
        g_autoptr(BlockBackend)
            blk = image_open(RW | BDRV_O_NO_BACKING, IMAGE);
        cr_assert_eq(blk_make_empty(blk, NULL), 0);
        cr_assert_eq(blk_flush(blk), 0);
    }
    write_some(0);
    now = fingerprint_of(DIR);
    cr_assert_eq(kept(&f), QCOW2_FINGERPRINT_KNOWN);
    cr_assert(!digests_differ(&now, &f));
    cr_assert_eq(f.n_files, 4);
}

Test(qcow2_fingerprint, another_directory_is_refused)
{
    g_autoptr(GError) error = NULL;

    make_misfit();
    for (unsigned i = 0; i < 2; i++) {
        g_autofree char *text = image_open_error(i ? RW : 0, IMAGE);
        image_check_text(text, CHANGED);
        image_check_text(text,
                         "the number of its files was 3 then, and is 4 now");
    }
    g_autofree char *writing = image_open_error(RW,
                                                IMAGE ",check-backing=off");
    image_check_text(writing, CHANGED);

    g_autoptr(BlockBackend) blk = image_open(0, IMAGE ",check-backing=off");
    cr_assert(!blk_set_read_only(blk, false, &error));
    image_check_text(error->message, CHANGED);
}

Test(qcow2_fingerprint, fits_again_when_the_change_is_undone)
{
    make_misfit();
    host_move("dir/aa", "aa");
    write_some(0);
}

Test(qcow2_fingerprint, a_change_of_each_kind_has_its_words)
{
    make_dir();
    create_as("");
    write_some(0);
    host_mkdir("dir/new");
    g_autofree char *directory = image_open_error(0, IMAGE);
    image_check_text(directory, "directories was 2 then, and is 3 now");
    host_move("dir/new", "new");
    host_move("dir/a", "dir/x");
    g_autofree char *name = image_open_error(0, IMAGE);
    image_check_text(name, "files have other names or sizes than then");
    host_move("dir/x", "dir/a");
    g_autofree char *size =
        image_open_error(0, IMAGE ",backing.driver=vvfat,backing.size=2M,"
                                  "backing.fat-type=12,backing.dir=%D/dir");
    image_check_text(size, "its disk had 1048576 bytes then, and has 2097152");
    g_autofree char *cluster = image_open_error(
        0, IMAGE ",backing.driver=vvfat,backing.size=1M,backing.fat-type=12,"
                 "backing.cluster-size=2k,backing.dir=%D/dir");
    image_check_text(cluster, "and has clusters of 2048 now");
}

Test(qcow2_fingerprint, a_check_tells_of_it)
{
    BdrvCheckResult result = { 0 };

    make_misfit();
    g_autoptr(BlockBackend) blk = image_open(BDRV_O_CHECK, IMAGE);
    cr_assert_eq(blk_check(blk, &result, 0, NULL), 0);
    cr_assert_eq(result.corruptions, 1);
}

Test(qcow2_fingerprint, an_image_of_others_is_not_checked)
{
    BdrvFingerprint f;

    make_dir();
    create_as("");
    write_some(BDRV_O_NO_BACKING);
    write_some(0);
    cr_assert_eq(kept(&f), QCOW2_FINGERPRINT_NONE);
    host_write("dir/aa", "aa");
    write_some(0);
}

/* Another version of the extension, or a damaged one, by its first byte. */
static void patch_version(uint8_t first, uint8_t last)
{
    static const uint8_t begin[] = { 0x46, 0x41, 0x54, 0x4c, 0, 0, 0, 64 };
    g_autofree char *path = image_path("i");
    g_autofree char *bytes = NULL;
    gsize size, at = 0;

    cr_assert(g_file_get_contents(path, &bytes, &size, NULL));
    while (memcmp(bytes + at, begin, sizeof(begin)) != 0) {
        at++;
        cr_assert_lt(at, 1000);
    }
    bytes[at + 8] = (char)first;
    bytes[at + 11] = (char)last;
    cr_assert(g_file_set_contents(path, bytes, (gssize)size, NULL));
}

Test(qcow2_fingerprint, a_later_version_is_kept_and_not_looked_at)
{
    BdrvFingerprint f;

    make_misfit();
    patch_version(0, 2);
    write_some(0);
    cr_assert_eq(kept(&f), QCOW2_FINGERPRINT_UNKNOWN);
}

Test(qcow2_fingerprint, a_damaged_one_is_refused_and_can_be_recorded_anew)
{
    BdrvFingerprint f;

    make_misfit();
    patch_version(0, 0);
    g_autofree char *text = image_open_error(0, IMAGE);
    image_check_text(text, "The extension 0x4641544c in the header of '");
    {
        g_autoptr(BlockBackend) dir = image_open(0, DIR);
        g_autoptr(BlockBackend)
            blk = image_open(RW | BDRV_O_NO_BACKING, IMAGE);
        cr_assert_eq(blk_record_fingerprint(blk, dir, NULL), 0);
    }
    write_some(0);
    cr_assert_eq(kept(&f), QCOW2_FINGERPRINT_KNOWN);
    cr_assert_eq(f.n_files, 4);
}

Test(qcow2_fingerprint, goes_with_the_backing_file)
{
    BdrvFingerprint f;
    g_autofree char *too_long = g_strnfill(1024, 'b');

    make_dir();
    create_as("");
    write_some(0);
    {
        g_autoptr(BlockBackend)
            blk = image_open(RW | BDRV_O_NO_BACKING, IMAGE);
        cr_assert_eq(blk_change_backing_file(blk, too_long, NULL, NULL),
                     -EINVAL);
    }
    cr_assert_eq(kept(&f), QCOW2_FINGERPRINT_KNOWN);
    {
        g_autoptr(BlockBackend) blk = image_open(RW, IMAGE);
        /* Its own, as it is open. */
        cr_assert_eq(blk_record_fingerprint(blk, NULL, NULL), 0);
    }
    cr_assert_eq(kept(&f), QCOW2_FINGERPRINT_KNOWN);
    {
        g_autoptr(BlockBackend)
            blk = image_open(RW | BDRV_O_NO_BACKING, IMAGE);
        cr_assert_eq(blk_change_backing_file(blk, "base", "raw", NULL), 0);
    }
    cr_assert_eq(kept(&f), QCOW2_FINGERPRINT_NONE);
}

Test(qcow2_fingerprint, is_recorded_in_what_can_be_written_and_keeps_it)
{
    g_autoptr(GError) error = NULL;

    make_dir();
    create_as("");
    image_make("raw", 4096, 1);
    g_autoptr(BlockBackend) dir = image_open(0, DIR);
    g_autoptr(BlockBackend) blk = image_open(0, IMAGE);
    cr_assert_eq(blk_record_fingerprint(blk, dir, &error), -EACCES);
    image_check_text(error->message, "Could not record");
    g_autoptr(BlockBackend)
        raw = image_open(RW, "driver=raw,file.filename=%D/raw");
    cr_assert_eq(blk_record_fingerprint(raw, dir, NULL), 0);
}

Test(qcow2_fingerprint, reaches_the_disk_before_anything_else)
{
    uint8_t buf[512] = { 1 };
    BdrvFingerprint f;

    make_dir();
    create_as("");
    {
        g_autoptr(BlockBackend) blk = image_open(
            RW, "driver=qcow2,file.driver=blkdebug,file.image.driver=file,"
                "file.image.filename=%D/i,"
                "file.inject-error.0.iotype=write,"
                "file.inject-error.0.once=on");
        cr_assert_eq(blk_pwrite(blk, 0, sizeof(buf), buf, 0), -EIO);
        cr_assert_eq(kept(&f), QCOW2_FINGERPRINT_NONE);
        cr_assert_eq(blk_pwrite(blk, 0, sizeof(buf), buf, 0), 0);
    }
    cr_assert_eq(kept(&f), QCOW2_FINGERPRINT_KNOWN);
}

Test(qcow2_fingerprint, an_image_that_has_become_too_short_is_refused)
{
    make_dir();
    create_as("");
    {
        g_autoptr(BlockBackend) dir = image_open(0, DIR);
        g_autoptr(BlockBackend)
            blk = image_open(RW | BDRV_O_NO_BACKING, IMAGE);
        cr_assert_eq(blk_record_fingerprint(blk, dir, NULL), 0);
    }
    g_autofree char *text =
        image_open_error(0, IMAGE ",backing.driver=vvfat,backing.size=2M,"
                                  "backing.fat-type=12,backing.dir=%D/dir");
    image_check_text(text, "has grown to 2097152 bytes, and '");
    image_check_text(text, "create it anew");
}
