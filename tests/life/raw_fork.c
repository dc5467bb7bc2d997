/* SPDX-License-Identifier: MIT */
/* Children that are told nothing by libc: made by clone, by _Fork, and by fork; by the first thread and by another one; while other
 * threads are idle, or in the middle of allocating. The first to allocate in such a child may be a thread that the child makes.
 * Contents stay whole, and nobody waits for threads that are not there. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include "threads.h"

extern pid_t _Fork(void) __attribute__((weak));

static pid_t make_child(int how)
{
    if (how == 0)
        return (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    return how == 1 && _Fork != NULL ? _Fork() : fork();
}

/* Sizes of every kind; each block's ends say whose it is. */
static void use_blocks(uint64_t random, int steps)
{
    enum {
        SLOTS = 64
    };
    unsigned char *blocks[SLOTS] = {NULL};
    size_t sizes[SLOTS] = {0};
    const unsigned char mark = (unsigned char)random;
    for (int step = 0; step < steps; step++) {
        const size_t i = next_random(&random) % SLOTS;
        if (blocks[i] != NULL) {
            CHECK(blocks[i][0] == (unsigned char)(mark + i) && blocks[i][sizes[i] - 1] == blocks[i][0],
                  "a block of %zu bytes changed", sizes[i]);
            free(blocks[i]);
        }
        const size_t limit = step % 8 != 0 ? 3000 : step % 64 != 0 ? 200000 : 3000000;
        sizes[i] = 1 + next_random(&random) % limit;
        blocks[i] = malloc(sizes[i]);
        CHECK(blocks[i] != NULL, "no memory for %zu bytes", sizes[i]);
        blocks[i][0] = blocks[i][sizes[i] - 1] = (unsigned char)(mark + i);
    }
    for (size_t i = 0; i < SLOTS; i++)
        free(blocks[i]);
}

static void *churn(void *index)
{
    use_blocks((uintptr_t)index * 7919 + 1, 1500);
    return NULL;
}

static void *spawn(void *index)
{
    for (uintptr_t i = 0; i < 4; i++) {
        pthread_t thread;
        CHECK(pthread_create(&thread, NULL, churn, (void *)((uintptr_t)index * 100 + i)) == 0,
              "pthread_create");
        pthread_join(thread, NULL);
    }
    return NULL;
}

static atomic_int done;
static atomic_int busy;

static void *idle(void *index)
{
    free(escape(malloc(100)));
    while (!atomic_load(&done))
        usleep(1000);
    return index == (void *)-1 ? index : NULL;
}

/* Takes every lock that there is, as often as it can. */
static void *work(void *index)
{
    uint64_t random = (uintptr_t)index + 5;
    while (!atomic_load(&done)) {
        if (!atomic_load(&busy)) {
            usleep(200);
            continue;
        }
        use_blocks(next_random(&random) | 1, 200);
    }
    return NULL;
}

static void child_and_wait(int how, int first_use_by_thread)
{
    void *mine[20];
    for (size_t i = 0; i < 20; i++) {
        mine[i] = malloc(i * i * 200 + 1);
        fill(mine[i], i * i * 200 + 1, i);
    }
    const pid_t child = make_child(how);
    if (child == 0) {
        alarm(30);
        if (!first_use_by_thread)
            use_blocks(99, 300);
        CHECK(run_threads(3, spawn) == 0, "threads of the child");
        for (size_t i = 0; i < 20; i++) {
            CHECK(is_filled(mine[i], i * i * 200 + 1, i), "a block of the parent's changed in the child");
            free(mine[i]);
        }
        use_blocks(98, 1000);
        _exit(0);
    }
    expect_child_succeeds(child, how == 0 ? "clone" : how == 1 ? "_Fork" : "fork");
    for (size_t i = 0; i < 20; i++) {
        CHECK(is_filled(mine[i], i * i * 200 + 1, i), "a block of the parent's changed in the parent");
        free(mine[i]);
    }
}

static void *children(void *unused)
{
    for (int round = 0; round < 6; round++) {
        atomic_store(&busy, round % 2);
        child_and_wait(round % 3, round / 3);
    }
    return unused;
}

int main(void)
{
    alarm(100);
    pthread_t threads[4];
    for (intptr_t i = 0; i < 4; i++)
        CHECK(pthread_create(&threads[i], NULL, i < 2 ? idle : work, (void *)i) == 0, "pthread_create");
    usleep(20000);
    children(NULL);
    pthread_t forker;
    CHECK(pthread_create(&forker, NULL, children, NULL) == 0, "pthread_create");
    pthread_join(forker, NULL);
    atomic_store(&done, 1);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    return 0;
}
