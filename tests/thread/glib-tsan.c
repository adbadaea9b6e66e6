/* SPDX-License-Identifier: MIT */
/*
 * GLib's locks, as the thread sanitizer must see them.
 *
 * GLib as it is installed is not instrumented: the sanitizer sees our data,
 * but not the locks around it, and takes everything for a race. These
 * functions stand before GLib's in a test program; they call GLib's and tell
 * the sanitizer what they order. What GLib does inside itself stays unseen.
 */
#include <dlfcn.h>
#include <glib.h>
#include <sanitizer/tsan_interface.h>
#include <stdlib.h>
#include <unistd.h>

/*
 * What one thread gives back, and another one gets, GLib passes on behind the
 * sanitizer's back: leave that to malloc(). GLib looks at the environment
 * before this program begins, so it begins anew.
 */
__attribute__((constructor)) static void use_malloc(int argc, char **argv)
{
    (void)argc;
    if (!getenv("G_SLICE")) {
        setenv("G_SLICE", "always-malloc", 1);
        execv("/proc/self/exe", argv);
    }
}

/* What GLib's thread pools keep in their queues, under locks inside of it. */
const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void)
{
    return "race:^g_queue_pop_tail$\n";
}

/* GLib's own function, looked up once for each place of use. */
#define REAL(function)                                                        \
    ({                                                                        \
        static typeof(&(function)) real;                                      \
        typeof(&(function)) found = __atomic_load_n(&real, __ATOMIC_ACQUIRE); \
        if (found == NULL) {                                                  \
            found = (typeof(found))dlsym(RTLD_NEXT, #function);               \
            __atomic_store_n(&real, found, __ATOMIC_RELEASE);                 \
        }                                                                     \
        found;                                                                \
    })

/* The macros that GLib puts before some of them are not wanted here. */
#undef g_once_init_leave

void g_mutex_lock(GMutex *mutex)
{
    REAL(g_mutex_lock)(mutex);
    __tsan_acquire(mutex);
}

gboolean g_mutex_trylock(GMutex *mutex)
{
    gboolean taken = REAL(g_mutex_trylock)(mutex);

    if (taken) {
        __tsan_acquire(mutex);
    }
    return taken;
}

void g_mutex_unlock(GMutex *mutex)
{
    __tsan_release(mutex);
    REAL(g_mutex_unlock)(mutex);
}

void g_cond_wait(GCond *cond, GMutex *mutex)
{
    __tsan_release(mutex);
    REAL(g_cond_wait)(cond, mutex);
    __tsan_acquire(mutex);
}

gboolean g_cond_wait_until(GCond *cond, GMutex *mutex, gint64 end_time)
{
    gboolean signalled;

    __tsan_release(mutex);
    signalled = REAL(g_cond_wait_until)(cond, mutex, end_time);
    __tsan_acquire(mutex);
    return signalled;
}

void g_rw_lock_reader_lock(GRWLock *lock)
{
    REAL(g_rw_lock_reader_lock)(lock);
    __tsan_acquire(lock);
}

void g_rw_lock_reader_unlock(GRWLock *lock)
{
    __tsan_release(lock);
    REAL(g_rw_lock_reader_unlock)(lock);
}

void g_rw_lock_writer_lock(GRWLock *lock)
{
    REAL(g_rw_lock_writer_lock)(lock);
    __tsan_acquire(lock);
}

void g_rw_lock_writer_unlock(GRWLock *lock)
{
    __tsan_release(lock);
    REAL(g_rw_lock_writer_unlock)(lock);
}

/* Its other half is an atomic load at the place of use, which is seen. */
void g_once_init_leave(volatile void *location, gsize result)
{
    __tsan_release((void *)location);
    REAL(g_once_init_leave)(location, result);
}
