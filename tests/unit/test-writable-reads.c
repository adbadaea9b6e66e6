/* SPDX-License-Identifier: MIT */
/*
 * All of the disk can be read at any moment of a commit: in use or free, no
 * cluster is looked for in a file that the commit has just removed.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "image-fixture.h"
#include "tests/unit/host-tree.h"
#include "tests/unit/machine-day.h"

TestSuite(writable_reads, .init = image_dir_init, .fini = image_dir_fini);

#define CHUNK (INT64_C(64) << 10)
#define LONG_FILE 100000u

typedef struct Reader {
    BlockBackend *blk;
    int n_reads;
    int error;
    bool is_reading; /* which makes calls, too */
} Reader;

static void read_all(int n, void *opaque)
{
    Reader *reader = opaque;
    int64_t size = blk_getlength(reader->blk);
    g_autofree uint8_t *data = g_malloc((gsize)CHUNK);

    (void)n;
    if (reader->is_reading) {
        return;
    }
    reader->is_reading = true;
    for (int64_t at = 0; at < size && reader->error == 0; at += CHUNK) {
        reader->error = blk_pread(reader->blk, at, MIN(CHUNK, size - at), data,
                                  0);
    }
    reader->n_reads++;
    reader->is_reading = false;
}

/* Whenever the host is to sync, which is before and after names change. */
Test(writable_reads, during_a_commit)
{
    g_autoptr(Machine) m = machine_new();
    Reader reader = { 0 };

    day_make_host(m->host);
    machine_open(m, "commit=flush");
    reader.blk = m->disk->blk;
    for (unsigned i = 0; i < DAY_STEPS; i++) {
        day_step(m, i);
        m->fault->kinds = HOST_CALL_SYNC;
        m->fault->opaque = &reader;
        m->fault->on_call = read_all;
        cr_assert_eq(guest_sync(m, ORDER_LINUX), 0);
        m->fault->on_call = NULL;
        cr_assert_eq(reader.error, 0, "step %u: reading failed", i);
        machine_check_same(m, "step %u", i);
    }
    cr_assert_gt(reader.n_reads, (int)DAY_STEPS);
}

/* Its last clusters are free, and not looked for in what is shorter now. */
Test(writable_reads, while_a_file_is_cut_off)
{
    g_autoptr(Machine) m = machine_new();
    g_autofree char *data = g_malloc0(LONG_FILE);
    Reader reader = { 0 };

    memset(data, 'x', LONG_FILE);
    cr_assert_eq(host_tree_file(m->host, "long", data, LONG_FILE), 0);
    machine_open(m, "commit=flush");
    reader.blk = m->disk->blk;
    guest_resize(m, "long", 100);
    guest_write_out(m, ORDER_LINUX);
    m->fault->kinds = HOST_CALL_READ;
    m->fault->opaque = &reader;
    m->fault->on_call = read_all;
    cr_assert_eq(blk_flush(m->disk->blk), 0);
    m->fault->on_call = NULL;
    cr_assert_eq(reader.error, 0, "reading failed");
    cr_assert_gt(reader.n_reads, 3);
    machine_check_same(m, "cut off");
}
