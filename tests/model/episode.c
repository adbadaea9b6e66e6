/* SPDX-License-Identifier: MIT */
#include "tests/model/episode.h"

#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/model/hostdir.h"

#define HANG_SECONDS 120 /* for one operation */

typedef struct Child {
    const Config *config;
    const GPtrArray *ops; /* NULL: to be made */
    FILE *log;
    Run *run;
} Child;

/* Before it is done: a crash leaves it behind. */
static char *do_op(Child *child, const Op *op)
{
    g_autofree char *line = op_to_line(op);

    fputs(line, child->log);
    fflush(child->log);
    alarm(HANG_SECONDS);
    return run_op(child->run, op);
}

static char *do_all(Child *child)
{
    Prng prng = { child->config->seed };
    guint n = child->ops ? child->ops->len : child->config->n_ops;
    char *why = NULL;

    for (guint i = 0; i < n && !why; i++) {
        if (child->ops) {
            why = do_op(child, g_ptr_array_index(child->ops, i));
        } else {
            Op *op = child->config->garbage ? garbage_make(child->run, &prng)
                                            : op_make(child->run, &prng);

            why = do_op(child, op);
            op_free(op);
        }
    }
    if (!why && child->run->is_damaged) {
        Op *op = op_new(OP_REPAIR, 0, 0, 0, NULL, NULL);

        why = run_op(child->run, op);
        op_free(op);
    }
    alarm(HANG_SECONDS);
    return why ? why : run_finish(child->run);
}

static char *in_work(const Config *config, const char *name)
{
    return g_build_filename(config->work, name, NULL);
}

static int child_main(const Config *config, const GPtrArray *ops)
{
    g_autofree char *log = in_work(config, "log");
    g_autofree char *why_file = in_work(config, "why");
    g_autofree char *counts_file = in_work(config, "counts");
    Child child = { .config = config, .ops = ops, .log = fopen(log, "w") };
    g_autofree char *counts = NULL;
    g_autofree char *why = NULL;

    if (!child.log) {
        return 2;
    }
    alarm(HANG_SECONDS);
    child.run = run_open(config, &why);
    if (child.run) {
        why = do_all(&child);
        counts = g_strdup_printf(
            "%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64, child.run->n_done,
            child.run->n_skipped, child.run->n_flushes, child.run->n_judged);
        g_file_set_contents(counts_file, counts, -1, NULL);
    }
    if (why) {
        g_file_set_contents(why_file, why, -1, NULL);
    }
    fclose(child.log);
    run_close(child.run);
    return why != NULL;
}

static char *what_ended(int status)
{
    if (WIFSIGNALED(status)) {
        return WTERMSIG(status) == SIGALRM
                   ? g_strdup_printf("no end within %u s", HANG_SECONDS)
                   : g_strdup_printf("ended by signal %d (%s)",
                                     WTERMSIG(status),
                                     strsignal(WTERMSIG(status)));
    }
    return WEXITSTATUS(status) == 0
               ? NULL
               : g_strdup_printf("ended with status %d", WEXITSTATUS(status));
}

/* What a run has left behind. */
static Episode *episode_read(const Config *config)
{
    Episode *episode = g_new0(Episode, 1);
    g_autofree char *log = in_work(config, "log");
    g_autofree char *why_file = in_work(config, "why");
    g_autofree char *counts_file = in_work(config, "counts");
    g_autofree char *counts = NULL;

    episode->ops = ops_load(log);
    if (!g_file_get_contents(why_file, &episode->why, NULL, NULL)) {
        episode->why = NULL;
    }
    if (g_file_get_contents(counts_file, &counts, NULL, NULL)) {
        char *p = counts;

        episode->n_done = strtoull(p, &p, 10);
        episode->n_skipped = strtoull(p, &p, 10);
        episode->n_flushes = strtoull(p, &p, 10);
        episode->n_judged = strtoull(p, &p, 10);
    }
    return episode;
}

Episode *episode_run(const Config *config, const GPtrArray *ops)
{
    Episode *episode;
    int status = 0;
    pid_t pid;

    hostdir_remove(config->work);
    if (g_mkdir_with_parents(config->work, 0755) < 0) {
        fprintf(stderr, "cannot make '%s'\n", config->work);
        exit(2);
    }
    fflush(NULL);
    pid = fork();
    if (pid == 0) {
        /* With what a leak checker does at the end. */
        exit(child_main(config, ops));
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid) {
        fprintf(stderr, "cannot run a process\n");
        exit(2);
    }
    episode = episode_read(config);
    if (!episode->why) {
        episode->why = what_ended(status);
    }
    return episode;
}

void episode_free(Episode *episode)
{
    g_ptr_array_unref(episode->ops);
    g_free(episode->why);
    g_free(episode);
}

/* ---- Shrinking ---- */

/* All but n operations from `first` on. */
static GPtrArray *without(const GPtrArray *ops, guint first, guint n)
{
    GPtrArray *rest = g_ptr_array_new();

    for (guint i = 0; i < ops->len; i++) {
        if (i < first || i >= first + n) {
            g_ptr_array_add(rest, g_ptr_array_index(ops, i));
        }
    }
    return rest;
}

/* One pass over pieces of n operations. */
static Episode *shrink_by(const Config *config, Episode *failed, guint n,
                          int64_t end, bool *shorter)
{
    for (guint first = 0;
         first < failed->ops->len && g_get_monotonic_time() < end;) {
        g_autoptr(GPtrArray) rest = without(failed->ops, first, n);
        Episode *episode = episode_run(config, rest);

        if (episode->why) {
            episode_free(failed);
            failed = episode;
            *shorter = true;
        } else {
            episode_free(episode);
            first += n;
        }
    }
    return failed;
}

Episode *episode_shrink(const Config *config, Episode *failed,
                        unsigned seconds)
{
    int64_t end = g_get_monotonic_time() + (int64_t)seconds * 1000000;

    for (guint n = MAX(failed->ops->len / 2, 1); n > 0;) {
        bool shorter = false;

        failed = shrink_by(config, failed, n, end, &shorter);
        if (g_get_monotonic_time() >= end) {
            break;
        }
        /* The smallest pieces again, until nothing more goes. */
        n = n == 1 && shorter ? 1 : n / 2;
    }
    return failed;
}
