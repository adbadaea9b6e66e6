/* SPDX-License-Identifier: MIT */
/*
 * A server is a process, and a thread of ours that starts it, ends it (SIGKILL,
 * or SIGTERM, which must end it well), has a look at the overlay while nobody
 * serves it, and starts it again.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/model/prng.h"
#include "tests/soak/soak.h"

#define SLICE 2000u /* microseconds */

struct Server {
    const Soak *soak;
    char *name, *socket, *overlay;
    bool is_steady;
    Prng prng;
    gint pid;
    gint stop;
    unsigned n_kills;
    char *why;
    GThread *thread;
};

static void complain(Server *s, char *why)
{
    if (s->why) {
        g_free(why);
    } else {
        s->why = why;
    }
}

static void start(Server *s)
{
    g_autofree char *image = g_strconcat("image=", s->name, NULL);
    const char *by_nbdkit[] = {
        "nbdkit", "--foreground", "--exit-with-parent",
        "--unix", s->socket,      s->soak->plugin,
        image,    NULL,
    };
    const char *by_us[] = { "/proc/self/exe", "--serve", s->socket, s->name,
                            NULL };
    g_autoptr(GError) error = NULL;
    GPid pid = 0;

    unlink(s->socket);
    if (!g_spawn_async(NULL, (char **)(s->soak->plugin ? by_nbdkit : by_us),
                       NULL, G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_SEARCH_PATH,
                       NULL, NULL, &pid, &error)) {
        complain(s, g_strdup(error->message));
    }
    g_atomic_int_set(&s->pid, pid);
}

static char *describe(int status)
{
    return WIFSIGNALED(status)
               ? g_strdup_printf("signal %d", WTERMSIG(status))
               : g_strdup_printf("status %d", WEXITSTATUS(status));
}

/* Sleep; true: it is over, of its own accord. */
static bool sleep_beside(Server *s, unsigned milliseconds)
{
    int status;

    for (unsigned i = 0; i < milliseconds * 1000 / SLICE; i++) {
        if (g_atomic_int_get(&s->stop)) {
            return false;
        }
        if (waitpid(s->pid, &status, WNOHANG) == s->pid) {
            g_autofree char *how = describe(status);

            complain(s, g_strdup_printf("the server ended: %s", how));
            g_atomic_int_set(&s->pid, 0);
            return true;
        }
        g_usleep(SLICE);
    }
    return false;
}

static void end(Server *s, int signal)
{
    int status = 0;

    if (!s->pid) {
        return; /* it has ended, which was said */
    }
    kill(s->pid, signal);
    while (waitpid(s->pid, &status, 0) < 0 && errno == EINTR) {
    }
    /* One that is just starting may not have its handler yet. */
    if (signal == SIGTERM && status != 0 &&
        !(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM)) {
        g_autofree char *how = describe(status);

        complain(s, g_strdup_printf("SIGTERM ended the server: %s", how));
    }
}

/* status: the highest that is no error. */
static void tool(Server *s, const char *command, int most)
{
    const char *argv[] = { s->soak->vvfat_img, command, s->overlay, NULL };
    g_autofree char *out = NULL;
    g_autofree char *err = NULL;
    g_autoptr(GError) error = NULL;
    int status = 0;

    if (!g_spawn_sync(NULL, (char **)argv, NULL, 0, NULL, NULL, &out, &err,
                      &status, &error)) {
        complain(s, g_strdup(error->message));
    } else if (!WIFEXITED(status) || WEXITSTATUS(status) > most) {
        g_autofree char *how = describe(status);

        complain(s, g_strdup_printf("vvfat-img %s %s: %s: %s%s", command,
                                    s->overlay, how, out, err));
    }
}

static void look_at_overlay(Server *s)
{
    if (!s->soak->vvfat_img || access(s->overlay, F_OK) < 0) {
        return;
    }
    switch (prng_below(&s->prng, 6)) {
    case 0:
        tool(s, "info", 0);
        break;
    case 1:
        tool(s, "check", 3); /* a kill leaves leaks */
        break;
    case 2:
        tool(s, "commit", 1); /* what is half written waits */
        break;
    default:
        break;
    }
}

/* Let it run for a while. False: it is not there any more, or is to end. */
static bool let_run(Server *s)
{
    bool is_quick = !s->is_steady && prng_one_in(&s->prng, 6);
    unsigned rest = prng_below(&s->prng, is_quick ? 40 : 900);
    gint64 start = g_get_monotonic_time();

    while (!is_quick && access(s->socket, F_OK) < 0) {
        if (sleep_beside(s, 2) || g_atomic_int_get(&s->stop)) {
            return false;
        }
    }
    if (!is_quick) {
        /* Most of the time is for the guest, however slow everything is. */
        rest += (unsigned)(4 * (g_get_monotonic_time() - start) / 1000);
    }
    while (s->is_steady && !g_atomic_int_get(&s->stop)) {
        if (sleep_beside(s, 100)) {
            return false;
        }
    }
    return !sleep_beside(s, rest) && !g_atomic_int_get(&s->stop);
}

static gpointer server_run(gpointer opaque)
{
    Server *s = opaque;

    while (!g_atomic_int_get(&s->stop)) {
        int how = prng_one_in(&s->prng, 4) ? SIGTERM : SIGKILL;

        start(s);
        if (let_run(s)) {
            end(s, how);
            s->n_kills++;
            look_at_overlay(s);
        }
    }
    end(s, SIGTERM);
    return NULL;
}

Server *server_new(const Soak *soak, uint64_t seed, const char *name,
                   const char *socket, const char *overlay, bool steady)
{
    Server *s = g_new0(Server, 1);

    s->soak = soak;
    s->prng.state = seed;
    s->name = g_strdup(name);
    s->socket = g_strdup(socket);
    s->overlay = g_strdup(overlay);
    s->is_steady = steady;
    s->thread = g_thread_new("server", server_run, s);
    return s;
}

char *server_free(Server *s, uint64_t *n_kills)
{
    char *why;

    g_atomic_int_set(&s->stop, 1);
    g_thread_join(s->thread);
    unlink(s->socket);
    *n_kills += s->n_kills;
    why = s->why;
    g_free(s->name);
    g_free(s->socket);
    g_free(s->overlay);
    g_free(s);
    return why;
}

unsigned server_descriptors(Server *s)
{
    return census_descriptors(g_atomic_int_get(&s->pid));
}

int64_t server_memory(Server *s)
{
    return census_resident(g_atomic_int_get(&s->pid));
}
