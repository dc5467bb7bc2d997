/* SPDX-License-Identifier: MIT */
/* Four threads fork at the same time, while two more allocate; every child frees what it inherited and some fork again. */
#include <stdatomic.h>
#include "threads.h"

enum {
    FORKING = 4,
    ALLOCATING = 2,
    FORKS = 30,
    INHERITED = 64
};

static atomic_int forking = FORKING;

/* A line of so many generations: each inherits, checks, resizes and forks the next. */
static void be_child(unsigned char **inherited, size_t mark, int generations)
{
    pid_t next;
    do {
        alarm(15);
        use_every_size();
        for (size_t i = 0; i < INHERITED; i++) {
            CHECK(is_filled(inherited[i], i * 50, mark), "an inherited block changed");
            inherited[i] = realloc(inherited[i], i * 50 + i * 10 + 1);
            CHECK(inherited[i] != NULL && is_filled(inherited[i], i * 50, mark),
                  "realloc of an inherited block");
        }
        next = generations-- > 0 ? fork() : 1;
    } while (next == 0);
    if (next != 1)
        expect_child_succeeds(next, "grandchild");
    for (size_t i = 0; i < INHERITED; i++)
        free(inherited[i]);
    _exit(0);
}

static void fork_often(size_t index)
{
    for (int round = 0; round < FORKS; round++) {
        unsigned char *inherited[INHERITED];
        for (size_t i = 0; i < INHERITED; i++) {
            inherited[i] = malloc(i * 50 + 1);
            CHECK(inherited[i] != NULL, "no memory");
            fill(inherited[i], i * 50, index);
        }
        const pid_t started = fork();
        if (started == 0)
            be_child(inherited, index, round % 3);
        expect_child_succeeds(started, "child");
        for (size_t i = 0; i < INHERITED; i++)
            free(inherited[i]);
    }
    atomic_fetch_sub(&forking, 1);
}

static void allocate(size_t index)
{
    uint64_t random = index + 1;
    void *kept[100] = {NULL};
    while (atomic_load(&forking) > 0) {
        const size_t i = next_random(&random) % 100;
        free(kept[i]);
        kept[i] = malloc(i == 0 ? 3000000 : random_size(&random, 200000));
    }
    for (size_t i = 0; i < 100; i++)
        free(kept[i]);
}

static void *work(void *index)
{
    if ((uintptr_t)index < FORKING)
        fork_often((uintptr_t)index);
    else
        allocate((uintptr_t)index);
    return NULL;
}

int main(void)
{
    alarm(50);
    CHECK(run_threads(FORKING + ALLOCATING, work) == 0, "a thread failed");
    return 0;
}
