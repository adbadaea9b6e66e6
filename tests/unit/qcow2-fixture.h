/* SPDX-License-Identifier: MIT */
/*
 * For tests of the qcow2 driver: a disk in memory that keeps a record of what
 * was written and flushed, so that the image can be seen as a crash at any
 * moment would have left it; and qemu-img as a judge.
 */
#ifndef TESTS_QCOW2_FIXTURE_H
#define TESTS_QCOW2_FIXTURE_H

#include "block/qcow2/qcow2.h"
#include "tests/unit/image-fixture.h"

typedef struct Tape Tape;

/* Register the driver "tape", and make the test's directory. Suits .init;
 * image_dir_fini() suits .fini. */
void tape_init(void);

/* An image made by qemu-img in the test's directory. False: there is no
 * qemu-img; skip the test. */
bool tape_create(const char *name, const char *options, const char *size);

/* Open a copy of the image in the test's directory through the driver.
 * options: "key=value,..." for qcow2, or "". */
BlockBackend *tape_open(const char *name, const char *options);
Tape *tape_of(BlockBackend *blk);
Qcow2State *tape_state(BlockBackend *blk);

/* After `skip` more writes or flushes, `times` (-1: all) fail with `error`. */
void tape_fail(Tape *tape, int skip, int times, int error);

/* Let the next write wait, others pass it; until one waits; let it go on. */
void tape_hold(Tape *tape);
void tape_wait_held(Tape *tape);
void tape_release(Tape *tape);

/* Writes, discards and flushes until now; an instant for tape_crash(). */
unsigned tape_now(Tape *tape);
unsigned tape_flushes(Tape *tape);
uint64_t tape_written(Tape *tape); /* bytes */

/* Whether the last event before the instant was a flush. */
bool tape_is_durable(Tape *tape, unsigned instant);

/* Store the bytes as a host file: as they are, or as they might be after a
 * crash at an instant, by the dice. */
void tape_save(Tape *tape, const char *name);
void tape_crash(Tape *tape, unsigned instant, GRand *dice, const char *name);

/* Let qemu-img check a file. Fails the test on corruptions and when the image
 * cannot be checked; gives the leaked clusters. */
int64_t tape_check(const char *name);

#endif
