/* SPDX-License-Identifier: MIT */
/*
 * A soak: rounds of workers, each a thread with a device (or some) of its own.
 * What the process holds is counted between the rounds.
 *
 *   guest   the model's guest on fat:rw:DIR, in this process or behind a
 *           server that is killed; others read the same device and ask for
 *           commits, and the host changes DIR, meanwhile
 *   clash   a guest and the host that change the same files
 *   images  raw, qcow and qcow2 images, and fat:DIR read-only
 */
#ifndef TESTS_SOAK_SOAK_H
#define TESTS_SOAK_SOAK_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct Soak {
    uint64_t seed;
    unsigned n_workers;
    unsigned n_ops;     /* of each, in each round */
    const char *top;    /* directory for everything */
    const char *plugin; /* servers are nbdkit with this; NULL: this program */
    const char *vvfat_img; /* looks at overlays between two servers, or NULL */
    const char *only;      /* kind of worker, or NULL: all */
    bool verbose;
} Soak;

typedef struct Worker {
    const Soak *soak;
    uint64_t seed;
    char *work; /* an empty directory, removed when all went well */
    char *why;  /* what is wrong, or NULL */
    char *what; /* a line about what it was */
    uint64_t n_ops, n_judged, n_kills;
} Worker;

void guest_work(Worker *worker);
void clash_work(Worker *worker);
void images_work(Worker *worker);

/* Keep the first complaint; takes what. */
void worker_complain(Worker *worker, char *what);

/* ---- The server of a guest (server.c) ---- */

typedef struct Server Server;

/* Serve the device `name` at `socket`; overlay: its file. Is killed at random
 * (steady: is not), and started again. */
Server *server_new(const Soak *soak, uint64_t seed, const char *name,
                   const char *socket, const char *overlay, bool steady);
/* End it; NULL, or what was wrong. Adds to *n_kills. */
char *server_free(Server *server, uint64_t *n_kills);
/* Of the process that runs now; only of a steady one. */
unsigned server_descriptors(Server *server);
int64_t server_memory(Server *server); /* bytes */

/* ---- The host (visitor.c) ---- */

/* Files at the top of a directory that a guest's model does not know: made,
 * changed, renamed and deleted by a thread; nobody else may touch them. */
typedef struct Visitor Visitor;

Visitor *visitor_new(const char *dir, const char *prefix, uint64_t seed);
/* Nothing is changed until visitor_resume(); NULL, or what has become of the
 * files. leave: they are deleted. */
char *visitor_pause(Visitor *visitor, bool leave) G_GNUC_WARN_UNUSED_RESULT;
void visitor_resume(Visitor *visitor);
char *visitor_free(Visitor *visitor) G_GNUC_WARN_UNUSED_RESULT;

/* ---- What the process holds (census.c) ---- */

typedef struct Census {
    unsigned descriptors, threads, mappings;
    int64_t heap, resident; /* bytes */
} Census;

/* expected: threads that there should be, for which it waits; 0: not known. */
void census_take(Census *census, unsigned expected);
unsigned census_descriptors(int pid); /* 0: this process */
int64_t census_resident(int pid);     /* bytes; 0: this process */
/* Names in dir that begin with prefix. */
unsigned census_names(const char *dir, const char *prefix);
/* NULL, or what has grown from one to the other beyond all reason. */
char *census_compare(const Census *before, const Census *after)
    G_GNUC_WARN_UNUSED_RESULT;
/* The same for what never has more when nothing is going on. */
char *census_compare_still(const Census *before, const Census *after)
    G_GNUC_WARN_UNUSED_RESULT;
/* Whether this program looks after itself, and takes its time for that. */
bool census_is_slow(void);
char *census_text(const Census *census);

#endif
