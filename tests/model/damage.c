/* SPDX-License-Identifier: MIT */
/* Kinds of garbage: random sectors, and what is wrong in one place only. */
#include <string.h>

#include "tests/model/run.h"

#define CLASS_OF_DAMAGE CLASS_DATA
#define LONG_UNITS 13 /* of one entry */

/* A sector as it is on the device, to be changed and put back. */
typedef struct Patch {
    Run *run;
    Prng prng;
    uint32_t sector;
    uint8_t data[SECTOR];
} Patch;

static void patch_load(Patch *patch, int64_t offset)
{
    patch->sector = (uint32_t)(offset / SECTOR);
    memcpy(patch->data,
           patch->run->disk->shadow + (int64_t)patch->sector * SECTOR, SECTOR);
}

/* Refused or not, what it holds is not known to be good any more. */
static void patch_put(Patch *patch)
{
    int ret = disk_damage(patch->run->disk, patch->sector, patch->data,
                          CLASS_OF_DAMAGE);

    (void)ret;
}

static void patch_put_wild(Patch *patch)
{
    patch->run->damaged[patch->sector] = 1;
    patch_put(patch);
}

/* ---- Random sectors ---- */

static void wild_sector(Patch *patch, int64_t start, int64_t bytes)
{
    uint32_t n = (uint32_t)(bytes / SECTOR);

    patch_load(patch, start + (int64_t)prng_below(&patch->prng, n) * SECTOR);
    switch (prng_below(&patch->prng, 4)) {
    case 0:
        memset(patch->data, 0, SECTOR);
        break;
    case 1:
        memset(patch->data, 0xff, SECTOR);
        break;
    case 2: /* a few bytes */
        for (int i = 0; i < 6; i++) {
            patch->data[prng_below(&patch->prng, SECTOR)] ^=
                (uint8_t)prng_next(&patch->prng);
        }
        break;
    default:
        prng_fill(&patch->prng, patch->data, SECTOR);
    }
    patch_put_wild(patch);
}

/* ---- A file or directory of the volume ---- */

static bool pick(Patch *patch, bool with_chain, FatEntry *entry, char **path)
{
    g_autoptr(GPtrArray) nodes = g_ptr_array_new();

    model_list(patch->run->root, nodes);
    for (int tries = 0; tries < 20 && nodes->len > 0; tries++) {
        Node *node = g_ptr_array_index(nodes,
                                       prng_below(&patch->prng, nodes->len));

        *path = model_path(node);
        if (fatvol_walk(patch->run->vol, *path, entry)) {
            if (!with_chain || entry_cluster(patch->run->vol, entry)) {
                return true;
            }
            fatvol_entry_clear(entry);
        }
        g_free(*path);
    }
    return false;
}

static void concern(Patch *patch, char *path)
{
    g_ptr_array_add(patch->run->concerned, path);
}

/* A value for a link that is wrong in some way. */
static uint32_t bad_link(Patch *patch, uint32_t own)
{
    FatVol *vol = patch->run->vol;
    uint32_t other = 0;
    FatEntry entry;
    char *path;

    switch (prng_below(&patch->prng, 8)) {
    case 0:
        return 0;
    case 1:
        return 1;
    case 2:
        return own;
    case 3:
        return vol->n_clusters + 2;
    case 4:
        return 0x0ffffff7 & (vol->type == 32   ? 0x0fffffff
                             : vol->type == 16 ? 0xffff
                                               : 0xfff);
    case 5:
        return 2 + prng_below(&patch->prng, vol->n_clusters);
    default: /* into another one's chain */
        if (pick(patch, true, &entry, &path)) {
            other = entry_cluster(vol, &entry);
            if (prng_one_in(&patch->prng, 2) && fatvol_next(vol, other)) {
                other = fatvol_next(vol, other);
            }
            fatvol_entry_clear(&entry);
            g_free(path);
        }
        return other;
    }
}

/* One link alone; none that reaches into a second sector. */
static void put_link(Patch *patch, int copy, uint32_t cluster, uint32_t value)
{
    FatVol *vol = patch->run->vol;
    uint32_t at = (uint32_t)((uint64_t)cluster * (unsigned)vol->type / 8);
    uint32_t in = at % SECTOR;

    patch_load(patch, vol->fat[copy] + at);
    if (in + (vol->type == 32 ? 4 : 2) > SECTOR) {
        return;
    }
    if (vol->type == 32) {
        put32(patch->data + in, value);
    } else if (vol->type == 16) {
        put16(patch->data + in, value);
    } else if (cluster % 2) {
        put16(patch->data + in,
              (get16(patch->data + in) & 0xf) | (value & 0xfff) << 4);
    } else {
        put16(patch->data + in,
              (get16(patch->data + in) & 0xf000) | (value & 0xfff));
    }
    patch_put(patch);
}

static void damage_chain(Patch *patch)
{
    FatVol *vol = patch->run->vol;
    unsigned copies = 1 + prng_below(&patch->prng, 3);
    uint32_t c, value;
    FatEntry entry;
    char *path;

    if (!pick(patch, true, &entry, &path)) {
        return;
    }
    c = entry_cluster(vol, &entry);
    for (unsigned skip = prng_below(&patch->prng, 8);
         skip > 0 && fatvol_next(vol, c); skip--) {
        c = fatvol_next(vol, c);
    }
    value = bad_link(patch, c);
    for (int copy = 0; copy < 2; copy++) {
        if (copies >> copy & 1) {
            put_link(patch, copy, c, value);
        }
    }
    fatvol_entry_clear(&entry);
    concern(patch, path);
}

/* ---- Entries ---- */

static const char bad_shorts[][SHORT_SIZE + 1] = {
    "..         ",  "../X       ",   "A/B        ", "/          ",
    ".          ",  "\\..\\..  X  ", "           ", "CON        ",
    "A\0B        ", "\x05        ",  "LNK-0      ", "a:b     *? ",
};

static void damage_short(Patch *patch, uint8_t *raw)
{
    uint32_t value;

    switch (prng_below(&patch->prng, 8)) {
    case 0:
        memcpy(raw,
               bad_shorts[prng_below(&patch->prng, G_N_ELEMENTS(bad_shorts))],
               SHORT_SIZE);
        break;
    case 1:
        raw[E_ATTR] ^= ATTR_DIR;
        break;
    case 2:
        raw[E_ATTR] = (uint8_t)prng_next(&patch->prng);
        break;
    case 3:
        put32(raw + E_SIZE, (uint32_t)prng_next(&patch->prng));
        break;
    case 4:
        put32(raw + E_SIZE, UINT32_MAX - prng_below(&patch->prng, 3));
        break;
    case 5:
        raw[0] = prng_one_in(&patch->prng, 2) ? 0xe5 : 0x05;
        break;
    case 6:
        put16(raw + E_DATE, (uint32_t)prng_next(&patch->prng));
        put16(raw + E_TIME, 0xffff);
        break;
    default:
        value = bad_link(patch, (uint32_t)prng_next(&patch->prng));
        put16(raw + E_CLUSTER_HIGH, value >> 16);
        put16(raw + E_CLUSTER, value);
    }
}

/* Units that no name should have. */
static void damage_long(Patch *patch, uint8_t *raw)
{
    static const uint16_t units[] = { '/', '\\', 0,      0xffff, 0x2215,
                                      '.', ':',  0xd800, 0xdc00, 0xf02f,
                                      ' ', 1,    0xfffe, 0x2024 };

    for (unsigned i = 1 + prng_below(&patch->prng, 3); i > 0; i--) {
        put16(raw + 1 + 2 * prng_below(&patch->prng, 5),
              units[prng_below(&patch->prng, G_N_ELEMENTS(units))]);
    }
    if (prng_one_in(&patch->prng, 4)) {
        raw[0] = (uint8_t)prng_next(&patch->prng) | 1;
    }
}

static void damage_entry(Patch *patch)
{
    FatVol *vol = patch->run->vol;
    unsigned slot;
    uint8_t *raw;
    FatDir slots;
    FatEntry entry;
    char *path;

    if (!pick(patch, false, &entry, &path)) {
        return;
    }
    slot = prng_one_in(&patch->prng, 3) ? entry.first : entry.last;
    fatvol_dir_load(vol, entry.dir, &slots);
    raw = fatvol_slot(vol, &slots, slot);
    fatvol_dir_clear(&slots);
    patch_load(patch, raw - vol->disk->mem);
    raw = patch->data + (raw - vol->disk->mem) % SECTOR;
    if (slot == entry.last) {
        damage_short(patch, raw);
    } else {
        damage_long(patch, raw);
    }
    /* An end in the middle would concern what follows. */
    if (raw[0] == 0) {
        raw[0] = 'X';
    }
    patch_put(patch);
    fatvol_entry_clear(&entry);
    concern(patch, path);
}

/* ---- A new entry with a name that leads elsewhere ---- */

static const char *const bad_names[] = {
    "..",
    ".",
    "../x",
    "../canary/secret",
    "a/b",
    "a\xe2\x88\x95"
    "b",
    "/etc/x",
    "..\\x",
    "../../x",
    "\x01",
    ".vvfat-x",
    PLANTED "0/secret",
    "sub/deeper",
    " ",
    "...",
};

static uint16_t *long_units(const char *name)
{
    glong n = 0;
    gunichar2 *units = g_utf8_to_utf16(name, -1, NULL, &n, NULL);
    uint16_t *padded = g_new(uint16_t, LONG_UNITS);

    for (glong i = 0; i < LONG_UNITS; i++) {
        padded[i] = i <= n ? units[i] : 0xffff;
    }
    g_free(units);
    return padded;
}

/* In the root, where it concerns nothing else. */
static void add_bad_name(Patch *patch)
{
    FatVol *vol = patch->run->vol;
    const char *name =
        bad_names[prng_below(&patch->prng, G_N_ELEMENTS(bad_names))];
    g_autofree uint16_t *units = long_units(name);
    uint8_t two[2 * ENTRY_SIZE] = { 0 };
    uint8_t *raw = two + ENTRY_SIZE;
    static const uint8_t at[LONG_UNITS] = { 1,  3,  5,  7,  9,  14, 16,
                                            18, 20, 22, 24, 28, 30 };
    FatDir slots;
    unsigned slot = 0;

    memcpy(raw, "BAD~1   XYZ", SHORT_SIZE);
    raw[0] = (uint8_t)('A' + prng_below(&patch->prng, 26));
    raw[E_ATTR] = prng_one_in(&patch->prng, 2) ? ATTR_DIR : 0;
    if (prng_one_in(&patch->prng, 2)) {
        put16(raw + E_CLUSTER,
              2 + prng_below(&patch->prng, MIN(vol->n_clusters, 0xfff0)));
        put32(raw + E_SIZE, 10);
    }
    two[0] = 0x41;
    two[E_ATTR] = ATTR_LONG;
    two[13] = name_checksum(raw);
    for (int i = 0; i < LONG_UNITS; i++) {
        put16(two + at[i], units[i]);
    }
    /* Two free slots in one sector of the root. */
    fatvol_dir_load(vol, 0, &slots);
    while (slot + 1 < slots.n_slots) {
        const uint8_t *p = fatvol_slot(vol, &slots, slot);

        if ((p[0] == 0 || p[0] == 0xe5) &&
            (p[ENTRY_SIZE] == 0 || p[ENTRY_SIZE] == 0xe5)) {
            patch_load(patch, p - vol->disk->mem);
            memcpy(patch->data + (p - vol->disk->mem) % SECTOR, two,
                   sizeof(two));
            patch_put(patch);
            break;
        }
        slot += 2;
    }
    fatvol_dir_clear(&slots);
}

/* ---- All of it ---- */

static void damage_directory(Patch *patch)
{
    FatVol *vol = patch->run->vol;
    FatEntry entry;
    char *path;

    if (!pick(patch, true, &entry, &path)) {
        return;
    }
    wild_sector(patch, fatvol_cluster_at(vol, entry_cluster(vol, &entry)),
                vol->cluster_size);
    fatvol_entry_clear(&entry);
    g_free(path);
}

void damage(Run *run, const Op *op)
{
    Patch patch = { .run = run, .prng = { op->seed } };
    FatVol *vol = run->vol;
    int64_t data_bytes = (int64_t)vol->n_clusters * vol->cluster_size;

    switch (op->a) {
    case 0:
        wild_sector(&patch, vol->fat[0], vol->fat_bytes);
        break;
    case 1:
        wild_sector(&patch, vol->fat[1], vol->fat_bytes);
        break;
    case 2: /* where there are entries in use */
        wild_sector(&patch, vol->fat[prng_below(&patch.prng, 2)], SECTOR);
        break;
    case 3:
        wild_sector(&patch, vol->data, data_bytes);
        break;
    case 4:
        wild_sector(&patch, vol->start, SECTOR);
        break;
    case 5:
        wild_sector(&patch, 0, vol->fat[0]);
        break;
    case 6:
        if (vol->type != 32) {
            wild_sector(&patch, vol->root, vol->n_root * ENTRY_SIZE);
            break;
        }
        wild_sector(&patch, fatvol_cluster_at(vol, vol->root_first), SECTOR);
        break;
    case 7:
    case 8:
    case 9:
        damage_directory(&patch);
        break;
    case 10:
    case 11:
    case 12:
    case 13:
        add_bad_name(&patch);
        break;
    default:
        if (op->a % 2) {
            damage_chain(&patch);
        } else {
            damage_entry(&patch);
        }
    }
}
