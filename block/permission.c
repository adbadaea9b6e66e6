/* SPDX-License-Identifier: MIT */
/*
 * Permissions. Each edge says what its parent does with the node (perm) and
 * what it lets others do (shared). A node's own are all that its parents do,
 * and only what they all let others do; from these its driver derives the
 * permissions of the edges to its children, and so on down.
 *
 * A change is a transaction under the graph lock: new values stand in the
 * new_* fields of edges and nodes until every node has agreed, parents before
 * children; then all become real, or none does. Outside of a transaction each
 * new_* equals its value. Requests may run meanwhile.
 */
#include "block/permission.h"

#include <errno.h>

char *permission_names(unsigned perm)
{
    static const char *const names[] = { "consistent read", "write",
                                         "write unchanged", "resize" };
    GString *text = g_string_new(NULL);

    for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
        if (perm & (1u << i)) {
            g_string_append_printf(text, "%s%s", text->len ? ", " : "",
                                   names[i]);
        }
    }
    return g_string_free(text, FALSE);
}

/* ---- What a node needs of a child ---- */

/* Backing files are only read, and may change if our parents can bear it. */
static void perms_for_backing(unsigned perm, unsigned shared, unsigned *nperm,
                              unsigned *nshared)
{
    *nperm = perm & BLK_PERM_CONSISTENT_READ;
    *nshared = BLK_PERM_CONSISTENT_READ | BLK_PERM_WRITE_UNCHANGED;
    if (shared & BLK_PERM_WRITE) {
        *nshared |= BLK_PERM_WRITE | BLK_PERM_RESIZE;
    }
}

/* Where a format keeps its image. */
static void perms_for_storage(BlockDriverState *bs, unsigned role,
                              unsigned perm, unsigned shared, unsigned *nperm,
                              unsigned *nshared)
{
    *nperm = perm;
    *nshared = shared | BLK_PERM_WRITE_UNCHANGED;
    if (role & BDRV_CHILD_METADATA) {
        /* Formats write metadata when nobody writes data, and what they
         * keep in memory is wrong once somebody else does. */
        *nperm |= BLK_PERM_CONSISTENT_READ;
        if (!node_is_read_only(bs)) {
            *nperm |= BLK_PERM_WRITE | BLK_PERM_RESIZE;
        }
        *nshared &= ~(BLK_PERM_WRITE | BLK_PERM_RESIZE);
    }
    if (role & BDRV_CHILD_DATA) {
        /* Writing may allocate at the end, where nobody else must. */
        if (*nperm & BLK_PERM_WRITE) {
            *nperm |= BLK_PERM_RESIZE;
        }
        *nshared &= ~BLK_PERM_RESIZE;
    }
}

void bdrv_default_perms(BlockDriverState *bs, BdrvChild *child, unsigned role,
                        unsigned perm, unsigned shared, unsigned *nperm,
                        unsigned *nshared)
{
    (void)child;
    if (role & BDRV_CHILD_FILTERED) {
        *nperm = perm;
        *nshared = shared;
    } else if (role & BDRV_CHILD_COW) {
        perms_for_backing(perm, shared, nperm, nshared);
    } else {
        perms_for_storage(bs, role, perm, shared, nperm, nshared);
    }
}

void permission_of_child(BlockDriverState *bs, BdrvChild *child,
                         BlockDriverState *child_bs, unsigned role,
                         unsigned perm, unsigned shared, unsigned *nperm,
                         unsigned *nshared)
{
    if (bs->drv->child_perm) {
        bs->drv->child_perm(bs, child, role, perm, shared, nperm, nshared);
    } else {
        bdrv_default_perms(bs, child, role, perm, shared, nperm, nshared);
    }
    if (child_bs->open_flags & BDRV_O_FORCE_SHARE) {
        *nshared = BLK_PERM_ALL;
    }
}

/* ---- The transaction ---- */

/* bs and all below it, each before its children: a reversed post-order. */
static void collect_below(BlockDriverState *bs, GHashTable *seen,
                          GPtrArray *post_order)
{
    if (!g_hash_table_add(seen, bs)) {
        return;
    }
    for (guint i = 0; i < bs->children->len; i++) {
        BdrvChild *child = g_ptr_array_index(bs->children, i);

        collect_below(child->bs, seen, post_order);
    }
    g_ptr_array_add(post_order, bs);
}

static char *describe_parent(const BdrvChild *child)
{
    if (child->parent_bs) {
        return g_strdup_printf("node '%s'", child->parent_bs->node_name);
    }
    return g_strdup("a block device");
}

static bool check_conflict(const BlockDriverState *bs, const BdrvChild *user,
                           const BdrvChild *other, GError **errp)
{
    unsigned refused = user->new_perm & ~other->new_shared;

    if (user == other || refused == 0) {
        return true;
    }
    g_autofree char *names = permission_names(refused);
    g_autofree char *parent = describe_parent(other);
    block_error_set(errp, EBUSY,
                    "Conflicts with use by %s as '%s', which does not allow "
                    "'%s' on node '%s'",
                    parent, other->name, names, bs->node_name);
    return false;
}

/* new_perm and new_shared from the parents. */
static bool check_parents(BlockDriverState *bs, GError **errp)
{
    const GPtrArray *parents = bs->parents;

    bs->new_perm = 0;
    bs->new_shared = BLK_PERM_ALL;
    for (guint i = 0; i < parents->len; i++) {
        const BdrvChild *user = g_ptr_array_index(parents, i);

        for (guint k = 0; k < parents->len; k++) {
            if (!check_conflict(bs, user, g_ptr_array_index(parents, k),
                                errp)) {
                return false;
            }
        }
        bs->new_perm |= user->new_perm;
        bs->new_shared &= user->new_shared;
    }
    return true;
}

static bool check_node(BlockDriverState *bs, GError **errp)
{
    const unsigned changing = BLK_PERM_WRITE | BLK_PERM_WRITE_UNCHANGED |
                              BLK_PERM_RESIZE;

    if (!check_parents(bs, errp)) {
        return false;
    }
    if ((bs->new_perm & changing) && node_is_read_only(bs)) {
        g_autofree char *names = permission_names(bs->new_perm & changing);
        block_error_set(errp, EACCES,
                        "Node '%s' (driver '%s') is read-only and does not "
                        "allow '%s'",
                        bs->node_name, bs->drv->format_name, names);
        return false;
    }
    if (bs->drv->check_perm &&
        (bs->new_perm != bs->perm || bs->new_shared != bs->shared)) {
        if (!bs->drv->check_perm(bs, bs->new_perm, bs->new_shared, errp)) {
            return false;
        }
        bs->perm_checked = true;
    }
    for (guint i = 0; i < bs->children->len; i++) {
        BdrvChild *child = g_ptr_array_index(bs->children, i);

        permission_of_child(bs, child, child->bs, child->role, bs->new_perm,
                            bs->new_shared, &child->new_perm,
                            &child->new_shared);
    }
    return true;
}

static void commit_node(BlockDriverState *bs)
{
    bs->perm = bs->new_perm;
    bs->shared = bs->new_shared;
    for (guint i = 0; i < bs->parents->len; i++) {
        BdrvChild *child = g_ptr_array_index(bs->parents, i);

        child->perm = child->new_perm;
        child->shared = child->new_shared;
    }
    if (bs->perm_checked && bs->drv->set_perm) {
        bs->drv->set_perm(bs, bs->perm, bs->shared);
    }
    bs->perm_checked = false;
}

static void abort_node(BlockDriverState *bs)
{
    bs->new_perm = bs->perm;
    bs->new_shared = bs->shared;
    for (guint i = 0; i < bs->parents->len; i++) {
        BdrvChild *child = g_ptr_array_index(bs->parents, i);

        child->new_perm = child->perm;
        child->new_shared = child->shared;
    }
    if (bs->perm_checked && bs->drv->abort_perm) {
        bs->drv->abort_perm(bs);
    }
    bs->perm_checked = false;
}

bool permission_update(BlockDriverState *bs, GError **errp)
{
    g_autoptr(GHashTable) seen = g_hash_table_new(NULL, NULL);
    g_autoptr(GPtrArray) nodes = g_ptr_array_new();
    bool allowed = true;

    collect_below(bs, seen, nodes);
    for (guint i = nodes->len; allowed && i-- > 0;) {
        allowed = check_node(g_ptr_array_index(nodes, i), errp);
    }
    for (guint i = nodes->len; allowed && i-- > 0;) {
        commit_node(g_ptr_array_index(nodes, i));
    }
    for (guint i = 0; !allowed && i < nodes->len; i++) {
        abort_node(g_ptr_array_index(nodes, i));
    }
    return allowed;
}
