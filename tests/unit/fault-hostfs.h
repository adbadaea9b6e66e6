/* SPDX-License-Identifier: MIT */
/*
 * A HostFs in front of another that counts calls and fails one of them, and
 * keeps account of what is open.
 */
#ifndef TESTS_FAULT_HOSTFS_H
#define TESTS_FAULT_HOSTFS_H

#include "block/vvfat/hostfs.h"

typedef struct FaultFs {
    HostFs fs;
    HostFs *inner;
    gint calls;  /* so far, of those that can fail */
    int fail_at; /* the call to fail, from 1; 0: none */
    int error;   /* -errno that it gives */
    gint n_open; /* directories and files */
    gint max_open;
    gint n_file_opens;
    const char *deny;   /* name that may not be read, or NULL */
    const char *vanish; /* name that is gone when it is looked at, or NULL */
    gulong open_delay;  /* microseconds that opening a file takes */
} FaultFs;

/* inner is owned. */
FaultFs *fault_fs_new(HostFs *inner);

#endif
