/* SPDX-License-Identifier: MIT */
/*
 * Writing a block driver.
 *
 * A driver is one constant BlockDriver. Built-in drivers stand in the table in
 * block/driver-table.c; a program adds its own with bdrv_register(). A node's
 * private memory (instance_size bytes, zeroed) comes from bdrv_opaque().
 *
 * Threads: I/O callbacks run on any thread, many at a time, on one node; the
 * driver locks what it must and says so in its head comment. open, close,
 * check and reopen_* run with the node drained: no request is under way.
 * *_perm run one at a time, but requests may run beside them. I/O callbacks
 * may block.
 *
 * Guarantees of the core to I/O callbacks: the range lies inside the device
 * (writes need permission, and a read-write node), offset and bytes are
 * multiples of limits.request_alignment, bytes is in 1..max_transfer, the
 * vector holds exactly `bytes`, and no other write to the same blocks runs
 * beside a read-modify-write that the core does. Only the supported_*_flags
 * are passed; FUA is emulated by a flush where it is not supported.
 * Two exceptions: a device that ends in the middle of a block has a last block
 * that is shorter, and a parent with the permission to resize may write past
 * the end of a node whose driver has grows_by_write. (A driver with truncate
 * alone is resized before such a write.)
 */
#ifndef BLOCK_DRIVER_H
#define BLOCK_DRIVER_H

#include "block/block.h"
#include "block/event.h"

G_BEGIN_DECLS

typedef struct BdrvChild BdrvChild;

/* ---- Roles of a child ---- */

#define BDRV_CHILD_DATA 0x01u     /* guest data (or a part of it) is here */
#define BDRV_CHILD_METADATA 0x02u /* the format's metadata is here */
#define BDRV_CHILD_FILTERED 0x04u /* the parent shows exactly this */
#define BDRV_CHILD_COW 0x08u      /* contents where the parent has none */
#define BDRV_CHILD_PRIMARY 0x10u  /* the child that stands for the parent */
#define BDRV_CHILD_IMAGE                                                      \
    (BDRV_CHILD_DATA | BDRV_CHILD_METADATA | BDRV_CHILD_PRIMARY)

/*
 * What kind of parent holds an edge. child_of_bds is the class of every edge
 * between nodes; drivers pass it unless they need options of their own.
 */
typedef struct BdrvChildClass {
    /*
     * Flags and options that a child of this role gets from its parent:
     * *child_flags and child_options (defaults only) are filled in.
     */
    void (*inherit_options)(unsigned role, bool parent_is_format,
                            unsigned parent_flags, unsigned *child_flags,
                            Options *child_options);
} BdrvChildClass;

extern const BdrvChildClass child_of_bds;

/* ---- The driver ---- */

typedef enum BdrvCommitMode {
    BDRV_COMMIT_NOW,    /* what can be committed; the rest waits */
    BDRV_COMMIT_WHOLE,  /* the guest keeps still: what waits is an error, but
                           nothing ends with it */
    BDRV_COMMIT_FINISH, /* the last one */
} BdrvCommitMode;

/*
 * Where the bytes of a node lie that are made as they are read: two nodes with
 * the same one can stand below the same image.
 */
typedef struct BdrvFingerprint {
    uint64_t disk_bytes;
    uint64_t n_files, n_directories; /* the root counts */
    uint32_t cluster_bytes;
    uint8_t digest[32]; /* of these, and of all else that says it */
} BdrvFingerprint;

struct BlockDriver {
    const char *format_name;   /* "qcow2"; unique */
    const char *protocol_name; /* names "fat:..." are ours; NULL: none */
    size_t instance_size;      /* private bytes a node; 0: none */

    bool is_format;        /* interprets the bytes of a "file" child */
    bool is_filter;        /* shows its FILTERED child unchanged */
    bool supports_backing; /* may have a "backing" child */
    bool grows_by_write;   /* pwritev past the end makes the device longer; of
                              others the core resizes them first */
    bool writable_probe;   /* raw: refuses writes that would change probing */
    bool generated; /* protocol: the bytes are made up by the driver, and
                              are not probed for a format */

    /* Described options. Both end with a NULL name; NULL: none. */
    const OptionDesc *options;        /* of a node */
    const OptionDesc *create_options; /* of bdrv_create() */

    /* Options that tell one image from another, NULL-terminated; they go into
     * the image's json: name. NULL: the name alone does. */
    const char *const *strong_runtime_opts;

    /*
     * Turn a name that begins with "protocol_name:" into options. The name is
     * whole, with its prefix. Needed by drivers with a protocol_name.
     */
    bool (*parse_filename)(const char *filename, Options *options,
                           GError **errp);

    /*
     * How sure we are, 0..100, that an image that begins with these bytes is
     * of this format. size may be less than asked for; filename is a hint.
     */
    int (*probe)(const uint8_t *buf, size_t size, const char *filename);

    /*
     * Open the node. Takes the driver's keys out of `options` (by
     * option_values_absorb(), bdrv_open_child() and bdrv_open_file_child());
     * what is left is refused by the core. flags: BDRV_O_*; RESIZE is for the
     * node alone that blk_open() opens, not for its children. On failure the
     * driver has released what it made; children are detached by the core.
     */
    bool (*open)(BlockDriverState *bs, Options *options, unsigned flags,
                 GError **errp);

    /* Release everything. Children are detached by the core afterwards. */
    void (*close)(BlockDriverState *bs);

    /* Create an image file. options were validated against create_options;
     * the driver absorbs them. On failure nothing it made stays behind. */
    bool (*create)(const char *filename, Options *options, GError **errp);

    /* Fill in what differs from the defaults (alignment 1, no limits). */
    void (*refresh_limits)(BlockDriverState *bs, BdrvLimits *limits);

    /* Bytes of the device, or -errno. Filters: NULL passes to the child. */
    int64_t (*getlength)(BlockDriverState *bs);

    /* Bytes on the host. NULL: the sum over the children. */
    int64_t (*get_allocated_size)(BlockDriverState *bs);

    int (*preadv)(BlockDriverState *bs, int64_t offset, int64_t bytes,
                  const IOVector *iov, unsigned flags);
    int (*pwritev)(BlockDriverState *bs, int64_t offset, int64_t bytes,
                   const IOVector *iov, unsigned flags);

    /* -ENOTSUP: the core writes zeroes itself (unless NO_FALLBACK). */
    int (*pwrite_zeroes)(BlockDriverState *bs, int64_t offset, int64_t bytes,
                         unsigned flags);

    /* -ENOTSUP is no error to the caller: discard is a hint. */
    int (*pdiscard)(BlockDriverState *bs, int64_t offset, int64_t bytes);

    /* Make what this node holds durable. The core flushes the children after
     * it; not if the result is 1: then it is durable without them. NULL:
     * nothing of its own. */
    int (*flush)(BlockDriverState *bs);

    int (*truncate)(BlockDriverState *bs, int64_t size, bool exact,
                    PreallocMode prealloc, GError **errp);

    /*
     * As blk_block_status(), for an aligned range of this node alone. RAW
     * passes the question to status->file at status->map. Without this
     * callback everything is DATA|ALLOCATED (filters: passed on).
     * status is zeroed by the core; `bytes` must be set, in 1..bytes.
     */
    int (*block_status)(BlockDriverState *bs, unsigned want, int64_t offset,
                        int64_t bytes, BdrvBlockStatus *status);

    /*
     * Copy a range of this node into dst. A driver whose bytes stand in a
     * child passes on with bdrv_copy_range_from_child(); one whose bytes stand
     * in host files calls bdrv_copy_host_range() for each. -ENOTSUP: cannot.
     */
    int (*copy_range_from)(BlockDriverState *bs, int64_t offset,
                           BlockDriverState *dst, int64_t dst_offset,
                           int64_t bytes, unsigned flags);

    /*
     * Copy from a host file into this node. Passes on with
     * bdrv_copy_range_to_child(), or does it. A source shorter than the range
     * is -EIO. -ENOTSUP: cannot, and nothing was written.
     */
    int (*copy_range_to)(BlockDriverState *bs, int fd, int64_t fd_offset,
                         int64_t offset, int64_t bytes, unsigned flags);

    int (*make_empty)(BlockDriverState *bs, GError **errp);

    /* As blk_commit(). May be called beside requests. */
    int (*commit)(BlockDriverState *bs, BdrvCommitMode mode, GError **errp);

    /*
     * Another node is to be opened for the same thing while this one is open:
     * inactivate gives up what would keep it out (a lock of its own), after
     * everything was committed (BDRV_COMMIT_WHOLE). Nothing is written then,
     * until activate takes it again, or the node is closed. Permissions are
     * the core's affair. NULL, both: the driver keeps nobody out.
     */
    void (*inactivate)(BlockDriverState *bs);
    bool (*activate)(BlockDriverState *bs, GError **errp);

    /* As blk_get_geometry(). -ENOTSUP: none of its own. Filters: NULL passes
     * to the child. */
    int (*get_geometry)(BlockDriverState *bs, BlkGeometry *geometry);

    /* As blk_change_backing_file(); the core has checked that the node can be
     * written. */
    int (*change_backing_file)(BlockDriverState *bs, const char *backing,
                               const char *format, GError **errp);
    int (*check)(BlockDriverState *bs, BdrvCheckResult *result, unsigned fix,
                 GError **errp);
    bool (*measure)(Options *options, BlockDriverState *source,
                    BdrvMeasure *measure, GError **errp);

    /* Add to a structure that the core has filled in generally. */
    bool (*info)(BlockDriverState *bs, BdrvInfo *info, GError **errp);

    /* Whether an image just created reads as zeroes. NULL: false (filters
     * and raw: the child's answer). */
    bool (*has_zero_init)(BlockDriverState *bs);

    /*
     * Permissions that this node needs on a child when its own parents need
     * `perm` and share `shared`. child is NULL while it is being attached.
     * NULL: the defaults for the role, as bdrv_default_perms() gives.
     */
    void (*child_perm)(BlockDriverState *bs, BdrvChild *child, unsigned role,
                       unsigned perm, unsigned shared, unsigned *nperm,
                       unsigned *nshared);

    /*
     * A change of the permissions that the parents need, in two steps, so
     * that a change over several nodes happens as a whole. check takes what is
     * new (locks), then either set gives up what is old, or abort undoes.
     */
    bool (*check_perm)(BlockDriverState *bs, unsigned perm, unsigned shared,
                       GError **errp);
    void (*set_perm)(BlockDriverState *bs, unsigned perm, unsigned shared);
    void (*abort_perm)(BlockDriverState *bs);

    /* A change of flags (RDWR alone, now), in two steps. */
    bool (*reopen_prepare)(BlockDriverState *bs, unsigned flags,
                           GError **errp);
    void (*reopen_commit)(BlockDriverState *bs);
    void (*reopen_abort)(BlockDriverState *bs);

    /* blkdebug: a driver below reached a named point. */
    void (*debug_event)(BlockDriverState *bs, const char *event);

    /* The node's plain file name, from its options; NULL: has none, its name
     * is json:{...}. Returns a string for g_free(). */
    char *(*get_filename)(BlockDriverState *bs);

    /* For drivers with `generated`: what the node shows, as it was opened.
     * Whatever this costs is paid only when an image asks for it. False: not
     * known. NULL: it does not change with what it is made of. */
    bool (*get_fingerprint)(BlockDriverState *bs,
                            BdrvFingerprint *fingerprint);

    /* The backing file is open (bdrv_backing()): false when what the image
     * holds belongs to another one. Runs at the end of opening. */
    bool (*backing_opened)(BlockDriverState *bs, GError **errp);

    /* As blk_record_fingerprint(); NULL: forget it. The core has checked that
     * the node can be written. */
    int (*record_fingerprint)(BlockDriverState *bs,
                              const BdrvFingerprint *fingerprint,
                              GError **errp);
};

/*
 * Add a driver. It must stay in memory. Fails when the name is taken. The
 * size is that of the structure in the program: one that was built with older
 * headers has fewer callbacks, and bdrv_driver() gives a copy then.
 */
bool bdrv_register_sized(const BlockDriver *drv, size_t size, GError **errp)
    G_GNUC_WARN_UNUSED_RESULT;
#define bdrv_register(drv, errp)                                              \
    bdrv_register_sized(drv, sizeof(BlockDriver), errp)

/* By format name; NULL if there is none. */
const BlockDriver *bdrv_find_format(const char *format_name);

/* ---- A node, for its driver ---- */

void *bdrv_opaque(BlockDriverState *bs);
const BlockDriver *bdrv_driver(BlockDriverState *bs);
unsigned bdrv_flags(BlockDriverState *bs);
bool bdrv_is_read_only(BlockDriverState *bs);
const char *bdrv_node_name(BlockDriverState *bs);

/* The name that opens this node again: plain or "json:{...}"; g_free(). */
char *bdrv_get_filename(BlockDriverState *bs);
int64_t bdrv_getlength(BlockDriverState *bs);

/*
 * For open(): this node cannot be written. With auto-read-only the node
 * becomes read-only; otherwise this fails with `reason`.
 */
bool bdrv_apply_auto_read_only(BlockDriverState *bs, const char *reason,
                               GError **errp) G_GNUC_WARN_UNUSED_RESULT;

/*
 * For open(): the image names this backing file (format NULL: none is named).
 * The core opens it as the child "backing" once open() has succeeded, unless
 * the options name another one or BDRV_O_NO_BACKING says that none is wanted.
 */
void bdrv_set_backing_file(BlockDriverState *bs, const char *filename,
                           const char *format);

/* The name under which `backing` would be opened as the backing file of this
 * node; see bdrv_full_backing_filename(). g_free(). */
char *bdrv_resolve_backing_file(BlockDriverState *bs, const char *backing,
                                GError **errp);

/* Where the bytes of a node lie that are made as they are read (get_fingerprint
 * of it, or of what it shows); false: it has no such thing. */
bool bdrv_get_fingerprint(BlockDriverState *bs, BdrvFingerprint *fingerprint)
    G_GNUC_WARN_UNUSED_RESULT;

/* The child with the role COW, or NULL. It stays while the node is open. */
BdrvChild *bdrv_backing(BlockDriverState *bs);

/*
 * Open the child that `key` describes: options "key.*" of a new node, or
 * "key" = the name of an existing one. allow_none: no such option is no error
 * (NULL is returned and errp stays clear). The node keeps the child.
 */
BdrvChild *bdrv_open_child(BlockDriverState *bs, Options *options,
                           const char *key, const BdrvChildClass *klass,
                           unsigned role, bool allow_none, GError **errp);

/*
 * For parse_filename() of a driver that stands on another node: the options
 * "key.*" that open any name ("x.img", "fat:DIR", "json:{...}") as its child.
 */
bool bdrv_parse_child_name(const char *name, Options *options, const char *key,
                           GError **errp) G_GNUC_WARN_UNUSED_RESULT;

/* "file" with the usual role: FILTERED|PRIMARY for filters, IMAGE else. */
BdrvChild *bdrv_open_file_child(BlockDriverState *bs, Options *options,
                                GError **errp);

BdrvChild *bdrv_child(BlockDriverState *bs, const char *name);
BlockDriverState *bdrv_child_bs(const BdrvChild *child);
void bdrv_unref_child(BlockDriverState *bs, BdrvChild *child);

/* The defaults that a NULL child_perm means. */
void bdrv_default_perms(BlockDriverState *bs, BdrvChild *child, unsigned role,
                        unsigned perm, unsigned shared, unsigned *nperm,
                        unsigned *nshared);

/* Recompute and apply what the node needs of its children. */
bool bdrv_child_refresh_perms(BlockDriverState *bs, BdrvChild *child,
                              GError **errp) G_GNUC_WARN_UNUSED_RESULT;

/* ---- I/O on a child; as the blk_* calls, with the child's permissions ---- */

int bdrv_preadv(BdrvChild *child, int64_t offset, int64_t bytes,
                const IOVector *iov, unsigned flags) G_GNUC_WARN_UNUSED_RESULT;
int bdrv_pwritev(BdrvChild *child, int64_t offset, int64_t bytes,
                 const IOVector *iov, unsigned flags)
    G_GNUC_WARN_UNUSED_RESULT;
int bdrv_pread(BdrvChild *child, int64_t offset, int64_t bytes, void *buf,
               unsigned flags) G_GNUC_WARN_UNUSED_RESULT;
int bdrv_pwrite(BdrvChild *child, int64_t offset, int64_t bytes,
                const void *buf, unsigned flags) G_GNUC_WARN_UNUSED_RESULT;
int bdrv_pwrite_zeroes(BdrvChild *child, int64_t offset, int64_t bytes,
                       unsigned flags) G_GNUC_WARN_UNUSED_RESULT;
int bdrv_pdiscard(BdrvChild *child, int64_t offset, int64_t bytes)
    G_GNUC_WARN_UNUSED_RESULT;
int bdrv_flush(BlockDriverState *bs) G_GNUC_WARN_UNUSED_RESULT;
int bdrv_truncate(BdrvChild *child, int64_t size, bool exact,
                  PreallocMode prealloc, GError **errp)
    G_GNUC_WARN_UNUSED_RESULT;
int bdrv_block_status(BlockDriverState *bs, int64_t offset, int64_t bytes,
                      unsigned want, BdrvBlockStatus *status)
    G_GNUC_WARN_UNUSED_RESULT;

int bdrv_copy_range_from_child(BdrvChild *child, int64_t offset,
                               BlockDriverState *dst, int64_t dst_offset,
                               int64_t bytes, unsigned flags)
    G_GNUC_WARN_UNUSED_RESULT;
int bdrv_copy_range_to_child(BdrvChild *child, int fd, int64_t fd_offset,
                             int64_t offset, int64_t bytes, unsigned flags)
    G_GNUC_WARN_UNUSED_RESULT;

/*
 * The last step of a copy_range_from(): write bytes of a host file into the
 * node dst, whose driver shares or copies them in the kernel. Permissions and
 * range of dst were checked by the core.
 */
int bdrv_copy_host_range(int fd, int64_t fd_offset, BlockDriverState *dst,
                         int64_t dst_offset, int64_t bytes, unsigned flags)
    G_GNUC_WARN_UNUSED_RESULT;

/*
 * Say in words why the request that is about to return an error failed; the
 * caller's blk_strerror() gives it. One message a thread.
 */
void bdrv_set_io_error(const char *fmt, ...) G_GNUC_PRINTF(1, 2);

/* Tell the backends above the node; from any thread, with no lock held that a
 * handler's program could want. event->node is filled in. */
void bdrv_emit_event(BlockDriverState *bs, const BlkEvent *event);

/*
 * Tell blkdebug nodes that a point was reached: this node, those among its
 * parents, and those in its chain of PRIMARY children.
 */
void bdrv_debug_event(BlockDriverState *bs, const char *event);

/*
 * Why saving machine state is unsafe while this node is open. Gives a handle
 * for removing it again; a closed node's blockers go with it.
 */
unsigned bdrv_add_state_save_blocker(BlockDriverState *bs, const char *reason);
void bdrv_remove_state_save_blocker(BlockDriverState *bs, unsigned handle);

G_END_DECLS

#endif
