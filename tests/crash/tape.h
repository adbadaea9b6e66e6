/* SPDX-License-Identifier: MIT */
/* A workload carried out once, and every crash that could have ended it. */
#ifndef TESTS_CRASH_TAPE_H
#define TESTS_CRASH_TAPE_H

#include "tests/crash/judge.h"

typedef struct Tape {
    const Workload *workload;
    RecordDisk *disk;    /* its events, with notes about the requests */
    GPtrArray *leftover; /* of each request: what it left where that is not
                            known before (discard), or NULL */
} Tape;

/* Do the requests. One that fails, or leaves other data than it should, is
 * the judge's matter. */
Tape *tape_record(Judge *judge);
void tape_free(Tape *tape);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Tape, tape_free)

/* Judge the image as it is after each change: the process was killed. */
void tape_kill(const Tape *tape, Judge *judge);

/*
 * The power went: of what was written since the last flush of the host, some
 * has reached the disk, change by change or sector by sector.
 */
void tape_cut_power(const Tape *tape, Judge *judge, uint32_t seed);

/* main() of the tests: both, for each scenario. */
int tape_main(const Scenario *scenarios);

#endif
