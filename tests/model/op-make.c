/* SPDX-License-Identifier: MIT */
/* Chooses operations, so that most of them are possible. */
#include <string.h>

#include "tests/model/run.h"

#define MANY_NODES 160
#define MAX_FILL (UINT32_C(16) << 20)
#define SPARE_BYTES(cluster) (4 * (cluster)) /* as op-fs.c wants */

static const uint8_t weights[N_OPS] = {
    [OP_CREATE] = 14,    [OP_WRITE] = 14,   [OP_RESIZE] = 6,
    [OP_DELETE] = 7,     [OP_MOVE] = 14,    [OP_MKDIR] = 5,
    [OP_RMDIR] = 1,      [OP_DELTREE] = 1,  [OP_ATTR] = 4,
    [OP_TIMES] = 3,      [OP_EXCHANGE] = 3, [OP_RECREATE] = 5,
    [OP_DEFRAG] = 6,     [OP_SAME] = 3,     [OP_FILL] = 1,
    [OP_LABEL] = 1,      [OP_DIRTY] = 2,    [OP_WRITEOUT] = 60,
    [OP_WRITESOME] = 20, [OP_FLUSH] = 40,   [OP_TRIM] = 2,
    [OP_REOPEN] = 1,
};

static const char *const name_forms[] = {
    "FILE%u.TXT",
    "file%u.txt",
    "NAME%u",
    "lower%u",
    "MIX%u.ext",
    "Mixed%u.Txt",
    "A long name, number %u.text",
    "two.dots.%u.gz",
    ".dot%u",
    "\xc3\xbcml\xc3\xa4ut %u",
    "\xe6\xbc\xa2\xe5\xad\x97%u.txt",
    "smile \xf0\x9f\x98\x80 %u",
    "thirteen c %02u",
    "with [brackets]; and + = %u",
    "a name of some length that takes a good many entries of the directory, "
    "and would be cut off by anything that has room for fewer than eighty or "
    "ninety units, as has been known to happen elsewhere before now, %u.long",
};

static char *make_name(Prng *prng)
{
    const char *form = name_forms[prng_below(prng, G_N_ELEMENTS(name_forms))];
    const char *at = strstr(form, "%");
    const char *rest = at + strcspn(at, "u") + 1;
    bool two = at[1] == '0';
    unsigned n = prng_below(prng, 40);

    return two ? g_strdup_printf("%.*s%02u%s", (int)(at - form), form, n, rest)
               : g_strdup_printf("%.*s%u%s", (int)(at - form), form, n, rest);
}

typedef enum Want { WANT_ANY, WANT_FILE, WANT_DIR, WANT_DIR_OR_ROOT } Want;

/* NULL: there is none. */
static char *pick(Run *run, Prng *prng, Want want)
{
    g_autoptr(GPtrArray) nodes = g_ptr_array_new();
    guint kept = 0;
    uint32_t n;

    model_list(run->root, nodes);
    for (guint i = 0; i < nodes->len; i++) {
        Node *node = g_ptr_array_index(nodes, i);

        if (want == WANT_ANY || node->is_dir == (want != WANT_FILE)) {
            nodes->pdata[kept++] = node;
        }
    }
    n = kept + (want == WANT_DIR_OR_ROOT);
    if (n == 0) {
        return NULL;
    }
    n = prng_below(prng, n);
    return n == kept ? g_strdup("") : model_path(g_ptr_array_index(nodes, n));
}

static char *new_path(Run *run, Prng *prng)
{
    g_autofree char *dir = pick(run, prng, WANT_DIR_OR_ROOT);
    g_autofree char *name = make_name(prng);

    return g_strconcat(dir, *dir ? "/" : "", name, NULL);
}

/* Small ones mostly; and about the sizes where something changes. */
static uint32_t make_size(Run *run, Prng *prng)
{
    uint32_t cluster = run->vol->cluster_size;
    uint32_t room = MIN(run->vol->n_free, MAX_FILL / cluster) * cluster;

    /* Now and then until nothing is left. */
    if (prng_one_in(prng, 100) && room > 8 * cluster) {
        return room - SPARE_BYTES(cluster);
    }
    switch (prng_below(prng, 8)) {
    case 0:
        return 0;
    case 1:
        return cluster * prng_below(prng, 8);
    case 2:
        return cluster * (1 + prng_below(prng, 4)) - 1 + prng_below(prng, 3);
    case 3:
        return prng_below(prng, room / 8 + 1);
    default:
        return prng_below(prng, 3 * cluster);
    }
}

/* The name with its case changed, or another place, or another's. */
static char *make_target(Run *run, Prng *prng, const char *path)
{
    const char *name = strrchr(path, '/');
    size_t start = name ? (size_t)(name + 1 - path) : 0;

    switch (prng_below(prng, 6)) {
    case 0: {
        g_autofree char *other = prng_one_in(prng, 2)
                                     ? g_ascii_strup(path + start, -1)
                                     : g_ascii_strdown(path + start, -1);

        return g_strdup_printf("%.*s%s", (int)start, path, other);
    }
    case 1:
        return pick(run, prng, WANT_ANY);
    case 2: {
        g_autofree char *other = make_name(prng);

        return g_strdup_printf("%.*s%s", (int)start, path, other);
    }
    case 3: {
        g_autofree char *dir = pick(run, prng, WANT_DIR_OR_ROOT);

        return g_strconcat(dir, *dir ? "/" : "", path + start, NULL);
    }
    default:
        return new_path(run, prng);
    }
}

static OpKind pick_kind(Run *run, Prng *prng)
{
    g_autoptr(GPtrArray) nodes = g_ptr_array_new();
    unsigned sum = 0, at;
    OpKind kind;

    model_list(run->root, nodes);
    if (nodes->len > MANY_NODES && prng_one_in(prng, 3)) {
        return prng_one_in(prng, 20) ? OP_DELTREE : OP_DELETE;
    }
    if (run->vol->n_free < run->vol->n_clusters / 8 && prng_one_in(prng, 3)) {
        return OP_DELETE;
    }
    for (kind = 0; kind < N_OPS; kind++) {
        sum += run->config->without >> kind & 1 ? 0 : weights[kind];
    }
    at = prng_below(prng, sum);
    for (kind = 0;; kind++) {
        unsigned weight = run->config->without >> kind & 1 ? 0 : weights[kind];

        if (at < weight) {
            return kind;
        }
        at -= weight;
    }
}

static void make_write(Run *run, Prng *prng, Op *op)
{
    Node *node = model_walk(run->root, op->path);
    uint32_t size = node && !node->is_dir ? node->data->len : 0;

    op->b = 1 + make_size(run, prng);
    switch (prng_below(prng, 4)) {
    case 0: /* append */
        op->a = size;
        break;
    case 1: /* behind the end */
        op->a = size + prng_below(prng, 3 * run->vol->cluster_size);
        break;
    default: /* in place */
        op->a = size ? prng_below(prng, size) : 0;
        op->b = MIN(op->b, MAX(size - op->a, 1));
    }
}

static void fill_in(Run *run, Prng *prng, Op *op)
{
    Node *node = model_walk(run->root, op->path);

    switch (op->kind) {
    case OP_CREATE:
    case OP_RECREATE:
        op->a = make_size(run, prng);
        break;
    case OP_RESIZE:
        op->a = prng_one_in(prng, 2) && node && !node->is_dir &&
                        node->data->len
                    ? prng_below(prng, node->data->len)
                    : make_size(run, prng);
        break;
    case OP_WRITE:
        make_write(run, prng, op);
        break;
    case OP_ATTR:
        op->a = prng_one_in(prng, 2) ? ATTR_ARCHIVE : prng_below(prng, 64);
        break;
    case OP_TIMES:
        op->a = prng_below(prng, UINT32_MAX - (1u << 28));
        break;
    case OP_FILL:
        op->a = 1 + prng_below(prng, 60);
        break;
    case OP_DIRTY:
        op->a = prng_one_in(prng, 2);
        break;
    default:
        op->a = prng_below(prng, N_ORDERS);
        op->b = prng_below(prng, N_STYLES);
    }
}

Op *op_make(Run *run, Prng *prng)
{
    static const char *const labels[] = { "", "A LABEL", "B" };
    OpKind kind = pick_kind(run, prng);
    g_autofree char *path = NULL;
    g_autofree char *path2 = NULL;
    Op *op;

    switch (kind) {
    case OP_CREATE:
    case OP_MKDIR:
        path = new_path(run, prng);
        break;
    case OP_WRITE:
    case OP_RESIZE:
    case OP_DELETE:
    case OP_RECREATE:
        path = pick(run, prng, WANT_FILE);
        break;
    case OP_RMDIR:
    case OP_DELTREE:
        path = pick(run, prng, WANT_DIR);
        break;
    case OP_FILL:
        path = pick(run, prng, WANT_DIR_OR_ROOT);
        break;
    case OP_LABEL:
        path = g_strdup(labels[prng_below(prng, G_N_ELEMENTS(labels))]);
        break;
    case OP_DIRTY:
    case OP_WRITEOUT:
    case OP_WRITESOME:
    case OP_FLUSH:
    case OP_TRIM:
    case OP_REOPEN:
        break;
    default:
        path = pick(run, prng, WANT_ANY);
        if (path && kind == OP_MOVE) {
            path2 = make_target(run, prng, path);
        } else if (kind == OP_EXCHANGE) {
            path2 = pick(run, prng, WANT_ANY);
        }
    }
    op = op_new(kind, prng_next(prng), 0, 0, path, path2);
    fill_in(run, prng, op);
    return op;
}
