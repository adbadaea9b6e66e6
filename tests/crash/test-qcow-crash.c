/* SPDX-License-Identifier: MIT */
/* A qcow image, killed and cut off at each step of what is done to it. */
#include "tests/crash/tape.h"

int main(void)
{
    return tape_main(qcow_scenarios);
}
