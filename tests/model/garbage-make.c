/* SPDX-License-Identifier: MIT */
/*
 * Chooses operations for a run with garbage.
 *
 * Now and then a name of the guest's becomes a link on the host that leads
 * outside: before the guest makes a file or directory of that name, or in the
 * place of a directory that the guest has and writes into.
 */
#include "tests/model/run.h"

#define SECRET "/secret" /* a name that the directory outside has, too */

typedef enum Step {
    STEP_END, /* the host's links go away */
    STEP_PLANT,
    STEP_PLANT_DIR,
    STEP_CREATE,
    STEP_CREATE_BELOW,
    STEP_WRITE_BELOW,
    STEP_MKDIR,
    STEP_DELETE,
    STEP_DELTREE,
    STEP_WRITEOUT,
    STEP_FLUSH,
} Step;

static const Step plantings[][16] = {
    { STEP_PLANT, STEP_CREATE, STEP_WRITEOUT, STEP_FLUSH, STEP_DELETE,
      STEP_WRITEOUT, STEP_FLUSH },
    { STEP_PLANT_DIR, STEP_MKDIR, STEP_CREATE_BELOW, STEP_WRITEOUT, STEP_FLUSH,
      STEP_DELTREE, STEP_WRITEOUT, STEP_FLUSH },
    { STEP_CREATE, STEP_WRITEOUT, STEP_FLUSH, STEP_PLANT, STEP_DELETE,
      STEP_CREATE, STEP_WRITEOUT, STEP_FLUSH, STEP_DELETE, STEP_WRITEOUT,
      STEP_FLUSH },
    { STEP_MKDIR, STEP_CREATE_BELOW, STEP_WRITEOUT, STEP_FLUSH, STEP_PLANT_DIR,
      STEP_WRITE_BELOW, STEP_WRITEOUT, STEP_FLUSH, STEP_DELTREE, STEP_WRITEOUT,
      STEP_FLUSH },
};

static Op *step_op(Step step, const char *name, Prng *prng)
{
    g_autofree char *below = g_strconcat(name, SECRET, NULL);
    uint64_t seed = prng_next(prng);

    switch (step) {
    case STEP_PLANT:
    case STEP_PLANT_DIR:
        return op_new(OP_PLANT, seed, step == STEP_PLANT_DIR, 0, name, NULL);
    case STEP_CREATE:
        return op_new(OP_CREATE, seed, prng_below(prng, 5000), 0, name, NULL);
    case STEP_CREATE_BELOW:
        return op_new(OP_CREATE, seed, prng_below(prng, 5000), 0, below, NULL);
    case STEP_WRITE_BELOW:
        return op_new(OP_WRITE, seed, 10, 1 + prng_below(prng, 5000), below,
                      NULL);
    case STEP_MKDIR:
        return op_new(OP_MKDIR, seed, 0, 0, name, NULL);
    case STEP_DELETE:
        return op_new(OP_DELETE, seed, 0, 0, name, NULL);
    case STEP_DELTREE:
        return op_new(OP_DELTREE, seed, 0, 0, name, NULL);
    case STEP_WRITEOUT:
        return op_new(OP_WRITEOUT, seed, prng_below(prng, N_ORDERS),
                      prng_below(prng, N_STYLES), NULL, NULL);
    case STEP_FLUSH:
        return op_new(OP_FLUSH, seed, 0, 0, NULL, NULL);
    default:
        return op_new(OP_UNPLANT, seed, 0, 0, NULL, NULL);
    }
}

static Op *planting(Run *run, Prng *prng)
{
    unsigned variant = run->n_planted % G_N_ELEMENTS(plantings);
    g_autofree char *name = g_strdup_printf(PLANTED "%u", run->n_planted);
    Step step = plantings[variant][run->phase++ - 1];

    if (step == STEP_END) {
        run->phase = 0;
        run->n_planted++;
    }
    return step_op(step, name, prng);
}

Op *garbage_make(Run *run, Prng *prng)
{
    if (run->phase == 0 && !run->is_damaged && prng_one_in(prng, 40)) {
        run->phase = 1;
    }
    if (run->phase > 0) {
        return planting(run, prng);
    }
    if (run->is_damaged && prng_one_in(prng, 6)) {
        return op_new(OP_REPAIR, prng_next(prng), prng_below(prng, N_ORDERS),
                      prng_below(prng, N_STYLES), NULL, NULL);
    }
    if (run->is_damaged ||
        (disk_n_dirty(run->disk) == 0 && prng_one_in(prng, 3))) {
        return op_new(OP_DAMAGE, prng_next(prng), prng_below(prng, N_DAMAGES),
                      0, NULL, NULL);
    }
    return op_make(run, prng);
}
