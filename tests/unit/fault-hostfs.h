/* SPDX-License-Identifier: MIT */
/*
 * A HostFs in front of another that counts calls and fails some of them, and
 * keeps account of what is open. In front of the one in memory, it cuts a
 * workload off at any call.
 *
 * Fields may be set while no call is running.
 */
#ifndef TESTS_FAULT_HOSTFS_H
#define TESTS_FAULT_HOSTFS_H

#include "block/vvfat/hostfs.h"

/* Kinds of calls. Closing is never counted and never fails. */
enum {
    HOST_CALL_READ = 1 << 0, /* whatever changes nothing */
    HOST_CALL_OPEN = 1 << 1, /* for writing */
    HOST_CALL_NAME = 1 << 2, /* mkdir, rename, a new file, ... */
    HOST_CALL_DATA = 1 << 3,
    HOST_CALL_ATTR = 1 << 4, /* setting attributes */
    HOST_CALL_SYNC = 1 << 5,
    HOST_CALL_CHANGE = HOST_CALL_NAME | HOST_CALL_DATA | HOST_CALL_ATTR |
                       HOST_CALL_SYNC,
};

typedef struct FaultFs {
    HostFs fs;
    HostFs *inner;
    unsigned kinds;  /* of calls that are counted and can fail; 0: all */
    gint calls;      /* so far, of those */
    int fail_at;     /* the call to fail, from 1; 0: none */
    int error;       /* -errno that it gives */
    bool fail_on;    /* those after it fail, too */
    bool crash;      /* from that call on, all of every kind fail with -EIO */
    gint crashed;    /* they do now */
    /* Before each call that is counted, from 1; may be NULL. */
    void (*on_call)(int n, void *opaque);
    void *opaque;
    size_t short_io; /* bytes that one read or write moves; 0: all */
    gint n_open;     /* directories and files */
    gint max_open;
    gint n_file_opens;
    const char *deny;   /* name that may not be read, or NULL */
    const char *vanish; /* name that is gone when it is looked at, or NULL */
    const char *left_behind; /* by copy_metadata, or NULL */
    gulong open_delay;  /* microseconds that opening a file takes */
} FaultFs;

/* inner is owned. */
FaultFs *fault_fs_new(HostFs *inner);

/* The file system behind it, for the caller to free; only hostfs_free() may
 * follow. */
HostFs *fault_fs_take_inner(FaultFs *f);

#endif
