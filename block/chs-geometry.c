/* SPDX-License-Identifier: MIT */
/*
 * The geometry of a device, for those who count in cylinders, heads and
 * sectors: what the driver says, or else a guess.
 *
 * A partition table (UEFI specification 2.10, 5.2.1: legacy MBR) has the first
 * and the last sector of each partition twice, as a number and as cylinder,
 * head and sector. A geometry fits when it makes one of the other for all of
 * them. Cylinders end at 1023 there; a sector behind that is given as the last
 * one that has a number, or as FF FF FF.
 *
 * Without a table: the floppies of PCs by their size; else 63 sectors and as
 * many heads as keep the cylinders at 1024 or less, which is what a BIOS does
 * that is assisted by LBA (Phoenix, Enhanced Disk Drive specification 3.0;
 * Mueller, Upgrading and Repairing PCs, "LBA-Assist Translation").
 */
#include <errno.h>

#include "block/backend.h"
#include "block/drain.h"
#include "block/graph.h"
#include "block/io.h"
#include "util/bytes.h"

#define SECTOR_BYTES 512
#define MBR_ENTRIES 4
#define MBR_SIGNATURE 0xaa55u
#define TYPE_PROTECTIVE 0xee /* stands for a GPT, and for no place */
#define CHS_CYLINDERS 1024u  /* that an entry can name */
#define MAX_CYLINDERS 16383u /* ATA: the most that IDENTIFY DEVICE gives */

typedef struct Chs {
    uint8_t head;
    uint8_t sector; /* with bits 8 and 9 of the cylinder */
    uint8_t cylinder;
} Chs;

typedef struct MbrEntry {
    uint8_t status; /* 0x00 */
    Chs first;      /* 0x01 */
    uint8_t type;   /* 0x04 */
    Chs last;       /* 0x05 */
    le32 start;     /* 0x08: sectors */
    le32 sectors;   /* 0x0c */
} MbrEntry;
_Static_assert(sizeof(MbrEntry) == 16, "16 bytes an entry");

typedef struct Mbr {
    uint8_t code[446];
    MbrEntry entries[MBR_ENTRIES]; /* 0x1be */
    le16 signature;                /* 0x1fe */
} Mbr;
_Static_assert(sizeof(Mbr) == SECTOR_BYTES, "one sector");

/* ---- What a partition table says ---- */

static uint32_t chs_cylinder(const Chs *chs)
{
    return chs->cylinder | (uint32_t)(chs->sector & 0xc0) << 2;
}

static uint32_t chs_sector(const Chs *chs)
{
    return chs->sector & 0x3f;
}

static bool is_used(const MbrEntry *entry)
{
    return entry->type != 0 && entry->type != TYPE_PROTECTIVE &&
           le32_get(entry->sectors) > 0;
}

/* A boot sector of FAT ends with the same signature, but has code there. */
static bool is_partition_table(const Mbr *mbr)
{
    for (int i = 0; i < MBR_ENTRIES; i++) {
        if (mbr->entries[i].status & 0x7f) {
            return false;
        }
    }
    return le16_get(mbr->signature) == MBR_SIGNATURE;
}

/* *exact is set when the two are one and the same place. */
static bool place_fits(const BlkGeometry *g, const Chs *chs, uint64_t lba,
                       bool *exact)
{
    uint64_t cylinder = chs_cylinder(chs);
    uint64_t named = (cylinder * g->heads + chs->head) * g->sectors +
                     chs_sector(chs) - 1;
    bool in_range = chs_sector(chs) >= 1 && chs_sector(chs) <= g->sectors &&
                    chs->head < g->heads;

    if (lba < (uint64_t)CHS_CYLINDERS * g->heads * g->sectors) {
        *exact |= in_range && named == lba;
        return in_range && named == lba;
    }
    /* Behind the last cylinder that has a number. */
    return cylinder == CHS_CYLINDERS - 1 &&
           (chs->head == 0xff ||
            (chs->head == g->heads - 1 && chs_sector(chs) == g->sectors));
}

static bool table_fits(const BlkGeometry *g, const Mbr *mbr)
{
    bool exact = false;

    for (int i = 0; i < MBR_ENTRIES; i++) {
        const MbrEntry *entry = &mbr->entries[i];
        uint64_t start = le32_get(entry->start);

        if (is_used(entry) &&
            !(place_fits(g, &entry->first, start, &exact) &&
              place_fits(g, &entry->last, start + le32_get(entry->sectors) - 1,
                         &exact))) {
            return false;
        }
    }
    return exact;
}

/* Where a partition ends with its cylinder, its last sector has the geometry;
 * else it is one of those that there are, if any. */
static bool guess_from_table(const Mbr *mbr, BlkGeometry *g)
{
    static const uint32_t usual_heads[] = { 255, 240, 128, 64, 32, 16 };
    uint32_t heads_by_size = g->heads;

    for (int i = 0; i < MBR_ENTRIES; i++) {
        const MbrEntry *entry = &mbr->entries[i];

        g->heads = entry->last.head + 1u;
        g->sectors = chs_sector(&entry->last);
        if (is_used(entry) && g->heads <= 255 && g->sectors > 0 &&
            table_fits(g, mbr)) {
            return true;
        }
    }
    g->sectors = 63;
    g->heads = heads_by_size;
    for (size_t i = 0; !table_fits(g, mbr); i++) {
        if (i == G_N_ELEMENTS(usual_heads)) {
            return false;
        }
        g->heads = usual_heads[i];
    }
    return true;
}

/* ---- What the size says ---- */

static void guess_heads(uint64_t sectors, BlkGeometry *g)
{
    g->sectors = 63;
    for (g->heads = 16; g->heads <= 128; g->heads *= 2) {
        if (sectors <= (uint64_t)CHS_CYLINDERS * g->heads * g->sectors) {
            return;
        }
    }
    g->heads = 255;
}

static bool guess_floppy(uint64_t sectors, BlkGeometry *g)
{
    static const struct {
        uint16_t sectors;
        uint8_t cylinders, heads, per_track;
    } formats[] = {
        { 320, 40, 1, 8 },   { 360, 40, 1, 9 },   { 640, 40, 2, 8 },
        { 720, 40, 2, 9 },   { 1280, 80, 2, 8 },  { 1440, 80, 2, 9 },
        { 2400, 80, 2, 15 }, { 2880, 80, 2, 18 }, { 3360, 80, 2, 21 },
        { 3444, 82, 2, 21 }, { 5760, 80, 2, 36 },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(formats); i++) {
        if (formats[i].sectors == sectors) {
            *g = (BlkGeometry){ .cylinders = formats[i].cylinders,
                                .heads = formats[i].heads,
                                .sectors = formats[i].per_track,
                                .is_floppy = true };
            return true;
        }
    }
    return false;
}

static int guess(BdrvChild *root, BlkGeometry *g)
{
    uint64_t sectors = (uint64_t)node_length(root->bs) / SECTOR_BYTES;
    int ret = backend_check_range(root->bs, 0, 0);
    Mbr mbr;

    if (ret < 0) {
        return ret;
    }
    if (sectors == 0) {
        return -EMEDIUMTYPE;
    }
    ret = bdrv_pread(root, 0, sizeof(mbr), &mbr, 0);
    if (ret < 0) {
        return ret;
    }
    guess_heads(sectors, g);
    if (!is_partition_table(&mbr) || !guess_from_table(&mbr, g)) {
        if (guess_floppy(sectors, g)) {
            return 0;
        }
        guess_heads(sectors, g);
    }
    uint64_t cylinders = sectors / (g->heads * g->sectors);
    g->cylinders = (uint32_t)CLAMP(cylinders, 1, MAX_CYLINDERS);
    return 0;
}

/* ---- The question ---- */

/* A filter, or what is one as it was opened (raw). */
static bool shows_its_child(const BlockDriverState *bs)
{
    return bs->primary && (bs->primary->role & BDRV_CHILD_FILTERED);
}

static int ask_driver(BlockDriverState *bs, BlkGeometry *geometry)
{
    while (bs->drv->get_geometry == NULL && shows_its_child(bs)) {
        bs = node_primary(bs);
    }
    if (bs->drv->get_geometry == NULL) {
        return -ENOTSUP;
    }
    node_enter(bs);
    int ret = bs->drv->get_geometry(bs, geometry);
    node_leave(bs);
    return ret;
}

int blk_get_geometry(BlockBackend *blk, BlkGeometry *geometry)
{
    io_error_clear();
    *geometry = (BlkGeometry){ 0 };
    int ret = ask_driver(backend_ask(blk), geometry);

    if (ret == -ENOTSUP) {
        ret = guess(blk->root, geometry);
    }
    backend_ask_end(blk);
    return ret;
}
