/* SPDX-License-Identifier: MIT */
/*
 * An arena is a list of chunks. Structures and strings are carved from
 * separate chunks, so that strings pack without padding. Chunks double in
 * size up to a bound, so that small trees stay small; what does not fit well
 * into a common chunk gets one of its own. Chunks come zeroed and a byte is
 * handed out once, so no allocation has to be cleared.
 */
#include "util/arena.h"

#include <stdint.h>
#include <string.h>

#define CHUNK_MIN ((size_t)4 << 10)
#define CHUNK_MAX ((size_t)1 << 20)
#define ALIGNMENT ((size_t)8)

typedef struct Chunk {
    struct Chunk *next;
    _Alignas(8) char bytes[];
} Chunk;

/* What is left of a chunk that is being carved. */
typedef struct Room {
    char *pos;
    size_t left;
} Room;

struct Arena {
    Chunk *chunks;
    Room structs;
    Room strings;
    size_t chunk_size; /* of the next common chunk, header included */
    size_t footprint;
};

Arena *arena_new(void)
{
    Arena *arena = g_new0(Arena, 1);

    arena->chunk_size = CHUNK_MIN;
    arena->footprint = sizeof(*arena);
    return arena;
}

void arena_free(Arena *arena)
{
    if (arena == NULL) {
        return;
    }
    for (Chunk *c = arena->chunks, *next; c != NULL; c = next) {
        next = c->next;
        g_free(c);
    }
    g_free(arena);
}

static char *chunk_new(Arena *arena, size_t size)
{
    Chunk *c = g_malloc0(size);

    c->next = arena->chunks;
    arena->chunks = c;
    arena->footprint += size;
    return c->bytes;
}

static char *room_take(Arena *arena, Room *room, size_t bytes)
{
    char *p;

    if (bytes > room->left) {
        if (bytes > arena->chunk_size / 4) {
            /* A wrapped sum must end as every allocation too large does. */
            return chunk_new(arena, bytes > SIZE_MAX - sizeof(Chunk)
                                        ? SIZE_MAX
                                        : bytes + sizeof(Chunk));
        }
        room->pos = chunk_new(arena, arena->chunk_size);
        room->left = arena->chunk_size - sizeof(Chunk);
        arena->chunk_size = MIN(arena->chunk_size * 2, CHUNK_MAX);
    }
    p = room->pos;
    room->pos += bytes;
    room->left -= bytes;
    return p;
}

void *arena_alloc(Arena *arena, size_t bytes)
{
    size_t padding = -bytes & (ALIGNMENT - 1);

    if (bytes == 0) {
        padding = ALIGNMENT; /* even nothing has a place of its own */
    }
    return room_take(arena, &arena->structs,
                     bytes > SIZE_MAX - padding ? SIZE_MAX : bytes + padding);
}

char *arena_strdup(Arena *arena, const char *text)
{
    size_t bytes = strlen(text) + 1;

    return memcpy(room_take(arena, &arena->strings, bytes), text, bytes);
}

size_t arena_footprint(const Arena *arena)
{
    return arena->footprint;
}
