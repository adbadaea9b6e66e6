/* SPDX-License-Identifier: MIT */
/*
 * Block devices for embedders: open one, read and write it, ask about it.
 *
 * A BlockBackend (blk_*) is what a program holds. Under it stands a graph of
 * nodes (BlockDriverState, bdrv_*), each run by a driver. Names, options and
 * semantics are QEMU's where QEMU has them.
 *
 * Units: offsets and lengths are bytes in int64_t, never negative.
 * Errors: I/O gives 0 (or a value >= 0) or a negative errno; everything that
 * opens, creates or configures takes `GError **errp` last (see error.h).
 * Threads: any blk_* I/O call may run on any thread, many at a time. Opening,
 * closing and reopening a backend must not run beside calls on that backend;
 * blk_change_medium() may run beside requests and questions.
 */
#ifndef BLOCK_BLOCK_H
#define BLOCK_BLOCK_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "block/error.h"
#include "block/iov.h"
#include "block/options.h"

G_BEGIN_DECLS

typedef struct BlockBackend BlockBackend;
typedef struct BlockDriver BlockDriver;
typedef struct BlockDriverState BlockDriverState;

/* ---- Flags of an open ---- */

#define BDRV_O_RDWR 0x0001u        /* read and write; without it: read-only */
#define BDRV_O_RESIZE 0x0002u      /* blk_truncate() will be called */
#define BDRV_O_AUTO_RDONLY 0x0004u /* degrade to read-only if rw is refused */
#define BDRV_O_UNMAP 0x0008u       /* discards reach the host */
#define BDRV_O_NO_FLUSH 0x0010u    /* a flush does not wait for the disk */
#define BDRV_O_FORCE_SHARE 0x0020u /* read-only, whoever writes (-U) */
#define BDRV_O_NO_BACKING 0x0040u  /* do not open the backing file */
#define BDRV_O_PROTOCOL 0x0080u    /* no format on top of the protocol */
#define BDRV_O_CHECK 0x0100u       /* for blk_check(): a damaged image opens */
#define BDRV_O_BACKING 0x0200u     /* opened for what an overlay shows of it */
#define BDRV_O_ANY_BACKING 0x0400u /* read on a directory that has changed */

/* ---- Flags of a request ---- */

#define BDRV_REQ_FUA 0x01u              /* durable when it returns */
#define BDRV_REQ_MAY_UNMAP 0x02u        /* zeroes may become a hole */
#define BDRV_REQ_NO_FALLBACK 0x04u      /* -ENOTSUP rather than slow zeroes */
#define BDRV_REQ_WRITE_UNCHANGED 0x08u  /* the data read is what is written */
#define BDRV_REQ_WRITE_COMPRESSED 0x10u /* compress, if the format can */

/* ---- Permissions (of an edge to a node) ---- */

#define BLK_PERM_CONSISTENT_READ 0x01u
#define BLK_PERM_WRITE 0x02u
#define BLK_PERM_WRITE_UNCHANGED 0x04u
#define BLK_PERM_RESIZE 0x08u
#define BLK_PERM_ALL 0x0fu

typedef enum PreallocMode {
    PREALLOC_MODE_OFF,
    PREALLOC_MODE_METADATA,
    PREALLOC_MODE_FALLOC,
    PREALLOC_MODE_FULL,
} PreallocMode;

/* ---- Opening and closing ---- */

/*
 * Open an image.
 *
 * name: a file name, a name with a protocol prefix ("fat:DIR"), or
 *     "json:{...}"; NULL when options alone describe the image.
 * options: further options ("driver", "file.filename", ...); NULL for none.
 *     The caller keeps them; they are copied.
 * flags: BDRV_O_*.
 *
 * Without a "driver" option the format is probed. The backend takes
 * CONSISTENT_READ, with BDRV_O_RDWR also WRITE, with BDRV_O_RESIZE also
 * RESIZE, and shares CONSISTENT_READ and WRITE_UNCHANGED (all, with
 * BDRV_O_FORCE_SHARE). Returns NULL and sets *errp on failure.
 */
BlockBackend *blk_open(const char *name, const Options *options,
                       unsigned flags, GError **errp)
    G_GNUC_WARN_UNUSED_RESULT;

/* The same with permissions of the caller's choice. */
BlockBackend *blk_open_with_perm(const char *name, const Options *options,
                                 unsigned flags, unsigned perm,
                                 unsigned shared, GError **errp)
    G_GNUC_WARN_UNUSED_RESULT;

/*
 * Flush and close. blk may be NULL. Asynchronous requests under way (aio.h) are
 * carried out first, also those that a drained section of another backend keeps
 * waiting: then this waits for its end. Whoever has written calls blk_flush()
 * before and heeds what it returns: formats (qcow, qcow2) hold tables in memory
 * until then, so what a write that succeeded has put into the image can still
 * fail to get there, and here nobody is told.
 */
void blk_close(BlockBackend *blk);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(BlockBackend, blk_close)

/*
 * Another medium in the same device: name, options and flags as blk_open() has
 * them. name and options NULL: what was opened last, as it is now on the host;
 * relative names are looked up from where the process is by now. (A vvfat disk
 * with overlay=FILE shows the volume in FILE again.)
 *
 * Requests made before it, asynchronous ones, too, go to the old medium; those
 * made meanwhile, or that a drained section keeps waiting, wait, and go to the
 * new one. Event handlers and drained sections carry over, and so do the
 * permissions of blk_open_with_perm(); others, and whether the device can be
 * written and resized, follow from the flags.
 *
 * First everything that the guest wrote to the old medium is committed. If the
 * host fails, or if something has to wait, nothing is changed: the guest can
 * finish what it was doing. A program that will not wait for it calls
 * blk_commit(finish) first, which keeps what is missing in an image.
 *
 * false, *errp: the device is as it was, but for one case. Where the same
 * image is locked by the old medium, or the new one has a node of the same
 * name, the old one is closed first; if the new one cannot be opened then, the
 * old one is opened again, and if that fails, too, there is no medium: the
 * length is 0, requests fail with -ENOMEDIUM, and this can be called again.
 * Both are told, as success is, by BLK_EVENT_MEDIUM_CHANGED (event.h).
 * blk_getlength() and the like, which do not wait, may find no medium in
 * between.
 */
bool blk_change_medium(BlockBackend *blk, const char *name,
                       const Options *options, unsigned flags, GError **errp)
    G_GNUC_WARN_UNUSED_RESULT;

/* Make read-only or read-write. On failure the backend stays as it was. */
bool blk_set_read_only(BlockBackend *blk, bool read_only, GError **errp)
    G_GNUC_WARN_UNUSED_RESULT;

/* ---- I/O ---- */

/*
 * Read or write `bytes` bytes at `offset`. The vector holds exactly `bytes`.
 * -EIO for a range outside the device, -EPERM/-EACCES for a missing
 * permission or a read-only node. write flags: FUA, WRITE_UNCHANGED,
 * WRITE_COMPRESSED: -ENOTSUP where the driver does not compress
 * (BdrvLimits.supported_write_flags), -EINVAL for a range that is not whole
 * clusters up to the end of the device.
 */
int blk_preadv(BlockBackend *blk, int64_t offset, int64_t bytes,
               const IOVector *iov, unsigned flags) G_GNUC_WARN_UNUSED_RESULT;
int blk_pwritev(BlockBackend *blk, int64_t offset, int64_t bytes,
                const IOVector *iov, unsigned flags) G_GNUC_WARN_UNUSED_RESULT;
int blk_pread(BlockBackend *blk, int64_t offset, int64_t bytes, void *buf,
              unsigned flags) G_GNUC_WARN_UNUSED_RESULT;
int blk_pwrite(BlockBackend *blk, int64_t offset, int64_t bytes,
               const void *buf, unsigned flags) G_GNUC_WARN_UNUSED_RESULT;

/* Make the range read as zeroes. flags: FUA, MAY_UNMAP, NO_FALLBACK. */
int blk_pwrite_zeroes(BlockBackend *blk, int64_t offset, int64_t bytes,
                      unsigned flags) G_GNUC_WARN_UNUSED_RESULT;

/* A hint that the contents are not needed; they are undefined afterwards. */
int blk_pdiscard(BlockBackend *blk, int64_t offset, int64_t bytes)
    G_GNUC_WARN_UNUSED_RESULT;

/* Everything written before is durable when this returns 0; with
 * BDRV_O_NO_FLUSH it is in the host's files, but perhaps not on the disk yet.
 *
 * It can be called again after an error. That of a file of the host (an image,
 * a device, an overlay that is kept) is final, and all that follow give it,
 * since the host may have given up what was written after the last flush that
 * worked: close the backend, open and check the image, and write that anew. A
 * writable directory keeps what it could not commit: the next flush writes and
 * syncs it once more, and when that gives 0, everything is durable. */
int blk_flush(BlockBackend *blk) G_GNUC_WARN_UNUSED_RESULT;

/* Bytes of the device, or a negative errno. */
int64_t blk_getlength(BlockBackend *blk);

/* Bytes that the image takes on the host, or -ENOTSUP. */
int64_t blk_get_allocated_size(BlockBackend *blk);

/*
 * Change the size. exact: fail rather than end up larger (a block device).
 * Needs BDRV_O_RESIZE. New bytes read as zeroes.
 */
int blk_truncate(BlockBackend *blk, int64_t size, bool exact,
                 PreallocMode prealloc, GError **errp)
    G_GNUC_WARN_UNUSED_RESULT;

/*
 * Copy between devices without moving the bytes through user space, where
 * driver and kernel can: by sharing blocks or by an in-kernel copy. -ENOTSUP
 * means nothing was copied and plain reads and writes must do it. May copy
 * into the same device when the ranges do not overlap. flags: FUA.
 */
int blk_copy_range(BlockBackend *src, int64_t src_offset, BlockBackend *dst,
                   int64_t dst_offset, int64_t bytes, unsigned flags)
    G_GNUC_WARN_UNUSED_RESULT;

/* ---- Block status ---- */

#define BDRV_BLOCK_DATA 0x01u         /* must be read to know it */
#define BDRV_BLOCK_ZERO 0x02u         /* reads as zeroes */
#define BDRV_BLOCK_OFFSET_VALID 0x04u /* `map` says where it stands */
#define BDRV_BLOCK_RAW 0x08u          /* driver: ask `file` at `map` */
#define BDRV_BLOCK_ALLOCATED 0x10u    /* this layer decides the contents */
#define BDRV_BLOCK_EOF 0x20u          /* the range ends at the device's end */
#define BDRV_BLOCK_RECURSE 0x40u      /* driver: look for zeroes in `file` */
#define BDRV_BLOCK_COMPRESSED 0x80u   /* stored compressed */

#define BDRV_WANT_PRECISE 0x01u   /* spend effort to tell zeroes from data */
#define BDRV_WANT_HOST_FILE 0x02u /* fill in `host_file` */

typedef struct BdrvBlockStatus {
    unsigned flags;         /* BDRV_BLOCK_* */
    int depth;              /* 0: the top image, 1: its backing file, ... */
    int64_t bytes;          /* length of the range with this status, >= 1 */
    int64_t map;            /* with OFFSET_VALID: offset in file/host_file */
    BlockDriverState *file; /* the node that holds the data, or NULL */
    char *host_file;        /* path of a host file that holds it and is no
                               node of its own (vvfat), or NULL; g_free() */
} BdrvBlockStatus;

void bdrv_block_status_clear(BdrvBlockStatus *status);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(BdrvBlockStatus, bdrv_block_status_clear)

/*
 * The status of the first bytes from offset on. `bytes` > 0 bounds the answer;
 * status->bytes is in 1..bytes. DATA and ZERO can both be set (allocated, and
 * known to be zero). Clear *status with bdrv_block_status_clear().
 */
int blk_block_status(BlockBackend *blk, int64_t offset, int64_t bytes,
                     unsigned want, BdrvBlockStatus *status)
    G_GNUC_WARN_UNUSED_RESULT;

/* ---- Information ---- */

typedef struct BdrvInfo {
    int64_t virtual_size;   /* bytes */
    int64_t allocated_size; /* bytes on the host; -1: not known */
    int64_t cluster_size;   /* bytes; 0: none */
    bool dirty;             /* not closed cleanly */
    bool read_only;
    bool encrypted;
    const char *format;          /* driver name; static */
    const char *specific_format; /* driver that `specific` is from; static */
    char *filename;              /* plain name, or "json:{...}" */
    char *backing_filename;      /* as recorded in the image; NULL: none */
    char *backing_format;        /* NULL: none recorded */
    char *full_backing_filename; /* resolved; NULL: none */
    Options *specific; /* driver-specific facts, nested by dots; a list
                               "report.N.{kind,path,detail}" names everything
                               skipped, renamed or clamped, and conflicts;
                               "pending.N.{path,reason}" what waits to be
                               committed; "commit.rescue" the image that
                               keeps it after the last commit */
} BdrvInfo;

BdrvInfo *blk_get_info(BlockBackend *blk, GError **errp);
void bdrv_info_free(BdrvInfo *info);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(BdrvInfo, bdrv_info_free)

bool blk_is_read_only(BlockBackend *blk);

/*
 * The geometry for machines that address by cylinder, head and sector (BIOS
 * INT 13h, ATA): the driver's own (vvfat), else the one that the partition
 * table fits, else 63 sectors and as many heads as the size asks for.
 * cylinders: 1..16383 (what is behind them is reached by LBA alone); heads:
 * 1..255 (more than 16 are a BIOS's: an ATA disk has 16 then, and 63 sectors);
 * sectors: 1..63, of 512 bytes. 0; -EMEDIUMTYPE when the device is smaller than
 * one sector; -ENOMEDIUM; or the error of reading it.
 */
typedef struct BlkGeometry {
    uint32_t cylinders, heads, sectors;
    bool is_floppy; /* by its size, or since the driver says so */
} BlkGeometry;

int blk_get_geometry(BlockBackend *blk, BlkGeometry *geometry)
    G_GNUC_WARN_UNUSED_RESULT;

/* The name that opens this image again: plain or "json:{...}"; g_free(). */
char *blk_get_filename(BlockBackend *blk);

/* Driver name of the top node ("raw", "vvfat"); static. */
const char *blk_get_format_name(BlockBackend *blk);

/*
 * What went wrong with the last blk_* request that failed on this thread: the
 * driver's own words ("'a/b.txt' has shrunk while it was read"), else the
 * system's text for -ret. g_free().
 */
char *blk_strerror(int ret);

/* Preferred request sizes in bytes; 0: no preference. */
typedef struct BdrvLimits {
    uint32_t request_alignment; /* power of two, >= 1; kept by the core */
    int64_t max_transfer;       /* 0: none; kept by the core */
    int64_t opt_transfer;
    int64_t max_pwrite_zeroes;        /* 0: none; kept by the core */
    uint32_t pwrite_zeroes_alignment; /* 0: request_alignment */
    int64_t max_pdiscard;
    uint32_t pdiscard_alignment;
    int64_t
        min_copy_range; /* shorter copies are not worth copy_range; 0: n/a */
    unsigned
        supported_write_flags; /* BDRV_REQ_FUA, BDRV_REQ_WRITE_COMPRESSED */
    unsigned supported_zero_flags; /* FUA, MAY_UNMAP, NO_FALLBACK */
} BdrvLimits;

BdrvLimits blk_get_limits(BlockBackend *blk);

/* Whether a freshly created image of this kind reads as zeroes. */
bool blk_has_zero_init(BlockBackend *blk);

/*
 * Reasons why saving machine state or migrating is unsafe now, one string
 * each; an empty list means it is safe. g_strfreev().
 */
char **blk_get_state_save_blockers(BlockBackend *blk);

/* Wait until no request is under way, asynchronous ones that were made before
 * included, and keep new ones waiting. Nests. The completions of asynchronous
 * requests then wait to be dispatched. */
void blk_drained_begin(BlockBackend *blk);
void blk_drained_end(BlockBackend *blk);

/* Wait until the requests made so far, asynchronous ones included, have been
 * carried out; but not for those that a drained section keeps waiting. */
void blk_drain(BlockBackend *blk);

/*
 * Bring what was written into what lies beneath the image, now: a writable
 * vvfat disk into its directory. Images that write through have nothing to do.
 * May be called on any thread, beside requests. 0; or -errno and *errp when
 * the host failed: what is not there stays pending until the next commit. A
 * disk that commits by itself (commit=write, flush or idle) tries that after
 * some seconds; with commit=manual it is for the program to ask again. What
 * waits because the guest has written half of it, or because it is damaged, is
 * no error: blk_get_info() lists it ("pending.N.path", "pending.N.reason").
 *
 * finish: nothing will be written any more. Writes fail from then on, with
 * -ESHUTDOWN, also those that were waiting for room; those that returned
 * success before are part of it, and flushes wait for it. Now everything that
 * waits is an error, -EIO: it is kept in an image, and *errp gives a reason and
 * that image's name; blk_get_info() names all that waits, and the image
 * ("commit.rescue"). A disk with commit=manual is not committed by that. Called
 * again, or closed, it does nothing more, unless what waits could not be kept,
 * either: then it is tried again, and flushes fail until that has succeeded.
 * blk_close() alone does the same, but has nobody to tell, save by events
 * (event.h).
 */
int blk_commit(BlockBackend *blk, bool finish, GError **errp)
    G_GNUC_WARN_UNUSED_RESULT;

/* Drop everything written into a copy-on-write image. */
int blk_make_empty(BlockBackend *blk, GError **errp) G_GNUC_WARN_UNUSED_RESULT;

/* ---- Backing files ---- */

/*
 * The name under which the backing file `backing` of the image `image` is
 * opened: a relative name is relative to the directory of the image. Fails
 * when there is no such directory ("json:{...}" without a file name). g_free().
 */
char *bdrv_full_backing_filename(const char *image, const char *backing,
                                 GError **errp) G_GNUC_WARN_UNUSED_RESULT;

/*
 * Record another backing file in the image; NULL: none. The record alone: the
 * contents stay as they are, and so does the backing file in use. format: of
 * the backing file, or NULL. Needs a read-write backend. 0 or -errno; -ENOTSUP
 * when the format has none; -EINVAL when the name is too long.
 */
int blk_change_backing_file(BlockBackend *blk, const char *backing,
                            const char *format, GError **errp)
    G_GNUC_WARN_UNUSED_RESULT;

/*
 * A backing file that is a directory (vvfat) is another disk when the
 * directory has changed. Formats that can (qcow2) keep a fingerprint of the
 * disk that an image was written on, and are not opened on another one, but
 * for reading with BDRV_O_ANY_BACKING. An image that holds nothing keeps it
 * with the first write by itself; this is for one that does. backing: what the
 * backing file is to be, opened; NULL: the one that the image is open with.
 * When that is made of no directory, what is kept is forgotten, as it is by
 * blk_change_backing_file(). Needs a read-write backend. 0 or -errno; 0, too,
 * when the format keeps none, or has no room for it.
 */
int blk_record_fingerprint(BlockBackend *blk, BlockBackend *backing,
                           GError **errp) G_GNUC_WARN_UNUSED_RESULT;

/* ---- Checking ---- */

#define BDRV_FIX_LEAKS 0x1u
#define BDRV_FIX_ERRORS 0x2u

typedef struct BdrvCheckResult {
    int64_t corruptions, corruptions_fixed;
    int64_t leaks, leaks_fixed;
    int64_t check_errors; /* things that could not be checked */
    int64_t image_end_offset;
    int64_t total_clusters, allocated_clusters;
    int64_t fragmented_clusters, compressed_clusters;
    /* A line about each finding; may be NULL. Set by the caller. */
    void (*message)(const char *text, void *opaque);
    void *opaque;
} BdrvCheckResult;

/* -ENOTSUP when the format has no check. */
int blk_check(BlockBackend *blk, BdrvCheckResult *result, unsigned fix,
              GError **errp) G_GNUC_WARN_UNUSED_RESULT;

/* ---- Creating and measuring ---- */

/*
 * Create an image. format: driver name; options: values for the driver's
 * create options ("size" among them), validated; the caller keeps them.
 */
bool bdrv_create(const char *format, const char *filename,
                 const Options *options, GError **errp)
    G_GNUC_WARN_UNUSED_RESULT;

typedef struct BdrvMeasure {
    uint64_t required;        /* bytes for the data there is */
    uint64_t fully_allocated; /* bytes when every cluster is written */
} BdrvMeasure;

/* How large an image of `format` with these create options would get, for
 * the data of `source` (or, with source NULL, for options' "size"). */
bool bdrv_measure(const char *format, const Options *options,
                  BlockBackend *source, BdrvMeasure *measure, GError **errp)
    G_GNUC_WARN_UNUSED_RESULT;

/* ---- Drivers ---- */

/* NULL-terminated list of driver names, sorted; g_free() the array only. */
const char **bdrv_list_formats(void);

/* The help of a driver's runtime or creation options, or NULL; with format
 * NULL, of the runtime options that every node has. g_free(). */
char *bdrv_format_options_help(const char *format, bool create);

/* ---- For drivers and advanced embedders ---- */

/* The root node; another one after blk_change_medium(). */
BlockDriverState *blk_bs(BlockBackend *blk);

G_END_DECLS

#endif
