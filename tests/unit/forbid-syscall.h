/* SPDX-License-Identifier: MIT */
/* Kernels and sandboxes that lack a system call. */
#ifndef TESTS_FORBID_SYSCALL_H
#define TESTS_FORBID_SYSCALL_H

/* From here on the call (SYS_...) gives this errno in this process. Skips the
 * test where that cannot be done. */
void forbid_syscall(int number, int error);

#endif
