/* SPDX-License-Identifier: MIT */
/*
 * Checking an image: rounds, and what the parts of the check share.
 *
 * With `fix`, rounds are repeated until one finds nothing that it can mend,
 * for what was mended decides what refers to what. The last round is so the
 * check of the mended image.
 */
#include "block/qcow2/qcow2-check.h"

#include <errno.h>
#include <inttypes.h>

/* Two do in practice: entries of a table that turned out to be none, and what
 * that freed. */
#define MAX_ROUNDS 8

/* ---- Findings ---- */

static void say_va(const Qcow2Check *c, const char *prefix, const char *fmt,
                   va_list ap) G_GNUC_PRINTF(3, 0);

static void say_va(const Qcow2Check *c, const char *prefix, const char *fmt,
                   va_list ap)
{
    if (c->result->message != NULL) {
        g_autofree char *text = g_strdup_vprintf(fmt, ap);
        g_autofree char *line = g_strconcat(prefix, text, NULL);

        c->result->message(line, c->result->opaque);
    }
}

void check_say(const Qcow2Check *c, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    say_va(c, "", fmt, ap);
    va_end(ap);
}

void check_corruption(Qcow2Check *c, bool mended, const char *fmt, ...)
{
    va_list ap;

    if (mended) {
        c->result->corruptions_fixed++;
    } else {
        c->result->corruptions++;
    }
    va_start(ap, fmt);
    say_va(c, mended ? "Repairing: " : "ERROR: ", fmt, ap);
    va_end(ap);
}

void check_failed(Qcow2Check *c, int ret, const char *fmt, ...)
{
    va_list ap;

    c->result->check_errors++;
    va_start(ap, fmt);
    g_autofree char *text = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    check_say(c, "ERROR: %s: %s", text, g_strerror(-ret));
}

/* ---- The file ---- */

/* Whether a hole covers the range. */
static bool is_hole(const Qcow2Check *c, int64_t offset, int64_t bytes)
{
    g_auto(BdrvBlockStatus) status = { 0 };

    return bdrv_block_status(bdrv_child_bs(c->s->file), offset, bytes, 0,
                             &status) == 0 &&
           (status.flags & BDRV_BLOCK_ZERO) && status.bytes >= bytes;
}

bool check_read(Qcow2Check *c, int64_t offset, int64_t bytes, void *buf,
                bool *zero)
{
    if (zero != NULL) {
        int64_t inside = MIN(bytes, c->file_length - offset);

        *zero = inside <= 0 || is_hole(c, offset, inside);
        if (*zero) {
            return true;
        }
    }
    int ret = bdrv_pread(c->s->file, offset, bytes, buf, 0);
    if (ret < 0) {
        check_failed(c, ret, "reading %" PRId64 " bytes at 0x%" PRIx64, bytes,
                     offset);
    }
    return ret == 0;
}

/* Features that others keep true and we do not know end with our change. */
static bool begin_change(Qcow2Check *c)
{
    if (c->changed) {
        return true;
    }
    c->changed = true;
    if ((c->s->header.autoclear & ~QCOW2_AUTOCLEAR_BITMAPS) == 0) {
        return true;
    }
    c->s->header.autoclear &= QCOW2_AUTOCLEAR_BITMAPS;
    return repair_header(c);
}

bool check_write(Qcow2Check *c, int64_t offset, int64_t bytes, const void *buf)
{
    if (!begin_change(c)) {
        return false;
    }
    int ret = bdrv_pwrite(c->s->file, offset, bytes, buf, 0);
    c->written = true;
    if (ret < 0) {
        c->stuck = true;
        check_failed(c, ret, "writing %" PRId64 " bytes at 0x%" PRIx64, bytes,
                     offset);
    }
    return ret == 0;
}

bool check_flush(Qcow2Check *c)
{
    int ret = c->written ? bdrv_flush(bdrv_child_bs(c->s->file)) : 0;

    if (ret < 0) {
        c->stuck = true;
        check_failed(c, ret, "making repairs durable");
        return false;
    }
    c->written = false;
    return true;
}

bool check_in_file(const Qcow2Check *c, int64_t offset, int64_t bytes)
{
    return offset < c->file_length &&
           bytes <= c->file_clusters * c->s->cluster_size - offset;
}

/* ---- Counting ---- */

static void count_cluster(Qcow2Check *c, int64_t cluster, uint64_t n)
{
    if (!qcow2_refs_add(c->refs, cluster, n) && !c->no_memory) {
        c->no_memory = true;
        check_failed(c, -ENOMEM, "counting references");
    }
}

void check_count(Qcow2Check *c, int64_t offset, int64_t bytes, uint64_t n)
{
    int64_t last = (offset + bytes - 1) >> c->s->cluster_bits;

    for (int64_t i = offset >> c->s->cluster_bits; i <= last; i++) {
        count_cluster(c, i, n);
    }
}

Qcow2Kind check_claim(Qcow2Check *c, int64_t offset, int64_t bytes,
                      Qcow2Kind kind)
{
    int64_t first = offset >> c->s->cluster_bits;
    int64_t last = (offset + bytes - 1) >> c->s->cluster_bits;

    for (int64_t i = first; i <= last; i++) {
        Qcow2Kind other = qcow2_refs_kind(c->refs, i);

        if (other != QCOW2_KIND_NONE) {
            return other;
        }
    }
    for (int64_t i = first; i <= last && !c->no_memory; i++) {
        count_cluster(c, i, 1);
        if (!c->no_memory) {
            qcow2_refs_set_kind(c->refs, i, kind);
        }
    }
    return QCOW2_KIND_NONE;
}

/* ---- What the header names ---- */

static void claim_header_tables(Qcow2Check *c)
{
    const Qcow2State *s = c->s;
    const Qcow2Header *h = &s->header;
    int64_t l1_bytes = (int64_t)h->l1_size * 8;
    Qcow2Kind other;

    check_claim(c, 0, s->cluster_size, QCOW2_KIND_HEADER);
    c->has_l1 = l1_bytes > 0;
    if (l1_bytes > 0 && !check_in_file(c, h->l1_table_offset, l1_bytes)) {
        c->has_l1 = false;
        check_corruption(c, false,
                         "the L1 table of %u entries at 0x%" PRIx64
                         " reaches past the end of the file",
                         h->l1_size, h->l1_table_offset);
    } else if (l1_bytes > 0) {
        other = check_claim(c, h->l1_table_offset, l1_bytes, QCOW2_KIND_L1);
        if (other != QCOW2_KIND_NONE) {
            c->has_l1 = false;
            check_corruption(c, false,
                             "the L1 table at 0x%" PRIx64 " overlaps %s",
                             h->l1_table_offset, qcow2_kind_name(other));
        }
    }
}

static void say_bits(const Qcow2Check *c)
{
    if (c->s->header.incompatible & QCOW2_INCOMPAT_DIRTY) {
        check_say(c, "The dirty bit is set: the image was not closed cleanly");
    }
    if (c->s->header.incompatible & QCOW2_INCOMPAT_CORRUPT) {
        check_say(c, "The corrupt bit is set: the image was found damaged");
    }
}

/* Clusters that wait to be freed have no reference, and are no leaks. */
static void count_frees(Qcow2Check *c)
{
    for (guint i = 0; i < c->s->frees->len; i++) {
        const Qcow2Free *f = &g_array_index(c->s->frees, Qcow2Free, i);

        if (check_in_file(c, f->offset, f->bytes)) {
            check_count(c, f->offset, f->bytes, 1);
        }
    }
}

/* ---- Rounds ---- */

static bool round_begin(Qcow2Check *c, GError **errp)
{
    BdrvCheckResult *r = c->result;
    int64_t length = bdrv_getlength(bdrv_child_bs(c->s->file));

    if (length < 0) {
        block_error_set_errno(errp, (int)-length,
                              "Could not get the length of the image file");
        return false;
    }
    c->file_length = length;
    c->file_clusters = (length + c->s->cluster_size - 1) >> c->s->cluster_bits;
    c->refs = qcow2_refs_new();
    c->wrong = qcow2_refs_new();
    c->l2 = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, g_free);
    c->snapshots = g_array_new(FALSE, FALSE, sizeof(CheckSnapshot));
    c->refblocks = g_array_new(FALSE, FALSE, sizeof(CheckRefblock));
    c->rebuild = c->header_changed = c->data_lost = c->no_memory = false;
    c->table_bytes = c->new_snapshots_offset = 0;
    c->last_used = -1;
    r->corruptions = r->leaks = r->check_errors = 0;
    r->allocated_clusters = r->fragmented_clusters = 0;
    r->compressed_clusters = 0;
    return true;
}

static void round_end(Qcow2Check *c)
{
    qcow2_refs_free(c->refs);
    qcow2_refs_free(c->wrong);
    g_hash_table_unref(c->l2);
    g_array_unref(c->snapshots);
    g_array_unref(c->refblocks);
}

static void round_walk(Qcow2Check *c)
{
    BdrvCheckResult *r = c->result;
    Qcow2Header *h = &c->s->header;

    claim_header_tables(c);
    check_snapshot_table(c);
    check_l1_tables(c);
    check_reftable(c);
    check_l2_tables(c);
    count_frees(c);
    check_bitmaps(c);
    if (c->data_lost && (h->autoclear & QCOW2_AUTOCLEAR_BITMAPS)) {
        check_say(c, "The bitmaps are given up: they do not know of the data "
                     "that was lost");
        h->autoclear &= ~QCOW2_AUTOCLEAR_BITMAPS;
        c->header_changed = true;
    }
    /* References that are gone are so before their refcounts are lowered. */
    if (!check_flush(c) || (c->header_changed && !repair_header(c)) ||
        c->no_memory) {
        return;
    }
    if (c->fix && r->check_errors > 0) {
        /* What could not be read may refer to anything. */
        check_say(c, "Refcounts are not repaired: not all tables could be "
                     "read");
        c->fix = 0;
        c->stuck = true;
    }
    check_refcounts(c);
    if (c->rebuild && (c->fix & BDRV_FIX_ERRORS) && !c->no_memory &&
        !repair_rebuild(c)) {
        return;
    }
    if (!check_flush(c)) {
        return;
    }
    if (c->new_snapshots_offset != 0 && !c->no_memory) {
        h->snapshots_offset = c->new_snapshots_offset;
        repair_header(c);
    }
    check_copied(c);
    r->image_end_offset = (c->last_used + 1) << c->s->cluster_bits;
}

static bool round_run(Qcow2Check *c, unsigned fix, GError **errp)
{
    c->fix = fix;
    if (!round_begin(c, errp)) {
        return false;
    }
    round_walk(c);
    round_end(c);
    return true;
}

static int64_t count_fixed(const Qcow2Check *c)
{
    return c->result->corruptions_fixed + c->result->leaks_fixed;
}

static bool run_rounds(Qcow2Check *c, unsigned fix, GError **errp)
{
    int64_t before;
    int round = 0;

    do {
        before = count_fixed(c);
        if (!round_run(c, fix, errp)) {
            return false;
        }
    } while (count_fixed(c) > before && !c->stuck && ++round < MAX_ROUNDS);
    if (count_fixed(c) == before) {
        return true;
    }
    /* What failed to be mended is still there: see what there is. */
    int64_t errors = c->result->check_errors;
    bool ok = round_run(c, 0, errp);
    c->result->check_errors += errors;
    return ok;
}

/* The image is sound now, and says so. */
static void clear_bits(Qcow2Check *c)
{
    uint64_t bits = QCOW2_INCOMPAT_DIRTY | QCOW2_INCOMPAT_CORRUPT;

    if (c->result->corruptions == 0 && c->result->check_errors == 0 &&
        (c->s->header.incompatible & bits) && begin_change(c) &&
        check_flush(c)) {
        c->s->header.incompatible &= ~bits;
        repair_header(c);
    }
}

static int write_back(Qcow2State *s, GError **errp)
{
    int ret;

    if (bdrv_is_read_only(s->bs)) {
        return 0;
    }
    ret = qcow2_write_back_all(s);
    if (ret == 0) {
        ret = qcow2_reftable_settle(s);
    }
    if (ret < 0) {
        block_error_set_errno(errp, -ret, "Could not write metadata back");
    }
    return ret;
}

static int check_locked(Qcow2State *s, BdrvCheckResult *result, unsigned fix,
                        GError **errp)
{
    Qcow2Check c = { .s = s, .result = result };
    int ret = write_back(s, errp);
    bool ok;

    if (ret < 0) {
        return ret;
    }
    result->corruptions_fixed = result->leaks_fixed = 0;
    result->total_clusters = (s->size + s->cluster_size - 1) >>
                             s->cluster_bits;
    say_bits(&c);
    ok = run_rounds(&c, fix, errp);
    if (ok && fix) {
        clear_bits(&c);
    }
    if (ok && s->misfit) {
        check_corruption(&c, false, "%s", s->misfit);
    }
    if (c.changed) {
        ret = repair_reload(&c, ok ? errp : NULL);
    }
    return ok ? ret : -EIO;
}

int qcow2_check(BlockDriverState *bs, BdrvCheckResult *result, unsigned fix,
                GError **errp)
{
    Qcow2State *s = bdrv_opaque(bs);
    int ret;

    if (fix && bdrv_is_read_only(bs)) {
        block_error_set(errp, EACCES,
                        "The image is open for reading only: it cannot be "
                        "repaired");
        return -EACCES;
    }
    pthread_mutex_lock(&s->lock);
    ret = check_locked(s, result, fix, errp);
    pthread_mutex_unlock(&s->lock);
    return ret;
}
