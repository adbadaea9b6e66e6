/* SPDX-License-Identifier: MIT */
/*
 * The option that nobody knows, and the one that was probably meant: a near
 * name by edit distance, where exchanging two neighbours counts as one edit.
 */
#include "block/options.h"

#include <errno.h>
#include <string.h>

#include "block/error.h"
#include "util/option-set.h"

#define NAME_MAX_LENGTH 63 /* of names that are compared */

/* Edits that are taken for a slip when typing a name of this length. */
static size_t edits_allowed(size_t length)
{
    return length < 5 ? 1 : length < 9 ? 2 : 3;
}

/* Both strings must be at most NAME_MAX_LENGTH bytes long. */
static size_t edit_distance(const char *a, const char *b)
{
    uint8_t rows[3][NAME_MAX_LENGTH + 1];
    size_t na = strlen(a), nb = strlen(b);

    for (size_t j = 0; j <= nb; j++) {
        rows[0][j] = j;
    }
    for (size_t i = 1; i <= na; i++) {
        uint8_t *row = rows[i % 3];
        const uint8_t *above = rows[(i + 2) % 3];
        const uint8_t *above2 = rows[(i + 1) % 3];

        row[0] = i;
        for (size_t j = 1; j <= nb; j++) {
            size_t best = above[j - 1] + (a[i - 1] != b[j - 1]);

            best = MIN(best, (size_t)above[j] + 1);
            best = MIN(best, (size_t)row[j - 1] + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] &&
                a[i - 2] == b[j - 1]) {
                best = MIN(best, (size_t)above2[j - 2] + 1);
            }
            row[j] = best;
        }
    }
    return rows[na % 3][nb];
}

/* The nearest name of the tables; NULL when none is near. */
static const char *name_suggest(const char *key,
                                const OptionDesc *const *known)
{
    const char *nearest = NULL;
    size_t least = SIZE_MAX;

    if (strlen(key) > NAME_MAX_LENGTH) {
        return NULL;
    }
    for (; *known != NULL; known++) {
        for (const OptionDesc *desc = *known; desc->name != NULL; desc++) {
            size_t length = strlen(desc->name), distance;

            if (length > NAME_MAX_LENGTH) {
                continue;
            }
            distance = edit_distance(key, desc->name);
            if (distance <= edits_allowed(length) && distance < least) {
                least = distance;
                nearest = desc->name;
            }
        }
    }
    return nearest;
}

bool options_reject_unknown(const Options *opts, const char *who,
                            const OptionDesc *const *known, GError **errp)
{
    const OptionEntry *left = options_first(opts);
    const char *meant;

    if (left == NULL) {
        return true;
    }
    meant = name_suggest(left->key, known);
    if (meant != NULL) {
        block_error_set(errp, EINVAL,
                        "%s has no option '%s'; did you mean '%s'?", who,
                        left->key, meant);
    } else {
        block_error_set(errp, EINVAL, "%s has no option '%s'", who, left->key);
    }
    return false;
}
