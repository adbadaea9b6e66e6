/* SPDX-License-Identifier: MIT */
/* What the host does to the files that a guest changes, too. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/soak/clash.h"

#define REST_MICROSECONDS 1500u
#define MOST_FILES 40u
#define MOVED "moved-" /* the driver may still write into them, too */

static void complain(Clash *c, const char *what, const char *name)
{
    if (!c->host_why) {
        c->host_why = g_strdup_printf("the host cannot %s '%s': %s", what,
                                      name, g_strerror(errno));
    }
}

static char *path_of(const Clash *c, const char *name)
{
    return g_build_filename(c->dir, name, NULL);
}

/* A new version of the host's. */
static Token host_token(Clash *c)
{
    Token token = clash_token(c);

    g_mutex_lock(&c->lock);
    tokens_add(c->hosts, token);
    g_mutex_unlock(&c->lock);
    return token;
}

static void handle(Clash *c, Token token, bool is_gone)
{
    g_mutex_lock(&c->lock);
    tokens_add(c->handled, token);
    if (is_gone) {
        tokens_drop(c->hosts, token);
    }
    g_mutex_unlock(&c->lock);
}

/* Any file there is, but for those on the way to their names. */
static char *pick(Clash *c)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GDir) dir = g_dir_open(c->dir, 0, NULL);
    const char *name;

    while (dir && (name = g_dir_read_name(dir))) {
        if (*name != '.') {
            g_ptr_array_add(names, g_strdup(name));
        }
    }
    if (names->len == 0) {
        return NULL;
    }
    return g_strdup(
        g_ptr_array_index(names, prng_below(&c->host_prng, names->len)));
}

/* ---- At any time ---- */

static void create(Clash *c)
{
    g_autofree char *name = clash_name(&c->host_prng);
    g_autofree char *path = path_of(c, name);
    g_autofree char *made = g_build_filename(c->attic, "new", NULL);
    Token token;

    /* A driver that has looked, and found what the host took away since. */
    if (g_hash_table_contains(c->vacated, name)) {
        return;
    }
    token = host_token(c);
    if (!token_put(made, token, false) ||
        (renameat2(AT_FDCWD, made, AT_FDCWD, path, RENAME_NOREPLACE) < 0 &&
         errno != EEXIST)) {
        complain(c, "make", name);
    }
    if (unlink(made) == 0) {
        handle(c, token, true);
    } else {
        clash_log(c, "host: '%s' is %u", name, token);
    }
}

static bool take(Clash *c, const char *name, const char *to)
{
    g_autofree char *path = path_of(c, name);

    if (renameat2(AT_FDCWD, path, AT_FDCWD, to, RENAME_NOREPLACE) < 0) {
        if (errno != ENOENT) {
            complain(c, "rename", name);
        }
        return false;
    }
    clash_log(c, "host: '%s' goes to '%s'", name, to);
    g_hash_table_add(c->vacated, g_strdup(name));
    return true;
}

static char *attic_name(Clash *c)
{
    return g_strdup_printf("%s/taken-%u", c->attic, c->n_taken++);
}

/* The driver may still be writing into it: it is looked at in the end. */
static void take_away(Clash *c, const char *name)
{
    g_autofree char *to = attic_name(c);

    take(c, name, to);
}

static void move(Clash *c, const char *name)
{
    g_autofree char *to = g_strdup_printf("%s/" MOVED "%u", c->dir,
                                          c->n_moved++);

    take(c, name, to);
}

static void change_mode(Clash *c, const char *name)
{
    g_autofree char *path = path_of(c, name);

    if (chmod(path, prng_one_in(&c->host_prng, 2) ? 0600 : 0644) < 0 &&
        errno != ENOENT) {
        complain(c, "chmod", name);
    }
}

/* ---- While nothing is committed ---- */

static void replace(Clash *c, const char *name)
{
    g_autofree char *path = path_of(c, name);
    g_autofree char *other = attic_name(c);
    Token token = host_token(c);

    clash_log(c, "host: '%s' is replaced by %u", name, token);
    if (!token_put(other, token, false) ||
        renameat2(AT_FDCWD, other, AT_FDCWD, path, RENAME_EXCHANGE) < 0) {
        complain(c, "replace", name);
    }
}

static void rewrite(Clash *c, const char *name)
{
    g_autofree char *path = path_of(c, name);

    Token token = host_token(c);

    clash_log(c, "host: '%s' is written anew, %u", name, token);
    handle(c, token_of_file(path), true);
    if (!token_put(path, token, true)) {
        complain(c, "rewrite", name);
    }
}

static void touch(Clash *c, const char *name)
{
    g_autofree char *path = path_of(c, name);

    clash_log(c, "host: '%s' is touched", name);
    handle(c, token_of_file(path), false);
    if (utimensat(AT_FDCWD, path, NULL, 0) < 0) {
        complain(c, "touch", name);
    }
}

static void change_alone(Clash *c)
{
    g_autofree char *name = NULL;

    g_mutex_lock(&c->commits);
    name = pick(c);
    if (name) {
        switch (prng_below(&c->host_prng, 4)) {
        case 0:
            touch(c, name);
            break;
        case 1:
            rewrite(c, name);
            break;
        default:
            replace(c, name);
        }
    }
    g_mutex_unlock(&c->commits);
}

void clash_host(Clash *c, unsigned n)
{
    g_hash_table_remove_all(c->vacated);
    for (unsigned i = 0; i < n && !c->host_why; i++) {
        g_autofree char *name = pick(c);

        switch (name ? prng_below(&c->host_prng, 9) : 0) {
        case 0:
        case 1:
            create(c);
            break;
        case 2:
            take_away(c, name);
            break;
        case 3:
            move(c, name);
            break;
        case 4:
            change_mode(c, name);
            break;
        default:
            change_alone(c);
        }
        g_usleep(REST_MICROSECONDS);
    }
}

/* ---- While nothing is done ---- */

static void settle_dir(Clash *c, const char *path, const char *prefix,
                       bool is_gone)
{
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    const char *name;

    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *file = g_build_filename(path, name, NULL);
        Token token = token_of_file(file);

        if (!g_str_has_prefix(name, prefix)) {
            continue;
        }
        if (!token) {
            clash_torn(c, file);
            continue;
        }
        handle(c, token, is_gone);
        if (is_gone) {
            unlink(file);
        }
    }
}

void clash_settle(Clash *c)
{
    settle_dir(c, c->attic, "", true);
    settle_dir(c, c->dir, MOVED, false);
}

void clash_thin_out(Clash *c)
{
    g_autoptr(GHashTable) current = clash_current(c);
    unsigned n = census_names(c->dir, "");

    for (unsigned i = 0; i < n && n > MOST_FILES / 2; i++) {
        g_autofree char *name = pick(c);
        g_autofree char *path = path_of(c, name);
        Token token = token_of_file(path);

        /* A volume that is kept needs its files. */
        if (!c->is_kept || !tokens_have(current, token)) {
            handle(c, token, true);
            unlink(path);
        }
    }
}
