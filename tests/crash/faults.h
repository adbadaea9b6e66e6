/* SPDX-License-Identifier: MIT */
/* A workload on a disk that fails, at each of its calls. */
#ifndef TESTS_CRASH_FAULTS_H
#define TESTS_CRASH_FAULTS_H

#include "tests/crash/judge.h"

/* Each call fails, in each way, once and for good. */
void faults_run(Judge *judge);

/* main() of the tests: that, for each scenario. */
int faults_main(const Scenario *scenarios);

#endif
