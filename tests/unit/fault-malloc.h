/* SPDX-License-Identifier: MIT */
/* Let allocations that may fail do so: g_try_malloc() and its like, of all
 * that is linked into the test. On every thread. */
#ifndef TESTS_FAULT_MALLOC_H
#define TESTS_FAULT_MALLOC_H

/* The k-th one from now on fails, once; 0: none does. */
void fault_malloc_arm(unsigned k);

/* How many there were since then. */
unsigned fault_malloc_count(void);

#endif
