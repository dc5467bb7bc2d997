/* SPDX-License-Identifier: MIT */
/* Threads that ended and left their memory nearly empty: whoever comes next uses what is free in it, of however many of them. */
#include "threads.h"

enum {
    THREADS = 60,
    EACH = 4 << 20, /* bytes that a thread takes */
    BLOCK = 2000,
    ASKED = 100 << 20,
    KEPT = 16, /* one of so many stays in use */
};

static pthread_barrier_t all_have_theirs;

static void *leave_some(void *unused)
{
    enum {
        COUNT = EACH / BLOCK
    };
    static __thread char *blocks[COUNT];
    for (int i = 0; i < COUNT; i++) {
        blocks[i] = malloc(BLOCK);
        CHECK(blocks[i] != NULL, "no block of %d bytes", BLOCK);
        memset(blocks[i], 1, BLOCK);
    }
    pthread_barrier_wait(&all_have_theirs); /* none uses what another one leaves */
    for (int i = 0; i < COUNT; i++)
        if (i % KEPT != 0)
            free(blocks[i]);
    return unused;
}

int main(void)
{
    pthread_barrier_init(&all_have_theirs, NULL, THREADS);
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, leave_some, NULL) == 0, "pthread_create");
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    const long before = resident_kib();
    for (long bytes = 0; bytes < ASKED; bytes += BLOCK) {
        char *block = malloc(BLOCK);
        CHECK(block != NULL, "no block of %d bytes", BLOCK);
        memset(block, 2, BLOCK);
    }
    const long grown = resident_kib() - before;
    CHECK(grown <= ASKED / 4096, "%d KiB asked for, where %ld are nearly empty: %ld KiB more", ASKED / 1024,
          before, grown);
    return 0;
}
