/* SPDX-License-Identifier: MIT */
/*
 * Whether an image may be left behind by a crash or a fault.
 *
 * It is sound (at most leaked clusters; with lazy refcounts, after a repair),
 * both for `qemu-img check` and for our own check, which must agree; and a
 * guest finds on it what the model allows, whether our driver reads it or
 * QEMU's; and it can be written again.
 */
#ifndef TESTS_CRASH_JUDGE_H
#define TESTS_CRASH_JUDGE_H

#include "tests/crash/workload.h"

typedef struct Judge {
    const Workload *workload;
    unsigned judged, failed;
    unsigned qemu_every;  /* QEMU checks every n-th image, and reads every
                            second one of them */
    unsigned write_every; /* we go on writing to every n-th */
} Judge;

/* CRASH_EVERY=n in the environment sets qemu_every; it is 1 otherwise. */
void judge_init(Judge *judge, const Workload *workload);

/* Judge the image on the disk; what is wrong is printed, and the image is kept
 * in a file. label: where it comes from. Too many failures end the program. */
void judge_image(Judge *judge, RecordDisk *disk, const GuestModel *model,
                 const char *label);

/* Print what is wrong, and count it. */
void judge_complain(Judge *judge, RecordDisk *disk, const char *label,
                    const char *what);

/* For main(): false when QEMU's programs are not there (and says so). */
bool crash_begin(void);

/* CRASH_SCENARIO=name in the environment: that one alone. */
bool crash_wanted(const Scenario *scenario);

/* A line about the whole; the exit status. */
int judge_result(const Judge *judge);

#endif
