/* SPDX-License-Identifier: MIT */
/*
 * A guest and the host that change the same files of one directory.
 *
 * All contents are versions (token.h). What must hold when both pause and the
 * guest's changes were committed:
 *   - each file of DIR is a whole version that somebody wrote and nobody has
 *     deleted or overwritten since (but see clash_torn());
 *   - each version of the host is there, unless the host itself took it away,
 *     or the guest that was shown it;
 *   - each version of the guest is there, under whatever name, and the guest
 *     reads it, unless the host has put hands on that file since.
 */
#ifndef TESTS_SOAK_CLASH_H
#define TESTS_SOAK_CLASH_H

#include <stdio.h>

#include "tests/model/fatvol.h"
#include "tests/soak/soak.h"
#include "tests/soak/token.h"

typedef struct Clash {
    Worker *worker;
    Prng prng, host_prng;
    char *dir, *attic; /* what the host takes away goes to the attic first */
    char *device;
    bool is_kept; /* the volume outlives the device */
    Disk *disk;
    FatVol *vol;
    GHashTable *files; /* the guest's: name to token */
    gint n_tokens;
    /*
     * Held by the guest while it commits, and by the host while it does what
     * no program can tell in time: a file that is overwritten or replaced
     * between a look at it and a rename.
     */
    GMutex commits;
    GMutex lock;         /* of the two sets */
    GHashTable *hosts;   /* the host's versions */
    GHashTable *handled; /* versions that the host has put hands on */
    GHashTable *vacated; /* the host's: names that it took away since then */
    unsigned n_moved, n_taken;
    char *host_why;
    FILE *log; /* a line about everything that either does */
} Clash;

void clash_log(Clash *clash, const char *fmt, ...) G_GNUC_PRINTF(2, 3);

Token clash_token(Clash *clash);

/* A name that either may want; g_free(). */
char *clash_name(Prng *prng);

/* clash-host.c: some changes. */
void clash_host(Clash *clash, unsigned n);
/* Look at what was taken away or renamed, when nobody writes into it. */
void clash_settle(Clash *clash);
/* Delete files when there are many. */
void clash_thin_out(Clash *clash);

/* clash-judge.c */
/* The versions that the guest's files have; g_hash_table_unref(). */
GHashTable *clash_current(Clash *clash);
void clash_judge(Clash *clash);
void clash_torn(Clash *clash, const char *path);
/* What a new device shows is what is in DIR. */
void clash_learn(Clash *clash);

#endif
