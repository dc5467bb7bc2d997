/* SPDX-License-Identifier: MIT */
/* Threads come and go while blocks of the dead are freed by the living: slabs change owner again and again. */
#include <stdatomic.h>
#include "threads.h"

enum {
    SLOTS = 1000,
    GENERATIONS = 60 / FEWER_ROUNDS,
    THREADS = 6,
    STEPS = 3000
};

static _Atomic(unsigned char *) slots[SLOTS];
static atomic_uint generation;

static void *work(void *index)
{
    uint64_t random = ((uintptr_t)index + 1) * 31 + atomic_load(&generation) * 1009;
    for (int step = 0; step < STEPS; step++) {
        const size_t size = 1 + random_size(&random, 3000);
        unsigned char *block = malloc(size + 16);
        CHECK(block != NULL, "no memory");
        memcpy(block, &size, sizeof size);
        fill(block + 16, size, size);
        unsigned char *old = atomic_exchange(&slots[next_random(&random) % SLOTS], block);
        if (old != NULL) {
            size_t old_size;
            memcpy(&old_size, old, sizeof old_size);
            CHECK(old_size <= 3001 && is_filled(old + 16, old_size, old_size),
                  "a block changed hands and contents");
            free(old);
        }
    }
    return NULL;
}

int main(void)
{
    long early = 0;
    for (unsigned i = 0; i < GENERATIONS; i++) {
        atomic_store(&generation, i);
        CHECK(run_threads(THREADS, work) == 0, "generation %u", i);
        if (i == GENERATIONS / 4)
            early = resident_kib();
    }
    const long grown = resident_kib() - early;
    CHECK(grown < 16 * 1024, "memory grew by %ld KiB over %d generations of threads", grown,
          GENERATIONS * 3 / 4);
    return 0;
}
