/* SPDX-License-Identifier: MIT */
/* Forks while other threads allocate: each child allocates and frees all sizes, frees inherited blocks, starts a thread. */
#include <stdatomic.h>
#include "threads.h"

/* More threads than the machine has processors would be in the middle of something no more often: they would wait. */
enum {
    THREADS = 2
};

static atomic_int done;

static void *churn(void *index)
{
    uint64_t random = (uintptr_t)index + 1;
    void *kept[100] = {NULL};
    while (!atomic_load(&done)) {
        const size_t i = next_random(&random) % 100;
        free(kept[i]);
        kept[i] = malloc(random_size(&random, 200000));
    }
    for (size_t i = 0; i < 100; i++)
        free(kept[i]);
    return NULL;
}

static void *in_child(void *index)
{
    (void)index;
    use_every_size();
    return NULL;
}

int main(void)
{
    alarm(55);
    pthread_t threads[THREADS];
    for (intptr_t i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, churn, (void *)i) == 0, "pthread_create");
    void *inherited[40];
    for (int round = 0; round < 60; round++) {
        for (size_t i = 0; i < 40; i++)
            inherited[i] = malloc(i * i * 50);
        const pid_t child = fork();
        if (child == 0) {
            alarm(20);
            use_every_size();
            for (size_t i = 0; i < 40; i++)
                free(inherited[i]);
            CHECK(run_threads(2, in_child) == 0, "a thread in the child");
            if (round % 10 == 0) {
                const pid_t grandchild = fork();
                if (grandchild == 0) {
                    use_every_size();
                    _exit(0);
                }
                expect_child_succeeds(grandchild, "grandchild");
            }
            _exit(0);
        }
        expect_child_succeeds(child, "child");
        for (size_t i = 0; i < 40; i++)
            free(inherited[i]);
    }
    atomic_store(&done, 1);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    return 0;
}
