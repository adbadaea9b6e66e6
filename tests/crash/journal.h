/* SPDX-License-Identifier: MIT */
/* A workload carried out once, and every crash that could have ended it. */
#ifndef TESTS_CRASH_JOURNAL_H
#define TESTS_CRASH_JOURNAL_H

#include "tests/crash/judge.h"

typedef struct Journal {
    const Workload *workload;
    RecordDisk *disk;    /* its events, with notes about the requests */
    GPtrArray *leftover; /* of each request: what it left where that is not
                            known before (discard), or NULL */
} Journal;

/* Do the requests. One that fails, or leaves other data than it should, is
 * the judge's matter. */
Journal *journal_record(Judge *judge);
void journal_destroy(Journal *journal);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Journal, journal_destroy)

/* Judge the image as it is after each change: the process was killed. */
void journal_kill(const Journal *journal, Judge *judge);

/*
 * The power went: of what was written since the last flush of the host, some
 * has reached the disk, change by change or sector by sector.
 */
void journal_cut_power(const Journal *journal, Judge *judge, uint32_t seed);

/* main() of the tests: both, for each scenario. */
int journal_main(const Scenario *scenarios);

#endif
