/* SPDX-License-Identifier: MIT */
/* A burst of 150 MB, freed: after malloc_trim less than a tenth of the peak is resident. By size of block, and
 * freed in random order by the thread that allocated ("own"), by another when that has ended ("remote"), by four
 * threads that allocated it and then wait ("waiting"), or by another while these wait ("waiting-remote"). */
#include <malloc.h>
#include "threads.h"

enum {
    BYTES = 150 * 1000 * 1000,
    WORKERS = 4
};

static void **blocks;
static size_t count;
static size_t block_size;

static pthread_barrier_t filled;
static pthread_barrier_t counted;
static pthread_barrier_t freed;
static pthread_barrier_t measured;
static int freed_by_workers;

static void allocate(size_t first, size_t end)
{
    for (size_t i = first; i < end; i++) {
        blocks[i] = malloc(block_size);
        CHECK(blocks[i] != NULL, "no memory for block %zu of %zu bytes", i, block_size);
        memset(blocks[i], 1, block_size);
    }
}

static void release(size_t first, size_t end)
{
    uint64_t random = 3;
    for (size_t i = end - first; i > 1; i--) {
        const size_t other = first + next_random(&random) % i;
        void *swap = blocks[first + i - 1];
        blocks[first + i - 1] = blocks[other];
        blocks[other] = swap;
    }
    for (size_t i = first; i < end; i++)
        free(blocks[i]);
}

static void *allocate_all(void *index)
{
    (void)index;
    allocate(0, count);
    return NULL;
}

static void *allocate_and_wait(void *index)
{
    const size_t first = count / WORKERS * (uintptr_t)index;
    allocate(first, first + count / WORKERS);
    pthread_barrier_wait(&filled);
    pthread_barrier_wait(&counted);
    if (freed_by_workers)
        release(first, first + count / WORKERS);
    pthread_barrier_wait(&freed);
    pthread_barrier_wait(&measured);
    return NULL;
}

static void judge(long peak)
{
    malloc_trim(0);
    const long left = resident_kib();
    CHECK(left < peak / 10, "%zu-byte blocks: %ld of %ld KiB still resident after malloc_trim", block_size,
          left, peak);
}

static void with_waiting_threads(void)
{
    count = count / WORKERS * WORKERS;
    pthread_barrier_init(&filled, NULL, WORKERS + 1);
    pthread_barrier_init(&counted, NULL, WORKERS + 1);
    pthread_barrier_init(&freed, NULL, WORKERS + 1);
    pthread_barrier_init(&measured, NULL, WORKERS + 1);
    pthread_t threads[WORKERS];
    for (intptr_t i = 0; i < WORKERS; i++)
        CHECK(pthread_create(&threads[i], NULL, allocate_and_wait, (void *)i) == 0, "pthread_create");
    pthread_barrier_wait(&filled);
    const long peak = resident_kib();
    pthread_barrier_wait(&counted); /* nobody frees before that */
    if (!freed_by_workers)
        release(0, count);
    pthread_barrier_wait(&freed);
    free(blocks);
    judge(peak);
    pthread_barrier_wait(&measured);
    for (int i = 0; i < WORKERS; i++)
        pthread_join(threads[i], NULL);
}

int main(int argc, char **argv)
{
    block_size = argc > 1 ? strtoul(argv[1], NULL, 10) : 100;
    const char *mode = argc > 2 ? argv[2] : "own";
    count = BYTES / block_size;
    blocks = malloc(count * sizeof *blocks);
    CHECK(blocks != NULL, "no memory for the table");
    if (strncmp(mode, "waiting", 7) == 0) {
        freed_by_workers = mode[7] == 0;
        with_waiting_threads();
        return 0;
    }
    if (strcmp(mode, "remote") == 0)
        CHECK(run_threads(1, allocate_all) == 0, "the thread failed");
    else
        allocate(0, count);
    const long peak = resident_kib();
    release(0, count);
    free(blocks);
    judge(peak);
    return 0;
}
