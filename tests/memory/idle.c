/* SPDX-License-Identifier: MIT */
/* Threads that are idle: what they freed last and still have goes back by malloc_trim, and as time passes, though they sleep.
 * What is in their bins is out of reach, and little. */
#include <malloc.h>
#include <stdbool.h>
#include <time.h>

#include "threads.h"

enum {
    THREADS = 16,
    MANY_THREADS = 60,
    TO_AND_FRO = 1,    /* in place of a size */
    RUNS = 2,          /* the same */
    SLABS = 3,         /* the same */
    MIDS = 4,          /* the same */
    TINIES = 5,        /* the same */
    SWAY = 60,         /* blocks */
    BLOCKS = 4,        /* each of one size */
    BURST = 20 << 20,  /* bytes of blocks of all sizes */
    MOST_BLOCKS = 8000 /* in it, and of tiny ones */
};

static pthread_barrier_t ready, freed, done;

static char *take(size_t size)
{
    char *block = malloc(size);
    CHECK(block != NULL, "no block of %zu bytes", size);
    return memset(block, 1, size);
}

static void take_and_free(int n, size_t size)
{
    void *blocks[SWAY];
    for (int i = 0; i < n; i++)
        blocks[i] = take(size);
    for (int i = 0; i < n; i++)
        free(blocks[i]);
}

/* A thread with a heap of its own: one that takes few blocks has none, and keeps nothing. */
static void get_heap(void)
{
    take_and_free(20, 100);
}

/* Frees blocks of `size`; if it is 0, of all sizes up to 32 KiB, and a few large ones. */
static void use(size_t size)
{
    static const size_t pieces = 40;
    char **blocks = malloc(MOST_BLOCKS * sizeof *blocks);
    int n = 0;
    for (; n < BLOCKS; n++)
        blocks[n] = take(size != 0 ? size : 700000);
    for (size_t each = 1100; size == 0 && each <= 32768; each += each / 9)
        for (size_t bytes = 0; bytes < BURST / pieces && n < MOST_BLOCKS; bytes += each)
            blocks[n++] = take(each);
    for (int i = 0; i < n; i++)
        free(blocks[i]);
    free(blocks);
}

/* Takes and frees ever more blocks of a size in turns: its bin grows, and what is freed last fills it, and the previous list. */
static void go_to_and_fro(void)
{
    for (int n = 1; n <= SWAY; n++)
        take_and_free(n, 20000);
}

/* Frees a few blocks of each size within these. */
static void use_each(size_t least, size_t most)
{
    char *blocks[200];
    int n = 0;
    for (size_t each = least; each <= most; each += each / 8)
        for (int i = 0; i < BLOCKS; i++)
            blocks[n++] = take(each);
    for (int i = 0; i < n; i++)
        free(blocks[i]);
}

/* Leaves slabs that are empty, and nothing else. */
static void use_slabs(void)
{
    take_and_free(40, 60000);
}

/* Blocks up to 1 KiB in disorder, a few MiB: the last few freed of each size lie in slabs of which nothing else is in use. */
static void use_tinies(void)
{
    char **blocks = malloc(MOST_BLOCKS * sizeof *blocks);
    for (size_t i = 0; i < MOST_BLOCKS; i++)
        blocks[i] = take(16 + i * 7919 % 1000);
    for (size_t i = 0; i < MOST_BLOCKS; i++)
        free(blocks[i]);
    free(blocks);
}

static void *use_and_wait(void *kind)
{
    const size_t size = (size_t)kind;
    get_heap();
    pthread_barrier_wait(&ready);
    if (size == TO_AND_FRO)
        go_to_and_fro();
    else if (size == RUNS) /* all of those above 32 KiB that have bins */
        use_each(33 << 10, 256 << 10);
    else if (size == MIDS) /* so large that a bin's first 16 KiB are less than three */
        use_each(6 << 10, 32 << 10);
    else if (size == SLABS)
        use_slabs();
    else if (size == TINIES)
        use_tinies();
    for (int i = 0; i < 3 && (size == 0 || size > TINIES); i++)
        use(size);
    pthread_barrier_wait(&freed);
    pthread_barrier_wait(&done);
    free(take(size + 1)); /* what was taken away meanwhile is not there any more */
    return NULL;
}

/* Small operations that take slow paths, in the thread that is awake. */
static void go_on(double seconds)
{
    struct timespec begin, now;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    do {
        char *blocks[300];
        for (int i = 0; i < 300; i++)
            blocks[i] = take(2000);
        for (int i = 0; i < 300; i++)
            free(blocks[i]);
        usleep(1000);
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while ((double)(now.tv_sec - begin.tv_sec) + (double)(now.tv_nsec - begin.tv_nsec) / 1e9 < seconds);
}

static pthread_t threads[MANY_THREADS];

/* Begins so many, which free blocks of a size, as soon as `heaps` of them have heaps, and wait. */
static void begin(int count, size_t size, unsigned heaps)
{
    pthread_barrier_init(&ready, NULL, heaps);
    pthread_barrier_init(&freed, NULL, (unsigned)count + 1);
    pthread_barrier_init(&done, NULL, (unsigned)count + 1);
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 65536);
    for (int i = 0; i < count; i++)
        CHECK(pthread_create(&threads[i], &attributes, use_and_wait, (void *)size) == 0, "pthread_create");
    pthread_attr_destroy(&attributes);
    pthread_barrier_wait(&freed);
}

static void end(int count)
{
    pthread_barrier_wait(&done);
    for (int i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
}

/* Threads free blocks of a size, and wait; then malloc_trim, or time, has left no more than that in KiB of each: what counts as
 * used since nobody can reach it, and what is resident. */
static void idle(size_t size, double seconds, long most_used, long most_resident)
{
    malloc_trim(0);
    const long before = resident_kib();
    begin(THREADS, size, 1);
    if (seconds > 0)
        go_on(seconds);
    else
        malloc_trim(0);
    const long used = (long)(mallinfo2().uordblks >> 10) / THREADS;
    const long resident = (resident_kib() - before) / THREADS;
    CHECK(used <= most_used && resident <= most_resident,
          "of what each idle thread freed (%zu bytes; %.1f s) %ld KiB are used, %ld resident", size, seconds,
          used, resident);
    end(THREADS);
}

/* Many threads share what they may keep in empty slabs and in bins, though nobody allocates after them. */
static void many_at_once(int count, size_t kind, bool trim, long most_resident)
{
    malloc_trim(0);
    const long before = resident_kib();
    begin(count, kind, (unsigned)count); /* what a thread may keep depends on how many heaps there are */
    if (trim)
        malloc_trim(0);
    const long resident = (resident_kib() - before) / count;
    CHECK(resident <= most_resident,
          "of what each of many idle threads freed (%zu) %ld KiB are resident at once", kind, resident);
    end(count);
}

int main(void)
{
    /* KiB of the last few blocks that a thread has freed, which wait there. */
    const long waits = is_variant("hardened") || is_variant("debug") ? 1100 : 0;
    idle(1 << 20, 0, 300, 256);
    idle(400 << 10, 0, 300, 256);
    idle(700000, 0, 300, 256);
    idle(TO_AND_FRO, 0, 500, 1500);
    idle(0, 0, 1200, 5000);
    idle(RUNS, 0, 500 + waits, 600 + waits);
    idle(MIDS, 0, 100 + waits, 200 + waits);
    if (!is_variant("minimal") || is_variant("bench_minimal")) { /* in minimal nothing goes back by time */
        idle(0, 2.5, 1200, is_variant("debug") ? 6400 : 2800);   /* there pages of free blocks stay */
        idle(RUNS, 2.5, 500 + waits, 600 + waits);
        idle(SLABS, 2.5, 400, 500);
        many_at_once(MANY_THREADS, SLABS, false, 800 + 2 * waits);
    }
    many_at_once(MANY_THREADS, TINIES, true, 870 + waits);
    many_at_once(THREADS, TINIES, true, 870 + waits);
    return 0;
}
