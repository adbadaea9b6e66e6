/* SPDX-License-Identifier: MIT */
/*
 * test-model [OPTION]...: random operations of a guest on fat:rw:DIR, and DIR
 * compared with what they should have made of it.
 *
 *   --seed N        the first episode's; each one says its own
 *   --ops N         operations in all (default: until --time is over)
 *   --time SECONDS  no new episode after that (default: 20)
 *   --episode N     operations an episode (default: 400)
 *   --fat 12|16|32  one type alone, instead of each in turn
 *   --no-dir        a raw image, judged by fsck.fat and mtools: whether the
 *                   writer itself is right
 *   --garbage       damage and repair
 *   --dir-times     directories keep modification times
 *   --keeps-free    freed clusters keep what they hold
 *   --without A,B   operations that are not made (see op.c)
 *   --words W:      further options in the device's name
 *   --overlay       with an overlay that is kept
 *   --work DIR      for files (default: a temporary directory)
 *   --shrink N      seconds spent on a shorter list after a failure (60)
 *   --replay FILE   the operations in FILE, with --seed and --fat
 *   --verbose       a line about each episode
 *
 * Without arguments: a short run of everything, the same each time.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/model/episode.h"
#include "tests/model/hostdir.h"

#define CHECK_SEED 1
#define CHECK_SECONDS 6

typedef struct Plan {
    Config config;
    uint64_t n_ops; /* 0: no bound */
    unsigned seconds, shrink_seconds;
    bool verbose, each_type;
    const char *replay;
    Episode sum;
} Plan;

enum {
    ARG_SEED = 256,
    ARG_OPS,
    ARG_TIME,
    ARG_EPISODE,
    ARG_FAT,
    ARG_NO_DIR,
    ARG_GARBAGE,
    ARG_DIR_TIMES,
    ARG_KEEPS_FREE,
    ARG_WITHOUT,
    ARG_WORDS,
    ARG_OVERLAY,
    ARG_WORK,
    ARG_SHRINK,
    ARG_REPLAY,
    ARG_VERBOSE,
};

static const struct option arguments[] = {
    { "seed", required_argument, NULL, ARG_SEED },
    { "ops", required_argument, NULL, ARG_OPS },
    { "time", required_argument, NULL, ARG_TIME },
    { "episode", required_argument, NULL, ARG_EPISODE },
    { "fat", required_argument, NULL, ARG_FAT },
    { "no-dir", no_argument, NULL, ARG_NO_DIR },
    { "garbage", no_argument, NULL, ARG_GARBAGE },
    { "dir-times", no_argument, NULL, ARG_DIR_TIMES },
    { "keeps-free", no_argument, NULL, ARG_KEEPS_FREE },
    { "without", required_argument, NULL, ARG_WITHOUT },
    { "words", required_argument, NULL, ARG_WORDS },
    { "overlay", no_argument, NULL, ARG_OVERLAY },
    { "work", required_argument, NULL, ARG_WORK },
    { "shrink", required_argument, NULL, ARG_SHRINK },
    { "replay", required_argument, NULL, ARG_REPLAY },
    { "verbose", no_argument, NULL, ARG_VERBOSE },
    { .name = NULL },
};

static bool take_without(Config *config, const char *names)
{
    g_auto(GStrv) parts = g_strsplit(names, ",", -1);

    for (int i = 0; parts[i]; i++) {
        OpKind kind = op_kind_named(parts[i]);

        if (kind == N_OPS) {
            fprintf(stderr, "'%s' is no operation\n", parts[i]);
            return false;
        }
        config->without |= 1u << kind;
    }
    return true;
}

static bool take_number(Plan *plan, int arg, uint64_t n)
{
    switch (arg) {
    case ARG_SEED:
        plan->config.seed = n;
        return true;
    case ARG_OPS:
        plan->n_ops = n;
        plan->seconds = UINT32_MAX;
        return true;
    case ARG_TIME:
        plan->seconds = (unsigned)n;
        return true;
    case ARG_EPISODE:
        plan->config.n_ops = (unsigned)n;
        return true;
    case ARG_FAT:
        plan->config.fat_type = (int)n;
        plan->each_type = false;
        return n == 12 || n == 16 || n == 32;
    case ARG_SHRINK:
        plan->shrink_seconds = (unsigned)n;
        return true;
    default:
        return false;
    }
}

static bool take_argument(Plan *plan, int arg)
{
    Config *config = &plan->config;

    switch (arg) {
    case ARG_NO_DIR:
        return config->no_dir = true;
    case ARG_GARBAGE:
        return config->garbage = true;
    case ARG_DIR_TIMES:
        return config->dir_times = true;
    case ARG_KEEPS_FREE:
        return config->keeps_free = true;
    case ARG_VERBOSE:
        return plan->verbose = true;
    case ARG_WITHOUT:
        return take_without(config, optarg);
    case ARG_WORDS:
        config->words = optarg;
        return true;
    case ARG_OVERLAY:
        return config->overlay = true;
    case ARG_WORK:
        config->work = optarg;
        return true;
    case ARG_REPLAY:
        plan->replay = optarg;
        return true;
    default:
        return optarg && take_number(plan, arg, strtoull(optarg, NULL, 0));
    }
}

/* What somebody needs who wants to see it again. */
static void report(Plan *plan, Episode *failed)
{
    Config *config = &plan->config;
    g_autofree char *file = g_strconcat(config->work, ".ops", NULL);

    printf("FAILED: seed %" PRIu64 ", FAT%d%s%s, after %u operations: %s\n",
           config->seed, config->fat_type, config->no_dir ? ", no-dir" : "",
           config->garbage ? ", garbage" : "", failed->ops->len, failed->why);
    fflush(stdout);
    if (failed->ops->len == 0) {
        episode_free(failed);
        return;
    }
    failed = episode_shrink(config, failed, plan->shrink_seconds);
    printf("with these %u: %s\n", failed->ops->len, failed->why);
    for (guint i = 0; i < failed->ops->len; i++) {
        g_autofree char *text = op_describe(g_ptr_array_index(failed->ops, i));

        printf("%4u  %s\n", i + 1, text);
    }
    ops_save(failed->ops, file);
    printf("again with --seed %" PRIu64 " --fat %d --replay %s\n",
           config->seed, config->fat_type, file);
    episode_free(failed);
}

static void add_up(Plan *plan, const Episode *episode)
{
    plan->sum.n_done += episode->n_done;
    plan->sum.n_skipped += episode->n_skipped;
    plan->sum.n_flushes += episode->n_flushes;
    plan->sum.n_judged += episode->n_judged;
    if (plan->verbose) {
        printf("seed %" PRIu64 ", FAT%d: %" PRIu64 " done, %" PRIu64
               " impossible, %" PRIu64 " flushes, %" PRIu64 " judged\n",
               plan->config.seed, plan->config.fat_type, episode->n_done,
               episode->n_skipped, episode->n_flushes, episode->n_judged);
        fflush(stdout);
    }
}

static int replay(Plan *plan)
{
    g_autoptr(GPtrArray) ops = ops_load(plan->replay);
    g_autoptr(Episode) episode = episode_run(&plan->config, ops);

    printf("%s\n", episode->why ? episode->why : "nothing is wrong");
    return episode->why != NULL;
}

/* Episodes until the bound is reached. False: one has failed. */
static bool run_plan(Plan *plan)
{
    static const int types[] = { 12, 16, 32 };
    int64_t end = g_get_monotonic_time() + (int64_t)plan->seconds * 1000000;
    Config *config = &plan->config;

    memset(&plan->sum, 0, sizeof(plan->sum));
    for (unsigned i = 0; i == 0 || g_get_monotonic_time() < end; i++) {
        Episode *episode;

        if (plan->n_ops &&
            plan->sum.n_done + plan->sum.n_skipped >= plan->n_ops) {
            break;
        }
        if (plan->each_type) {
            config->fat_type = types[i % G_N_ELEMENTS(types)];
        }
        episode = episode_run(config, NULL);
        if (episode->why) {
            report(plan, episode);
            return false;
        }
        add_up(plan, episode);
        episode_free(episode);
        config->seed++;
    }
    printf("%s%s: %" PRIu64 " operations done, %" PRIu64
           " impossible, %" PRIu64 " flushes, %" PRIu64
           " comparisons with the model\n",
           config->no_dir ? "image" : "directory",
           config->garbage ? ", garbage" : "", plan->sum.n_done,
           plan->sum.n_skipped, plan->sum.n_flushes, plan->sum.n_judged);
    fflush(stdout);
    return true;
}

/* The program without arguments. */
static bool run_everything(Plan *plan)
{
    bool ok = true;

    plan->config.seed = CHECK_SEED;
    plan->seconds = CHECK_SECONDS;
    plan->config.no_dir = true;
    ok = run_plan(plan);
    plan->config.no_dir = false;
    ok = ok && run_plan(plan);
    plan->config.garbage = true;
    return ok && run_plan(plan);
}

int main(int argc, char **argv)
{
    Plan plan = {
        .config = { .fat_type = 12, .n_ops = 400 },
        .seconds = 20,
        .shrink_seconds = 60,
        .each_type = true,
    };
    g_autofree char *top = NULL;
    g_autofree char *work = NULL;
    int status, arg;

    setenv("TZ", "UTC", 1);
    setenv("LC_ALL", "C.UTF-8", 1);
    /* Its check takes a link to the last cluster for a bad one. */
    setenv("MTOOLS_SKIP_CHECK", "1", 1);
    plan.config.seed = (uint64_t)g_get_real_time();
    while ((arg = getopt_long(argc, argv, "", arguments, NULL)) != -1) {
        if (!take_argument(&plan, arg)) {
            fprintf(stderr, "see the head of tests/model/test-model.c\n");
            return 2;
        }
    }
    top = g_dir_make_tmp("vvfat-model.XXXXXX", NULL);
    if (!plan.config.work) {
        plan.config.work = work = g_build_filename(top, "work", NULL);
    }
    printf("seed %" PRIu64 "\n", argc > 1 ? plan.config.seed : CHECK_SEED);
    if (plan.replay) {
        status = replay(&plan);
    } else {
        status = !(argc > 1 ? run_plan(&plan) : run_everything(&plan));
    }
    if (status == 0) {
        hostdir_remove(plan.config.work);
        hostdir_remove(top);
    }
    return status;
}
