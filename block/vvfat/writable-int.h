/* SPDX-License-Identifier: MIT */
/* Between the files of writable. */
#ifndef VVFAT_WRITABLE_INT_H
#define VVFAT_WRITABLE_INT_H

#include "block/vvfat/committer.h"
#include "block/vvfat/protect.h"
#include "block/vvfat/scratch.h"
#include "block/vvfat/writable.h"

struct Writable {
    const VvfatConfig *config;
    HostFs *fs;
    const Layout *layout;
    Report *report; /* under report_lock */
    pthread_mutex_t report_lock;

    /* Where the volume stands on the disk, bytes. */
    int64_t disk_bytes, volume_offset, volume_bytes, data_offset, data_end;
    uint32_t cluster_size;

    Overlay *overlay;
    GuestState *state; /* the committer's, while it runs */
    DataMap *map;
    Protect *protect; /* NULL: nothing to protect */
    Committer *committer;
    bool is_finished;
};

/* The disk as the directory has it, without what the guest wrote; with the
 * gate of the overlay held. OverlayConfig.read_base. */
int writable_read_base(void *opaque, int64_t offset, const IOVector *iov,
                       size_t iov_offset, size_t bytes);

/*
 * Keep what could not be committed in an image (writable-rescue.c). The name
 * of the image, for g_free(), or NULL and *errp.
 */
char *writable_rescue(Writable *w, GError **errp);

/* Whether anything of the guest's is not in the directory. */
bool writable_has_loss(Writable *w);

#endif
