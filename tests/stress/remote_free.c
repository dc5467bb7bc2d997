/* SPDX-License-Identifier: MIT */
/* One side only allocates, the other only frees, through bounded rings: memory stays bounded, contents whole. */
#include <sched.h>
#include <stdatomic.h>
#include "threads.h"

enum {
    PAIRS = 2,
    RING = 1024,
    MESSAGES = 400000
};

static struct {
    _Alignas(64) _Atomic size_t written;
    _Alignas(64) _Atomic size_t read;
    void *blocks[RING];
} rings[PAIRS];

static void *produce(size_t pair)
{
    uint64_t random = pair + 11;
    for (size_t i = 0; i < MESSAGES; i++) {
        while (i - atomic_load_explicit(&rings[pair].read, memory_order_acquire) >= RING)
            sched_yield();
        const size_t size = 16 + (i % 200 == 0 ? next_random(&random) % 100000 : random_size(&random, 1500));
        unsigned char *block = malloc(size);
        CHECK(block != NULL, "no memory for %zu bytes", size);
        memcpy(block, &i, sizeof i);
        rings[pair].blocks[i % RING] = block;
        atomic_store_explicit(&rings[pair].written, i + 1, memory_order_release);
    }
    return NULL;
}

static void *consume(size_t pair)
{
    for (size_t i = 0; i < MESSAGES; i++) {
        while (atomic_load_explicit(&rings[pair].written, memory_order_acquire) <= i)
            sched_yield();
        unsigned char *block = rings[pair].blocks[i % RING];
        size_t number;
        memcpy(&number, block, sizeof number);
        CHECK(number == i, "block %zu carries number %zu", i, number);
        atomic_store_explicit(&rings[pair].read, i + 1, memory_order_release);
        free(block);
    }
    return NULL;
}

static void *work(void *index)
{
    const size_t i = (uintptr_t)index;
    return i % 2 == 0 ? produce(i / 2) : consume(i / 2);
}

int main(void)
{
    CHECK(run_threads(PAIRS * 2, work) == 0, "a thread failed");
    const long held = peak_resident_kib();
    /* 2 × 1,024 blocks of 400 bytes on average are alive at most: 1 MiB; 40 MiB are caches at their worst. */
    CHECK(held < 40 * 1024, "%ld KiB at the peak of %d remote frees", held, PAIRS * MESSAGES);
    return 0;
}
