/* SPDX-License-Identifier: MIT */
/* One operation gives back a bounded amount, however much there is: a thread that is awake finds 100 MiB of pages in free blocks
 * of one that sleeps, and its own work goes on meanwhile. Counted are calls to the system, by a madvise in front of libc's. */
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>

#include "threads.h"

enum {
    SIZE = 9000, /* bytes of a block: some 14 pages of a slab's 18 are free */
    COUNT = (120 << 20) / SIZE,
    LOOSE_SIZE = 2500, /* of which every other one is freed: no slab has a whole page to give */
    LOOSE = 4000,
    KEPT = 5,           /* one block in so many stays in use */
    MOST_CALLS = 200,   /* in one operation; a look at all heaps with a few slabs of each */
    LEAST_CALLS = 3000, /* in all of them: two a slab */
    SECONDS = 20,       /* for all of these; a few slabs in each window would take longer */
    OPERATIONS = 64     /* between two looks at what is resident */
};

static atomic_long calls; /* each thread that gives something back */

int madvise(void *address, size_t size, int advice)
{
    calls++;
    return (int)syscall(SYS_madvise, address, size, advice);
}

static pthread_barrier_t freed, done;

static void *free_most_and_sleep(void *unused)
{
    static char *loose[LOOSE], *blocks[COUNT];
    for (int i = 0; i < LOOSE; i++)
        loose[i] = malloc(LOOSE_SIZE);
    for (int i = 0; i < LOOSE; i += 2)
        free(loose[i]);
    for (int i = 0; i < COUNT; i++) {
        blocks[i] = malloc(SIZE);
        CHECK(blocks[i] != NULL, "no block");
        memset(blocks[i], 1, SIZE);
    }
    for (int i = 0; i < COUNT; i++)
        if (i % KEPT != 0)
            free(blocks[i]);
    pthread_barrier_wait(&freed);
    pthread_barrier_wait(&done);
    for (int i = 0; i < COUNT; i += KEPT) {
        CHECK(blocks[i][0] == 1 && blocks[i][SIZE - 1] == 1, "a block in use has changed");
        free(blocks[i]);
    }
    for (int i = 1; i < LOOSE; i += 2)
        free(loose[i]);
    return unused;
}

/* Takes blocks of many sizes and frees them: the most calls that one operation has made. */
static long work(void)
{
    long most = 0;
    static char *blocks[OPERATIONS];
    for (size_t i = 0; i < (size_t)2 * OPERATIONS; i++) {
        const long before = calls;
        if (i < OPERATIONS)
            blocks[i] = malloc(100 + i * 40);
        else
            free(blocks[i - OPERATIONS]);
        most = calls - before > most ? calls - before : most;
    }
    return most;
}

int main(void)
{
    if (is_variant("debug") || (is_variant("minimal") && !is_variant("bench_minimal")))
        return TEST_SKIPPED; /* there nothing goes back from slabs with blocks in use; or nothing by time */
    pthread_barrier_init(&freed, NULL, 2);
    pthread_barrier_init(&done, NULL, 2);
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, free_most_and_sleep, NULL) == 0, "no thread");
    pthread_barrier_wait(&freed);
    const long before = calls;
    long most = 0;
    const time_t end = time(NULL) + SECONDS;
    while (calls - before < LEAST_CALLS && time(NULL) < end) {
        const long once = work();
        most = once > most ? once : most;
    }
    printf("%ld calls, at most %ld in one operation\n", calls - before, most);
    CHECK(calls - before >= LEAST_CALLS, "%ld calls gave pages back", calls - before);
    CHECK(most <= MOST_CALLS, "one operation made %ld calls, expected at most %d", most, MOST_CALLS);
    pthread_barrier_wait(&done);
    pthread_join(thread, NULL);
    return 0;
}
