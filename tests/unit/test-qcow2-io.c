/* SPDX-License-Identifier: MIT */
/*
 * Reading and writing qcow2 images: random requests of every kind against a
 * copy in memory, for all cluster sizes; snapshots that must stay as they
 * are; entries that cannot be. qemu-img judges what is left behind.
 */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/image-fixture.h"
#include "tests/unit/qcow2-model.h"
#include "util/bytes.h"

TestSuite(qcow2_io, .init = model_dir_init, .fini = image_dir_fini);

#define KIB 1024
#define MIB (1024 * 1024)

static ModelSetup setups[] = {
    { "cluster_size=512,compat=1.1", 601 * KIB - 512, 0, "", 5000, 1500 },
    { "cluster_size=512,compat=0.10", 600 * KIB, 400 * KIB, "", 5000, 1500 },
    { "cluster_size=4k,compat=1.1", 3 * MIB + 4608, 2 * MIB + 5, "", 20000,
      1500 },
    { "cluster_size=4k,compat=0.10", 3 * MIB, 0, "", 20000, 1500 },
    { "cluster_size=4k,compat=1.1,refcount_bits=1", 3 * MIB, 5 * MIB, "",
      20000, 1000 },
    { "cluster_size=64k,compat=1.1", 9 * MIB + 12800, 0, "", 200000, 1500 },
    { "cluster_size=64k,compat=1.1,lazy_refcounts=on", 9 * MIB, 6 * MIB + 1,
      "", 200000, 1500 },
    { "cluster_size=64k,compat=0.10", 9 * MIB, 3 * MIB, "", 200000, 1000 },
    { "cluster_size=64k,compat=1.1,preallocation=metadata", 9 * MIB, 0, "",
      200000, 1000 },
    { "cluster_size=2M,compat=1.1", 21 * MIB + 1024, 9 * MIB, "", 3000000,
      400 },
    { "cluster_size=2M,compat=0.10", 20 * MIB, 0, "", 3000000, 300 },
};

ParameterizedTestParameters(qcow2_io, requests_of_every_kind)
{
    return cr_make_param_array(ModelSetup, setups, G_N_ELEMENTS(setups));
}

ParameterizedTest(ModelSetup *setup, qcow2_io, requests_of_every_kind)
{
    const char *seed = g_getenv("QCOW2_SEED");
    Model m;

    model_init(&m, setup, seed ? (uint32_t)atoi(seed) : 20240229);
    for (unsigned i = 0; i < setup->steps; i++) {
        model_step(&m);
        if (i % 400 == 399) {
            model_verify(&m);
        }
    }
    model_verify(&m);
    model_clear(&m);
}
