/* SPDX-License-Identifier: MIT */
/*
 * A writable volume: what the guest writes goes to the overlay, and from there
 * into the directory. Puts overlay, file map, guest state and commits
 * together.
 */
#ifndef VVFAT_WRITABLE_H
#define VVFAT_WRITABLE_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "block/driver.h"
#include "block/vvfat/fingerprint.h"
#include "block/vvfat/hostfs.h"
#include "block/vvfat/layout.h"
#include "block/vvfat/report.h"
#include "block/vvfat/vvfat-options.h"

typedef struct Writable Writable;

/*
 * Open for writing. Takes the options of the child "write-target" out of
 * `options`. config, fs, layout and report outlive it.
 */
Writable *writable_new(BlockDriverState *bs, Options *options,
                       const VvfatConfig *config, HostFs *fs,
                       const Layout *layout, Report *report, GError **errp);

/*
 * The same with an overlay that is kept (config->overlay): the volume is the
 * one that it has; the directory is scanned only if there is none yet.
 */
Writable *writable_new_kept(BlockDriverState *bs, Options *options,
                            const VvfatConfig *config, HostFs *fs,
                            Report *report, GError **errp);

/* What the volume is, as it was opened. */
typedef struct WritableFacts {
    uint32_t volume_id;
    uint32_t free_clusters;
    uint64_t n_files, n_directories; /* the root counts */
} WritableFacts;

const WritableFacts *writable_facts(const Writable *w);
const Geometry *writable_geometry(const Writable *w);

/* Of the disk as it was made, whatever was written to it since. False: an
 * overlay does not say. */
bool writable_fingerprint(const Writable *w, Fingerprint *fingerprint);

/* Commits what can be; what cannot is kept in a file beside the directory, or
 * stays in the overlay that is kept. */
void writable_free(Writable *w);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Writable, writable_free)

/* Requests, as the driver's callbacks: ranges inside the disk, any thread. */
int writable_preadv(Writable *w, int64_t offset, const IOVector *iov)
    G_GNUC_WARN_UNUSED_RESULT;
int writable_pwritev(Writable *w, int64_t offset, const IOVector *iov)
    G_GNUC_WARN_UNUSED_RESULT;
int writable_pwrite_zeroes(Writable *w, int64_t offset, int64_t bytes)
    G_GNUC_WARN_UNUSED_RESULT;
int writable_pdiscard(Writable *w, int64_t offset, int64_t bytes)
    G_GNUC_WARN_UNUSED_RESULT;
int writable_flush(Writable *w) G_GNUC_WARN_UNUSED_RESULT;

/* Bytes from offset on, at most `bytes`, that read as zeroes, or may not.
 * precise: holes of the host's files are zeroes. */
int64_t writable_extent(Writable *w, int64_t offset, int64_t bytes,
                        bool precise, bool *is_zero);

/* As BlockDriver.commit: 0; or -errno, and *errp says what is not in the
 * directory and, after the last one, where it is. */
int writable_commit(Writable *w, BdrvCommitMode mode, GError **errp)
    G_GNUC_WARN_UNUSED_RESULT;

/* As BlockDriver's: another disk of the same directory is to be opened. */
void writable_inactivate(Writable *w);
bool writable_activate(Writable *w, GError **errp) G_GNUC_WARN_UNUSED_RESULT;

void writable_info(Writable *w, Options *facts);

#endif
