/* SPDX-License-Identifier: MIT */
/*
 * A writer of FAT volumes, as a guest has one. It shares nothing with the
 * driver: what the driver takes for a volume is judged by what this one makes
 * (Microsoft FAT specification 1.03).
 *
 * Everything happens in disk->mem; the disk is told what is to be written.
 * Names are host names in UTF-8. Functions that need room say so by false (or
 * 0 clusters) and have then changed nothing that a checker would mind.
 */
#ifndef TESTS_MODEL_FATVOL_H
#define TESTS_MODEL_FATVOL_H

#include "tests/model/disk.h"

#define ENTRY_SIZE 32
#define SHORT_SIZE 11
#define MAX_UNITS 255

#define ATTR_READ_ONLY 0x01u
#define ATTR_HIDDEN 0x02u
#define ATTR_SYSTEM 0x04u
#define ATTR_LABEL 0x08u
#define ATTR_DIR 0x10u
#define ATTR_ARCHIVE 0x20u
#define ATTR_LONG 0x0fu

/* Offsets in an entry. */
enum {
    E_ATTR = 11,
    E_CASE = 12,
    E_CREATED_10MS = 13,
    E_CREATED_TIME = 14,
    E_CREATED_DATE = 16,
    E_ACCESSED = 18,
    E_CLUSTER_HIGH = 20,
    E_TIME = 22,
    E_DATE = 24,
    E_CLUSTER = 26,
    E_SIZE = 28,
};

typedef enum FatPolicy {
    ALLOC_NEXT_FIT,
    ALLOC_FIRST_FIT,
    ALLOC_RANDOM, /* deliberate fragmentation */
    ALLOC_REUSE,  /* what was freed last */
    N_POLICIES,
} FatPolicy;

typedef struct FatVol {
    Disk *disk;
    int type;            /* 12, 16, 32 */
    int64_t start;       /* bytes of the disk: the boot sector */
    int64_t fat[2];      /* bytes of the disk */
    uint32_t fat_bytes;  /* of each */
    int64_t root;        /* FAT12 and FAT16: bytes of the disk */
    uint32_t n_root;     /* FAT12 and FAT16: entries */
    uint32_t root_first; /* FAT32: cluster */
    uint32_t fsinfo;     /* FAT32: sector of the volume; 0: none */
    int64_t data;        /* bytes of the disk: cluster 2 */
    uint32_t cluster_size;
    uint32_t n_clusters; /* the last one is n_clusters + 1 */
    uint32_t n_free;
    uint32_t next; /* where next-fit goes on */
    GArray *freed; /* uint32_t */
    FatPolicy policy;
    bool forgets; /* dirty sectors of freed clusters are not written */
    Prng prng;
} FatVol;

/* The first partition, or the whole disk. NULL and *why if it is no volume. */
FatVol *fatvol_open(Disk *disk, char **why);
void fatvol_free(FatVol *vol);

static inline uint32_t get16(const uint8_t *p)
{
    return p[0] | (uint32_t)p[1] << 8;
}

static inline uint32_t get32(const uint8_t *p)
{
    return get16(p) | get16(p + 2) << 16;
}

static inline void put16(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
}

static inline void put32(uint8_t *p, uint32_t v)
{
    put16(p, v);
    put16(p + 2, v >> 16);
}

/* ---- The FAT ---- */

uint32_t fatvol_entry(const FatVol *vol, const uint8_t *fat, uint32_t cluster);
uint32_t fatvol_next(const FatVol *vol, uint32_t cluster); /* 0: the last */
void fatvol_link(FatVol *vol, uint32_t cluster, uint32_t next); /* 0: end */
void fatvol_put(FatVol *vol, uint32_t cluster, uint32_t value);
uint32_t fatvol_alloc(FatVol *vol, uint32_t after); /* after: 0: a new chain */
void fatvol_free_chain(FatVol *vol, uint32_t first);
unsigned fatvol_chain_length(const FatVol *vol, uint32_t first);
int64_t fatvol_cluster_at(const FatVol *vol, uint32_t cluster);
/* Clusters for so many bytes. */
unsigned fatvol_clusters(const FatVol *vol, int64_t bytes);

/* FSInfo as it should be; the bits for a volume in use (FAT[1], boot). */
void fatvol_sync_fsinfo(FatVol *vol);
void fatvol_set_dirty(FatVol *vol, bool dirty);
void fatvol_set_label(FatVol *vol, const char *label); /* NULL: none */

/* ---- Directories (fatvol-dir.c); 0 is the root ---- */

typedef struct FatEntry {
    uint32_t dir;
    unsigned first, last; /* slots; the short entry is the last one */
    uint8_t *raw;         /* the short entry, in disk->mem */
    char *name;           /* as a host names it */
    char *alias;          /* the short name, as a guest shows it */
} FatEntry;

void fatvol_entry_clear(FatEntry *entry);

/* The next entry from *slot on that is a file or directory ("." and ".." are
 * not); false: no more. */
bool fatvol_read_dir(FatVol *vol, uint32_t dir, unsigned *slot,
                     FatEntry *entry);

/* Find by name or alias without regard to case; the path from the root. */
bool fatvol_find(FatVol *vol, uint32_t dir, const char *name, FatEntry *entry);
bool fatvol_walk(FatVol *vol, const char *path, FatEntry *entry);

#define SLOT_ANY UINT32_MAX

/*
 * Add an entry; short_only_ok: without a long name where the short one will
 * do. at: the first slot (they have to be free), or SLOT_ANY. The entry is
 * zero but for its names. False: no room.
 */
bool fatvol_add(FatVol *vol, uint32_t dir, const char *name,
                bool short_only_ok, uint32_t at, FatEntry *entry);
void fatvol_remove(FatVol *vol, const FatEntry *entry);

/* Whether any entry can be added. */
bool fatvol_has_room(FatVol *vol, uint32_t dir);

/* Grow by a cluster; false for the root of FAT12 and FAT16, or when full. */
bool fatvol_grow_dir(FatVol *vol, uint32_t dir);

/* The bytes of a directory: an offset on the disk for each cluster of it. */
typedef struct FatDir {
    GArray *pieces; /* int64_t */
    unsigned piece_slots;
    unsigned n_slots;
} FatDir;

void fatvol_dir_load(FatVol *vol, uint32_t dir, FatDir *slots);
void fatvol_dir_clear(FatDir *slots);
uint8_t *fatvol_slot(FatVol *vol, const FatDir *slots, unsigned slot);

uint32_t entry_cluster(const FatVol *vol, const FatEntry *entry);
void entry_set_cluster(FatVol *vol, FatEntry *entry, uint32_t cluster);
void entry_touch(FatVol *vol, const FatEntry *entry);
static inline bool entry_is_dir(const FatEntry *entry)
{
    return entry->raw[E_ATTR] & ATTR_DIR;
}

/* ---- Names (fatvol-name.c) ---- */

/* A host name to UTF-16; 0 if it does not fit. */
unsigned name_units(const char *name, uint16_t units[MAX_UNITS]);
char *name_from_units(const uint16_t *units, unsigned n);
char *name_from_short(const uint8_t *raw);
bool names_equal(const char *a, const char *b);
/* The short name for a new entry, and whether it needs a long one. */
void name_make_short(FatVol *vol, uint32_t dir, const char *name,
                     uint8_t raw[SHORT_SIZE], uint8_t *case_bits,
                     bool *needs_long);
uint8_t name_checksum(const uint8_t raw[SHORT_SIZE]);

/* ---- Files (fatvol-file.c) ---- */

/* From offset on, which may be behind the end. False: no room. */
bool fatvol_write(FatVol *vol, FatEntry *entry, uint32_t offset,
                  const uint8_t *data, uint32_t bytes);
bool fatvol_resize(FatVol *vol, FatEntry *entry, uint32_t size);
/* size bytes into a buffer; false: the chain is not as long. */
bool fatvol_read(FatVol *vol, const FatEntry *entry, uint8_t *data);
/* To be written again as they are. */
void fatvol_touch(FatVol *vol, const FatEntry *entry);
void fatvol_touch_chain(FatVol *vol, uint32_t first, SectorClass class);

/* UTC, in steps of two seconds. */
void entry_set_time(FatVol *vol, FatEntry *entry, int64_t seconds);
int64_t entry_time(const FatEntry *entry);

/* ---- Trees (fatvol-tree.c) ---- */

bool fatvol_mkdir(FatVol *vol, uint32_t parent, FatEntry *entry);
void fatvol_delete_tree(FatVol *vol, FatEntry *entry);
/* Give the entry another name and place, as Linux does (the new entry first)
 * or the other way round. False: no room. */
bool fatvol_move(FatVol *vol, FatEntry *entry, uint32_t dir, const char *name,
                 bool short_only_ok, bool new_first);
/* Put it in place of another one: into its entry, or by deleting that. */
bool fatvol_replace(FatVol *vol, FatEntry *entry, FatEntry *target,
                    bool into_entry);
/* The names change what they stand for (as RENAME_EXCHANGE does). */
void fatvol_exchange(FatVol *vol, FatEntry *a, FatEntry *b);
/* New clusters for the same contents. False: no room. */
bool fatvol_defragment(FatVol *vol, FatEntry *entry);

#endif
