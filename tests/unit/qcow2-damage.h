/* SPDX-License-Identifier: MIT */
/* Damaged qcow2 images, from text: see tests/fixtures/qcow2/README. */
#ifndef TESTS_QCOW2_DAMAGE_H
#define TESTS_QCOW2_DAMAGE_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct Damage {
    const char *name;
    int fd;                    /* of the image being damaged */
    bool made;                 /* its sound copy is there */
    char *create, *size;       /* for qemu-img create */
    GString *writes;           /* shell commands that fill it */
    char *found, *leaks, *all; /* expected results; NULL: clean */
    char *qemu;                /* QEMU's verdict, when it is another */
    char *refused;             /* part of the error of opening */
    GPtrArray *say;            /* parts of messages */
    GArray *lost;              /* int64_t: guest clusters that become zeroes */
    GArray *changed;           /* int64_t: and that become anything */
} Damage;

/*
 * Make sound.qcow2 and damaged.qcow2 of each file in the test's directory
 * (image_dir_init()), and let visit() look at them. With FIXTURE in the
 * environment, only those whose name has it.
 */
typedef void DamageVisitor(const Damage *d);
void damage_foreach(DamageVisitor *visit);

/* Whether the guest's 512 bytes at an offset are in a list. */
bool damage_lists(const GArray *list, int64_t offset);

/* The guest's bytes. */
static inline int64_t damage_size(const Damage *d)
{
    return d->size ? g_ascii_strtoll(d->size, NULL, 10) * 1024 : 65536;
}

/* Fail unless the guest's bytes are those before the damage, but for the
 * clusters that the file lists. */
void damage_compare(const Damage *d, const uint8_t *before,
                    const uint8_t *after);

/* Run a shell command in the directory; fails the test if that fails. */
void damage_run(const Damage *d, const char *command);

#endif
