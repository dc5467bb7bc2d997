/* SPDX-License-Identifier: MIT */
/* Signals to threads that wait for each other's locks: an interrupted wait goes on waiting. The handlers run on stacks
 * of their own, 16 KiB, and touch no allocator. */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include "threads.h"

enum {
    THREADS = 4,
    SLOTS = 16,
    SIGNALS = 1000
};

static atomic_int arrived;
static atomic_int done;
static atomic_int ready;
static pthread_t threads[THREADS];

static void handler(int number)
{
    (void)number;
    atomic_fetch_add(&arrived, 1);
}

/* Large blocks, which all threads take from the same place. */
static void *work(void *index)
{
    char stack[16384];
    const stack_t own = {.ss_sp = stack, .ss_size = sizeof stack};
    CHECK(sigaltstack(&own, NULL) == 0, "sigaltstack");
    atomic_fetch_add(&ready, 1);
    uint64_t random = (uintptr_t)index + 1;
    unsigned char *blocks[SLOTS] = {NULL};
    size_t sizes[SLOTS] = {0};
    while (!atomic_load(&done)) {
        const size_t i = next_random(&random) % SLOTS;
        CHECK(is_filled(blocks[i], sizes[i] < 200 ? sizes[i] : 200, i), "a block changed");
        errno = 0;
        free(blocks[i]);
        sizes[i] = 70000 + next_random(&random) % (i == 0 ? 5000000 : 300000);
        blocks[i] = malloc(sizes[i]);
        CHECK(blocks[i] != NULL && errno == 0, "errno %d", errno);
        fill(blocks[i], 200, i);
    }
    for (size_t i = 0; i < SLOTS; i++)
        free(blocks[i]);
    const stack_t none = {.ss_flags = SS_DISABLE};
    sigaltstack(&none, NULL);
    return NULL;
}

int main(void)
{
    alarm(25);
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_ONSTACK};
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0, "sigaction");
    for (intptr_t i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, work, (void *)i) == 0, "pthread_create");
    while (atomic_load(&ready) < THREADS)
        usleep(100);
    for (int i = 0; atomic_load(&arrived) < SIGNALS; i++) { /* those sent while one is pending are lost */
        CHECK(pthread_kill(threads[i % THREADS], SIGUSR1) == 0, "pthread_kill");
        if (i % 16 == 0)
            usleep(100);
    }
    atomic_store(&done, 1);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    return 0;
}
