/* SPDX-License-Identifier: MIT */
/* A directory of the host: filled for a start, and compared with a model. */
#ifndef TESTS_MODEL_HOSTDIR_H
#define TESTS_MODEL_HOSTDIR_H

#include "tests/model/model.h"

/* Make path and put files into it: plain and long names, nested, a large one
 * and a sparse one of room / 8 bytes. Returns its model. */
Node *hostdir_make(const char *path, uint64_t seed, uint32_t room);

typedef struct HostCheck {
    bool dir_times; /* modification times of directories, too */
    bool thorough;  /* read what has not changed, too */
    bool by_mtools; /* as mtools has it: characters beyond U+FFFF are two
                           "_", stand-ins stay, 2100 is a leap year */
    const char
        *ignore; /* prefix of names at the top to be left out, or NULL */
} HostCheck;

/* NULL if the directory is as the model says, else the first difference. */
char *hostdir_compare(const char *path, Node *root, const HostCheck *check)
    G_GNUC_WARN_UNUSED_RESULT;

/* The same for one file: its path, size, contents, mode and time. */
char *hostdir_compare_file(const char *path, Node *node)
    G_GNUC_WARN_UNUSED_RESULT;

/* Give every file of the model write permission. What has none when the disk
 * is opened is protected, and its guest could not change it. */
void hostdir_unprotect(const char *path, Node *root);

/* Delete it with all below. */
void hostdir_remove(const char *path);

#endif
