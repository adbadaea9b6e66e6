/* SPDX-License-Identifier: MIT */
/* What an overlay that is kept says of itself: with the fingerprint of its
 * disk, without one (as those of before), and cut off. */
#include <criterion/criterion.h>
#include <string.h>

#include "block/vvfat/kept-identity.h"

static KeptIdentity identity_new(bool has_fingerprint)
{
    KeptIdentity id = {
        .dir = g_strdup("/srv/dir"),
        .shape = g_strdup("size=1M"),
        .dev = 7,
        .ino = 11,
        .unit = SECTOR_SIZE,
        .geometry = {
            .fat_type = 12,
            .disk_sectors = 2048,
            .volume_sectors = 2048,
            .root_start = 9,
            .root_sectors = 14,
            .data_start = 23,
            .sectors_per_cluster = 1,
            .cluster_count = 2000,
        },
        .has_fingerprint = has_fingerprint,
        .fingerprint = {
            .disk_bytes = 1 << 20,
            .n_files = 3,
            .n_directories = 2,
            .cluster_bytes = 512,
            .digest = { 1, [31] = 2 },
        },
    };

    return id;
}

static bool decodes(const GByteArray *bytes, guint length, KeptIdentity *id)
{
    g_autoptr(GByteArray) part = g_byte_array_new();

    g_byte_array_append(part, bytes->data, length);
    memset(id, 0, sizeof(*id));
    return kept_identity_decode(part, id);
}

Test(kept_identity, comes_back_with_and_without_a_fingerprint)
{
    for (int has = 0; has < 2; has++) {
        KeptIdentity id = identity_new(has), back;
        g_autoptr(GByteArray) bytes = kept_identity_encode(&id);

        cr_assert(decodes(bytes, bytes->len, &back));
        cr_assert_eq(back.has_fingerprint, has);
        cr_assert_str_eq(back.dir, id.dir);
        cr_assert_eq(back.geometry.cluster_count, 2000);
        if (has) {
            cr_assert_eq(back.fingerprint.disk_bytes, 1 << 20);
            cr_assert_eq(back.fingerprint.n_files, 3);
            cr_assert_eq(back.fingerprint.n_directories, 2);
            cr_assert_eq(back.fingerprint.cluster_bytes, 512);
            cr_assert_arr_eq(back.fingerprint.digest, id.fingerprint.digest,
                             FINGERPRINT_DIGEST_BYTES);
        }
        kept_identity_clear(&back);
        kept_identity_clear(&id);
    }
}

Test(kept_identity, is_none_when_it_is_cut_off)
{
    KeptIdentity with = identity_new(true), without = identity_new(false);
    g_autoptr(GByteArray) bytes = kept_identity_encode(&with);
    g_autoptr(GByteArray) shorter = kept_identity_encode(&without);

    for (guint length = 0; length < bytes->len; length++) {
        KeptIdentity back;
        bool ok = decodes(bytes, length, &back);

        cr_assert_eq(ok, length == shorter->len, "%u bytes", length);
        kept_identity_clear(&back);
    }
    kept_identity_clear(&with);
    kept_identity_clear(&without);
}
