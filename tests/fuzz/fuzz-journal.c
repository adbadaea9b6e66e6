/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as what is kept of a volume: inodes, tied together, and plans.
 * What comes back must be a tree that can be walked, in both directions and on
 * both sides.
 *
 * Input: byte 0: how many inodes there may be; then those; then the operations
 * of a plan; then what was staged.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "block/vvfat/journal-tree.h"
#include "block/vvfat/kept-identity.h"

#define CLUSTERS_END 5000u

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

static void expect(bool good)
{
    if (!good) {
        abort();
    }
}

static bool leaves_the_root(const char *path)
{
    g_auto(GStrv) names = g_strsplit(path, "/", -1);

    return *path == '/' || g_strv_contains((const char *const *)names, "..");
}

static void walk(const GPtrArray *inodes)
{
    for (guint i = 0; i < inodes->len; i++) {
        const Inode *inode = g_ptr_array_index(inodes, i);
        g_autofree char *guest = inode_path(inode);
        g_autofree char *host = inode_host_path(inode);

        expect((host != NULL) == inode_is_on_host(inode));
        for (uint32_t n = 0; n < inode->n_children; n++) {
            expect(inode->children[n]->parent == inode);
            expect(n == 0 ||
                   inode->children[n - 1]->slot <= inode->children[n]->slot);
        }
        expect(!host || !leaves_the_root(host));
    }
}

static void try_identity(const uint8_t *input, size_t size)
{
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    KeptIdentity id = { 0 };

    g_byte_array_append(bytes, input, (guint)size);
    if (kept_identity_decode(bytes, &id)) {
        g_autoptr(GByteArray) again = kept_identity_encode(&id);

        expect(again->len <= bytes->len);
    }
    kept_identity_clear(&id);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    JournalReader in = { .at = input, .left = size };
    g_autoptr(JournalTree) tree = journal_tree_new();
    g_autoptr(JournalPlan) plan = journal_plan_new();
    unsigned n = journal_get_u8(&in);

    for (unsigned i = 0; i < n && !in.bad; i++) {
        JournalInode *inode = journal_get_inode(&in, CLUSTERS_END);

        if (inode) {
            journal_tree_put(tree, inode);
        }
    }
    journal_get_ops(&in, plan);
    journal_get_staged(&in, plan);
    if (journal_tree_link(tree)) {
        g_autoptr(GPtrArray) inodes = journal_tree_list(tree);

        walk(inodes);
    }
    try_identity(input, size);
    return 0;
}
