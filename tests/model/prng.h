/* SPDX-License-Identifier: MIT */
/* A small generator (splitmix64): the same numbers for a seed everywhere. */
#ifndef TESTS_MODEL_PRNG_H
#define TESTS_MODEL_PRNG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Prng {
    uint64_t state;
} Prng;

static inline uint64_t prng_next(Prng *prng)
{
    uint64_t z = prng->state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* 0 .. n - 1; n > 0 */
static inline uint32_t prng_below(Prng *prng, uint32_t n)
{
    return (uint32_t)((prng_next(prng) >> 32) * n >> 32);
}

static inline bool prng_one_in(Prng *prng, uint32_t n)
{
    return prng_below(prng, n) == 0;
}

static inline void prng_fill(Prng *prng, uint8_t *data, size_t n)
{
    for (size_t i = 0; i < n; i += 8) {
        uint64_t z = prng_next(prng);

        for (size_t k = i; k < n && k < i + 8; k++, z >>= 8) {
            data[k] = (uint8_t)z;
        }
    }
}

#endif
