/* SPDX-License-Identifier: MIT */
/*
 * Reading a directory entry by entry.
 *
 * A long name stands before its short entry, last piece first: n | 0x40,
 * n - 1, ..., 1. in_long says that a first piece was seen; next_order is the
 * number that has to come next, 0 when all pieces are there. Whatever breaks
 * the sequence leaves its defect in `defects`, which goes out with the next
 * item; the short name is used then. Nothing is kept of pieces that belong to
 * no entry.
 */
#include <string.h>

#include "block/vvfat/dirent.h"
#include "block/vvfat/names.h"

#define LONG_MAX_ENTRIES 20u /* 255 units */
#define LONG_PAD 0xffffu

_Static_assert(LONG_MAX_ENTRIES *FAT_LONG_UNITS <=
                   sizeof(((DirentReader *)0)->units) / sizeof(uint16_t),
               "room for all entries of a long name");

void dirent_reader_init(DirentReader *reader)
{
    memset(reader, 0, sizeof(*reader));
}

/* Forget the long name under way; why is a defect, or 0. */
static void drop_long(DirentReader *reader, unsigned why)
{
    if (reader->in_long) {
        reader->in_long = false;
        reader->defects |= why;
    }
}

static void store_units(DirentReader *reader, const FatLongDirent *l,
                        unsigned order)
{
    uint16_t *units = reader->units + (order - 1) * FAT_LONG_UNITS;

    for (size_t i = 0; i < G_N_ELEMENTS(l->name1); i++) {
        *units++ = le16_get(l->name1[i]);
    }
    for (size_t i = 0; i < G_N_ELEMENTS(l->name2); i++) {
        *units++ = le16_get(l->name2[i]);
    }
    for (size_t i = 0; i < G_N_ELEMENTS(l->name3); i++) {
        *units++ = le16_get(l->name3[i]);
    }
}

static void feed_long(DirentReader *reader, const FatDirent *entry,
                      uint32_t slot)
{
    FatLongDirent l;
    unsigned order;

    memcpy(&l, entry, sizeof(l));
    order = l.order & ~(unsigned)FAT_LONG_LAST;
    if (l.order & FAT_LONG_LAST) {
        drop_long(reader, DIRENT_ORPHAN_LONG);
        if (order == 0 || order > LONG_MAX_ENTRIES) {
            reader->defects |= DIRENT_BAD_ORDER;
            return;
        }
        reader->in_long = true;
        reader->checksum = l.checksum;
        reader->n_long = (uint8_t)order;
        reader->long_slot = slot;
    } else if (!reader->in_long) {
        reader->defects |= DIRENT_ORPHAN_LONG;
        return;
    } else if (order != reader->next_order || order == 0) {
        drop_long(reader, DIRENT_BAD_ORDER);
        return;
    } else if (l.checksum != reader->checksum) {
        drop_long(reader, DIRENT_BAD_CHECKSUM);
        return;
    }
    if (l.type != 0 || le16_get(l.cluster) != 0) {
        reader->defects |= DIRENT_BAD_RESERVED;
    }
    store_units(reader, &l, order);
    reader->next_order = (uint8_t)(order - 1);
}

/* Units of the name collected; 0 when it is none. Notes its defects. */
static unsigned long_length(DirentReader *reader)
{
    unsigned room = reader->n_long * FAT_LONG_UNITS, length = 0;
    bool is_padded = true;

    while (length < room && reader->units[length] != 0) {
        uint16_t unit = reader->units[length++];

        is_padded &= unit != LONG_PAD;
        if (unit < 0x20 || (unit < 0x80 && strchr("\"*/:<>?\\|", unit))) {
            reader->defects |= DIRENT_BAD_LONG_NAME;
        }
    }
    /* The NUL stands in the last entry, and nothing but padding behind. */
    is_padded &= length > room - FAT_LONG_UNITS;
    for (unsigned i = length + 1; i < room; i++) {
        is_padded &= reader->units[i] == LONG_PAD;
    }
    if (length > FAT_LONG_MAX_UNITS) {
        length = 0;
    }
    if (!is_padded || length == 0) {
        reader->defects |= DIRENT_BAD_PADDING;
    }
    return length;
}

/* Give the long name collected to the short entry that follows it. */
static void attach_long(DirentReader *reader, DirentItem *item)
{
    unsigned length;

    if (!reader->in_long) {
        return;
    }
    if (reader->next_order != 0) {
        drop_long(reader, DIRENT_BAD_ORDER);
        return;
    }
    if (reader->checksum != names_checksum(item->entry.name)) {
        drop_long(reader, DIRENT_BAD_CHECKSUM);
        return;
    }
    length = long_length(reader);
    reader->in_long = false;
    item->n_slots += item->first_slot - reader->long_slot;
    item->first_slot = reader->long_slot;
    item->long_units = length;
    memcpy(item->long_name, reader->units, length * sizeof(uint16_t));
}

static DirentKind entry_kind(const FatDirent *entry)
{
    if (entry->name[0] == FAT_DIRENT_END) {
        return DIRENT_END;
    }
    if (entry->attr & FAT_ATTR_VOLUME_ID) {
        return DIRENT_LABEL;
    }
    if (memcmp(entry->name, ".          ", FAT_SHORT_NAME_SIZE) == 0) {
        return DIRENT_DOT;
    }
    if (memcmp(entry->name, "..         ", FAT_SHORT_NAME_SIZE) == 0) {
        return DIRENT_DOTDOT;
    }
    return DIRENT_FILE;
}

bool dirent_reader_feed(DirentReader *reader, const FatDirent *entry,
                        DirentItem *item)
{
    uint32_t slot = reader->slot++;

    if (entry->name[0] == FAT_DIRENT_FREE) {
        drop_long(reader, DIRENT_ORPHAN_LONG);
        return false;
    }
    if (entry->name[0] != FAT_DIRENT_END &&
        (entry->attr & FAT_ATTR_LONG_NAME_MASK) == FAT_ATTR_LONG_NAME) {
        feed_long(reader, entry, slot);
        return false;
    }
    item->kind = entry_kind(entry);
    item->first_slot = slot;
    item->n_slots = 1;
    item->long_units = 0;
    item->entry = *entry;
    if (item->kind == DIRENT_FILE) {
        attach_long(reader, item);
        if (!names_short_is_valid(entry->name)) {
            reader->defects |= DIRENT_BAD_SHORT_NAME;
        }
    } else {
        drop_long(reader, DIRENT_ORPHAN_LONG);
    }
    item->defects = reader->defects;
    reader->defects = 0;
    return true;
}

unsigned dirent_reader_finish(DirentReader *reader)
{
    unsigned defects;

    drop_long(reader, DIRENT_ORPHAN_LONG);
    defects = reader->defects;
    reader->defects = 0;
    return defects;
}
