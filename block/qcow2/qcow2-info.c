/* SPDX-License-Identifier: MIT */
/* What a qcow2 image is, in the names and the order of qemu-img info. */
#include <inttypes.h>

#include "block/qcow2/qcow2-open.h"

static void add_fact(Options *facts, unsigned index, const char *name,
                     const char *text, uint64_t number)
{
    g_autofree char *key = g_strdup_printf("snapshots.%u.%s", index, name);

    if (text) {
        options_set(facts, key, text);
    } else {
        options_set_int(facts, key, (int64_t)MIN(number, INT64_MAX));
    }
}

static void add_snapshot(Options *facts, unsigned i, const Qcow2Snapshot *sn)
{
    add_fact(facts, i, "id", sn->id, 0);
    add_fact(facts, i, "name", sn->name, 0);
    add_fact(facts, i, "vm-state-size", NULL, sn->vm_state_size);
    add_fact(facts, i, "date-sec", NULL, sn->date_sec);
    add_fact(facts, i, "date-nsec", NULL, sn->date_nsec);
    add_fact(facts, i, "vm-clock-nsec", NULL, sn->vm_clock_nsec);
    if (sn->icount != UINT64_MAX) {
        add_fact(facts, i, "icount", NULL, sn->icount);
    }
}

/* The disk of the backing directory that the contents belong to. */
static void add_fingerprint(const Qcow2Header *h, Options *facts)
{
    BdrvFingerprint f;
    g_autoptr(GString) digest = g_string_new(NULL);

    if (qcow2_fingerprint_get(h, &f) != QCOW2_FINGERPRINT_KNOWN) {
        return;
    }
    for (size_t i = 0; i < sizeof(f.digest); i++) {
        g_string_append_printf(digest, "%02x", f.digest[i]);
    }
    options_set_int(facts, "fingerprint.disk-size",
                    (int64_t)MIN(f.disk_bytes, INT64_MAX));
    options_set_int(facts, "fingerprint.cluster-size", f.cluster_bytes);
    options_set_int(facts, "fingerprint.files",
                    (int64_t)MIN(f.n_files, INT64_MAX));
    options_set_int(facts, "fingerprint.directories",
                    (int64_t)MIN(f.n_directories, INT64_MAX));
    options_set(facts, "fingerprint.digest", digest->str);
}

static void add_specific(Qcow2State *s, Options *facts)
{
    const Qcow2Header *h = &s->header;
    bool is_v3 = h->version >= 3;

    options_set(facts, "compat", is_v3 ? "1.1" : "0.10");
    options_set(facts, "compression-type", "zlib");
    if (is_v3) {
        options_set_bool(facts, "lazy-refcounts",
                         h->compatible & QCOW2_COMPAT_LAZY_REFCOUNTS);
    }
    qcow2_bitmaps_info(s, facts);
    options_set_int(facts, "refcount-bits", INT64_C(1) << h->refcount_order);
    if (is_v3) {
        options_set_bool(facts, "corrupt",
                         h->incompatible & QCOW2_INCOMPAT_CORRUPT);
        options_set_bool(facts, "extended-l2", false);
    }
    add_fingerprint(h, facts);
    for (guint i = 0; i < s->snapshots->len; i++) {
        add_snapshot(facts, i, g_ptr_array_index(s->snapshots, i));
    }
}

bool qcow2_info(BlockDriverState *bs, BdrvInfo *info, GError **errp)
{
    Qcow2State *s = bdrv_opaque(bs);

    (void)errp;
    pthread_mutex_lock(&s->lock);
    info->cluster_size = s->cluster_size;
    info->dirty = (s->header.incompatible & QCOW2_INCOMPAT_DIRTY) != 0;
    add_specific(s, info->specific);
    pthread_mutex_unlock(&s->lock);
    return true;
}
