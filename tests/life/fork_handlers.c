/* SPDX-License-Identifier: MIT */
/* The program's own fork handlers allocate, and were registered before any constructor ran: in the child they come
 * before the allocator's, while other threads were in the midst of allocating. Those before and behind fork in the
 * parent come while an allocator may hold its locks (jemalloc: a deadlock). */
#include <stdatomic.h>
#include "threads.h"

enum {
    FORKS = 30,
    THREADS = 2
};

static atomic_int done;
static atomic_int handled;

/* Sizes that no thread keeps for itself in such numbers: they come from what all threads share. */
static void in_child(void)
{
    alarm(20);
    void *blocks[40];
    for (size_t i = 0; i < 40; i++) {
        blocks[i] = malloc(60000 + i * 60000);
        CHECK(blocks[i] != NULL, "no memory in a fork handler");
    }
    for (size_t i = 0; i < 40; i++)
        free(blocks[i]);
}

static void in_parent(void)
{
    use_every_size();
    atomic_fetch_add(&handled, 1);
}

static void preinit(void)
{
    CHECK(pthread_atfork(in_parent, in_parent, in_child) == 0, "pthread_atfork");
}

__attribute__((section(".preinit_array"), used)) static void (*preinit_entry)(void) = preinit;

/* Sizes for which threads meet in locks. */
static void *churn(void *index)
{
    uint64_t random = (uintptr_t)index + 1;
    void *kept[8] = {NULL};
    while (!atomic_load(&done)) {
        const size_t i = next_random(&random) % 8;
        free(kept[i]);
        kept[i] = malloc(40000 + next_random(&random) % (i == 0 ? 6000000 : 900000));
    }
    for (size_t i = 0; i < 8; i++)
        free(kept[i]);
    return NULL;
}

int main(void)
{
    alarm(55);
    pthread_t threads[THREADS];
    for (intptr_t i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, churn, (void *)i) == 0, "pthread_create");
    for (int round = 0; round < FORKS; round++) {
        const pid_t child = fork();
        if (child == 0) {
            use_every_size();
            _exit(0);
        }
        expect_child_succeeds(child, "child");
    }
    atomic_store(&done, 1);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    CHECK(atomic_load(&handled) == 2 * FORKS, "%d handlers ran", atomic_load(&handled));
    return 0;
}
