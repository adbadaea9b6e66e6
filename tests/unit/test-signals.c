/* SPDX-License-Identifier: MIT */
/* The program's signal handlers do not run on threads of the library. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "block/aio.h"
#include "tests/unit/vvfat-fixture.h"
#include "util/parallel.h"

TestSuite(signals, .timeout = 20);

/* The mask of a thread as the kernel has it, 1 << (signal - 1). */
static uint64_t blocked_signals(const char *tid)
{
    g_autofree char *path = g_strdup_printf("/proc/self/task/%s/status", tid);
    g_autofree char *status = NULL;

    cr_assert(g_file_get_contents(path, &status, NULL, NULL));
    const char *line = strstr(status, "SigBlk:");
    cr_assert_not_null(line);
    return strtoull(line + strlen("SigBlk:"), NULL, 16);
}

/* Whether it is one that GLib keeps for all pools of the program. */
static bool thread_is_glibs(const char *tid)
{
    g_autofree char *path = g_strdup_printf("/proc/self/task/%s/comm", tid);
    g_autofree char *name = NULL;

    cr_assert(g_file_get_contents(path, &name, NULL, NULL));
    return g_str_has_prefix(name, "pool-");
}

static void read_done(void *opaque, int ret)
{
    (void)opaque;
    cr_assert_eq(ret, 0);
}

Test(signals, committer_and_workers_block_them)
{
    const uint64_t ours = UINT64_C(1) << (SIGALRM - 1) |
                          UINT64_C(1) << (SIGUSR1 - 1) |
                          UINT64_C(1) << (SIGTERM - 1) |
                          UINT64_C(1) << (SIGINT - 1);
    g_autoptr(TempTree) tree = temp_tree_new();
    g_autofree char *name = g_strdup_printf("fat:rw:%s", tree->dir);
    g_autoptr(BlockBackend) blk = blk_open(name, NULL, BDRV_O_RDWR, NULL);
    g_autoptr(AioContext) ctx = aio_context_new(1, NULL);
    uint8_t buf[512];
    unsigned seen = 0;
    IOVector iov;

    cr_assert(blk && ctx);
    iov_init_buf(&iov, buf, sizeof(buf));
    blk_aio_preadv(blk, ctx, 0, &iov, 0, read_done, NULL);
    aio_context_drain(ctx);

    DIR *tasks = opendir("/proc/self/task");
    const struct dirent *task;
    cr_assert_not_null(tasks);
    while ((task = readdir(tasks)) != NULL) {
        if (task->d_name[0] == '.' || atoi(task->d_name) == getpid() ||
            thread_is_glibs(task->d_name)) {
            continue;
        }
        cr_assert_eq(blocked_signals(task->d_name) & ours, ours);
        seen++;
    }
    closedir(tasks);
    cr_assert_geq(seen, 2);
}

typedef struct Lent {
    pthread_t caller;
    atomic_uint inside, blocked;
} Lent;

/* Two calls, each of which waits for the other: on two threads. */
static void look_at_mask(void *opaque, unsigned i)
{
    Lent *lent = opaque;
    sigset_t now;

    (void)i;
    atomic_fetch_add(&lent->inside, 1);
    while (atomic_load(&lent->inside) < 2) {
        g_thread_yield();
    }
    pthread_sigmask(SIG_BLOCK, NULL, &now);
    if (!pthread_equal(pthread_self(), lent->caller)) {
        atomic_fetch_add(&lent->blocked, sigismember(&now, SIGALRM) == 1);
    }
}

Test(signals, helpers_block_them_while_they_work)
{
    Lent lent = { .caller = pthread_self() };
    sigset_t now;

    if (parallel_width() < 2) {
        cr_skip_test("there is one processor");
    }
    parallel_for(2, look_at_mask, &lent);
    cr_assert_eq(lent.blocked, 1);
    pthread_sigmask(SIG_BLOCK, NULL, &now);
    cr_assert_eq(sigismember(&now, SIGALRM), 0);
}
