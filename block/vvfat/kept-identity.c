/* SPDX-License-Identifier: MIT */
#include "block/vvfat/kept-identity.h"

#include "block/vvfat/journal-codec.h"

void kept_identity_clear(KeptIdentity *identity)
{
    g_clear_pointer(&identity->dir, g_free);
    g_clear_pointer(&identity->shape, g_free);
}

static void put_geometry(GByteArray *out, const Geometry *g)
{
    journal_put_u8(out, (uint8_t)g->fat_type);
    journal_put_u8(out, g->floppy);
    journal_put_u8(out, g->esp);
    journal_put_u8(out, (uint8_t)g->partition);
    journal_put_u8(out, g->media);
    journal_put_u8(out, g->drive_number);
    journal_put_u64(out, g->disk_sectors);
    journal_put_u32(out, g->cylinders);
    journal_put_u32(out, g->heads);
    journal_put_u32(out, g->sectors_per_track);
    journal_put_u64(out, g->volume_start);
    journal_put_u64(out, g->volume_sectors);
    journal_put_u32(out, g->reserved_sectors);
    journal_put_u32(out, g->sectors_per_fat);
    journal_put_u32(out, g->root_start);
    journal_put_u32(out, g->root_sectors);
    journal_put_u32(out, g->data_start);
    journal_put_u32(out, g->root_entries);
    journal_put_u32(out, g->sectors_per_cluster);
    journal_put_u32(out, g->cluster_count);
}

static void get_geometry(JournalReader *in, Geometry *g)
{
    g->fat_type = journal_get_u8(in);
    g->floppy = journal_get_u8(in);
    g->esp = journal_get_u8(in);
    g->partition = (PartitionTable)journal_get_u8(in);
    g->media = journal_get_u8(in);
    g->drive_number = journal_get_u8(in);
    g->disk_sectors = journal_get_u64(in);
    g->cylinders = journal_get_u32(in);
    g->heads = journal_get_u32(in);
    g->sectors_per_track = journal_get_u32(in);
    g->volume_start = journal_get_u64(in);
    g->volume_sectors = journal_get_u64(in);
    g->reserved_sectors = journal_get_u32(in);
    g->sectors_per_fat = journal_get_u32(in);
    g->root_start = journal_get_u32(in);
    g->root_sectors = journal_get_u32(in);
    g->data_start = journal_get_u32(in);
    g->root_entries = journal_get_u32(in);
    g->sectors_per_cluster = journal_get_u32(in);
    g->cluster_count = journal_get_u32(in);
}

static void put_fingerprint(GByteArray *out, const Fingerprint *f)
{
    journal_put_u64(out, f->disk_bytes);
    journal_put_u64(out, f->n_files);
    journal_put_u64(out, f->n_directories);
    journal_put_u32(out, f->cluster_bytes);
    journal_put_raw(out, f->digest, sizeof(f->digest));
}

static void get_fingerprint(JournalReader *in, Fingerprint *f)
{
    f->disk_bytes = journal_get_u64(in);
    f->n_files = journal_get_u64(in);
    f->n_directories = journal_get_u64(in);
    f->cluster_bytes = journal_get_u32(in);
    journal_get_raw(in, f->digest, sizeof(f->digest));
}

GByteArray *kept_identity_encode(const KeptIdentity *identity)
{
    GByteArray *out = g_byte_array_new();

    journal_put_string(out, identity->dir);
    journal_put_string(out, identity->shape);
    journal_put_u64(out, identity->dev);
    journal_put_u64(out, identity->ino);
    journal_put_u8(out, identity->utc);
    journal_put_u32(out, identity->unit);
    put_geometry(out, &identity->geometry);
    journal_put_raw(out, identity->boot, sizeof(identity->boot));
    journal_put_raw(out, identity->mbr, sizeof(identity->mbr));
    if (identity->has_fingerprint) {
        put_fingerprint(out, &identity->fingerprint);
    }
    return out;
}

/* Everything lies in the volume, and that on the disk; sizes can be computed
 * with. */
static bool geometry_is_sound(const Geometry *g)
{
    uint64_t most = UINT64_C(1) << 40; /* sectors */
    uint32_t spc = g->sectors_per_cluster;

    return (g->fat_type == 12 || g->fat_type == 16 || g->fat_type == 32) &&
           g->partition <= PARTITION_GPT && g->disk_sectors > 0 &&
           g->disk_sectors <= most && g->volume_start <= g->disk_sectors &&
           g->volume_sectors <= g->disk_sectors - g->volume_start && spc > 0 &&
           spc <= 128 && (spc & (spc - 1)) == 0 && g->cluster_count > 0 &&
           g->cluster_count <= FAT32_MAX_CLUSTERS &&
           (uint64_t)g->root_start + g->root_sectors <= g->data_start &&
           g->data_start + (uint64_t)g->cluster_count * spc <=
               g->volume_sectors;
}

bool kept_identity_decode(const GByteArray *bytes, KeptIdentity *identity)
{
    JournalReader in = { .at = bytes->data, .left = bytes->len };
    const Geometry *g = &identity->geometry;

    identity->dir = journal_get_string(&in);
    identity->shape = journal_get_string(&in);
    identity->dev = journal_get_u64(&in);
    identity->ino = journal_get_u64(&in);
    identity->utc = journal_get_u8(&in);
    identity->unit = journal_get_u32(&in);
    get_geometry(&in, &identity->geometry);
    journal_get_raw(&in, identity->boot, sizeof(identity->boot));
    journal_get_raw(&in, identity->mbr, sizeof(identity->mbr));
    identity->has_fingerprint = in.left > 0;
    if (identity->has_fingerprint) {
        get_fingerprint(&in, &identity->fingerprint);
    }
    return !in.bad && identity->dir && identity->shape &&
           geometry_is_sound(g) && identity->unit >= SECTOR_SIZE &&
           geometry_cluster_size(g) % identity->unit == 0;
}
