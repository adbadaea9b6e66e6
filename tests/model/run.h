/* SPDX-License-Identifier: MIT */
/*
 * A run: a directory (or an image), its device, the guest's volume on it, the
 * model of what the directory has to hold, and a list of operations.
 *
 * What is checked, and when:
 *   - at each flush, that the device reads as it was written;
 *   - when also nothing is dirty, that the directory is as the model says.
 *     With an image that is asked of fsck.fat and mtools instead.
 */
#ifndef TESTS_MODEL_RUN_H
#define TESTS_MODEL_RUN_H

#include <stdio.h>

#include "tests/model/fatvol.h"
#include "tests/model/model.h"
#include "tests/model/op.h"

/* Names at the top of the directory that begin so are none of the model's. */
#define PLANTED "lnk-"

typedef struct Config {
    int fat_type;
    uint64_t seed;
    unsigned n_ops;
    bool no_dir;       /* a raw image, judged by fsck.fat and mtools */
    bool garbage;      /* damage and repair rather than operations alone */
    bool dir_times;    /* directories have modification times, too */
    bool keeps_free;   /* freed clusters have to keep their contents */
    uint32_t without;  /* bits: kinds of operations that do not happen */
    const char *words; /* further ones for the device's name, or NULL */
    bool overlay;      /* one that is kept from one opening to the next */
    const char *work;  /* an empty directory */
    bool small;        /* no disk of the size that a name without one gives */
    bool asks;         /* commit= leaves commits to the program: it asks for
                          one before DIR is compared */
    /* Opens the device instead of blk_open(), or NULL. */
    BlockBackend *(*open)(const char *name, void *opaque, GError **errp);
    void *opaque; /* of open */
} Config;

typedef struct Run {
    const Config *config;
    char *dir;
    char *image;         /* without a directory */
    bool has_attributes; /* the host keeps hidden, system, archive */
    Node *root;
    Disk *disk;
    FatVol *vol;
    /* With garbage. */
    bool is_damaged;
    bool is_planted;      /* names of the guest's are links on the host */
    uint8_t *damaged;     /* sectors */
    GPtrArray *concerned; /* paths; what is below them, too */
    char *outside;        /* what there is beside the directory */
    unsigned phase;       /* of planting a link; 0: none */
    unsigned n_planted;
    uint64_t n_done, n_skipped, n_flushes, n_judged;
} Run;

/* NULL and *why when it cannot begin. */
Run *run_open(const Config *config, char **why);
void run_close(Run *run);

/* NULL, or what is wrong. */
char *run_op(Run *run, const Op *op) G_GNUC_WARN_UNUSED_RESULT;

/* Whether everything is as it has to be; everything is written. */
char *run_judge(Run *run, bool thorough) G_GNUC_WARN_UNUSED_RESULT;

/* Write all, flush, judge thoroughly, and once more after a new start. */
char *run_finish(Run *run) G_GNUC_WARN_UNUSED_RESULT;

/* Device and volume anew. */
char *run_attach(Run *run) G_GNUC_WARN_UNUSED_RESULT;
void run_detach(Run *run);

/* op-fs.c: false when the operation is impossible. */
bool op_fs(Run *run, const Op *op);

/* op-cache.c */
char *op_cache(Run *run, const Op *op) G_GNUC_WARN_UNUSED_RESULT;

/* op-make.c: the next operation, from what there is. Owned by the caller. */
Op *op_make(Run *run, Prng *prng);

/* judge.c: fsck.fat and mtools about what the device holds. */
char *judge_image(Run *run, bool thorough) G_GNUC_WARN_UNUSED_RESULT;
/* The volume itself, read with no help from the model. */
char *judge_volume(Run *run) G_GNUC_WARN_UNUSED_RESULT;

/* ---- Damage (garbage.c, damage.c, garbage-make.c) ---- */

/* What an operation of this kind does. */
char *op_garbage(Run *run, const Op *op) G_GNUC_WARN_UNUSED_RESULT;

/* Write garbage to the device, of kind op->a, and note what it concerns. */
#define N_DAMAGES 32
void damage(Run *run, const Op *op);

/* While there is garbage: what it does not concern is as it was, and nothing
 * outside the directory has changed. */
char *garbage_judge(Run *run) G_GNUC_WARN_UNUSED_RESULT;

/* The next operation of a run with garbage. */
Op *garbage_make(Run *run, Prng *prng);

#endif
