/* SPDX-License-Identifier: MIT */
/*
 * A qcow2 image beside a copy in memory of what it must hold: requests go to
 * both. In the directory of image-fixture.h: "image", and with a backing file
 * "base".
 */
#ifndef TESTS_QCOW2_MODEL_H
#define TESTS_QCOW2_MODEL_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "block/block.h"

#define MODEL_RW (BDRV_O_RDWR | BDRV_O_RESIZE | BDRV_O_UNMAP)

typedef struct ModelSetup {
    char options[96]; /* of creation: "cluster_size=512,compat=1.1" */
    int64_t size;
    int64_t backing;    /* bytes of the backing file; 0: none */
    char open[64];      /* further options of opening */
    unsigned max_bytes; /* of most requests */
    unsigned steps;
} ModelSetup;

typedef struct Model {
    const ModelSetup *setup;
    BlockBackend *blk;
    BlockBackend *copy_source; /* "source", to copy from in the kernel */
    GRand *rand;
    int64_t size, cluster;
    uint8_t *bytes; /* what the image must hold */
    uint8_t *buf;   /* as large */
} Model;

/* The test's directory; skips the test if there is no qemu-img. Suits .init. */
void model_dir_init(void);

/* Create the image with qemu-img and open it. */
void model_init(Model *m, const ModelSetup *setup, uint32_t seed);
void model_clear(Model *m);
void model_reopen(Model *m);

/* A random range: any, or whole clusters. */
void model_pick(Model *m, bool whole_clusters, int64_t *offset,
                int64_t *bytes);

void model_write(Model *m, int64_t offset, int64_t bytes);
void model_write_compressed(Model *m, int64_t offset, int64_t bytes);
void model_zero(Model *m, int64_t offset, int64_t bytes, unsigned flags);
void model_discard(Model *m, int64_t offset, int64_t bytes);
void model_copy(Model *m, int64_t offset, int64_t bytes);
void model_read(Model *m, int64_t offset, int64_t bytes);

/* The block status of the range against the contents. */
void model_status(Model *m, int64_t offset, int64_t bytes);

/* Any of these. */
void model_step(Model *m);

/* Close the image; qemu-img finds nothing wrong with it, and the contents;
 * open it again and read it. */
void model_verify(Model *m);

/* Run a command in the directory; it must succeed. */
void model_shell(const char *fmt, ...) G_GNUC_PRINTF(1, 2);

#endif
