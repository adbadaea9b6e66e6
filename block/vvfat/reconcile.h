/* SPDX-License-Identifier: MIT */
/*
 * After a crash, or a time when nobody looked: what the host has, compared to
 * what a journal says of it. Nothing of the user's is changed.
 */
#ifndef VVFAT_RECONCILE_H
#define VVFAT_RECONCILE_H

#include "block/vvfat/hostfs.h"
#include "block/vvfat/journal.h"
#include "block/vvfat/report.h"

/*
 * A plan was interrupted: find out by inode numbers where its files and
 * directories are now, and let the inodes of the (linked) tree say so. Files
 * that may have been written in place, or whose times and attributes may have
 * been set, are taken as they are, and count as having to be written again. The plan's
 * temporary files are removed, and so are the versions that they have taken the
 * place of, where they have swapped names with these; a version that the plan
 * does not know is the host's, is put aside, and reported. 0, with everything
 * found made durable; or -errno.
 */
int reconcile_plan(HostFs *fs, const JournalTree *tree,
                   const JournalPlan *plan,
                   Report *report) G_GNUC_WARN_UNUSED_RESULT;

/*
 * Report what changed on the host since the inodes (the root first) were
 * recorded: files that are others or have other contents, those that are gone,
 * and names that no inode has.
 */
void reconcile_survey(HostFs *fs, const GPtrArray *inodes, Report *report);

#endif
