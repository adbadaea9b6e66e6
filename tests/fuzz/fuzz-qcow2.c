/* SPDX-License-Identifier: MIT */
/*
 * Any qcow2 image: read, checked, written, repaired.
 *
 * The input is the image, at most MAX_IMAGE bytes, in a disk in memory that is
 * sparse and bounded. The header's seven bytes of padding steer: the file may
 * be longer than the input (a hole), and requests go to places of their
 * choice; the image has zeroes there.
 *
 * After a repair that could do all it wanted, another check must find nothing,
 * requests must work, and a check after them must find nothing either.
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "block/driver.h"
#include "block/qcow2/qcow2-format.h"

#define MAX_IMAGE (64 * 1024)
#define PAGE 4096
#define MAX_PAGES 4096
#define MAX_LENGTH (INT64_C(1) << 50)
#define PADDING offsetof(Qcow2DiskHeader, padding)

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size,
                               unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);

#define must(condition) must_at(condition, #condition, __LINE__)

static void must_at(bool condition, const char *text, int line)
{
    if (!condition) {
        fprintf(stderr, "line %d: %s\n", line, text);
        abort();
    }
}

/* What happens, with FUZZ_VERBOSE in the environment: for one input. */
static bool verbose;

#define say(...)                                                              \
    do {                                                                      \
        if (verbose) {                                                        \
            fprintf(stderr, __VA_ARGS__);                                     \
        }                                                                     \
    } while (0)

/* ---- The disk ---- */

typedef struct Page {
    int64_t number; /* the key */
    uint8_t data[PAGE];
} Page;

static struct {
    pthread_mutex_t lock;
    GHashTable *pages;
    int64_t length;
    bool full; /* a write found no room */
} disk = { .lock = PTHREAD_MUTEX_INITIALIZER };

static Page *disk_page(int64_t number, bool make)
{
    Page *page = g_hash_table_lookup(disk.pages, &number);

    if (page == NULL && make) {
        if (g_hash_table_size(disk.pages) == MAX_PAGES) {
            disk.full = true;
            return NULL;
        }
        page = g_new0(Page, 1);
        page->number = number;
        g_hash_table_insert(disk.pages, &page->number, page);
    }
    return page;
}

/* Copy between the disk and a buffer, under the lock. */
static int disk_copy(int64_t offset, uint8_t *buf, int64_t bytes, bool write)
{
    while (bytes > 0) {
        int64_t in_page = offset % PAGE;
        int64_t n = MIN(bytes, PAGE - in_page);
        Page *page = disk_page(offset / PAGE, write);

        if (page == NULL && write) {
            return -ENOSPC;
        }
        if (write) {
            memcpy(page->data + in_page, buf, (size_t)n);
        } else if (page != NULL) {
            memcpy(buf, page->data + in_page, (size_t)n);
        } else {
            memset(buf, 0, (size_t)n);
        }
        offset += n;
        buf += n;
        bytes -= n;
    }
    return 0;
}

static void disk_load(const uint8_t *input, size_t size)
{
    uint8_t padding[7] = { 0 };
    uint8_t image[MAX_IMAGE];

    memcpy(image, input, size);
    disk.length = (int64_t)size;
    if (size >= PADDING + sizeof(padding)) {
        memcpy(padding, image + PADDING, sizeof(padding));
        memset(image + PADDING, 0, sizeof(padding));
    }
    if (padding[0] != 0) {
        disk.length += INT64_C(1) << padding[0] % 48;
    }
    disk.full = false;
    g_hash_table_remove_all(disk.pages);
    must(disk_copy(0, image, (int64_t)size, true) == 0);
}

static bool mem_parse_filename(const char *filename, Options *options,
                               GError **errp)
{
    (void)filename;
    (void)options;
    (void)errp;
    return true;
}

static bool mem_open(BlockDriverState *bs, Options *options, unsigned flags,
                     GError **errp)
{
    (void)bs;
    (void)options;
    (void)flags;
    (void)errp;
    return true;
}

static void mem_close(BlockDriverState *bs)
{
    (void)bs;
}

static int64_t mem_getlength(BlockDriverState *bs)
{
    (void)bs;
    return disk.length;
}

static int mem_move(int64_t offset, int64_t bytes, const IOVector *iov,
                    bool write)
{
    g_autofree uint8_t *buf = g_malloc((size_t)bytes);
    int ret = 0;

    if (write) {
        iov_to_buf(iov, 0, buf, (size_t)bytes);
    }
    pthread_mutex_lock(&disk.lock);
    if (write && offset + bytes > MAX_LENGTH) {
        disk.full = true;
        ret = -EFBIG;
    } else {
        ret = disk_copy(offset, buf, bytes, write);
    }
    if (ret == 0 && write) {
        disk.length = MAX(disk.length, offset + bytes);
    }
    pthread_mutex_unlock(&disk.lock);
    if (!write) {
        iov_from_buf(iov, 0, buf, (size_t)bytes);
    }
    return ret;
}

static int mem_preadv(BlockDriverState *bs, int64_t offset, int64_t bytes,
                      const IOVector *iov, unsigned flags)
{
    (void)bs;
    (void)flags;
    return mem_move(offset, bytes, iov, false);
}

static int mem_pwritev(BlockDriverState *bs, int64_t offset, int64_t bytes,
                       const IOVector *iov, unsigned flags)
{
    (void)bs;
    (void)flags;
    return mem_move(offset, bytes, iov, true);
}

/* Take the pages of a range away, and make the ends zeroes. */
static void drop_range(int64_t offset, int64_t end)
{
    GHashTableIter iter;
    void *value;

    g_hash_table_iter_init(&iter, disk.pages);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        Page *page = value;
        int64_t first = MAX(offset - page->number * PAGE, 0);
        int64_t last = MIN(end - page->number * PAGE, PAGE);

        if (first == 0 && last == PAGE) {
            g_hash_table_iter_remove(&iter);
        } else if (first < last) {
            memset(page->data + first, 0, (size_t)(last - first));
        }
    }
}

static int mem_pwrite_zeroes(BlockDriverState *bs, int64_t offset,
                             int64_t bytes, unsigned flags)
{
    int ret = 0;

    (void)bs;
    (void)flags;
    pthread_mutex_lock(&disk.lock);
    if (offset + bytes > MAX_LENGTH) {
        disk.full = true;
        ret = -EFBIG;
    } else {
        drop_range(offset, offset + bytes);
        disk.length = MAX(disk.length, offset + bytes);
    }
    pthread_mutex_unlock(&disk.lock);
    return ret;
}

static int mem_truncate(BlockDriverState *bs, int64_t size, bool exact,
                        PreallocMode prealloc, GError **errp)
{
    (void)bs;
    (void)exact;
    (void)prealloc;
    if (size > MAX_LENGTH) {
        disk.full = true;
        block_error_set(errp, EFBIG, "too long");
        return -EFBIG;
    }
    pthread_mutex_lock(&disk.lock);
    if (size < disk.length) {
        drop_range(size, INT64_MAX);
    }
    disk.length = size;
    pthread_mutex_unlock(&disk.lock);
    return 0;
}

static int mem_block_status(BlockDriverState *bs, unsigned want,
                            int64_t offset, int64_t bytes,
                            BdrvBlockStatus *status)
{
    int64_t number = offset / PAGE;

    (void)want;
    pthread_mutex_lock(&disk.lock);
    bool present = disk_page(number, false) != NULL;
    /* A look at each page of a long hole would take as long as reading it. */
    for (int i = 0; i < 64 && (disk_page(number, false) != NULL) == present;
         i++) {
        number++;
    }
    if (!present && (disk_page(number, false) != NULL) == present) {
        GHashTableIter iter;
        void *value;
        int64_t next = INT64_MAX / PAGE;

        g_hash_table_iter_init(&iter, disk.pages);
        while (g_hash_table_iter_next(&iter, NULL, &value)) {
            int64_t n = ((Page *)value)->number;
            next = n > number ? MIN(next, n) : next;
        }
        number = next;
    }
    pthread_mutex_unlock(&disk.lock);
    status->flags = BDRV_BLOCK_ALLOCATED | BDRV_BLOCK_OFFSET_VALID |
                    (present ? BDRV_BLOCK_DATA : BDRV_BLOCK_ZERO);
    status->bytes = MIN(bytes, number * PAGE - offset);
    status->map = offset;
    status->file = bs;
    return 0;
}

static const BlockDriver mem_driver = {
    .format_name = "fuzz",
    .protocol_name = "fuzz",
    .grows_by_write = true,
    .parse_filename = mem_parse_filename,
    .open = mem_open,
    .close = mem_close,
    .getlength = mem_getlength,
    .preadv = mem_preadv,
    .pwritev = mem_pwritev,
    .pwrite_zeroes = mem_pwrite_zeroes,
    .truncate = mem_truncate,
    .block_status = mem_block_status,
};

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    disk.pages = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL,
                                       g_free);
    must(bdrv_register(&mem_driver, NULL));
    verbose = g_getenv("FUZZ_VERBOSE") != NULL;
    return 0;
}

/* ---- Requests ---- */

static uint32_t dice_state;

static uint32_t dice(uint32_t n)
{
    dice_state = dice_state * 1664525u + 1013904223u;
    return (dice_state >> 8) % n;
}

static BlockBackend *open_image(unsigned flags)
{
    g_autoptr(Options) options = options_new();
    g_autoptr(GError) error = NULL;

    options_set(options, "driver", "qcow2");
    options_set(options, "file.driver", "fuzz");
    BlockBackend *blk = blk_open(NULL, options, flags | BDRV_O_NO_BACKING,
                                 &error);
    say("%s", error ? error->message : "opened");
    say("\n");
    return blk;
}

/* A range of the device, and its status; false when there is none. */
typedef struct Range {
    int64_t offset, bytes;
    bool compressed; /* a part of it: reading may fail, the stream is bad */
} Range;

static bool pick_range(BlockBackend *blk, int64_t max, Range *r)
{
    int64_t length = blk_getlength(blk);

    if (length <= 0) {
        return false;
    }
    switch (dice(4)) {
    case 0:
        r->offset = dice(4) * 512;
        break;
    case 1: /* where another L2 table begins */
        r->offset = (int64_t)dice(8) * 32768 - dice(3) * 256;
        break;
    case 2:
        r->offset = length - 1 - dice(8192);
        break;
    default:
        r->offset = dice(128) * 512 + dice(512);
        break;
    }
    r->offset = CLAMP(r->offset, 0, length - 1);
    r->bytes = 1 + dice((uint32_t)max);
    r->bytes = MIN(r->bytes, length - r->offset);
    r->compressed = false;
    for (int64_t at = 0; at < r->bytes;) {
        g_auto(BdrvBlockStatus) status = { 0 };

        if (blk_block_status(blk, r->offset + at, r->bytes - at, 0, &status) <
            0) {
            return false;
        }
        must(status.bytes > 0 && status.bytes <= r->bytes - at);
        r->compressed |= (status.flags & BDRV_BLOCK_COMPRESSED) != 0;
        at += status.bytes;
    }
    return true;
}

#define MAX_REQUEST 20000

/* sound: the image is, so every request succeeds. */
static void read_some(BlockBackend *blk, bool sound)
{
    static uint8_t buf[MAX_REQUEST];

    for (int i = 0; i < 24; i++) {
        Range r;

        if (pick_range(blk, MAX_REQUEST, &r)) {
            int ret = blk_pread(blk, r.offset, r.bytes, buf, 0);
            must(!sound || r.compressed || ret == 0);
        } else {
            must(!sound || blk_getlength(blk) == 0);
        }
    }
}

static int request(BlockBackend *blk, const Range *r)
{
    static uint8_t buf[MAX_REQUEST];
    int64_t start;
    uint32_t kind = dice(8);

    say("request %u: %" PRId64 "+%" PRId64 "\n", kind, r->offset, r->bytes);
    switch (kind) {
    case 0:
        return blk_pwrite_zeroes(blk, r->offset, r->bytes, BDRV_REQ_MAY_UNMAP);
    case 1:
        return blk_pwrite_zeroes(blk, r->offset, r->bytes, 0);
    case 2:
        return blk_pdiscard(blk, r->offset, r->bytes);
    case 3:
        return blk_flush(blk);
    case 4: /* whole clusters */
        start = r->offset & ~INT64_C(4095);
        if (start + 4096 > blk_getlength(blk)) {
            return 0;
        }
        memset(buf, (int)dice(256), 4096);
        return blk_pwrite(blk, start, 4096, buf, BDRV_REQ_WRITE_COMPRESSED);
    default:
        memset(buf, (int)dice(256), (size_t)r->bytes);
        return blk_pwrite(blk, r->offset, r->bytes, buf, 0);
    }
}

/* Gives whether everything succeeded. */
static bool write_some(BlockBackend *blk, bool sound)
{
    bool ok = true;

    for (int i = 0; i < 16; i++) {
        Range r;
        int ret = -EIO;

        if (pick_range(blk, MAX_REQUEST, &r)) {
            ret = request(blk, &r);
            say("%s", ret < 0 ? " failed\n" : "");
            /* A table that reached its limit is no damage. */
            must(!sound || r.compressed || disk.full || ret != -EIO);
        }
        ok = ok && ret == 0;
        if (dice(8) == 0) {
            int64_t size = blk_getlength(blk) + (int64_t)dice(70000) - 40000;

            say("truncate %" PRId64 "\n", MAX(size, 0));
            ok = blk_truncate(blk, MAX(size, 0), true, PREALLOC_MODE_OFF,
                              NULL) == 0 &&
                 ok;
        }
    }
    return blk_flush(blk) == 0 && ok;
}

/* ---- What must hold ---- */

typedef struct Messages {
    int all;
    int harmless;
} Messages;

/*
 * Two guest clusters in one host cluster are no damage, if a rare sight. When
 * one of them gets its own, the other lacks its COPIED flag from then on.
 */
static void count_message(const char *text, void *opaque)
{
    Messages *messages = opaque;

    must(*text != '\0');
    messages->all++;
    messages->harmless += strstr(text, "is clear, the refcount 1") != NULL;
    say("  %s\n", text);
}

/* Gives the errors, without those that are harmless; -1: no check. */
static int64_t check(BlockBackend *blk, unsigned fix, BdrvCheckResult *r)
{
    Messages messages = { 0 };

    say("check %u\n", fix);
    *r = (BdrvCheckResult){ .message = count_message, .opaque = &messages };
    if (blk_check(blk, r, fix, NULL) < 0) {
        return -1;
    }
    must(messages.all > 0 || r->corruptions + r->leaks + r->check_errors == 0);
    return MAX(r->corruptions - messages.harmless, 0);
}

static void must_be_clean(BlockBackend *blk, bool leaks_allowed)
{
    BdrvCheckResult r;

    must(check(blk, 0, &r) == 0 && r.check_errors == 0);
    must(leaks_allowed || r.leaks == 0);
}

static void walk_status(BlockBackend *blk)
{
    int64_t length = blk_getlength(blk);
    int64_t at = 0;

    for (int i = 0; i < 500 && at < length; i++) {
        g_auto(BdrvBlockStatus) status = { 0 };

        if (blk_block_status(blk, at, length - at, 0, &status) < 0) {
            return;
        }
        must(status.bytes > 0 && status.bytes <= length - at);
        at += status.bytes;
    }
}

static void look(void)
{
    g_autoptr(BlockBackend) blk = open_image(0);
    BdrvCheckResult r;

    if (blk != NULL) {
        bdrv_info_free(blk_get_info(blk, NULL));
        walk_status(blk);
        read_some(blk, false);
        check(blk, 0, &r);
        bdrv_info_free(blk_get_info(blk, NULL));
    }
}

/* Whatever the tables say, nothing is put over the header. */
static void must_have_header(void)
{
    Qcow2DiskHeader header;

    must(disk_copy(0, (uint8_t *)&header, sizeof(header), false) == 0);
    must(GUINT32_FROM_BE(header.magic) == QCOW2_MAGIC);
    must(GUINT32_FROM_BE(header.version) == 2 ||
         GUINT32_FROM_BE(header.version) == 3);
}

static void change(void)
{
    BlockBackend *blk = open_image(BDRV_O_RDWR | BDRV_O_RESIZE | BDRV_O_UNMAP);
    BdrvCheckResult r;

    if (blk != NULL) {
        write_some(blk, false);
        read_some(blk, false);
        check(blk, BDRV_FIX_LEAKS | BDRV_FIX_ERRORS, &r);
        write_some(blk, false);
        blk_close(blk);
        must_have_header();
    }
}

static bool repair(void)
{
    g_autoptr(BlockBackend)
        blk = open_image(BDRV_O_RDWR | BDRV_O_RESIZE | BDRV_O_CHECK);
    BdrvCheckResult r;

    if (blk == NULL || check(blk, BDRV_FIX_LEAKS | BDRV_FIX_ERRORS, &r) < 0 ||
        r.check_errors > 0) {
        return false;
    }
    must(r.corruptions == 0 && r.leaks == 0);
    must(check(blk, 0, &r) == 0 && r.check_errors == 0);
    must(r.corruptions == 0 && r.leaks == 0);
    return true;
}

/* The first change to an image ends its bitmaps, whose clusters are leaked
 * from then on. */
static bool has_bitmaps(const uint8_t *input, size_t size)
{
    size_t low = offsetof(Qcow2DiskHeader, autoclear_features) + 7;

    return low < size && (input[low] & QCOW2_AUTOCLEAR_BITMAPS);
}

static void use_repaired(bool leaks_allowed)
{
    g_autoptr(BlockBackend)
        blk = open_image(BDRV_O_RDWR | BDRV_O_RESIZE | BDRV_O_UNMAP);

    must(blk != NULL);
    read_some(blk, true);
    leaks_allowed = !write_some(blk, true) || leaks_allowed;
    must_be_clean(blk, leaks_allowed);
    g_clear_pointer(&blk, blk_close);
    blk = open_image(0);
    must(blk != NULL || disk.full);
    if (blk != NULL) {
        must_be_clean(blk, leaks_allowed);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    if (size > MAX_IMAGE) {
        return 0;
    }
    dice_state = 1;
    for (size_t i = 1; i < 7 && PADDING + i < size; i++) {
        dice_state = dice_state * 257 + input[PADDING + i];
    }
    disk_load(input, size);
    say("looking\n");
    look();
    say("changing\n");
    change();
    disk_load(input, size);
    say("repairing\n");
    if (repair()) {
        say("using\n");
        use_repaired(has_bitmaps(input, size));
    }
    g_hash_table_remove_all(disk.pages);
    return 0;
}

/* ---- Mutations that know the format ---- */

typedef struct Image {
    uint8_t *data;
    size_t size;
    int64_t cluster;
} Image;

static uint64_t load(const Image *image, uint64_t at, unsigned bytes)
{
    uint64_t value = 0;

    if (at > image->size || image->size - at < bytes) {
        return 0;
    }
    for (unsigned i = 0; i < bytes; i++) {
        value = value << 8 | image->data[at + i];
    }
    return value;
}

static void store(const Image *image, uint64_t at, unsigned bytes,
                  uint64_t value)
{
    if (at > image->size || image->size - at < bytes) {
        return;
    }
    for (unsigned i = bytes; i-- > 0; value >>= 8) {
        image->data[at + i] = (uint8_t)value;
    }
}

/* Offsets at which something stands. */
static uint64_t some_offset(const Image *image)
{
    uint64_t l1 = load(image, 40, 8);
    uint64_t reftable = load(image, 48, 8);
    uint64_t l2 = load(image, l1 + dice(4) * 8, 8) & QCOW2_L1_OFFSET;

    switch (dice(9)) {
    case 0:
        return l1;
    case 1:
        return reftable;
    case 2:
        return load(image, reftable + dice(2) * 8, 8);
    case 3:
        return load(image, 64, 8); /* snapshots */
    case 4:
        return l2;
    case 5:
        return load(image, l2 + dice(64) * 8, 8) & QCOW2_L2_OFFSET;
    case 6:
        return (image->size + (uint64_t)image->cluster - 1) &
               -(uint64_t)image->cluster;
    case 7:
        return load(image, load(image, 64, 8), 8) & QCOW2_L1_OFFSET;
    default:
        return dice(128) * (uint64_t)image->cluster;
    }
}

static uint64_t some_value(const Image *image, uint64_t old)
{
    switch (dice(10)) {
    case 0:
        return 0;
    case 1:
        return UINT64_MAX >> dice(64);
    case 2:
        return old ^ UINT64_C(1) << dice(64);
    case 3:
        return old + 1;
    case 4:
        return old - 1;
    case 5:
        return old ^ QCOW2_COPIED;
    case 6:
        return some_offset(image) | QCOW2_COPIED | dice(2);
    case 7:
        return QCOW2_COMPRESSED | some_offset(image) |
               (uint64_t)dice(4) << 61 | dice(512);
    case 8:
        return some_offset(image) + (uint64_t)dice(3) * 256;
    default:
        return some_offset(image);
    }
}

static uint64_t some_place(const Image *image, unsigned *bytes)
{
    static const uint8_t fields[][2] = {
        { 4, 4 },   { 8, 8 },   { 16, 4 },  { 20, 4 },  { 24, 8 },  { 32, 4 },
        { 36, 4 },  { 40, 8 },  { 48, 8 },  { 56, 4 },  { 60, 4 },  { 64, 8 },
        { 72, 8 },  { 80, 8 },  { 88, 8 },  { 96, 4 },  { 100, 4 }, { 104, 1 },
        { 105, 1 }, { 106, 4 }, { 112, 4 }, { 116, 4 },
    };
    uint64_t l1 = load(image, 40, 8);
    uint64_t reftable = load(image, 48, 8);
    uint64_t snapshots = load(image, 64, 8);
    unsigned field;

    *bytes = 8;
    switch (dice(9)) {
    case 0:
        field = dice(G_N_ELEMENTS(fields));
        *bytes = fields[field][1];
        return fields[field][0];
    case 1:
        return l1 + dice(8) * 8;
    case 2:
        return reftable + dice(4) * 8;
    case 3:
        *bytes = 1u << dice(2);
        return load(image, reftable, 8) + dice(160) * *bytes;
    case 4:
        *bytes = 1u << dice(4);
        return snapshots + dice(80);
    case 5: /* a snapshot's L1 */
        return load(image, snapshots, 8) + dice(4) * 8;
    case 6: /* steering */
        *bytes = 1;
        return PADDING + dice(7);
    default:
        return (load(image, l1 + dice(4) * 8, 8) & QCOW2_L1_OFFSET) +
               dice(64) * 8;
    }
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size,
                               unsigned seed)
{
    Image image = { data, size, 512 };
    uint64_t bits = load(&image, 20, 4);

    dice_state = seed;
    if (size < sizeof(Qcow2DiskHeader) || bits < 9 || bits > 16 ||
        dice(8) == 0) {
        return LLVMFuzzerMutate(data, size, max_size);
    }
    image.cluster = INT64_C(1) << bits;
    for (unsigned n = 1 + dice(3); n > 0; n--) {
        unsigned bytes;
        uint64_t at = some_place(&image, &bytes);

        store(&image, at, bytes, some_value(&image, load(&image, at, bytes)));
    }
    return size;
}
