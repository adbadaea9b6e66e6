/* SPDX-License-Identifier: MIT */
/*
 * Versions of files. A version is a number, its token, from which all its
 * bytes follow, and which can be told from them.
 */
#ifndef TESTS_SOAK_TOKEN_H
#define TESTS_SOAK_TOKEN_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define TOKEN_BLOCK 512u /* the sizes are multiples of it */
#define TOKEN_BLOCKS 12u /* at most */

typedef uint32_t Token; /* 0 is none */

/* g_free() */
uint8_t *token_data(Token token, uint32_t *bytes);
/* Of these bytes; 0: they are no version, or mixed ones. */
Token token_of(const uint8_t *data, size_t bytes);
Token token_of_file(const char *path);
/* A new file, or (in_place) the contents of one there is. */
bool token_put(const char *path, Token token, bool in_place)
    G_GNUC_WARN_UNUSED_RESULT;

/* Sets of tokens. */
static inline GHashTable *tokens_new(void)
{
    return g_hash_table_new(NULL, NULL);
}

static inline bool tokens_have(GHashTable *set, Token token)
{
    return g_hash_table_contains(set, GUINT_TO_POINTER(token));
}

static inline void tokens_add(GHashTable *set, Token token)
{
    g_hash_table_add(set, GUINT_TO_POINTER(token));
}

static inline void tokens_drop(GHashTable *set, Token token)
{
    g_hash_table_remove(set, GUINT_TO_POINTER(token));
}

#endif
