/* SPDX-License-Identifier: MIT */
/*
 * The disk of ata-disk.h, by ATA/ATAPI-6 (T13 draft 1410D).
 *
 * A command moves sectors in chunks, each of which is one asynchronous
 * request; the guest moves a chunk through the data register in blocks of one
 * sector, or of as many as SET MULTIPLE MODE said:
 *
 *     read:   BSY, request --> DRQ, interrupt --> guest reads a block --> ...
 *     write:  DRQ --> guest writes blocks --> BSY, request --> interrupt ...
 *
 * A request is under way while BSY is set, and at no other time: the buffer is
 * the request's then, and the guest's otherwise. A reset waits for it.
 */
#include "ata-disk.h"

#include <string.h>

#include "ata-identify.h"
#include "ata-taskfile.h"

#define SECTOR 512
#define CHUNK 128 /* sectors; a multiple of ATA_MAX_MULTIPLE */

#define CONTROL_NIEN 0x02
#define CONTROL_SRST 0x04
#define CONTROL_HOB 0x80

typedef enum Transfer { READ, WRITE, VERIFY, FLUSH } Transfer;

struct AtaDisk {
    BlockBackend *blk;
    AioContext *ctx;
    AtaHost host;
    AtaParameters p;
    AtaTaskfile regs;
    uint8_t status, error, control;
    bool interrupt; /* pending, whatever nIEN says */

    /* The command under way. */
    Transfer transfer;
    bool ext;           /* of 48 bits */
    int64_t lba;        /* of the chunk; -1: no such cylinder, head, sector */
    unsigned left;      /* sectors, with those of the chunk */
    unsigned block;     /* sectors that the guest moves at a time */
    unsigned chunk;     /* sectors */
    unsigned max_chunk; /* sectors */
    unsigned pos;       /* bytes of the chunk that the guest has moved */
    unsigned block_end; /* in bytes, as pos */
    bool request;       /* under way */
    bool reset_wanted;  /* when it has ended */
    uint8_t buffer[CHUNK * SECTOR];
};

/* ---- Status and interrupts ---- */

static void set_status(AtaDisk *d, uint8_t status, bool interrupt)
{
    d->status = status;
    d->interrupt = interrupt;
    d->host.set_irq(d->host.opaque,
                    interrupt && !(d->control & CONTROL_NIEN) &&
                        !(d->regs.now[ATA_DEVICE] & ATA_DEVICE_1));
}

static void finish(AtaDisk *d)
{
    set_status(d, ATA_DRDY, true);
}

static void fail(AtaDisk *d, uint8_t error)
{
    d->error = error;
    set_status(d, ATA_DRDY | ATA_ERR, true);
}

/* The state after a reset, with the signature of an ATA disk. */
static void reset(AtaDisk *d)
{
    ata_taskfile_reset(&d->regs);
    d->error = 1; /* diagnostics passed */
    d->p.multiple = 0;
    d->p.write_cache = true;
    d->p.current = d->p.native;
    d->reset_wanted = false;
    set_status(d, d->control & CONTROL_SRST ? ATA_BSY : ATA_DRDY, false);
}

/* An error of the first sector of the chunk: the registers name it. */
static void fail_at_sector(AtaDisk *d, uint8_t error)
{
    if (d->lba >= 0) {
        ata_taskfile_set_address(&d->regs, &d->p.current, d->ext, d->lba);
    }
    fail(d, error);
}

/* ---- Moving sectors ---- */

static void next_chunk(AtaDisk *d);

/* Let the guest move the next block of the chunk. */
static void offer_block(AtaDisk *d, bool interrupt)
{
    d->block_end = MIN(d->pos + d->block * SECTOR, d->chunk * SECTOR);
    set_status(d, ATA_DRDY | ATA_DRQ, interrupt);
}

static void chunk_done(AtaDisk *d)
{
    d->lba += d->chunk;
    d->left -= d->chunk;
    next_chunk(d);
}

static void request_done(void *opaque, int ret)
{
    AtaDisk *d = opaque;
    bool reads = d->transfer == READ || d->transfer == VERIFY;

    d->request = false;
    if (ret < 0) {
        g_autofree char *text = blk_strerror(ret);

        d->host.error(d->host.opaque, text);
    }
    if (d->reset_wanted) {
        reset(d);
    } else if (ret < 0 && reads && d->chunk > 1) {
        d->max_chunk = 1; /* once more, to find out which sector it is */
        next_chunk(d);
    } else if (ret < 0 && reads) {
        fail_at_sector(d, ATA_UNC);
    } else if (ret < 0) {
        fail(d, ATA_ABRT);
    } else if (d->transfer == FLUSH) {
        finish(d);
    } else if (d->transfer == READ) {
        offer_block(d, true);
    } else {
        chunk_done(d);
    }
}

static void submit(AtaDisk *d)
{
    size_t bytes = d->chunk * SECTOR;
    IOVector iov;

    iov_init_buf(&iov, d->buffer, bytes);
    d->request = true;
    set_status(d, ATA_BSY, false);
    if (d->transfer == FLUSH) {
        blk_aio_flush(d->blk, d->ctx, request_done, d);
    } else if (d->transfer == WRITE) {
        blk_aio_pwritev(d->blk, d->ctx, d->lba * SECTOR, &iov,
                        d->p.write_cache ? 0 : BDRV_REQ_FUA, request_done, d);
    } else {
        blk_aio_preadv(d->blk, d->ctx, d->lba * SECTOR, &iov, 0, request_done,
                       d);
    }
}

/* Begin the next chunk of the command, or end it. */
static void next_chunk(AtaDisk *d)
{
    bool first = d->pos == 0;

    if (d->left == 0 && d->transfer == READ) {
        set_status(d, ATA_DRDY, false); /* the guest has it all */
        return;
    } else if (d->left == 0) {
        finish(d);
        return;
    } else if (d->lba < 0 || d->lba >= d->p.sectors) {
        fail_at_sector(d, ATA_IDNF);
        return;
    }
    d->chunk = MIN(d->left, d->max_chunk);
    d->chunk = (unsigned)MIN(d->chunk, d->p.sectors - d->lba);
    d->pos = 0;
    if (d->transfer == WRITE) {
        offer_block(d, !first); /* no interrupt before the first block */
    } else {
        submit(d);
    }
}

/* The guest has moved two bytes. */
static void data_moved(AtaDisk *d)
{
    d->pos += 2;
    if (d->pos < d->block_end) {
        return;
    } else if (d->pos < d->chunk * SECTOR) {
        offer_block(d, true);
    } else if (d->transfer == WRITE) {
        submit(d);
    } else {
        chunk_done(d);
    }
}

/* ---- Commands ---- */

/* block: sectors at a time, 0: not set */
static void start(AtaDisk *d, Transfer transfer, bool ext, unsigned block)
{
    if (block == 0) {
        fail(d, ATA_ABRT);
        return;
    }
    d->transfer = transfer;
    d->ext = ext;
    d->lba = ata_taskfile_address(&d->regs, &d->p.current, ext);
    d->left = ata_taskfile_count(&d->regs, ext);
    d->block = block;
    d->max_chunk = CHUNK;
    d->pos = 0;
    next_chunk(d);
}

static void flush(AtaDisk *d)
{
    d->transfer = FLUSH;
    d->chunk = 0;
    submit(d);
}

static void set_features(AtaDisk *d)
{
    switch (d->regs.now[ATA_ERROR]) {
    case 0x02:
        d->p.write_cache = true;
        finish(d);
        break;
    case 0x82: /* what the cache has is to be on the disk */
        d->p.write_cache = false;
        flush(d);
        break;
    case 0x03: /* transfer mode: PIO alone */
        if (d->regs.now[ATA_COUNT] <= 0x01 ||
            (d->regs.now[ATA_COUNT] & 0xf8) == 0x08) {
            finish(d);
            break;
        }
        /* fall through */
    default:
        fail(d, ATA_ABRT);
    }
}

static void set_multiple(AtaDisk *d)
{
    unsigned count = d->regs.now[ATA_COUNT];

    if (count > ATA_MAX_MULTIPLE || (count & (count - 1))) {
        fail(d, ATA_ABRT);
        return;
    }
    d->p.multiple = count; /* 0 turns it off */
    finish(d);
}

static void initialize_parameters(AtaDisk *d)
{
    uint32_t heads = (d->regs.now[ATA_DEVICE] & 0x0fu) + 1;
    uint32_t per_track = d->regs.now[ATA_COUNT];

    if (per_track == 0 || d->p.sectors < heads * per_track) {
        fail(d, ATA_ABRT);
        return;
    }
    d->p.current.heads = heads;
    d->p.current.per_track = per_track;
    d->p.current.cylinders = (uint32_t)MIN(d->p.sectors / (heads * per_track),
                                           65535);
    finish(d);
}

static void identify(AtaDisk *d)
{
    ata_identify(&d->p, d->buffer);
    d->transfer = READ;
    d->chunk = d->left = d->block = 1;
    d->pos = 0;
    offer_block(d, true);
}

static const struct {
    Transfer transfer;
    uint8_t code;
    bool ext, multiple;
} transfers[] = {
    { READ, 0x20, false, false },   { READ, 0x21, false, false },
    { READ, 0x24, true, false },    { READ, 0x29, true, true },
    { READ, 0xc4, false, true },    { WRITE, 0x30, false, false },
    { WRITE, 0x31, false, false },  { WRITE, 0x34, true, false },
    { WRITE, 0x39, true, true },    { WRITE, 0xc5, false, true },
    { VERIFY, 0x40, false, false }, { VERIFY, 0x41, false, false },
    { VERIFY, 0x42, true, false },
};

static void command(AtaDisk *d, uint8_t code)
{
    d->error = 0;
    for (unsigned i = 0; i < G_N_ELEMENTS(transfers); i++) {
        if (transfers[i].code == code) {
            start(d, transfers[i].transfer, transfers[i].ext,
                  transfers[i].multiple ? d->p.multiple : 1);
            return;
        }
    }
    switch (code) {
    case 0x90: /* EXECUTE DEVICE DIAGNOSTIC */
        reset(d);
        finish(d);
        break;
    case 0x91:
        initialize_parameters(d);
        break;
    case 0xc6:
        set_multiple(d);
        break;
    case 0xe0: /* STANDBY IMMEDIATE */
    case 0xe7: /* FLUSH CACHE */
    case 0xea: /* FLUSH CACHE EXT */
        flush(d);
        break;
    case 0xe1: /* IDLE IMMEDIATE */
        finish(d);
        break;
    case 0xe5: /* CHECK POWER MODE: active */
        d->regs.now[ATA_COUNT] = 0xff;
        finish(d);
        break;
    case 0xec:
        identify(d);
        break;
    case 0xef:
        set_features(d);
        break;
    default:
        fail(d, ATA_ABRT);
    }
}

/* ---- Registers ---- */

static void write_control(AtaDisk *d, uint8_t value)
{
    bool changed = ((d->control ^ value) & CONTROL_SRST) != 0;

    d->control = value;
    if (changed && d->request) {
        d->reset_wanted = true; /* BSY until then */
    } else if (changed) {
        reset(d);
    } else {
        set_status(d, d->status, d->interrupt);
    }
}

uint8_t ata_disk_read(AtaDisk *d, unsigned reg)
{
    bool absent = (d->regs.now[ATA_DEVICE] & ATA_DEVICE_1) != 0;

    if (reg == ATA_STATUS && !absent) {
        set_status(d, d->status, false);
    }
    if (reg == ATA_STATUS || reg == ATA_CONTROL) {
        return absent ? 0 : d->status;
    } else if (reg == ATA_ERROR) {
        return d->error;
    }
    return d->control & CONTROL_HOB ? d->regs.before[reg & 7]
                                    : d->regs.now[reg & 7];
}

void ata_disk_write(AtaDisk *d, unsigned reg, uint8_t value)
{
    if (reg == ATA_CONTROL) {
        write_control(d, value);
        return;
    }
    d->control &= (uint8_t)~CONTROL_HOB;
    if (d->status & (ATA_BSY | ATA_DRQ)) {
        return;
    } else if (reg == ATA_STATUS) {
        if (!(d->regs.now[ATA_DEVICE] & ATA_DEVICE_1) || value == 0x90) {
            command(d, value);
        }
        return;
    }
    ata_taskfile_write(&d->regs, reg, value);
    set_status(d, d->status, d->interrupt); /* another device, perhaps */
}

uint16_t ata_disk_read_data(AtaDisk *d)
{
    const uint8_t *p = d->buffer + d->pos;

    if (!(d->status & ATA_DRQ) || d->transfer != READ) {
        return 0xffff;
    }
    uint16_t value = (uint16_t)(p[0] | p[1] << 8);
    data_moved(d);
    return value;
}

void ata_disk_write_data(AtaDisk *d, uint16_t value)
{
    uint8_t *p = d->buffer + d->pos;

    if ((d->status & ATA_DRQ) && d->transfer == WRITE) {
        p[0] = (uint8_t)value;
        p[1] = (uint8_t)(value >> 8);
        data_moved(d);
    }
}

/* ---- Making one ---- */

AtaDisk *ata_disk_new(BlockBackend *blk, AioContext *ctx, const AtaHost *host,
                      GError **errp)
{
    BlkGeometry geometry;
    int64_t length = blk_getlength(blk);
    int ret = length < 0 ? (int)length : blk_get_geometry(blk, &geometry);

    if (ret < 0) {
        g_autofree char *text = blk_strerror(ret);

        block_error_set(errp, -ret, "No disk can be made of this: %s", text);
        return NULL;
    }
    AtaDisk *d = g_new0(AtaDisk, 1);

    d->blk = blk;
    d->ctx = aio_context_ref(ctx);
    d->host = *host;
    d->p.sectors = length / SECTOR;
    d->p.native = (AtaAddressing){ geometry.cylinders, geometry.heads,
                                   geometry.sectors };
    if (geometry.heads > 16) { /* a BIOS's; the register has four bits */
        int64_t cylinders = d->p.sectors / (16 * 63);

        d->p.native = (AtaAddressing){ (uint32_t)MIN(cylinders, 16383), 16,
                                       63 };
    }
    reset(d);
    return d;
}

void ata_disk_free(AtaDisk *d)
{
    if (d == NULL) {
        return;
    }
    while (d->request) {
        aio_context_poll(d->ctx, -1);
    }
    aio_context_unref(d->ctx);
    g_free(d);
}
