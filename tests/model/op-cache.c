/* SPDX-License-Identifier: MIT */
/* What a guest's page cache does: writing, flushing, discarding. */
#include "tests/model/hostdir.h"
#include "tests/model/run.h"

#define FULL_COMPARE_EVERY 25
#define MAX_TRIM 64

static char *flush(Run *run, const Op *op)
{
    int ret = blk_flush(run->disk->blk);
    char *why;

    run->n_flushes++;
    if (ret < 0 && run->is_planted) {
        return garbage_judge(run);
    }
    if (ret < 0) {
        g_autofree char *text = blk_strerror(ret);

        return g_strdup_printf("flushing failed: %s", text);
    }
    why = disk_verify(run->disk, run->n_flushes % FULL_COMPARE_EVERY == 0,
                      op->seed);
    if (why || disk_n_dirty(run->disk) > 0) {
        return why;
    }
    return run->is_planted ? garbage_judge(run) : run_judge(run, false);
}

/* Free for the guest as well as on the device, and nothing on the way. */
static bool may_trim(const Run *run, uint32_t cluster)
{
    const FatVol *vol = run->vol;
    int64_t at = fatvol_cluster_at(vol, cluster);

    for (int copy = 0; copy < 2; copy++) {
        if (fatvol_entry(vol, run->disk->mem + vol->fat[copy], cluster) ||
            fatvol_entry(vol, run->disk->shadow + vol->fat[copy], cluster)) {
            return false;
        }
    }
    for (uint32_t i = 0; i < vol->cluster_size / SECTOR; i++) {
        if (run->disk->dirty[at / SECTOR + i] != CLASS_CLEAN) {
            return false;
        }
    }
    return true;
}

static char *trim(Run *run, const Op *op)
{
    FatVol *vol = run->vol;
    Prng prng = { op->seed };
    uint32_t first = 2 + prng_below(&prng, vol->n_clusters);
    uint32_t most = 1 + prng_below(&prng, MAX_TRIM);
    uint32_t end = MIN(first + most, vol->n_clusters + 2);

    for (uint32_t c = first; c < end; c++) {
        uint32_t n = 0;
        int ret;

        while (c + n < end && may_trim(run, c + n)) {
            n++;
        }
        if (n == 0) {
            continue;
        }
        ret = blk_pdiscard(run->disk->blk, fatvol_cluster_at(vol, c),
                           (int64_t)n * vol->cluster_size);
        if (ret < 0) {
            return g_strdup_printf("discarding %u clusters at %u failed: %s",
                                   n, c, g_strerror(-ret));
        }
        for (uint32_t i = 0; i < n * (vol->cluster_size / SECTOR); i++) {
            run->disk->loose[fatvol_cluster_at(vol, c) / SECTOR + i] = 1;
        }
        c += n;
    }
    return NULL;
}

static char *reopen(Run *run, const Op *op)
{
    char *why;

    /* Directories are larger and files not in pieces after that; a full disk
     * need not hold them. */
    if (disk_n_dirty(run->disk) > 0 ||
        run->vol->n_free < run->vol->n_clusters / 8) {
        return NULL;
    }
    why = flush(run, op);
    if (why) {
        return why;
    }
    run_detach(run);
    if (!run->config->no_dir && !run->config->overlay) {
        hostdir_unprotect(run->dir, run->root);
    }
    why = run_attach(run);
    return why ? why : judge_volume(run);
}

char *op_cache(Run *run, const Op *op)
{
    Prng prng = { op->seed };
    unsigned n;

    switch (op->kind) {
    case OP_WRITEOUT:
        fatvol_sync_fsinfo(run->vol);
        return disk_write(run->disk, op->a, op->b, op->seed, UINT32_MAX);
    case OP_WRITESOME:
        n = disk_n_dirty(run->disk);
        return n == 0 ? NULL
                      : disk_write(run->disk, op->a, op->b, op->seed,
                                   1 + prng_below(&prng, n));
    case OP_FLUSH:
        return flush(run, op);
    case OP_TRIM:
        return trim(run, op);
    default:
        return reopen(run, op);
    }
}
