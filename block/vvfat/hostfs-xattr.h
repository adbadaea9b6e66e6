/* SPDX-License-Identifier: MIT */
/*
 * Extended attributes of a file that another one takes the place of: which of
 * them are copied, and which may stay behind. Pure.
 */
#ifndef VVFAT_HOSTFS_XATTR_H
#define VVFAT_HOSTFS_XATTR_H

#include <stdbool.h>

/* The list of who may do what with a file. While a file has one, the group's
 * bits of its mode are the most that anybody of the list may do. */
#define XATTR_ACL "system.posix_acl_access"

/* Whether it was given to the very bytes of a file: capabilities, and what
 * signs or measures them. Other bytes must not have it. */
bool xattr_is_of_contents(const char *name);

/* Whether it is the user's own: "user." and access lists. Others are labels,
 * which the system gives to new files by its own rules. */
bool xattr_is_own(const char *name);

/*
 * Whether a file may go without an attribute that could not be copied
 * (-errno), since that will be so the next time, too. has_room: the file system
 * is not full, so it is the attributes of one file that have no more room.
 */
bool xattr_may_stay_behind(const char *name, int error, bool has_room);

#endif
