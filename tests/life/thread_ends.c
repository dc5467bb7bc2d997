/* SPDX-License-Identifier: MIT */
/* Every way a thread can end: return, pthread_exit, cancelled while it waits, detached; with cleanup handlers that
 * allocate and a buffer that libc itself frees after all destructors. Then the first thread ends before the others. */
#define _GNU_SOURCE
#include <semaphore.h>
#include "threads.h"

enum {
    KINDS = 4,
    ROUNDS = 150
};

static sem_t reached; /* posted by a thread that can be cancelled, or that is about to end by itself */

/* strerror's text for a number it does not know lies in a buffer of the thread's, freed after its key destructors. */
static void leave_a_buffer_of_libc(void)
{
    CHECK(strstr(strerror(987654), "987654") != NULL, "strerror");
}

static void clean_up(void *block)
{
    CHECK(is_filled(block, 5000, 6), "a block changed before the cleanup handler");
    free(block);
    use_every_size();
}

static void *body(intptr_t kind)
{
    unsigned char *block = malloc(5000);
    CHECK(block != NULL, "no memory");
    fill(block, 5000, 6);
    leave_a_buffer_of_libc();
    pthread_cleanup_push(clean_up, block);
    sem_post(&reached);
    if (kind == 1)
        pthread_exit(NULL);
    while (kind == 2) {
        free(escape(malloc(3000)));
        usleep(10);
    }
    pthread_cleanup_pop(1);
    return NULL;
}

static void *work(void *kind)
{
    return body((intptr_t)kind);
}

static void *of_each_kind(void *index)
{
    pthread_t threads[KINDS];
    for (intptr_t kind = 0; kind < KINDS; kind++)
        CHECK(pthread_create(&threads[kind], NULL, work, (void *)kind) == 0, "pthread_create");
    pthread_detach(threads[3]);
    for (int kind = 0; kind < KINDS; kind++)
        sem_wait(&reached);
    pthread_cancel(threads[2]);
    for (int kind = 0; kind < 3; kind++) {
        void *result;
        CHECK(pthread_join(threads[kind], &result) == 0, "join");
        CHECK(result == (kind == 2 ? PTHREAD_CANCELED : NULL), "a thread of kind %d ended otherwise", kind);
    }
    return index == (void *)-1 ? index : NULL;
}

static unsigned char *from_first;
static pthread_t first;

static void at_exit(void)
{
    use_every_size();
}

static void *outlive_first(void *index)
{
    (void)index;
    pthread_join(first, NULL);
    CHECK(is_filled(from_first, 70000, 1), "a block of the first thread changed with its end");
    free(from_first);
    use_every_size();
    exit(0);
}

int main(void)
{
    CHECK(sem_init(&reached, 0, 0) == 0, "sem_init");
    for (int round = 0; round < 10; round++)
        of_each_kind(NULL);
    const long before = resident_kib();
    for (int round = 0; round < ROUNDS; round++)
        of_each_kind(NULL);
    const long grown = resident_kib() - before;
    CHECK(grown < 24 * 1024, "%d ended threads left %ld KiB behind", ROUNDS * KINDS, grown);
    CHECK(run_threads(4, of_each_kind) == 0, "threads that start threads");

    first = pthread_self();
    from_first = malloc(70000);
    CHECK(from_first != NULL && atexit(at_exit) == 0, "atexit");
    fill(from_first, 70000, 1);
    pthread_t last;
    CHECK(pthread_create(&last, NULL, outlive_first, NULL) == 0, "pthread_create");
    pthread_exit(NULL);
}
