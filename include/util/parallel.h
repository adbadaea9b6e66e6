/* SPDX-License-Identifier: MIT */
/*
 * Work that keeps a processor busy, on all processors. The threads are shared
 * by the process and made when they are needed first.
 */
#ifndef UTIL_PARALLEL_H
#define UTIL_PARALLEL_H

typedef void ParallelWork(void *opaque, unsigned i);

/*
 * Call work(opaque, i) for each i in 0..n-1, in any order, on this thread and
 * on others; returns when all have been done. The work must not wait for
 * anything but the processor, nor call this itself.
 */
void parallel_for(unsigned n, ParallelWork *work, void *opaque);

/* How many calls may run at a time. */
unsigned parallel_width(void);

#endif
