/* SPDX-License-Identifier: MIT */
/*
 * What a directory has to hold: the tree as it is after the operations that
 * are complete. Knows nothing of FAT.
 */
#ifndef TESTS_MODEL_MODEL_H
#define TESTS_MODEL_MODEL_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

typedef struct Node Node;
struct Node {
    Node *parent; /* NULL: the root */
    char *name;
    bool is_dir;
    uint8_t attributes; /* read-only, hidden, system, archive */
    int64_t mtime;      /* seconds */
    GByteArray *data;   /* files */
    GPtrArray *children;
    /* The host file that was last seen to hold this, and since then neither
     * has changed. */
    bool is_seen;
    struct stat seen;
};

Node *model_new(Node *parent, const char *name, bool is_dir);
/* Out of the tree, with all below it. */
void model_free(Node *node);
/* Change name and place. */
void model_move(Node *node, Node *parent, const char *name);
/* The two change places and names. */
void model_exchange(Node *a, Node *b);
bool model_is_below(const Node *node, const Node *ancestor); /* or is it */

Node *model_child(const Node *dir, const char *name);
Node *model_walk(Node *root, const char *path); /* NULL: there is none */
char *model_path(const Node *node);

/* The contents have changed. */
void model_write(Node *node, uint32_t offset, const uint8_t *data,
                 uint32_t bytes);
void model_resize(Node *node, uint32_t size);

/* All nodes below, parents first. */
void model_list(const Node *dir, GPtrArray *nodes);

#endif
