/* SPDX-License-Identifier: MIT */
/* A forked child pays for what it uses, not for the threads that its parent once had: each page that it writes to is copied. */
#include <sys/resource.h>

#include "threads.h"

enum {
    THREADS = 800, /* at a time: the heap of each is on a page of its own, at least */
    CHILDREN = 4,
    FAULTS_MOST =
        400 /* of a child that allocates a little, among them those of a look at some heaps, as time passed */
};

static pthread_barrier_t all_have_heaps;

static void *have_a_heap(void *unused)
{
    void *blocks[20];
    for (size_t i = 0; i < 20; i++)
        blocks[i] = malloc(opaque(16 * i));
    pthread_barrier_wait(&all_have_heaps);
    for (size_t i = 0; i < 20; i++)
        free(blocks[i]);
    return unused;
}

static void start_and_join(void)
{
    static pthread_t threads[THREADS];
    pthread_attr_t stacks;
    pthread_attr_init(&stacks);
    pthread_attr_setstacksize(&stacks, 1 << 20); /* libc keeps 40 MiB of stacks, and a child writes to each */
    pthread_barrier_init(&all_have_heaps, NULL, THREADS);
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], &stacks, have_a_heap, NULL) == 0, "pthread_create");
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
}

static void allocate_a_little(size_t most)
{
    for (size_t size = 16; size < most; size *= 4)
        free(escape(
            malloc(size))); /* locks of the allocator's are taken, which a child has to look at first */
}

int main(void)
{
    start_and_join();
    for (int i = 0; i < CHILDREN; i++)
        run_in_child(allocate_a_little, 300000, "a child of a process that had many threads");
    struct rusage usage;
    getrusage(RUSAGE_CHILDREN, &usage);
    const long each = usage.ru_minflt / CHILDREN;
    printf("%ld page faults\n", each);
    CHECK(!RESIDENT_IS_KNOWN || each <= FAULTS_MOST, "%d threads had ended: a child has %ld page faults",
          THREADS, each);
    return 0;
}
