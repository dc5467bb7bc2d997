// Threads that are idle: the large blocks that they freed last and keep go back by malloc_trim, though the threads sleep.
#include <malloc.h>

#include "threads.h"

enum {
    THREADS = 60,
    BLOCKS = 4
};

static pthread_barrier_t freed, done;

static void *free_and_wait(void *size)
{
    char *blocks[BLOCKS];
    for (int i = 0; i < BLOCKS; i++) {
        blocks[i] = malloc((size_t)size);
        CHECK(blocks[i] != NULL, "no block of %zu bytes", (size_t)size);
        memset(blocks[i], 1, (size_t)size);
    }
    for (int i = 0; i < BLOCKS; i++) {
        free(blocks[i]);
    }
    pthread_barrier_wait(&freed);
    pthread_barrier_wait(&done);
    // What was taken away meanwhile is not there any more.
    char *block = malloc((size_t)size);
    CHECK(block != NULL, "no block of %zu bytes", (size_t)size);
    memset(block, 2, (size_t)size);
    free(block);
    return NULL;
}

static void idle(size_t size)
{
    pthread_barrier_init(&freed, NULL, THREADS + 1);
    pthread_barrier_init(&done, NULL, THREADS + 1);
    pthread_t threads[THREADS];
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 65536);
    const long before = resident_kib();
    for (int i = 0; i < THREADS; i++) {
        CHECK(pthread_create(&threads[i], &attributes, free_and_wait, (void *)size) == 0, "pthread_create");
    }
    pthread_barrier_wait(&freed);
    malloc_trim(0);
    const long each = (resident_kib() - before) / THREADS;
    CHECK(each < 256, "%ld KiB stay of each idle thread's four blocks of %zu bytes", each, size);
    pthread_barrier_wait(&done);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    pthread_attr_destroy(&attributes);
}

int main(void)
{
    idle(1 << 20);
    idle(400 << 10);
    idle(700000);
    return 0;
}
