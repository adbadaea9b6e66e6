/* SPDX-License-Identifier: MIT */
/*
 * test-soak [OPTION]...: everything at once, again and again, and nothing may
 * be lost, or left behind (soak.h says what is done).
 *
 *   --time SECONDS   no new round after that (default: 6)
 *   --seed N         of the first round; each worker says its own
 *   --workers N      at a time (default: 4)
 *   --ops N          of each worker in a round (default: 150; 40 in a program
 *                    with a sanitizer)
 *   --only KIND      guest, clash or images alone
 *   --again N        one worker with this seed (and --only), round after round
 *   --plugin FILE    guests are served by nbdkit with this plugin
 *   --vvfat-img FILE looks at overlays while no server has them
 *   --verbose        a line about each worker and round
 *   --serve SOCKET NAME   be a server
 *
 * TMPDIR has the directories. The seed is the clock's unless --seed says
 * otherwise; without arguments it is always the same. What failed is left in
 * place, with the operations of guests in `log`, as test-model --replay takes
 * them.
 */
#include <getopt.h>
#include <inttypes.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "tests/model/hostdir.h"
#include "tests/soak/nbd.h"
#include "tests/soak/soak.h"

#define ROUND_SECONDS 600 /* for one round, before it is taken to hang */
#define WARM_UP 2         /* rounds after which nothing more may grow */
#define FEW_ROUNDS 8      /* too few to see a trend */

typedef struct Plan {
    Soak soak;
    unsigned seconds;
    uint64_t again;
    uint64_t n_ops, n_judged, n_kills;
    GArray *counts; /* Census after each round */
    char *tmp;
} Plan;

void worker_complain(Worker *worker, char *what)
{
    if (worker->why) {
        g_free(what);
    } else {
        worker->why = what;
    }
}

/* ---- A round ---- */

typedef struct Kind {
    const char *name;
    void (*work)(Worker *worker);
} Kind;

static const Kind kinds[] = {
    { "guest", guest_work },
    { "clash", clash_work },
    { "images", images_work },
};

static const Kind *choose_kind(const Soak *soak, unsigned i)
{
    for (size_t k = 0; soak->only && k < G_N_ELEMENTS(kinds); k++) {
        if (strcmp(kinds[k].name, soak->only) == 0) {
            return &kinds[k];
        }
    }
    /* Guests mostly. */
    return &kinds[soak->plugin || i % 4 < 2 ? 0 : i % 4 - 1];
}

typedef struct Job {
    Worker worker;
    const Kind *kind;
    GThread *thread;
} Job;

static gpointer job_run(gpointer opaque)
{
    Job *job = opaque;

    job->kind->work(&job->worker);
    return NULL;
}

static void job_start(Plan *plan, Job *job, unsigned i)
{
    Worker *w = &job->worker;
    uint64_t seed = plan->soak.seed;

    w->soak = &plan->soak;
    w->seed = plan->again ? plan->again : (seed * 1000 + i) & INT64_MAX;
    w->work = g_strdup_printf("%s/%" PRIu64 "-%u", plan->soak.top, seed, i);
    g_assert(g_mkdir_with_parents(w->work, 0755) == 0);
    job->kind = choose_kind(&plan->soak, i);
    job->thread = g_thread_new(job->kind->name, job_run, job);
}

static bool job_end(Plan *plan, Job *job)
{
    Worker *w = &job->worker;
    bool ok = w->why == NULL;

    if (plan->soak.verbose || !ok) {
        printf("%s: %" PRIu64 " operations, %" PRIu64 " judged, %" PRIu64
               " times ended\n",
               w->what, w->n_ops, w->n_judged, w->n_kills);
    }
    if (ok) {
        hostdir_remove(w->work);
    } else {
        printf("FAILED: %s\n  %s\n  left in %s; again with --only %s "
               "--again %" PRIu64 " --ops %u\n",
               w->what, w->why, w->work, job->kind->name, w->seed,
               plan->soak.n_ops);
    }
    fflush(stdout);
    plan->n_ops += w->n_ops;
    plan->n_judged += w->n_judged;
    plan->n_kills += w->n_kills;
    g_free(w->work);
    g_free(w->what);
    g_free(w->why);
    return ok;
}

static bool check_remains(const Plan *plan, unsigned round)
{
    const Census *before, *now;
    g_autofree char *why = NULL;

    now = &g_array_index(plan->counts, Census, round);
    if (round >= WARM_UP) {
        before = &g_array_index(plan->counts, Census, round - 1);
        why = census_compare_still(before, now);
    }
    if (!why && census_names(plan->tmp, "") > 0) {
        why = g_strdup("temporary files are left");
    }
    if (!why && census_names(plan->soak.top, "") != 1) {
        why = g_strdup("a worker left something behind");
    }
    if (why) {
        printf("FAILED after round %u: %s\n", round + 1, why);
    }
    return why == NULL;
}

static bool run_round(Plan *plan, unsigned round)
{
    unsigned n = plan->again ? 1 : plan->soak.n_workers;
    g_autofree Job *jobs = g_new0(Job, n);
    Census census;
    bool ok = true;

    alarm(ROUND_SECONDS);
    for (unsigned i = 0; i < n; i++) {
        job_start(plan, &jobs[i], i);
    }
    for (unsigned i = 0; i < n; i++) {
        g_thread_join(jobs[i].thread);
    }
    for (unsigned i = 0; i < n; i++) {
        ok = job_end(plan, &jobs[i]) && ok;
    }
    census_take(&census,
                round ? g_array_index(plan->counts, Census, round - 1).threads
                      : 0);
    g_array_append_val(plan->counts, census);
    if (plan->soak.verbose) {
        g_autofree char *text = census_text(&census);

        printf("round %u: %s\n", round + 1, text);
        fflush(stdout);
    }
    return ok && check_remains(plan, round);
}

/* ---- All rounds ---- */

static bool check_growth(const Plan *plan)
{
    unsigned n = plan->counts->len;
    g_autofree char *why = NULL;

    if (n >= FEW_ROUNDS) {
        why = census_compare(&g_array_index(plan->counts, Census, n / 2),
                             &g_array_index(plan->counts, Census, n - 1));
    }
    if (why) {
        printf("FAILED: grown from round %u to %u: %s\n", n / 2 + 1, n, why);
    }
    return why == NULL;
}

static int run(Plan *plan)
{
    gint64 end = g_get_monotonic_time() + plan->seconds * G_USEC_PER_SEC;
    g_autofree char *first = NULL;
    g_autofree char *last = NULL;
    unsigned n = 0;
    bool ok = true;

    printf("seed %" PRIu64 "\n", plan->soak.seed);
    fflush(stdout);
    while (ok && (n == 0 || g_get_monotonic_time() < end)) {
        ok = run_round(plan, n++);
        plan->soak.seed++;
    }
    ok = ok && check_growth(plan);
    first = census_text(&g_array_index(plan->counts, Census, 0));
    last = census_text(&g_array_index(plan->counts, Census, n - 1));
    printf("%u rounds: %" PRIu64 " operations, %" PRIu64
           " comparisons, %" PRIu64 " servers ended, %u connections\n"
           "after the first: %s\nafter the last:  %s\n",
           n, plan->n_ops, plan->n_judged, plan->n_kills, nbd_reconnects(),
           first, last);
    return !ok;
}

/* ---- Being a server ---- */

static int serve(const char *socket, const char *name)
{
    g_autoptr(GError) error = NULL;
    BlockBackend *blk;
    sigset_t term;
    bool ok;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    sigprocmask(SIG_BLOCK, &term, NULL);
    blk = blk_open(name, NULL, BDRV_O_RDWR | BDRV_O_UNMAP, &error);
    if (!blk) {
        fprintf(stderr, "%s: %s\n", name, error->message);
        return 1;
    }
    ok = nbd_serve(blk, socket);
    /* What is half written waits for the next server: no error. */
    (void)!blk_commit(blk, true, NULL);
    blk_close(blk);
    return !ok;
}

/* ---- Arguments ---- */

enum {
    ARG_TIME = 256,
    ARG_SEED,
    ARG_WORKERS,
    ARG_OPS,
    ARG_ONLY,
    ARG_AGAIN,
    ARG_PLUGIN,
    ARG_VVFAT_IMG,
    ARG_VERBOSE,
};

static const struct option arguments[] = {
    { "time", required_argument, NULL, ARG_TIME },
    { "seed", required_argument, NULL, ARG_SEED },
    { "workers", required_argument, NULL, ARG_WORKERS },
    { "ops", required_argument, NULL, ARG_OPS },
    { "only", required_argument, NULL, ARG_ONLY },
    { "again", required_argument, NULL, ARG_AGAIN },
    { "plugin", required_argument, NULL, ARG_PLUGIN },
    { "vvfat-img", required_argument, NULL, ARG_VVFAT_IMG },
    { "verbose", no_argument, NULL, ARG_VERBOSE },
    { .name = NULL },
};

static bool take_argument(Plan *plan, int arg)
{
    uint64_t n = optarg ? strtoull(optarg, NULL, 0) : 0;

    switch (arg) {
    case ARG_TIME:
        plan->seconds = (unsigned)n;
        return true;
    case ARG_SEED:
        plan->soak.seed = n;
        return true;
    case ARG_WORKERS:
        plan->soak.n_workers = (unsigned)n;
        return n > 0;
    case ARG_OPS:
        plan->soak.n_ops = (unsigned)n;
        return true;
    case ARG_ONLY:
        plan->soak.only = optarg;
        return true;
    case ARG_AGAIN:
        plan->again = n;
        return true;
    case ARG_PLUGIN:
        plan->soak.plugin = optarg;
        return true;
    case ARG_VVFAT_IMG:
        plan->soak.vvfat_img = optarg;
        return true;
    case ARG_VERBOSE:
        return plan->soak.verbose = true;
    default:
        return false;
    }
}

/* As they have to be before the first thread. */
static void set_environment(const char *tmp)
{
    /* What is freed goes back to the system, where that can be. */
    mallopt(M_ARENA_MAX, 2);
    mallopt(M_MMAP_THRESHOLD, 128 << 10);
    mallopt(M_TRIM_THRESHOLD, 128 << 10);
    g_setenv("TZ", "UTC", TRUE);
    g_setenv("LC_ALL", "C.UTF-8", TRUE);
    g_setenv("TMPDIR", tmp, TRUE);
}

int main(int argc, char **argv)
{
    Plan plan = {
        .soak = { .n_workers = 4, .n_ops = census_is_slow() ? 40 : 150 },
        .seconds = 6,
    };
    g_autofree char *top = NULL;
    g_autoptr(GError) error = NULL;
    int status, arg;

    if (!g_getenv("G_SLICE")) {
        /* GLib's own allocator hides memory from those who count it. */
        g_setenv("G_SLICE", "always-malloc", TRUE);
        execv("/proc/self/exe", argv);
    }
    if (argc == 4 && strcmp(argv[1], "--serve") == 0) {
        return serve(argv[2], argv[3]);
    }
    plan.soak.seed = argc > 1 ? (uint64_t)g_get_real_time() / 1000000 : 1;
    while ((arg = getopt_long(argc, argv, "", arguments, NULL)) != -1) {
        if (!take_argument(&plan, arg)) {
            fprintf(stderr, "see the head of tests/soak/test-soak.c\n");
            return 2;
        }
    }
    top = g_dir_make_tmp("vvfat-soak.XXXXXX", NULL);
    plan.soak.top = top;
    plan.tmp = g_build_filename(top, "tmp", NULL);
    g_assert(g_mkdir_with_parents(plan.tmp, 0755) == 0);
    plan.counts = g_array_new(FALSE, FALSE, sizeof(Census));
    set_environment(plan.tmp);
    if (!nbd_register(&error)) {
        fprintf(stderr, "%s\n", error->message);
        return 1;
    }
    status = run(&plan);
    if (status == 0) {
        hostdir_remove(top);
    }
    g_array_unref(plan.counts);
    g_free(plan.tmp);
    return status;
}
