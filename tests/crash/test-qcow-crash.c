/* SPDX-License-Identifier: MIT */
/* A qcow image, killed and cut off at each step of what is done to it. */
#include "tests/crash/journal.h"

int main(void)
{
    return journal_main(qcow_scenarios);
}
