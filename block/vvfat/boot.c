/* SPDX-License-Identifier: MIT */
/*
 * The reserved sectors of a volume (Microsoft FAT specification 3 and 5).
 *
 * FAT32 has three sectors of boot record, the second of them FSInfo, and a
 * copy of the three at BOOT_BACKUP_SECTOR. FAT12 and FAT16 have one sector.
 */
#include "block/vvfat/boot.h"

#include <errno.h>
#include <string.h>

#include "block/error.h"

#define BOOT_RECORD_SECTORS 3u
#define CODE_START_16 offsetof(FatBootSector16, code)
#define CODE_START_32 offsetof(FatBootSector32, code)
#define MAGIC_OFFSET offsetof(FatBootSector16, magic)

#define JUMP_SHORT 0xeb
#define JUMP_NEAR 0xe9
#define NOP 0x90

/* Two bytes behind the parameters of FAT12/16, as its systems have it. */
#define DEFAULT_ENTRY_16 0x40u

/* What runs when there is no boot code: a message, a key, the next device.
 * It does not depend on where it stands. */
/* clang-format off */
static const uint8_t default_code[] = {
    0x31, 0xc0,             /*        xor ax, ax      */
    0x8e, 0xd0,             /*        mov ss, ax      */
    0xbc, 0x00, 0x7c,       /*        mov sp, 7c00    */
    0x0e,                   /*        push cs         */
    0x1f,                   /*        pop ds          */
    0xfc,                   /*        cld             */
    0xe8, 0x00, 0x00,       /*        call here       */
    0x5e,                   /* here:  pop si          */
    0x81, 0xc6, 0x1c, 0x00, /*        add si, text - here */
    0xac,                   /* next:  lodsb           */
    0x84, 0xc0,             /*        test al, al     */
    0x74, 0x09,             /*        jz key          */
    0xb4, 0x0e,             /*        mov ah, 0e      ; print al */
    0xbb, 0x07, 0x00,       /*        mov bx, 7       */
    0xcd, 0x10,             /*        int 10          */
    0xeb, 0xf2,             /*        jmp next        */
    0x31, 0xc0,             /* key:   xor ax, ax      ; wait for a key */
    0xcd, 0x16,             /*        int 16          */
    0xcd, 0x19,             /*        int 19          ; boot again */
    0xf4,                   /* stop:  hlt             */
    0xeb, 0xfd,             /*        jmp stop        */
                            /* text:  */
};
/* clang-format on */

static const char default_text[] =
    "This disk is not bootable. Insert another one and press a key.\r\n";

#define DEFAULT_BYTES (sizeof(default_code) + sizeof(default_text))

_Static_assert(DEFAULT_ENTRY_16 + DEFAULT_BYTES <= MAGIC_OFFSET,
               "the default boot code fits");

/* First byte that boot code may use. */
static size_t code_start(unsigned fat_type)
{
    return fat_type == 32 ? CODE_START_32 : CODE_START_16;
}

/* Where the jump at the start of a boot sector leads; 0: it is no jump. */
static size_t jump_target(const uint8_t *code)
{
    if (code[0] == JUMP_SHORT && code[1] < 0x80) {
        return 2u + code[1];
    }
    if (code[0] == JUMP_NEAR) {
        return 3u + (size_t)(code[1] | code[2] << 8);
    }
    return 0;
}

bool boot_code_check(unsigned fat_type, uint32_t reserved_sectors,
                     const uint8_t *code, size_t bytes, GError **errp)
{
    size_t start = code_start(fat_type), limit = SECTOR_SIZE, target;

    if (fat_type == 32) {
        limit = (size_t)reserved_sectors * SECTOR_SIZE;
    }
    if (bytes <= start || bytes > limit) {
        block_error_set(errp, EINVAL,
                        "Boot code has %zu bytes; FAT%u takes a boot sector "
                        "of %zu to %zu bytes",
                        bytes, fat_type, start + 1, limit);
        return false;
    }
    target = jump_target(code);
    if (target == 0) {
        block_error_set(errp, EINVAL,
                        "Boot code is no boot sector: it does not begin with "
                        "a jump (byte EB or E9)");
        return false;
    }
    if (target < start || target >= MAGIC_OFFSET) {
        block_error_set(errp, EINVAL,
                        "Boot code is not for FAT%u: it jumps to byte %zu, "
                        "but bytes below %zu hold the parameters of the "
                        "volume",
                        fat_type, target, start);
        return false;
    }
    return true;
}

/* Bytes from..to of a reserved sector, out of the user's file. */
static void copy_code(const BootParams *params, uint32_t sector_number,
                      size_t from, size_t to, uint8_t *sector)
{
    uint64_t start = (uint64_t)sector_number * SECTOR_SIZE;

    if (params->code && start + from < params->code_bytes) {
        memcpy(sector + from, params->code + start + from,
               MIN(to - from, params->code_bytes - (size_t)start - from));
    }
}

static void render_code(const Geometry *g, const BootParams *params,
                        uint8_t *sector)
{
    size_t entry = g->fat_type == 32 ? CODE_START_32 : DEFAULT_ENTRY_16;

    if (params->code) {
        copy_code(params, 0, 0, sizeof(((FatBpb *)0)->jump), sector);
        copy_code(params, 0, code_start(g->fat_type), MAGIC_OFFSET, sector);
        return;
    }
    sector[0] = JUMP_SHORT;
    sector[1] = (uint8_t)(entry - 2);
    sector[2] = NOP;
    memcpy(sector + entry, default_code, sizeof(default_code));
    memcpy(sector + entry + sizeof(default_code), default_text,
           sizeof(default_text));
}

/* The parameters that all types have. */
static void render_bpb(const Geometry *g, FatBpb *bpb)
{
    bool is_small = g->fat_type != 32 && g->volume_sectors < 0x10000;

    memcpy(bpb->oem_name, "MSWIN4.1", sizeof(bpb->oem_name));
    le16_put(&bpb->bytes_per_sector, SECTOR_SIZE);
    bpb->sectors_per_cluster = (uint8_t)g->sectors_per_cluster;
    le16_put(&bpb->reserved_sectors, (uint16_t)g->reserved_sectors);
    bpb->fat_count = FAT_COUNT;
    bpb->media = g->media;
    le16_put(&bpb->sectors_per_track, (uint16_t)g->sectors_per_track);
    le16_put(&bpb->heads, (uint16_t)g->heads);
    le32_put(&bpb->hidden_sectors, (uint32_t)g->volume_start);
    if (is_small) {
        le16_put(&bpb->total_sectors16, (uint16_t)g->volume_sectors);
    } else {
        le32_put(&bpb->total_sectors32, (uint32_t)g->volume_sectors);
    }
    if (g->fat_type != 32) {
        le16_put(&bpb->root_entries, (uint16_t)g->root_entries);
        le16_put(&bpb->sectors_per_fat16, (uint16_t)g->sectors_per_fat);
    }
}

static void render_ext(const Geometry *g, const BootParams *params,
                       FatExtendedBpb *ext)
{
    g_autofree char *name = g_strdup_printf("FAT%u   ", g->fat_type);

    ext->drive_number = g->drive_number;
    ext->signature = FAT_EXT_SIGNATURE;
    le32_put(&ext->volume_id, params->volume_id);
    memcpy(ext->label, params->label, sizeof(ext->label));
    memcpy(ext->type_name, name, sizeof(ext->type_name));
}

static void render_boot(const Geometry *g, const BootParams *params,
                        uint8_t *sector)
{
    FatBootSector32 *boot32 = (FatBootSector32 *)sector;
    FatBootSector16 *boot16 = (FatBootSector16 *)sector;

    render_code(g, params, sector);
    render_bpb(g, &boot16->bpb);
    le16_put(&boot16->magic, FAT_BOOT_MAGIC);
    if (g->fat_type != 32) {
        render_ext(g, params, &boot16->ext);
        return;
    }
    le32_put(&boot32->sectors_per_fat32, g->sectors_per_fat);
    le32_put(&boot32->root_cluster, FAT_FIRST_CLUSTER);
    le16_put(&boot32->fsinfo_sector, BOOT_FSINFO_SECTOR);
    le16_put(&boot32->backup_boot_sector, BOOT_BACKUP_SECTOR);
    render_ext(g, params, &boot32->ext);
}

static void render_fsinfo(const BootParams *params, uint8_t *sector)
{
    FatFsInfo *info = (FatFsInfo *)sector;

    le32_put(&info->lead_magic, FAT_FSINFO_LEAD_MAGIC);
    le32_put(&info->struct_magic, FAT_FSINFO_STRUCT_MAGIC);
    le32_put(&info->free_clusters, params->free_clusters);
    le32_put(&info->next_free, params->next_free);
    le32_put(&info->trail_magic, FAT_FSINFO_TRAIL_MAGIC);
}

/* The third sector of the boot record: the user's, else its mark alone. */
static void render_third(const BootParams *params, uint8_t *sector)
{
    le16_put(&((FatBootSector16 *)sector)->magic, FAT_BOOT_MAGIC);
    copy_code(params, BOOT_RECORD_SECTORS - 1, 0, SECTOR_SIZE, sector);
}

void boot_render(const Geometry *g, const BootParams *params,
                 uint32_t sector_number, uint8_t sector[SECTOR_SIZE])
{
    uint32_t part = sector_number;

    memset(sector, 0, SECTOR_SIZE);
    if (g->fat_type == 32 && sector_number >= BOOT_BACKUP_SECTOR &&
        sector_number < BOOT_BACKUP_SECTOR + BOOT_RECORD_SECTORS) {
        part = sector_number - BOOT_BACKUP_SECTOR;
    }
    if (part == 0) {
        render_boot(g, params, sector);
    } else if (g->fat_type == 32 && part == BOOT_FSINFO_SECTOR) {
        render_fsinfo(params, sector);
    } else if (g->fat_type == 32 && part == BOOT_RECORD_SECTORS - 1) {
        render_third(params, sector);
    } else if (g->fat_type == 32) {
        copy_code(params, sector_number, 0, SECTOR_SIZE, sector);
    }
}
