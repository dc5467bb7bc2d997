/* SPDX-License-Identifier: MIT */
/* steady.c: preloaded before the library where its work is counted, so that equal runs count the same.
 *
 * Two things differ between equal runs: how much time passes, which decides when free memory goes back to the system
 * (valgrind makes a run fifty times longer, and half a second of it passes sooner or later), and random numbers: where
 * the map lies, which decides what falls into one cache line, and the order of the hardened variants. Here the clock
 * moves on by one millisecond with each look at it, or as far as the program says (bench_replay, which knows how long the
 * recorded one took), and the numbers are always the same. The library takes both from here if these names are defined
 * (core/os/os_linux.c). */
#include <stdatomic.h>
#include <stdint.h>

#define EXPORT __attribute__((visibility("default")))

static _Atomic uint64_t looks;
static uint64_t step = 1; /* of the clock, a look; as dear as a constant, so that counts stay what they are */
static _Atomic uint64_t drawn;

EXPORT uint64_t hakmem_steady_ms(void);
EXPORT uint64_t hakmem_steady_random(void);
EXPORT void hakmem_steady_tell(uint64_t ms);

EXPORT uint64_t hakmem_steady_ms(void)
{
    return 3600000 + atomic_fetch_add(&looks, step);
}

/* From now on it is so late, until it is told anew. */
EXPORT void hakmem_steady_tell(uint64_t ms)
{
    step = 0;
    looks = ms;
}

EXPORT uint64_t hakmem_steady_random(void)
{
    return (drawn++ * 0x9e3779b97f4a7c15u) ^ 0x632be59bd9b4e019u;
}
