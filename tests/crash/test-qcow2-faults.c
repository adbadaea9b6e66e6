/* SPDX-License-Identifier: MIT */
/* A qcow2 image on a disk that fails, at each call that the driver makes. */
#include "tests/crash/faults.h"

int main(void)
{
    return faults_main(qcow2_fault_scenarios);
}
