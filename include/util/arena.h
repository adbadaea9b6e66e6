/* SPDX-License-Identifier: MIT */
/*
 * Memory that is given back all at once: for trees of many small things.
 * Not locked; one thread at a time. Without memory the program ends, as with
 * g_malloc(), so the caller bounds sizes that come from outside.
 */
#ifndef UTIL_ARENA_H
#define UTIL_ARENA_H

#include <glib.h>
#include <stddef.h>

typedef struct Arena Arena;

Arena *arena_new(void);
void arena_free(Arena *arena);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Arena, arena_free)

/* Zeroed memory, aligned for any pointer or int64_t. */
void *arena_alloc(Arena *arena, size_t bytes);

/* Unaligned copies of strings, packed one behind the other. */
char *arena_strdup(Arena *arena, const char *text);

/* Bytes taken from the system. */
size_t arena_footprint(const Arena *arena);

#endif
