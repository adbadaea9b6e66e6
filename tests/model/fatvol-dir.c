/* SPDX-License-Identifier: MIT */
/* Directories: slots of 32 bytes. */
#include <string.h>

#include "tests/model/fatvol.h"

#define UNITS_AN_ENTRY 13
#define LAST_LONG 0x40u
#define DELETED 0xe5u

static const uint8_t unit_offsets[UNITS_AN_ENTRY] = { 1,  3,  5,  7,  9,
                                                      14, 16, 18, 20, 22,
                                                      24, 28, 30 };

void fatvol_dir_load(FatVol *vol, uint32_t dir, FatDir *slots)
{
    slots->pieces = g_array_new(FALSE, FALSE, sizeof(int64_t));
    slots->piece_slots = vol->cluster_size / ENTRY_SIZE;
    if (dir == 0 && vol->type != 32) {
        slots->piece_slots = vol->n_root;
        g_array_append_val(slots->pieces, vol->root);
    } else {
        for (uint32_t c = dir ? dir : vol->root_first; c;
             c = fatvol_next(vol, c)) {
            int64_t at = fatvol_cluster_at(vol, c);

            g_array_append_val(slots->pieces, at);
        }
    }
    slots->n_slots = slots->pieces->len * slots->piece_slots;
}

void fatvol_dir_clear(FatDir *slots)
{
    g_array_free(slots->pieces, TRUE);
}

uint8_t *fatvol_slot(FatVol *vol, const FatDir *slots, unsigned slot)
{
    return vol->disk->mem +
           g_array_index(slots->pieces, int64_t, slot / slots->piece_slots) +
           slot % slots->piece_slots * ENTRY_SIZE;
}

void fatvol_entry_clear(FatEntry *entry)
{
    g_free(entry->name);
    g_free(entry->alias);
    memset(entry, 0, sizeof(*entry));
}

void entry_touch(FatVol *vol, const FatEntry *entry)
{
    disk_touch(vol->disk, entry->raw - vol->disk->mem, ENTRY_SIZE, CLASS_DIR);
}

uint32_t entry_cluster(const FatVol *vol, const FatEntry *entry)
{
    uint32_t high = vol->type == 32 ? get16(entry->raw + E_CLUSTER_HIGH) : 0;

    return high << 16 | get16(entry->raw + E_CLUSTER);
}

void entry_set_cluster(FatVol *vol, FatEntry *entry, uint32_t cluster)
{
    put16(entry->raw + E_CLUSTER_HIGH, cluster >> 16);
    put16(entry->raw + E_CLUSTER, cluster);
    entry_touch(vol, entry);
}

/* ---- Reading ---- */

typedef struct LongName {
    uint16_t units[MAX_UNITS + UNITS_AN_ENTRY];
    unsigned next; /* number of the entry that has to follow; 0: none */
    unsigned n, first;
    uint8_t checksum;
} LongName;

static void take_long(LongName *name, const uint8_t *raw, unsigned slot)
{
    unsigned number = raw[0] & 0x1f;

    if (raw[0] & LAST_LONG) {
        name->next = number;
        name->n = number * UNITS_AN_ENTRY;
        name->first = slot;
        name->checksum = raw[13];
    }
    if (number == 0 || number > 20 || number != name->next ||
        raw[13] != name->checksum) {
        name->n = name->next = 0;
        return;
    }
    for (unsigned i = 0; i < UNITS_AN_ENTRY; i++) {
        uint16_t unit = (uint16_t)get16(raw + unit_offsets[i]);
        unsigned at = (number - 1) * UNITS_AN_ENTRY + i;

        name->units[at] = unit;
        if (unit == 0) {
            name->n = MIN(name->n, at);
        }
    }
    name->next = number - 1;
}

bool fatvol_read_dir(FatVol *vol, uint32_t dir, unsigned *slot,
                     FatEntry *entry)
{
    LongName name = { .n = 0 };
    bool found = false;
    FatDir slots;

    fatvol_dir_load(vol, dir, &slots);
    while (*slot < slots.n_slots && !found) {
        uint8_t *raw = fatvol_slot(vol, &slots, *slot);

        if (raw[0] == 0) {
            break;
        }
        if (raw[0] == DELETED || raw[0] == '.') {
            name.n = 0;
        } else if ((raw[E_ATTR] & 0x3f) == ATTR_LONG) {
            take_long(&name, raw, *slot);
        } else if (raw[E_ATTR] & ATTR_LABEL) {
            name.n = 0;
        } else {
            bool is_long = name.n && name.next == 0 && name.n <= MAX_UNITS &&
                           name.checksum == name_checksum(raw);

            *entry = (FatEntry){ .dir = dir, .last = *slot, .raw = raw };
            entry->first = is_long ? name.first : *slot;
            entry->alias = name_from_short(raw);
            entry->name = is_long ? name_from_units(name.units, name.n) : NULL;
            if (!entry->name) {
                entry->name = g_strdup(entry->alias);
            }
            found = true;
        }
        ++*slot;
    }
    fatvol_dir_clear(&slots);
    return found;
}

bool fatvol_find(FatVol *vol, uint32_t dir, const char *name, FatEntry *entry)
{
    unsigned slot = 0;

    while (fatvol_read_dir(vol, dir, &slot, entry)) {
        if (names_equal(entry->name, name) ||
            names_equal(entry->alias, name)) {
            return true;
        }
        fatvol_entry_clear(entry);
    }
    return false;
}

bool fatvol_walk(FatVol *vol, const char *path, FatEntry *entry)
{
    g_auto(GStrv) parts = g_strsplit(path, "/", -1);
    uint32_t dir = 0;

    for (int i = 0; parts[i]; i++) {
        if (!fatvol_find(vol, dir, parts[i], entry)) {
            return false;
        }
        if (!parts[i + 1]) {
            return true;
        }
        dir = entry_cluster(vol, entry);
        if (!entry_is_dir(entry) || dir == 0) {
            fatvol_entry_clear(entry);
            return false;
        }
        fatvol_entry_clear(entry);
    }
    return false;
}

/* ---- Changing ---- */

bool fatvol_grow_dir(FatVol *vol, uint32_t dir)
{
    uint32_t last = dir ? dir : vol->root_first;
    uint32_t c;

    if (dir == 0 && vol->type != 32) {
        return false;
    }
    for (c = last; c; c = fatvol_next(vol, c)) {
        last = c;
    }
    c = fatvol_alloc(vol, last);
    if (c == 0) {
        return false;
    }
    memset(vol->disk->mem + fatvol_cluster_at(vol, c), 0, vol->cluster_size);
    disk_touch(vol->disk, fatvol_cluster_at(vol, c), vol->cluster_size,
               CLASS_DIR);
    return true;
}

static bool slots_are_free(FatVol *vol, const FatDir *slots, uint32_t first,
                           unsigned n)
{
    for (uint32_t i = first; i < first + n; i++) {
        const uint8_t *raw;

        if (i >= slots->n_slots) {
            return false;
        }
        raw = fatvol_slot(vol, slots, i);
        if (raw[0] != 0 && raw[0] != DELETED) {
            return false;
        }
    }
    return true;
}

/* Loads slots, grown if need be. */
static bool find_room(FatVol *vol, uint32_t dir, unsigned n, uint32_t *at,
                      FatDir *slots)
{
    for (;;) {
        fatvol_dir_load(vol, dir, slots);
        if (*at != SLOT_ANY && slots_are_free(vol, slots, *at, n)) {
            return true;
        }
        for (uint32_t i = 0; i + n <= slots->n_slots; i++) {
            if (slots_are_free(vol, slots, i, n)) {
                *at = i;
                return true;
            }
        }
        fatvol_dir_clear(slots);
        if (!fatvol_grow_dir(vol, dir)) {
            return false;
        }
    }
}

bool fatvol_has_room(FatVol *vol, uint32_t dir)
{
    const unsigned most = MAX_UNITS / UNITS_AN_ENTRY + 2;
    bool found = false;
    FatDir slots;

    if (dir != 0 || vol->type == 32) {
        return vol->n_free * (vol->cluster_size / ENTRY_SIZE) >= 2 * most;
    }
    fatvol_dir_load(vol, dir, &slots);
    for (uint32_t i = 0; i + most <= slots.n_slots && !found; i++) {
        found = slots_are_free(vol, &slots, i, most);
    }
    fatvol_dir_clear(&slots);
    return found;
}

static void put_long(uint8_t *raw, unsigned number, bool is_last,
                     const uint16_t *units, unsigned n, uint8_t checksum)
{
    memset(raw, 0, ENTRY_SIZE);
    raw[0] = (uint8_t)(number | (is_last ? LAST_LONG : 0));
    raw[E_ATTR] = ATTR_LONG;
    raw[13] = checksum;
    for (unsigned i = 0; i < UNITS_AN_ENTRY; i++) {
        unsigned at = (number - 1) * UNITS_AN_ENTRY + i;

        put16(raw + unit_offsets[i], at < n    ? units[at]
                                     : at == n ? 0
                                               : 0xffff);
    }
}

bool fatvol_add(FatVol *vol, uint32_t dir, const char *name,
                bool short_only_ok, uint32_t at, FatEntry *entry)
{
    uint16_t units[MAX_UNITS];
    unsigned n = name_units(name, units);
    unsigned n_long = (n + UNITS_AN_ENTRY - 1) / UNITS_AN_ENTRY;
    uint8_t raw[SHORT_SIZE], case_bits;
    bool needs_long;
    FatDir slots;

    name_make_short(vol, dir, name, raw, &case_bits, &needs_long);
    if (!needs_long && short_only_ok) {
        n_long = 0;
    }
    if (n == 0 || !find_room(vol, dir, n_long + 1, &at, &slots)) {
        return false;
    }
    for (unsigned i = 0; i < n_long; i++) {
        uint8_t *slot = fatvol_slot(vol, &slots, at + i);

        put_long(slot, n_long - i, i == 0, units, n, name_checksum(raw));
        disk_touch(vol->disk, slot - vol->disk->mem, ENTRY_SIZE, CLASS_DIR);
    }
    *entry = (FatEntry){ .dir = dir, .first = at, .last = at + n_long };
    entry->raw = fatvol_slot(vol, &slots, at + n_long);
    memset(entry->raw, 0, ENTRY_SIZE);
    memcpy(entry->raw, raw, SHORT_SIZE);
    entry->raw[E_CASE] = case_bits;
    entry->alias = name_from_short(entry->raw);
    entry->name = g_strdup(name);
    entry_touch(vol, entry);
    fatvol_dir_clear(&slots);
    return true;
}

void fatvol_remove(FatVol *vol, const FatEntry *entry)
{
    FatDir slots;

    fatvol_dir_load(vol, entry->dir, &slots);
    for (unsigned i = entry->first; i <= entry->last; i++) {
        uint8_t *raw = fatvol_slot(vol, &slots, i);

        raw[0] = DELETED;
        disk_touch(vol->disk, raw - vol->disk->mem, ENTRY_SIZE, CLASS_DIR);
    }
    fatvol_dir_clear(&slots);
}
