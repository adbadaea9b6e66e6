/* SPDX-License-Identifier: MIT */
/*
 * Under the address sanitizer each process that runs a test looks for leaks
 * when it ends. The one that starts them all has leaks of Criterion's own.
 */
#include <errno.h>
#include <string.h>

/* Asked by the sanitizer; unused without it. */
int __lsan_is_turned_off(void);

int __lsan_is_turned_off(void)
{
    return strcmp(program_invocation_name, "boxfort-worker") != 0;
}
