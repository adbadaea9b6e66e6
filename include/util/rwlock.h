/* SPDX-License-Identifier: MIT */
#ifndef UTIL_RWLOCK_H
#define UTIL_RWLOCK_H

#include <pthread.h>

/* A lock whose writer waits for those that hold it shared, and not for those
 * who come after him. A thread that holds it shared does not take it again. */
void rwlock_init(pthread_rwlock_t *lock);

#endif
