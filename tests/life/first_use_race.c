/* SPDX-License-Identifier: MIT */
/* The first malloc of many threads at the same moment, in rounds: each thread's set-up races all the others'. */
#include "threads.h"

enum {
    THREADS = 32,
    ROUNDS = 20 / FEWER_ROUNDS
};

static pthread_barrier_t start;

static void *first_use(void *index)
{
    pthread_barrier_wait(&start);
    unsigned char *blocks[50];
    for (size_t i = 0; i < 50; i++) {
        blocks[i] = malloc(i * 40 + 1);
        if (blocks[i] == NULL)
            return (void *)1;
        fill(blocks[i], i * 40 + 1, (uintptr_t)index);
    }
    for (size_t i = 0; i < 50; i++) {
        if (!is_filled(blocks[i], i * 40 + 1, (uintptr_t)index))
            return (void *)1;
        free(blocks[i]);
    }
    use_every_size();
    return NULL;
}

int main(void)
{
    for (int round = 0; round < ROUNDS; round++) {
        pthread_barrier_init(&start, NULL, THREADS);
        CHECK(run_threads(THREADS, first_use) == 0, "round %d: a thread's blocks were not its own", round);
        pthread_barrier_destroy(&start);
    }
    return 0;
}
