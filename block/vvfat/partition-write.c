/* SPDX-License-Identifier: MIT */
/*
 * The partition table that a geometry asks for (UEFI specification 2.10,
 * chapter 5). One partition, which is the volume.
 *
 * Sectors of the GPT are computed one by one. Of the 128 entries the first
 * alone is used, so the CRC over all of them is that of one entry and zeroes.
 */
#include <string.h>
#include <zlib.h>

#include "block/vvfat/partition.h"

#define MBR_ACTIVE 0x80
#define GPT_REVISION 0x00010000u
#define ALIGN_MAX 2048u /* sectors: 1 MiB */
#define GPT_ENTRIES_A_SECTOR (SECTOR_SIZE / sizeof(GptEntry))

_Static_assert(GPT_ENTRIES_SECTORS *GPT_ENTRIES_A_SECTOR == GPT_ENTRY_COUNT,
               "the entries fill their sectors");

/* Finds the active partition, loads its boot sector (by LBA where the BIOS
 * can, else by CHS) and jumps to it; without one says so. Moves itself from
 * 7c00 to 600 first. The boot sector gets the drive in dl and its table entry
 * at ds:si, as is the custom. */
/* clang-format off */
static const uint8_t default_code[] = {
    0xfa,                         /*        cli                     */
    0x31, 0xc0,                   /*        xor ax, ax              */
    0x8e, 0xd0,                   /*        mov ss, ax              */
    0xbc, 0x00, 0x7c,             /*        mov sp, 7c00            */
    0x8e, 0xd8,                   /*        mov ds, ax              */
    0x8e, 0xc0,                   /*        mov es, ax              */
    0xfb,                         /*        sti                     */
    0xfc,                         /*        cld                     */
    0x89, 0xe6,                   /*        mov si, sp              */
    0xbf, 0x00, 0x06,             /*        mov di, 600             */
    0xb9, 0x00, 0x01,             /*        mov cx, 100             */
    0xf3, 0xa5,                   /*        rep movsw               */
    0xea, 0x1d, 0x06, 0x00, 0x00, /*        jmp 0:moved             */
    0xbe, 0xbe, 0x07,             /* moved: mov si, 600 + 446       */
    0xb1, 0x04,                   /*        mov cl, 4               */
    0xf6, 0x04, 0x80,             /* scan:  test byte [si], 80      */
    0x75, 0x1f,                   /*        jnz found               */
    0x83, 0xc6, 0x10,             /*        add si, 16              */
    0xe2, 0xf6,                   /*        loop scan               */
    0xbe, 0x95, 0x06,             /* fail:  mov si, text            */
    0xac,                         /* next:  lodsb                   */
    0x84, 0xc0,                   /*        test al, al             */
    0x74, 0x09,                   /*        jz key                  */
    0xb4, 0x0e,                   /*        mov ah, 0e    ; print al */
    0xbb, 0x07, 0x00,             /*        mov bx, 7               */
    0xcd, 0x10,                   /*        int 10                  */
    0xeb, 0xf2,                   /*        jmp next                */
    0x31, 0xc0,                   /* key:   xor ax, ax    ; wait for a key */
    0xcd, 0x16,                   /*        int 16                  */
    0xcd, 0x19,                   /*        int 19        ; boot again */
    0xf4,                         /* stop:  hlt                     */
    0xeb, 0xfd,                   /*        jmp stop                */
    0x56,                         /* found: push si                 */
    0x52,                         /*        push dx                 */
    0xb4, 0x41,                   /*        mov ah, 41    ; LBA there? */
    0xbb, 0xaa, 0x55,             /*        mov bx, 55aa            */
    0xcd, 0x13,                   /*        int 13                  */
    0x5a,                         /*        pop dx                  */
    0x72, 0x22,                   /*        jc chs                  */
    0x81, 0xfb, 0x55, 0xaa,       /*        cmp bx, aa55            */
    0x75, 0x1c,                   /*        jne chs                 */
    0xd1, 0xe9,                   /*        shr cx, 1               */
    0x73, 0x18,                   /*        jnc chs                 */
    0x31, 0xc0,                   /*        xor ax, ax    ; the packet: */
    0x50,                         /*        push ax       ; LBA, 64 bits */
    0x50,                         /*        push ax                 */
    0xff, 0x74, 0x0a,             /*        push word [si + 10]     */
    0xff, 0x74, 0x08,             /*        push word [si + 8]      */
    0x50,                         /*        push ax       ; to 0:7c00 */
    0x68, 0x00, 0x7c,             /*        push 7c00               */
    0x6a, 0x01,                   /*        push 1        ; sectors */
    0x6a, 0x10,                   /*        push 16       ; its size */
    0x89, 0xe6,                   /*        mov si, sp              */
    0xb4, 0x42,                   /*        mov ah, 42    ; read    */
    0xeb, 0x0c,                   /*        jmp read                */
    0x8a, 0x74, 0x01,             /* chs:   mov dh, [si + 1]        */
    0x8b, 0x4c, 0x02,             /*        mov cx, [si + 2]        */
    0xb8, 0x01, 0x02,             /*        mov ax, 201   ; read 1  */
    0xbb, 0x00, 0x7c,             /*        mov bx, 7c00            */
    0xcd, 0x13,                   /* read:  int 13                  */
    0xbc, 0xfe, 0x7b,             /*        mov sp, 7bfe  ; drop it */
    0x5e,                         /*        pop si                  */
    0x72, 0xa4,                   /*        jc fail                 */
    0x81, 0x3e, 0xfe, 0x7d,
    0x55, 0xaa,                   /*        cmp word [7dfe], aa55   */
    0x75, 0x9c,                   /*        jne fail                */
    0xea, 0x00, 0x7c, 0x00, 0x00, /*        jmp 0:7c00              */
                                  /* text:  */
};
/* clang-format on */

static const char default_text[] =
    "No bootable partition. Insert another disk and press a key.\r\n";

_Static_assert(sizeof(default_code) == 0x95, "text stands where it is sought");
_Static_assert(sizeof(default_code) + sizeof(default_text) <=
                   sizeof(((MbrSector *)0)->code),
               "the default MBR code fits");

static const GptGuid type_esp = GPT_TYPE_ESP;
static const GptGuid type_basic_data = GPT_TYPE_BASIC_DATA;

/* ---- MBR ---- */

static bool is_outside_chs(const uint8_t chs[3])
{
    return chs[0] == 0xff && chs[1] == 0xff && chs[2] == 0xff;
}

static uint8_t mbr_type(const Geometry *g, bool lba)
{
    if (g->esp) {
        return MBR_TYPE_ESP;
    }
    switch (g->fat_type) {
    case 12:
        return MBR_TYPE_FAT12;
    case 16:
        return lba ? MBR_TYPE_FAT16_LBA : MBR_TYPE_FAT16;
    default:
        return lba ? MBR_TYPE_FAT32_LBA : MBR_TYPE_FAT32;
    }
}

static void render_volume(const Geometry *g, MbrPartition *p)
{
    uint64_t last = g->volume_start + g->volume_sectors - 1;

    p->status = MBR_ACTIVE;
    geometry_lba_to_chs(g, g->volume_start, p->first_chs);
    geometry_lba_to_chs(g, last, p->last_chs);
    p->type = mbr_type(g, is_outside_chs(p->first_chs) ||
                              is_outside_chs(p->last_chs));
    le32_put(&p->first_lba, (uint32_t)g->volume_start);
    le32_put(&p->sectors, (uint32_t)g->volume_sectors);
}

/* One entry over the whole disk, or as much of it as 32 bits can say. */
static void render_protective(const Geometry *g, MbrPartition *p)
{
    static const uint8_t first_chs[3] = { 0x00, 0x02, 0x00 };

    p->type = MBR_TYPE_GPT_PROTECTIVE;
    memcpy(p->first_chs, first_chs, sizeof(first_chs));
    memset(p->last_chs, 0xff, sizeof(p->last_chs));
    le32_put(&p->first_lba, 1);
    le32_put(&p->sectors, (uint32_t)MIN(g->disk_sectors - 1, UINT32_MAX));
}

void partition_render_mbr(const Geometry *g, const uint8_t *code,
                          size_t code_bytes, uint8_t sector[SECTOR_SIZE])
{
    MbrSector *mbr = (MbrSector *)sector;

    memset(sector, 0, SECTOR_SIZE);
    if (code) {
        memcpy(mbr->code, code, MIN(code_bytes, sizeof(mbr->code)));
    } else {
        memcpy(mbr->code, default_code, sizeof(default_code));
        memcpy(mbr->code + sizeof(default_code), default_text,
               sizeof(default_text));
    }
    if (g->partition == PARTITION_GPT) {
        render_protective(g, &mbr->partition[0]);
    } else {
        le32_put(&mbr->disk_signature, MBR_SIGNATURE_DEFAULT);
        render_volume(g, &mbr->partition[0]);
    }
    le16_put(&mbr->magic, FAT_BOOT_MAGIC);
}

/* ---- GPT ---- */

/* A GUID of our own making (RFC 9562, version 8) out of the seed. */
static GptGuid derive_guid(const uint8_t seed[16], uint8_t salt)
{
    GptGuid guid;

    for (size_t i = 0; i < sizeof(guid.byte); i++) {
        guid.byte[i] = seed[i] ^ salt;
    }
    guid.byte[7] = (uint8_t)(0x80 | (guid.byte[7] & 0x0f));
    guid.byte[8] = (uint8_t)(0x80 | (guid.byte[8] & 0x3f));
    return guid;
}

/*
 * Last sector of the partition. It ends on a boundary as round as the one it
 * starts on, up to 1 MiB, as partitioning tools want it; the volume in it may
 * end a little earlier.
 */
static uint64_t last_lba(const Geometry *g)
{
    uint64_t end = g->volume_start + g->volume_sectors, unit = ALIGN_MAX;

    while (g->volume_start % unit) {
        unit /= 2;
    }
    end = (end + unit - 1) / unit * unit;
    return MIN(end, g->disk_sectors - GPT_PRIMARY_SECTORS) - 1;
}

static void render_entry(const Geometry *g, const uint8_t seed[16],
                         GptEntry *entry)
{
    const char *name = g->esp ? "EFI system partition"
                              : "Basic data partition";

    memset(entry, 0, sizeof(*entry));
    entry->type_guid = g->esp ? type_esp : type_basic_data;
    entry->unique_guid = derive_guid(seed, 0xff);
    le64_put(&entry->first_lba, g->volume_start);
    le64_put(&entry->last_lba, last_lba(g));
    for (size_t i = 0; name[i]; i++) {
        le16_put(&entry->name[i], (uint8_t)name[i]);
    }
}

static uint32_t entries_crc32(const Geometry *g, const uint8_t seed[16])
{
    static const uint8_t zeroes[sizeof(GptEntry)];
    GptEntry entry;
    uLong crc;

    render_entry(g, seed, &entry);
    crc = crc32(0, (const Bytef *)&entry, sizeof(entry));
    for (unsigned i = 1; i < GPT_ENTRY_COUNT; i++) {
        crc = crc32(crc, zeroes, sizeof(zeroes));
    }
    return (uint32_t)crc;
}

static void render_header(const Geometry *g, const uint8_t seed[16],
                          bool is_backup, GptHeader *header)
{
    uint64_t last = g->disk_sectors - 1;

    memcpy(header->signature, "EFI PART", sizeof(header->signature));
    le32_put(&header->revision, GPT_REVISION);
    le32_put(&header->header_size, sizeof(*header));
    le64_put(&header->my_lba, is_backup ? last : 1);
    le64_put(&header->alternate_lba, is_backup ? 1 : last);
    le64_put(&header->first_usable_lba, 1 + GPT_PRIMARY_SECTORS);
    le64_put(&header->last_usable_lba, last - GPT_PRIMARY_SECTORS);
    header->disk_guid = derive_guid(seed, 0);
    le64_put(&header->entries_lba, is_backup ? last - GPT_ENTRIES_SECTORS : 2);
    le32_put(&header->entry_count, GPT_ENTRY_COUNT);
    le32_put(&header->entry_size, sizeof(GptEntry));
    le32_put(&header->entries_crc32, entries_crc32(g, seed));
    le32_put(&header->header_crc32,
             (uint32_t)crc32(0, (const Bytef *)header, sizeof(*header)));
}

void partition_render_gpt(const Geometry *g, const uint8_t seed[16],
                          uint64_t lba, uint8_t sector[SECTOR_SIZE])
{
    uint64_t last = g->disk_sectors - 1;

    memset(sector, 0, SECTOR_SIZE);
    if (lba == 1 || lba == last) {
        render_header(g, seed, lba == last, (GptHeader *)sector);
    } else if (lba == 2 || lba == last - GPT_ENTRIES_SECTORS) {
        render_entry(g, seed, (GptEntry *)sector);
    }
}
