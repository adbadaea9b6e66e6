/* SPDX-License-Identifier: MIT */
/*
 * What a volume shows through symbolic links: which inodes these are, by the
 * path that a link stands for and by the file that they show.
 *
 * A guest sees a second file, or a second directory, where the host has one.
 * What it does to the first concerns the bytes and the path of the second: who
 * changes either asks here. Links are those that were there when the volume
 * was made; a guest cannot make any.
 *
 * Not locked, as inodes are not.
 */
#ifndef VVFAT_LINKED_H
#define VVFAT_LINKED_H

#include <glib.h>
#include <stdbool.h>

#include "block/vvfat/inode.h"

typedef struct Linked Linked;

Linked *linked_new(void);
void linked_free(Linked *linked);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Linked, linked_free)

/* Take in an inode that has its host side, if it is a link or below one. It
 * must be removed before it is freed. */
void linked_add(Linked *linked, Inode *inode);
void linked_remove(Linked *linked, Inode *inode);

bool linked_is_empty(const Linked *linked);

/* What is shown through links of a file or directory of the host: Inode; NULL:
 * it is not. Owned by linked. */
const GPtrArray *linked_showing(const Linked *linked, const InodeHostId *id);

/*
 * A file or directory of the host has another path below the root: so have
 * the links to it, and to what is in it, and what shows it below a link. Costs
 * what there are links; readers of host paths keep off meanwhile. Whether any
 * was concerned.
 */
bool linked_follow(Linked *linked, const InodeHostId *id, const char *from,
                   const char *to);

/* Visit each link, with the path that it stood for when it was added; one for
 * which true is returned is not visited again. */
typedef bool LinkedVisitor(Inode *link, const char *was, void *opaque);
void linked_foreach(const Linked *linked, LinkedVisitor *visit, void *opaque);

/* The host side of an inode has changed: it is to be recorded. */
void linked_note(Linked *linked, Inode *inode);
/* All of those, in no order; none is left. g_ptr_array_unref(). */
GPtrArray *linked_take_noted(Linked *linked);

#endif
