/* SPDX-License-Identifier: MIT */
/* Threads of 16 KiB stack, which also holds the library's thread-local data: every function, no overflow. Nor one where much is due
 * to go back: what many threads keep that sleep. */
#define _GNU_SOURCE
#include <limits.h>
#include <malloc.h>
#include <sys/mman.h>
#include <time.h>
#include "threads.h"

static void *work(void *index)
{
    use_every_size();
    for (size_t size = 1; size < 3u << 20; size = size * 3 + 1) {
        void *block = memalign(4096, size);
        CHECK(block != NULL, "memalign(4096, %zu)", size);
        block = realloc(block, size * 2);
        CHECK(block != NULL, "realloc to %zu", size * 2);
        free(block);
    }
    return index == (void *)-1 ? index : NULL;
}

enum {
    STACK = 16384,
    GUARD = 65536,
    SLEEPERS = 200,
    KEPT = 4, /* blocks that a thread keeps for itself when it has freed them */
    BLOCK = 1 << 20,
    WINDOW_MS = 700, /* after which others give back what a thread that sleeps keeps */
    SLOW_PATHS = 200
};

static void run_on_small_stack(void *(*deed)(void *))
{
    /* Our own stack with an unmapped guard below it, so that an overflow is a fault and not a silent write. */
    char *area = mmap(NULL, STACK + GUARD, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(area != MAP_FAILED, "mmap");
    CHECK(mprotect(area + GUARD, STACK, PROT_READ | PROT_WRITE) == 0, "mprotect");
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    CHECK(pthread_attr_setstack(&attributes, area + GUARD, STACK) == 0, "a stack of %d bytes is refused",
          STACK);
    pthread_t thread;
    const int error = pthread_create(&thread, &attributes, deed, NULL);
    CHECK(error == 0, "pthread_create with a 16 KiB stack: error %d (too much thread-local data?)", error);
    pthread_join(thread, NULL);
    pthread_attr_destroy(&attributes);
    munmap(area, STACK + GUARD);
}

static pthread_barrier_t kept, seen;

static void *keep_and_sleep(void *unused)
{
    void *blocks[KEPT];
    for (int i = 0; i < 20; i++) /* the first few are taken without a heap */
        free(malloc(opaque(100)));
    for (int i = 0; i < KEPT; i++) {
        blocks[i] = malloc(opaque(BLOCK));
        CHECK(blocks[i] != NULL, "no block of 1 MiB");
    }
    for (int i = 0; i < KEPT; i++)
        free(blocks[i]);
    pthread_barrier_wait(&kept);
    pthread_barrier_wait(&seen);
    return unused;
}

static void *take_slow_paths(void *unused)
{
    for (int i = 0; i < SLOW_PATHS; i++)
        free(malloc(opaque(300000 + (size_t)(i % 8) * 16384))); /* more sizes in turns than it keeps */
    return unused;
}

/* What each of many sleeping threads keeps goes back, by one that has little stack. */
static void wake_beside_many_sleepers(void)
{
    pthread_t threads[SLEEPERS];
    pthread_barrier_init(&kept, NULL, SLEEPERS + 1);
    pthread_barrier_init(&seen, NULL, SLEEPERS + 1);
    for (int i = 0; i < SLEEPERS; i++)
        CHECK(pthread_create(&threads[i], NULL, keep_and_sleep, NULL) == 0, "pthread_create");
    pthread_barrier_wait(&kept);
    nanosleep(&(struct timespec){.tv_nsec = WINDOW_MS * 1000000L}, NULL);
    run_on_small_stack(take_slow_paths);
    pthread_barrier_wait(&seen);
    for (int i = 0; i < SLEEPERS; i++)
        pthread_join(threads[i], NULL);
}

int main(void)
{
    for (int round = 0; round < 50; round++)
        run_on_small_stack(work);
    wake_beside_many_sleepers();
    return 0;
}
