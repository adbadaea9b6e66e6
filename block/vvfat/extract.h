/* SPDX-License-Identifier: MIT */
/*
 * A FAT volume into a host directory: names, contents, times, attributes.
 *
 * Never outside that directory, whatever the volume's names are: every host
 * call is relative to a descriptor of the directory above, follows no link,
 * and takes one component of a checked name. Host calls are made here
 * directly: this is no part of the driver.
 */
#ifndef VVFAT_EXTRACT_H
#define VVFAT_EXTRACT_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "block/vvfat/guest-view.h"

typedef struct ExtractOptions {
    bool overwrite; /* accept a directory that is not empty, and replace
                       files that are in the way */
    bool utc;       /* the volume's times are UTC, not local time */

    /*
     * Each thing that was not extracted as it is in the volume. path: in the
     * volume, below its root ("/": the root); NULL: concerns the whole. The
     * function may be NULL.
     */
    void (*problem)(const char *path, const char *text, void *opaque);

    /* Bytes of file data done, of the total. False: stop (ECANCELED). May be
     * NULL. */
    bool (*progress)(uint64_t done, uint64_t total, void *opaque);
    void *opaque;
} ExtractOptions;

typedef struct ExtractResult {
    uint64_t files, directories; /* made, or (directories) found there */
    uint64_t bytes;              /* of file data, holes included */
    uint64_t problems;           /* files and directories reported as not
                                    extracted as they are in the volume */
    uint64_t damages;            /* damages of the volume itself reported;
                                    both 0: all is as in the volume */
    uint64_t unstored;           /* attributes that user.DOSATTRIB could not
                                    hold; the first is reported, and it is no
                                    problem */
} ExtractResult;

/*
 * Extract what is below `node` (of view->tree; its root for everything; for a
 * file, that file) into the directory `dir`, which is made when missing and
 * must be empty unless options->overwrite.
 *
 * False and *errp when it could not go on: a `dir` that cannot be used, a
 * host file system that is full or fails. *result counts in either case. A
 * problem with one file is reported, counted, and the rest goes on: success
 * with result->problems or damages > 0 is a failure to the user. A file whose
 * chain or medium is damaged is extracted as far as it can be read, and
 * reported.
 *
 * Host names have bytes that FAT could not hold mapped back (names.h). Files
 * with the read-only attribute get no write permission. Attributes other than
 * an ordinary file's or directory's go into user.DOSATTRIB, as Samba has
 * them, where the host's file system can hold it.
 */
bool extract_tree(Volume *volume, const GuestView *view, const TreeNode *node,
                  const char *dir, const ExtractOptions *options,
                  ExtractResult *result, GError **errp)
    G_GNUC_WARN_UNUSED_RESULT;

#endif
