/* SPDX-License-Identifier: MIT */
/* A workload with every kind of change that a guest makes, in steps; after
 * each the guest has written nothing by halves. */
#ifndef TESTS_MACHINE_DAY_H
#define TESTS_MACHINE_DAY_H

#include "tests/unit/machine.h"

#define DAY_STEPS 6u

/* What the directory holds first, durably. */
void day_make_host(HostFs *fs);

/* In the guest's memory alone. */
void day_step(Machine *m, unsigned step);

#endif
