/* SPDX-License-Identifier: MIT */
/* What a thread costs that allocated once and waits: at most 64 KiB of resident memory, its stack included. */
#include "threads.h"

enum {
    THREADS = 100,
    MOST_KIB = 64
};

static pthread_barrier_t allocated;
static pthread_barrier_t measured;

static void *work(void *index)
{
    void *block = malloc(100);
    if (block != NULL)
        memset(block, 1, 100);
    pthread_barrier_wait(&allocated);
    pthread_barrier_wait(&measured);
    free(block);
    return block == NULL ? index : NULL;
}

int main(void)
{
    pthread_barrier_init(&allocated, NULL, THREADS + 1);
    pthread_barrier_init(&measured, NULL, THREADS + 1);
    free(escape(malloc(100)));
    pthread_t threads[THREADS];
    const long before = resident_kib();
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, work, (void *)1) == 0, "pthread_create");
    pthread_barrier_wait(&allocated);
    const long each = (resident_kib() - before) / THREADS;
    pthread_barrier_wait(&measured);
    for (int i = 0; i < THREADS; i++) {
        void *failed;
        pthread_join(threads[i], &failed);
        CHECK(failed == NULL, "no memory");
    }
    CHECK(each <= MOST_KIB, "an idle thread costs %ld KiB", each);
    return 0;
}
