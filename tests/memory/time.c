/* SPDX-License-Identifier: MIT */
/* Time that passes gives memory back, whatever the program does meanwhile: after 1.5 s of small operations, no more stays than
 * a quarter above what is live, and 16 MiB; also where a block of 5 MiB comes and goes beside what is free, where it is always the
 * same block, where nothing is freed any more, and of what lies in the bins that are not used. */
#include <time.h>

#include "check.h"

enum {
    COUNT = 400,
    ROUNDS = 250 /* at least, with a pause after each: on a busy machine few would be a second and a half's */
};

static const size_t MIB = 1 << 20;

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static char *touched(size_t size)
{
    char *block = malloc(size);
    CHECK(block != NULL, "no block of %zu bytes", size);
    for (size_t at = 0; at < size; at += 4096)
        block[at] = 1;
    return block;
}

/* For a second and a half, and as many operations as that has room for: a thread looks at the clock at every so many. */
static void work(size_t size, size_t touch)
{
    const double end = seconds() + 1.5;
    for (int rounds = 0; rounds < ROUNDS || seconds() < end; rounds++) {
        for (int i = 0; i < 300; i++) {
            char *volatile block = malloc(size);
            for (size_t at = 0; at < touch; at += 4096)
                block[at] = 1;
            free(block);
        }
        const struct timespec pause = {0, 5000000};
        nanosleep(&pause, NULL);
    }
}

static void after_a_burst(size_t size, size_t work_size, size_t touch)
{
    static char *blocks[COUNT * 64];
    char *live = touched(60 * MIB);
    const size_t count = 240 * MIB / size;
    const long before = resident_kib();
    for (size_t i = 0; i < count; i++)
        blocks[i] = touched(size);
    for (size_t i = 0; i < count; i++)
        free(blocks[i]);
    work(work_size, touch);
    const long more = resident_kib() - before;
    CHECK(more < 60 * 1024 / 4 + 16 * 1024,
          "240 MiB in blocks of %zu freed, then 1.5 s with blocks of %zu: %ld KiB stay", size, work_size,
          more);
    free(live);
}

/* A thread whose bins have grown for all sizes, and which then uses one. */
static void after_all_sizes(void)
{
    enum {
        LIVE = 4000
    };
    static char *blocks[LIVE];
    /* Each is written twice in whole by those that fill what is freed. */
    const int turns = is_variant("hardened") || is_variant("debug") ? 5 : 20;
    uint64_t random = 7;
    const long before = resident_kib();
    for (int i = 0; i < turns * LIVE; i++) {
        const size_t at = next_random(&random) % LIVE;
        const size_t most = i % 2 ? 32 << 10 : 256 << 10;
        free(blocks[at]);
        blocks[at] = touched(1000 + next_random(&random) % (most - 1000));
    }
    for (int i = 0; i < LIVE; i++)
        free(blocks[i]);
    work(64, 0);
    const long stays = resident_kib() - before;
    CHECK(stays < 24 * 1024, "all sizes up to 256 KiB used, then one for 1.5 s: %ld KiB stay", stays);
}

/* Bursts of huge blocks, by which it is learned to keep much. */
static void teach_to_keep(void)
{
    static char *blocks[24];
    for (int burst = 0; burst < 5; burst++) {
        for (int i = 0; i < 24; i++)
            blocks[i] = touched(10 * MIB);
        for (int i = 0; i < 24; i++)
            free(blocks[i]);
    }
}

/* A thread that does nothing but allocate. */
static void only_allocating(void)
{
    const long before = resident_kib();
    teach_to_keep();
    long taken = 0;
    const double end = seconds() + 1.5;
    for (int rounds = 0; rounds < ROUNDS || seconds() < end; rounds++) {
        for (int i = 0; i < 100; i++) {
            *touched(64) = 1;
            taken += 64;
        }
        const struct timespec pause = {0, 500000};
        nanosleep(&pause, NULL);
    }
    const long stays = resident_kib() - before - taken / 1024;
    CHECK(stays < 20 * 1024, "bursts of 240 MiB, then 1.5 s of allocating alone: %ld KiB stay", stays);
}

/* A thread that does nothing but free what it has allocated before. The blocks lead from one to the next. */
static void only_freeing(size_t size, int count, int at_a_time)
{
    const long before = resident_kib();
    void **next = NULL;
    for (int i = 0; i < count; i++) {
        void **block = malloc(size);
        CHECK(block != NULL, "no block of %zu bytes", size);
        *block = (void *)next;
        next = block;
    }
    teach_to_keep();
    int freed = 0; /* at least half: on a busy machine few would be a second and a half's */
    for (const double end = seconds() + 1.5; (seconds() < end || freed < count / 2) && next != NULL;) {
        for (int i = 0; i < at_a_time && next != NULL; i++, freed++) {
            void **block = next;
            next = *block;
            free((void *)block);
        }
        const struct timespec pause = {0, 500000};
        nanosleep(&pause, NULL);
    }
    CHECK(next != NULL, "%d blocks of %zu bytes are too few", count, size);
    const long stays = resident_kib() - before;
    CHECK(stays < 48 * 1024, "bursts of 240 MiB, then 1.5 s of freeing %zu bytes alone: %ld KiB stay", size,
          stays);
    while (next != NULL) {
        void **block = next;
        next = *block;
        free((void *)block);
    }
}

int main(void)
{
    if (is_variant("minimal") && !is_variant("bench_minimal")) /* nothing goes back by time there */
        return TEST_SKIPPED;
    after_a_burst(40 * MIB, 64, 0);
    after_a_burst(10 * MIB, 5 * MIB, is_variant("hardened") || is_variant("debug") ? 4096 : 5 * MIB);
    after_a_burst(20000, 64, 0);
    after_a_burst(10 * MIB, 64 * 1024, 0);
    after_a_burst(10 * MIB, 64 * 1024, 0); /* now all is kept, unless time passed */
    after_a_burst(10 * MIB, 2 * MIB, 0);
    after_all_sizes();
    only_allocating();
    only_freeing(64, 400000, 100);
    only_freeing(300000, 4000, 1);
    return 0;
}
