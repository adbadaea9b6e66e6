/* SPDX-License-Identifier: MIT */
/* Between the files of writable. */
#ifndef VVFAT_WRITABLE_INT_H
#define VVFAT_WRITABLE_INT_H

#include <pthread.h>
#include <stdatomic.h>

#include "block/new-file.h"
#include "block/vvfat/committer.h"
#include "block/vvfat/journal.h"
#include "block/vvfat/kept-identity.h"
#include "block/vvfat/protect.h"
#include "block/vvfat/rescue-image.h"
#include "block/vvfat/scratch.h"
#include "block/vvfat/writable.h"

/* An overlay that is kept (writable-kept.c). */
typedef struct Kept {
    BdrvChild *child;
    Journal *journal;
    Redo *redo;
    GHashTable *planned; /* Inode: what the plan being run is about, or found
                            to be gone */
    bool has_fingerprint;
    Fingerprint fingerprint; /* of the disk as it was made */
} Kept;

struct Writable {
    BlockDriverState *bs;
    const VvfatConfig *config;
    char *absolute_dir;  /* where it was when it was opened, wherever the
                           process goes */
    char *overlay_place; /* for messages */
    HostFs *fs;
    const Layout *layout; /* NULL: the overlay has all metadata */
    Geometry geometry;
    WritableFacts facts;
    Report *report; /* under report_lock */
    pthread_mutex_t report_lock;

    /* Where the volume stands on the disk, bytes. */
    int64_t disk_bytes, volume_offset, volume_bytes, data_offset, data_end;
    uint32_t cluster_size;

    Overlay *overlay;
    GuestState *state; /* the committer's, while it runs */
    DataMap *map;
    Protect *protect;     /* NULL: nothing to protect */
    Commit *commit;       /* the committer's */
    Committer *committer; /* NULL: there is nothing to commit yet */

    /* The last commit. It holds `finishing`; others that a program asks for
     * hold it shared, and so does who waits for the last one. */
    pthread_rwlock_t finishing;
    atomic_bool is_finished; /* it has begun, and nothing can be written any
                                more; changed with the overlay locked, too */
    bool is_over;            /* it has ended, and what it left over is kept; */
    char *lost;              /* or it is not, in these words */

    Kept *kept;   /* NULL: the overlay goes with the process */
    NewFile made; /* the image of `kept`, if it was made now: until it can be
                     used, it goes with the attempt */

    /* The committer's, while it runs; it is replaced under report_lock. NULL:
     * nothing is kept in an image. */
    RescueImage *rescue;
    SparseBitmap *unkept; /* sectors that the image has not as they are */
};

/* The disk as the directory has it, without what the guest wrote; with the
 * gate of the overlay held. OverlayConfig.read_base. */
int writable_read_base(void *opaque, int64_t offset, const IOVector *iov,
                       size_t iov_offset, size_t bytes);

/* OverlayConfig.check_write and .kept_run. */
int writable_check_write(void *opaque, int64_t offset, int64_t bytes,
                         const IOVector *iov);
int64_t writable_kept_run(void *opaque, int64_t offset, int64_t bytes,
                          const IOVector *iov, size_t iov_offset, bool *kept);

/* CommitterTell: to the node's listeners. */
void writable_tell(const BlkEvent *event, void *opaque);

/* CommitConfig.updated and .check_partition. */
void writable_refresh_protection(void *opaque);
char *writable_check_partition(void *opaque);

/* After is_finished: wait for the last commit. 0; or -EIO with a message, when
 * what was written is neither in the directory nor kept. */
int writable_finished(Writable *w) G_GNUC_WARN_UNUSED_RESULT;

/* ---- Room in the overlay (writable-room.c) ---- */

/* Where the overlay stands, for messages, behind "the overlay"; g_free(). */
char *writable_overlay_place(const VvfatConfig *config);
/* Before so many bytes are written: 0, or -errno with a message. A commit can
 * make room. */
int writable_make_room(Writable *w, int64_t bytes) G_GNUC_WARN_UNUSED_RESULT;
/* Whether an error means that a file system is full. */
bool writable_is_full(int ret);
/* If the overlay's is, have words for the request that has failed so. */
void writable_explain_full(const Writable *w, int ret);

/* ---- Parts of opening (writable.c); each false with *errp ---- */

/* An empty one. w->bs, config, fs and report are set. */
Writable *writable_alloc(BlockDriverState *bs, const VvfatConfig *config,
                         HostFs *fs, Report *report);
bool writable_lock_directory(Writable *w, GError **errp);
void writable_set_geometry(Writable *w, const Geometry *geometry);
uint32_t writable_unit(const Writable *w);
/* The overlay over `child`; units at `base` of it, and kept, or not. */
void writable_make_overlay(Writable *w, BdrvChild *child, int64_t base,
                           bool is_kept);
/* The state of a volume with this boot sector and this MBR; initial: what the
 * FATs were when it was opened (GuestStateConfig). */
bool writable_make_state(Writable *w, const uint8_t boot[SECTOR_SIZE],
                         GuestStateRead *initial, GError **errp);
/* Entries and clusters that may not be written; then commits can begin. With
 * the hooks that are set in `hooks`, and nothing else of it. */
bool writable_start(Writable *w, const CommitConfig *hooks, GError **errp);
/* Bytes of the volume as the layout has them; GuestStateRead. */
int writable_read_initial(void *opaque, int64_t offset, int64_t bytes,
                          void *buf);

/* ---- An overlay that is kept ---- */

/* Places in the image, bytes. */
#define KEPT_AREA_BYTES (INT64_C(1) << 30)
#define KEPT_REDO (INT64_C(1) << 20)
#define KEPT_AREAS (INT64_C(16) << 20)
#define KEPT_DISK (KEPT_AREAS + 2 * KEPT_AREA_BYTES)

Kept *kept_new(BdrvChild *child);
void kept_free(Kept *kept);

/* CommitConfig's. */
int kept_begin(const Plan *plan, void *opaque);
int kept_staged(const Plan *plan, void *opaque);
int kept_done(void *opaque);
void kept_lost(Inode *inode, void *opaque);

/* The image (kept-make.c), opened: w->kept. *layout is set, and is the
 * caller's, when the image was not there. */
bool kept_get_image(Writable *w, BlockDriverState *bs, Options *options,
                    Layout **layout, GError **errp);
/* One that has no volume yet gets one, and *layout is set. *identity: what the
 * image says of itself; g_byte_array_unref(). */
bool kept_prepare(Writable *w, Layout **layout, GByteArray **identity,
                  GError **errp);
/* Bytes that the image has for the volume. */
int64_t kept_image_bytes(const Writable *w);
/* What says whose the directory is, as it is now. */
bool kept_directory_id(Writable *w, KeptIdentity *id, GError **errp);
/* Set *errp: the image is not this directory's, and why. False. */
bool kept_refuse(const Writable *w, const char *why, GError **errp);
/* The same for -errno, while it was opened or made ("open", "make"). */
bool kept_fail(const Writable *w, const char *doing, int ret, GError **errp);

/* ---- What cannot be committed (writable-rescue.c) ---- */

/* CommitConfig.touched, .suspended and .complete, without an overlay that is
 * kept. */
void writable_note_written(int64_t offset, int64_t bytes, void *opaque);
int writable_keep_suspended(void *opaque, char **words);
void writable_drop_rescue(void *opaque);

/* After the last commit: keep that in an image. Its name, for g_free(), or
 * NULL and *errp. */
char *writable_rescue(Writable *w, GError **errp);

#endif
