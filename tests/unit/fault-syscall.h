/* SPDX-License-Identifier: MIT */
/*
 * System calls that fail or fall short when a test says so. The functions of
 * the C library are replaced in the test program; unless armed they do what
 * they always do.
 */
#ifndef TESTS_FAULT_SYSCALL_H
#define TESTS_FAULT_SYSCALL_H

typedef enum FaultCall {
    FAULT_PREADV,
    FAULT_PWRITE,
    FAULT_PWRITEV,
    FAULT_PWRITEV2, /* with flags */
    FAULT_FDATASYNC,
    FAULT_FALLOCATE,
    FAULT_COPY_FILE_RANGE,
    FAULT_SPLICE,
    FAULT_FSETXATTR,
    FAULT_CALLS
} FaultCall;

/* After `skip` more calls, `times` calls (-1: all) fail with `error`; with
 * error 0 copy_file_range() and splice() give 0. */
void fault_arm(FaultCall call, int skip, int times, int error);

/* Writing, and reading vectors, moves at most so many bytes a call, and every
 * other call is interrupted; 0: as usual. */
void fault_short_io(unsigned bytes);

/* The next fdatasync() copies its descriptor, as starting a child does: what
 * the copy is, for the test to close; -1: there was none. */
void fault_copy_fd(void);
int fault_copied_fd(void);

/* Calls so far. */
unsigned fault_count(FaultCall call);

#endif
