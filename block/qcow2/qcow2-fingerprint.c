/* SPDX-License-Identifier: MIT */
/*
 * The fingerprint of a backing directory, in a header extension of our own;
 * vvfat-formats(7) describes it. The extension stands among those that are
 * kept as they are, and is looked at when a backing file has one: nothing else
 * depends on it.
 *
 * What an image holds belongs to the disk that it was written on. So an image
 * that holds nothing belongs to none, whatever it records: it takes the
 * fingerprint of its backing file with the first change. An image of another
 * program that holds something has none, and is not checked.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "block/qcow2/qcow2-open.h"

/* ---- The extension ---- */

static const Qcow2Extension *find_extension(const Qcow2Header *h)
{
    for (guint i = 0; h->extensions && i < h->extensions->len; i++) {
        const Qcow2Extension *ext = &g_array_index(h->extensions,
                                                   Qcow2Extension, i);

        if (ext->type == QCOW2_EXT_FINGERPRINT) {
            return ext;
        }
    }
    return NULL;
}

Qcow2FingerprintState qcow2_fingerprint_get(const Qcow2Header *h,
                                            BdrvFingerprint *fingerprint)
{
    const Qcow2Extension *ext = find_extension(h);
    Qcow2DiskFingerprint disk = { 0 };
    gsize size;

    if (ext == NULL) {
        return QCOW2_FINGERPRINT_NONE;
    }
    const void *data = g_bytes_get_data(ext->data, &size);
    if (size < sizeof(disk.version)) {
        return QCOW2_FINGERPRINT_DAMAGED;
    }
    memcpy(&disk, data, MIN(size, sizeof(disk)));
    if (GUINT32_FROM_BE(disk.version) > QCOW2_FINGERPRINT_VERSION) {
        return QCOW2_FINGERPRINT_UNKNOWN;
    }
    *fingerprint = (BdrvFingerprint){
        .disk_bytes = GUINT64_FROM_BE(disk.disk_bytes),
        .n_files = GUINT64_FROM_BE(disk.n_files),
        .n_directories = GUINT64_FROM_BE(disk.n_directories),
        .cluster_bytes = GUINT32_FROM_BE(disk.cluster_bytes),
    };
    memcpy(fingerprint->digest, disk.digest, sizeof(disk.digest));
    return disk.version == 0 || size != sizeof(disk)
               ? QCOW2_FINGERPRINT_DAMAGED
               : QCOW2_FINGERPRINT_KNOWN;
}

GBytes *qcow2_fingerprint_steal(Qcow2Header *h)
{
    GBytes *data = NULL;
    guint i = 0;

    while (i < h->extensions->len) {
        const Qcow2Extension *ext = &g_array_index(h->extensions,
                                                   Qcow2Extension, i);

        if (ext->type != QCOW2_EXT_FINGERPRINT) {
            i++;
            continue;
        }
        if (data == NULL) {
            data = g_bytes_ref(ext->data);
        }
        g_array_remove_index(h->extensions, i);
    }
    return data;
}

void qcow2_fingerprint_give_back(Qcow2Header *h, GBytes *data)
{
    Qcow2Extension ext = { QCOW2_EXT_FINGERPRINT, data };

    if (data) {
        g_array_append_val(h->extensions, ext);
    }
}

static void remove_extension(Qcow2Header *h)
{
    g_bytes_unref(qcow2_fingerprint_steal(h));
}

void qcow2_fingerprint_set(Qcow2Header *h, const BdrvFingerprint *fingerprint)
{
    Qcow2DiskFingerprint disk;

    remove_extension(h);
    if (fingerprint == NULL) {
        return;
    }
    disk = (Qcow2DiskFingerprint){
        .version = GUINT32_TO_BE(QCOW2_FINGERPRINT_VERSION),
        .cluster_bytes = GUINT32_TO_BE(fingerprint->cluster_bytes),
        .disk_bytes = GUINT64_TO_BE(fingerprint->disk_bytes),
        .n_files = GUINT64_TO_BE(fingerprint->n_files),
        .n_directories = GUINT64_TO_BE(fingerprint->n_directories),
    };
    memcpy(disk.digest, fingerprint->digest, sizeof(disk.digest));
    qcow2_fingerprint_give_back(h, g_bytes_new(&disk, sizeof(disk)));
    /* The name of the backing file may have left no room: then there is none.
     * An image is not to fail for it. */
    g_autoptr(GByteArray) bytes = qcow2_header_serialise(h, NULL);
    if (bytes == NULL) {
        remove_extension(h);
    }
}

/* ---- Taking it ---- */

static bool holds_nothing(const Qcow2State *s)
{
    for (uint32_t i = 0; i < s->header.l1_size; i++) {
        if (s->l1[i] != 0) {
            return false;
        }
    }
    return s->header.nb_snapshots == 0;
}

static bool is_equal(const BdrvFingerprint *a, const BdrvFingerprint *b)
{
    return a->disk_bytes == b->disk_bytes && a->n_files == b->n_files &&
           a->n_directories == b->n_directories &&
           a->cluster_bytes == b->cluster_bytes &&
           memcmp(a->digest, b->digest, sizeof(a->digest)) == 0;
}

bool qcow2_fingerprint_take(Qcow2State *s)
{
    BdrvChild *backing = bdrv_backing(s->bs);
    BdrvFingerprint old, now;

    if (backing == NULL || !holds_nothing(s) ||
        !bdrv_get_fingerprint(bdrv_child_bs(backing), &now) ||
        (qcow2_fingerprint_get(&s->header, &old) == QCOW2_FINGERPRINT_KNOWN &&
         is_equal(&old, &now))) {
        return false;
    }
    qcow2_fingerprint_set(&s->header, &now);
    return true;
}

/* ---- Comparing ---- */

/* What is another in the two; g_free(). */
static char *describe_change(const BdrvFingerprint *then,
                             const BdrvFingerprint *now)
{
    if (then->disk_bytes != now->disk_bytes) {
        return g_strdup_printf("its disk had %" PRIu64
                               " bytes then, and has %" PRIu64 " now",
                               then->disk_bytes, now->disk_bytes);
    }
    if (then->cluster_bytes != now->cluster_bytes) {
        return g_strdup_printf("its disk had clusters of %u bytes then, and "
                               "has clusters of %u now",
                               then->cluster_bytes, now->cluster_bytes);
    }
    if (then->n_files != now->n_files) {
        return g_strdup_printf("the number of its files was %" PRIu64
                               " then, and is %" PRIu64 " now",
                               then->n_files, now->n_files);
    }
    if (then->n_directories != now->n_directories) {
        return g_strdup_printf("the number of its directories was %" PRIu64
                               " then, and is %" PRIu64 " now",
                               then->n_directories, now->n_directories);
    }
    return g_strdup("files have other names or sizes than then");
}

static char *misfit(const Qcow2State *s, const BdrvFingerprint *then,
                    const BdrvFingerprint *now)
{
    BlockDriverState *backing = bdrv_child_bs(bdrv_backing(s->bs));
    g_autofree char *image = bdrv_get_filename(bdrv_child_bs(s->file));
    g_autofree char *name = bdrv_get_filename(backing);
    g_autofree char *change = describe_change(then, now);

    return g_strdup_printf(
        "The directory of '%s' has changed since '%s' was written on it: %s. "
        "The disk made from it is another one, and what the image holds would "
        "land in other files. Undo what was added, removed, renamed or resized "
        "there (if a commit was interrupted, repeat it); until then the image "
        "can only be read, as it is, with read-only=on,check-backing=off",
        name, image, change);
}

static char *damaged(const Qcow2State *s)
{
    g_autofree char *image = bdrv_get_filename(bdrv_child_bs(s->file));

    return g_strdup_printf(
        "The extension 0x%08x in the header of '%s' is damaged: whether the "
        "backing directory has changed since the image was written cannot be "
        "told. If it has not, record it anew by 'vvfat-img rebase -u'; the "
        "image can be read with read-only=on,check-backing=off",
        QCOW2_EXT_FINGERPRINT, image);
}

/* One that was as long as its directory's disk, and is not any more, would
 * show half a volume. */
static char *too_short(const Qcow2State *s, const BdrvFingerprint *then,
                       const BdrvFingerprint *now)
{
    g_autofree char *image = bdrv_get_filename(bdrv_child_bs(s->file));

    if (then->disk_bytes > (uint64_t)s->size ||
        now->disk_bytes <= (uint64_t)s->size) {
        return NULL;
    }
    return g_strdup_printf("The disk of the backing directory has grown to "
                           "%" PRIu64 " bytes, and '%s' has %" PRId64
                           "; the image holds nothing: create it anew",
                           now->disk_bytes, image, s->size);
}

static char *compare(const Qcow2State *s)
{
    BdrvFingerprint then, now;
    Qcow2FingerprintState state = qcow2_fingerprint_get(&s->header, &then);

    if ((state != QCOW2_FINGERPRINT_KNOWN &&
         state != QCOW2_FINGERPRINT_DAMAGED) ||
        !bdrv_get_fingerprint(bdrv_child_bs(bdrv_backing(s->bs)), &now)) {
        return NULL;
    }
    bool is_empty = holds_nothing(s);
    if (state == QCOW2_FINGERPRINT_DAMAGED) {
        return is_empty ? NULL : damaged(s);
    }
    if (is_equal(&then, &now)) {
        return NULL;
    }
    return is_empty ? too_short(s, &then, &now) : misfit(s, &then, &now);
}

bool qcow2_backing_opened(BlockDriverState *bs, GError **errp)
{
    Qcow2State *s = bdrv_opaque(bs);
    bool may_differ = bdrv_is_read_only(bs) &&
                      (bdrv_flags(bs) & BDRV_O_ANY_BACKING);

    s->misfit = compare(s);
    /* A check tells of it. */
    if (s->misfit == NULL || may_differ || (bdrv_flags(bs) & BDRV_O_CHECK)) {
        return true;
    }
    block_error_set(errp, EINVAL, "%s", s->misfit);
    return false;
}

/* ---- Recording ---- */

int qcow2_record_fingerprint(BlockDriverState *bs,
                             const BdrvFingerprint *fingerprint, GError **errp)
{
    Qcow2State *s = bdrv_opaque(bs);

    pthread_mutex_lock(&s->lock);
    int ret = qcow2_prepare_change(s);
    if (ret == 0) {
        qcow2_fingerprint_set(&s->header, fingerprint);
        ret = qcow2_header_write(s);
    }
    pthread_mutex_unlock(&s->lock);
    if (ret < 0) {
        block_error_set_errno(errp, -ret,
                              "Could not write the header of the image");
    }
    return ret;
}
