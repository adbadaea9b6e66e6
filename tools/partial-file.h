/* SPDX-License-Identifier: MIT */
/*
 * The target file while it is being written: a command that fails or is
 * interrupted must not leave half an image that looks whole.
 *
 * A file that was not there before is removed. One that was (its contents are
 * gone in any case) is left empty. One target at a time.
 *
 * Another process may be after the same name. The file is ours only once it
 * was created and then opened with its locks; it is touched only while they
 * are held, and only if the name still leads to it.
 */
#ifndef TOOLS_PARTIAL_FILE_H
#define TOOLS_PARTIAL_FILE_H

#include <stdbool.h>

/*
 * Before `path` is created or emptied: catch the signals that end a program.
 * The first one asks the work to stop (see partial_file_interrupted()), a
 * second one removes the file, if it is ours, and ends the program at once.
 */
void partial_file_begin(const char *path);

/* Creating it succeeded; it is not locked yet. */
void partial_file_created(void);

/* It was opened with its locks: from now on it is ours, unless the name leads
 * to another file by now (false). */
bool partial_file_own(void);

/* Whether a signal asks to stop. Cheap, on any thread. */
bool partial_file_interrupted(void);

/* Whether what is done so far is to be thrown away. */
bool partial_file_is_lost(bool complete);

/*
 * The work is over, and the locks are still held: a file of ours that is not
 * complete is removed or emptied. at_rest: closing the image will not write to
 * it any more; where it may, the file cannot stay.
 */
void partial_file_settle(bool complete, bool at_rest);

/* The signals get their old meaning again, and one that was caught is raised
 * now: it ends the program as it would have done. */
void partial_file_end(void);

#endif
