/* SPDX-License-Identifier: MIT */
/* Blocks of finished threads stay whole, can be resized and freed by others, and their memory is found again. */
#include "threads.h"

enum {
    BLOCKS = 2000,
    THREADS = 8,
    ROUNDS = 30 / FEWER_ROUNDS
};

static unsigned char *blocks[THREADS][BLOCKS];

static size_t size_of(size_t i)
{
    return i % 100 == 99 ? 50000 : i % 10 == 9 ? 3000 : i % 200 + 1;
}

static void *allocate(void *index)
{
    const size_t mine = (uintptr_t)index;
    for (size_t i = 0; i < BLOCKS; i++) {
        blocks[mine][i] = malloc(size_of(i));
        if (blocks[mine][i] == NULL)
            return (void *)1;
        fill(blocks[mine][i], size_of(i), mine * 1000 + i);
    }
    return NULL;
}

static void *release_another_threads(void *index)
{
    const size_t other = ((uintptr_t)index + 1) % THREADS;
    for (size_t i = 0; i < BLOCKS; i++) {
        if (!is_filled(blocks[other][i], size_of(i), other * 1000 + i))
            return (void *)1;
        if (i % 5 == 0) {
            blocks[other][i] = realloc(blocks[other][i], size_of(i) * 2);
            if (blocks[other][i] == NULL || !is_filled(blocks[other][i], size_of(i), other * 1000 + i))
                return (void *)1;
        }
        free(blocks[other][i]);
    }
    return NULL;
}

int main(void)
{
    long after_first = 0;
    for (int round = 0; round < ROUNDS; round++) {
        CHECK(run_threads(THREADS, allocate) == 0, "round %d: no memory", round);
        CHECK(run_threads(THREADS, release_another_threads) == 0,
              "round %d: a block of a finished thread changed", round);
        if (round == 2)
            after_first = resident_kib();
    }
    const long grown = resident_kib() - after_first;
    CHECK(grown < 48 * 1024, "%d rounds left %ld KiB more than the first three", ROUNDS - 3, grown);
    return 0;
}
