/* SPDX-License-Identifier: MIT */
/* Many threads that hold a block or two of each size up to 1 KiB do not touch a page for each size; what is aligned stays so, and
 * what they take beyond the first few blocks is no larger than it has to be. */
#include <malloc.h>

#include "threads.h"

enum {
    THREADS = 60, /* more than may each have as much as one alone */
    SIZES = 64,
    STEP = 16, /* bytes */
    EACH = 2,
    ALIGN = 128,
    PLENTY = 300 /* blocks of one size */
};

static pthread_barrier_t ready, taken, done;

static void *take(size_t size)
{
    unsigned char *block = malloc(size);
    CHECK(block != NULL, "no block of %zu bytes", size);
    CHECK(malloc_usable_size(block) >= size, "a block of %zu bytes has %zu", size, malloc_usable_size(block));
    fill(block, size, size);
    return block;
}

static void give(void *block, size_t size)
{
    CHECK(is_filled(block, size, size), "a block of %zu bytes changed", size);
    free(block);
}

static void aligned_ones(void)
{
    for (size_t size = ALIGN; size <= (size_t)SIZES * STEP; size += ALIGN) {
        void *block = NULL;
        CHECK(posix_memalign(&block, ALIGN, size) == 0 && (uintptr_t)block % ALIGN == 0,
              "%p is not aligned to %d", block, ALIGN);
        free(block);
    }
}

/* All but the first few fit exactly: their sum is what the thread uses. */
static void plenty(size_t size)
{
    static _Thread_local void *blocks[PLENTY];
    size_t exact = 0;
    for (int i = 0; i < PLENTY; i++) {
        blocks[i] = take(size);
        exact += malloc_usable_size(blocks[i]) < size + STEP;
    }
    CHECK(exact >= PLENTY - 40, "%zu of %d blocks of %zu bytes are no larger", exact, PLENTY, size);
    for (int i = 0; i < PLENTY; i++)
        give(blocks[i], size);
}

static void *hold(void *unused)
{
    static _Thread_local void *blocks[EACH * SIZES];
    for (int i = 0; i < 20; i++) /* a heap of its own */
        free(escape(malloc(STEP)));
    pthread_barrier_wait(&ready);
    for (int i = 0; i < EACH * SIZES; i++)
        blocks[i] = take((size_t)(i / EACH + 1) * STEP);
    pthread_barrier_wait(&taken);
    pthread_barrier_wait(&done);
    aligned_ones();
    plenty(529);
    for (int i = 0; i < EACH * SIZES; i++)
        give(blocks[i], (size_t)(i / EACH + 1) * STEP);
    (void)unused;
    return NULL;
}

int main(void)
{
    pthread_t threads[THREADS];
    const long before = resident_kib();
    pthread_barrier_init(&ready, NULL, THREADS);
    pthread_barrier_init(&taken, NULL, THREADS + 1);
    pthread_barrier_init(&done, NULL, THREADS + 1);
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, hold, NULL) == 0, "pthread_create");
    pthread_barrier_wait(&taken);
    const long each = (resident_kib() - before) / THREADS;
    CHECK(each <= 220, "each of %d threads that hold %d blocks of each of %d sizes has %ld KiB", THREADS,
          EACH, SIZES, each);
    pthread_barrier_wait(&done);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    return 0;
}
