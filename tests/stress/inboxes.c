/* SPDX-License-Identifier: MIT */
/* Many inboxes at once: each thread takes blocks of a few sizes, passes them on to any other one, and frees what it was passed,
 * which is of several owners. Threads end in the middle and others take their heaps over, and one trims all the while, which
 * empties the inboxes of others. Contents stay whole, and in the end all that was taken is freed. */
#include <malloc.h>
#include <stdatomic.h>
#include "threads.h"

enum {
    WORKERS = 4,
    PLACES = 64,
    STEPS = 60000 / FEWER_ROUNDS,
    GENERATIONS = 5
};

typedef struct parcel {
    _Atomic(void *) places[PLACES];
} parcel_t;

static parcel_t parcels[WORKERS]; /* what others have for a worker */
static atomic_int taken, freed;
static atomic_int working;

static void unpack(unsigned char *block)
{
    if (block == NULL)
        return;
    const size_t size = 24 + 8 * (size_t)block[0];
    CHECK(block[size - 1] == block[0], "a block of %zu bytes changed", size);
    free(block);
    atomic_fetch_add_explicit(&freed, 1, memory_order_relaxed);
}

static unsigned char *pack(uint64_t *random)
{
    const unsigned char kind = (unsigned char)(next_random(random) % 4 * 16);
    const size_t size = 24 + 8 * (size_t)kind;
    unsigned char *block = malloc(size);
    CHECK(block != NULL, "no memory");
    memset(block, kind, size);
    atomic_fetch_add_explicit(&taken, 1, memory_order_relaxed);
    return block;
}

static void *pass_on(void *index)
{
    uint64_t random = (uintptr_t)index * 77 + 1 + (uint64_t)atomic_load(&taken);
    for (int step = 0; step < STEPS; step++) {
        parcel_t *to = &parcels[next_random(&random) % WORKERS];
        unpack(atomic_exchange(&to->places[next_random(&random) % PLACES], pack(&random)));
        unpack(atomic_exchange(&parcels[(uintptr_t)index % WORKERS].places[step % PLACES], NULL));
    }
    return NULL;
}

static void *have_generations(void *index)
{
    for (int i = 0; i < GENERATIONS; i++) {
        pthread_t thread;
        CHECK(pthread_create(&thread, NULL, pass_on, index) == 0, "pthread_create");
        pthread_join(thread, NULL);
    }
    atomic_fetch_sub(&working, 1);
    return NULL;
}

static void *trim(void *index)
{
    uint64_t random = (uintptr_t)index;
    while (atomic_load(&working) != 0) {
        unpack(pack(&random));
        malloc_trim(0);
        usleep(2000);
    }
    return NULL;
}

static void *work(void *index)
{
    return (uintptr_t)index < WORKERS ? have_generations(index) : trim(index);
}

int main(void)
{
    atomic_store(&working, WORKERS);
    CHECK(run_threads(WORKERS + 1, work) == 0, "a thread failed");
    for (int i = 0; i < WORKERS; i++)
        for (int place = 0; place < PLACES; place++)
            unpack(atomic_exchange(&parcels[i].places[place], NULL));
    CHECK(atomic_load(&taken) == atomic_load(&freed), "%d taken, %d freed", taken, freed);
    const long held = peak_resident_kib();
    CHECK(FEWER_ROUNDS != 1 || held < 60 * 1024, "%ld KiB at the peak", held);
    return 0;
}
