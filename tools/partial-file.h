/* SPDX-License-Identifier: MIT */
/*
 * The target file while it is being written: a command that fails or is
 * interrupted must not leave half an image that looks whole.
 *
 * A file that the command made is removed. One that was there before (its
 * contents are gone in any case) is left empty. One target at a time.
 */
#ifndef TOOLS_PARTIAL_FILE_H
#define TOOLS_PARTIAL_FILE_H

#include <stdbool.h>

/*
 * Before `path` is created or truncated: remember what is there, and catch
 * SIGINT, SIGTERM and SIGHUP. The first one asks the work to stop (see
 * partial_file_interrupted()), a second one removes the file and ends the
 * program at once.
 */
void partial_file_begin(const char *path);

/* Whether a signal asks to stop. Cheap, on any thread. */
bool partial_file_interrupted(void);

/*
 * The end: a file that is not complete is removed or emptied, if it is not
 * what stood there before. The signals get their old meaning again, and one
 * that was caught is raised now: it ends the program as it would have done.
 */
void partial_file_end(bool complete);

#endif
