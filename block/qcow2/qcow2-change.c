/* SPDX-License-Identifier: MIT */
/*
 * What the header says about the state of the image: dirty, corrupt, what
 * others keep in it (autoclear features), and on which directory it is
 * written. Each is durable before what it is about happens.
 */
#include <errno.h>
#include <stdarg.h>

#include "block/qcow2/qcow2-open.h"

/* Write other feature bits; on failure the header stays as it was. */
static int write_features(Qcow2State *s, uint64_t incompatible,
                          uint64_t autoclear)
{
    uint64_t old_incompatible = s->header.incompatible;
    uint64_t old_autoclear = s->header.autoclear;

    if (incompatible == old_incompatible && autoclear == old_autoclear &&
        !s->fingerprint_is_new) {
        return 0;
    }
    s->header.incompatible = incompatible;
    s->header.autoclear = autoclear;
    int ret = qcow2_header_write(s);
    if (ret == 0) {
        ret = bdrv_flush(bdrv_child_bs(s->file));
    }
    if (ret < 0) {
        s->header.incompatible = old_incompatible;
        s->header.autoclear = old_autoclear;
    } else {
        s->fingerprint_is_new = false;
    }
    return ret;
}

int qcow2_prepare_change(Qcow2State *s)
{
    uint64_t incompatible = s->header.incompatible;

    if ((incompatible & QCOW2_INCOMPAT_CORRUPT) &&
        !(bdrv_flags(s->bs) & BDRV_O_CHECK)) {
        bdrv_set_io_error("The qcow2 image is marked corrupt and is not "
                          "written any more; repair it with 'check -r all'");
        return -EIO;
    }
    if (s->prepared) {
        return 0;
    }
    if (s->lazy_refcounts) {
        incompatible |= QCOW2_INCOMPAT_DIRTY;
    }
    if (qcow2_fingerprint_take(s)) {
        s->fingerprint_is_new = true;
    }
    int ret = write_features(s, incompatible, 0);
    s->prepared = ret == 0;
    return ret;
}

int qcow2_mark_clean(Qcow2State *s)
{
    int ret = bdrv_flush(bdrv_child_bs(s->file));

    if (ret == 0) {
        ret = write_features(s, s->header.incompatible & ~QCOW2_INCOMPAT_DIRTY,
                             s->header.autoclear);
    }
    if (ret == 0) {
        s->prepared = false;
    }
    return ret;
}

int qcow2_corrupt(Qcow2State *s, const char *fmt, ...)
{
    bool writable = !bdrv_is_read_only(s->bs) &&
                    !(bdrv_flags(s->bs) & BDRV_O_CHECK);
    va_list args;

    va_start(args, fmt);
    g_autofree char *text = g_strdup_vprintf(fmt, args);
    va_end(args);
    if (writable && s->header.version >= 3) {
        (void)!write_features(s,
                              s->header.incompatible | QCOW2_INCOMPAT_CORRUPT,
                              s->header.autoclear);
    }
    if (writable) {
        /* Also where there is no such bit, or it could not be written. */
        s->header.incompatible |= QCOW2_INCOMPAT_CORRUPT;
    }
    bdrv_set_io_error("The qcow2 image is corrupt: %s; repair it with "
                      "'check -r all'",
                      text);
    return -EIO;
}

/* ---- The backing file's name ---- */

int qcow2_change_backing_file(BlockDriverState *bs, const char *backing,
                              const char *format, GError **errp)
{
    Qcow2State *s = bdrv_opaque(bs);
    g_autoptr(GByteArray) bytes = NULL;

    pthread_mutex_lock(&s->lock);
    char *old_file = s->header.backing_file;
    char *old_format = s->header.backing_format;
    int ret = qcow2_prepare_change(s);
    if (ret == 0) {
        s->header.backing_file = g_strdup(backing);
        s->header.backing_format = backing ? g_strdup(format) : NULL;
        GBytes *fingerprint = qcow2_fingerprint_steal(&s->header);
        bytes = qcow2_header_serialise(&s->header, errp);
        ret = bytes == NULL
                  ? -EINVAL
                  : bdrv_pwrite(s->file, 0, bytes->len, bytes->data, 0);
        if (ret < 0) {
            g_free(s->header.backing_file);
            g_free(s->header.backing_format);
            s->header.backing_file = old_file;
            s->header.backing_format = old_format;
            qcow2_fingerprint_give_back(&s->header, fingerprint);
        } else {
            g_bytes_unref(fingerprint);
            g_free(old_file);
            g_free(old_format);
        }
    }
    pthread_mutex_unlock(&s->lock);
    if (ret < 0 && (errp == NULL || *errp == NULL)) {
        block_error_set_errno(errp, -ret,
                              "Could not write the name of the backing file");
    }
    return ret;
}
