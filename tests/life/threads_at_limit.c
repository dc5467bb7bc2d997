/* SPDX-License-Identifier: MIT */
/* Memory runs out in one thread while others run: they are served or refused with ENOMEM, and free its blocks. Then,
 * the limit still in force, new threads start and have what was freed. */
#include <errno.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include "threads.h"

enum {
    COUNT = 60000,
    WAITING = 3,
    STARTED = 8,
    STACK = 65536
};

static unsigned char *blocks[COUNT];
static size_t taken;
static pthread_barrier_t exhausted;
static pthread_barrier_t tried; /* by all, before the first frees anything */

static size_t size_of(size_t i)
{
    static const size_t sizes[] = {1000, 64, 20000, 300, 90000, 5000};
    return sizes[i % 6];
}

/* Takes and frees a block of each kind; returns how many were refused. */
static int try_every_size(void)
{
    int refused = 0;
    for (size_t size = 1; size < 8u << 20; size *= 3) {
        errno = 0;
        unsigned char *block = malloc(size);
        CHECK((block != NULL) == (errno == 0) && (block != NULL || errno == ENOMEM), "malloc(%zu): errno %d",
              size, errno);
        if (block != NULL) {
            fill(block, size < 5000 ? size : 5000, size);
            CHECK(is_filled(block, size < 5000 ? size : 5000, size), "a block of %zu bytes is shared", size);
        }
        refused += block == NULL;
        free(block);
    }
    return refused;
}

static void *waiting(void *index)
{
    free(escape(malloc(100)));
    pthread_barrier_wait(&exhausted);
    CHECK(try_every_size() > 0, "nothing is refused: the test shows nothing");
    pthread_barrier_wait(&tried);
    for (size_t i = (uintptr_t)index; i < taken; i += WAITING) {
        CHECK(is_filled(blocks[i], 60, i), "block %zu changed at the limit", i);
        free(blocks[i]);
    }
    return NULL;
}

static void *started(void *index)
{
    (void)index;
    for (int i = 0; i < 50; i++) {
        for (size_t size = 1; size < 1u << 20; size *= 3) {
            void *block = malloc(size);
            CHECK(block != NULL, "a new thread gets no %zu bytes of all that was freed", size);
            memset(block, 1, size);
            free(block);
        }
    }
    return NULL;
}

static void *start_ended(void *index)
{
    (void)index;
    return NULL;
}

int main(void)
{
    /* Stacks of our own: what is tested is the memory of malloc, not whether libc finds room for a stack. */
    char *stacks = mmap(NULL, STARTED * STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(stacks != MAP_FAILED, "mmap");
    CHECK(run_threads(1, start_ended) == 0, "a first thread");
    pthread_barrier_init(&exhausted, NULL, WAITING + 1);
    pthread_barrier_init(&tried, NULL, WAITING);
    pthread_t threads[WAITING > STARTED ? WAITING : STARTED];
    for (intptr_t i = 0; i < WAITING; i++)
        CHECK(pthread_create(&threads[i], NULL, waiting, (void *)i) == 0, "pthread_create");
    /* 40 MiB and no more: what the allocator then unmaps it can map again. */
    for (taken = 0; taken < COUNT && taken * 20000 < (40u << 20); taken++) {
        blocks[taken] = malloc(size_of(taken));
        CHECK(blocks[taken] != NULL, "no memory before the limit");
        fill(blocks[taken], 60, taken);
    }
    const rlim_t has = (rlim_t)(number_behind("/proc/self/statm", "") * sysconf(_SC_PAGESIZE));
    CHECK(setrlimit(RLIMIT_AS, &(struct rlimit){has, RLIM_INFINITY}) == 0, "setrlimit");
    while (taken < COUNT && (blocks[taken] = malloc(size_of(taken))) != NULL) {
        fill(blocks[taken], 60, taken);
        taken++;
    }
    CHECK(taken < COUNT, "no limit");
    pthread_barrier_wait(&exhausted);
    for (intptr_t i = 0; i < WAITING; i++)
        pthread_join(threads[i], NULL);
    for (intptr_t i = 0; i < STARTED; i++) {
        pthread_attr_t attributes;
        pthread_attr_init(&attributes);
        pthread_attr_setstack(&attributes, stacks + i * STACK, STACK);
        const int error = pthread_create(&threads[i], &attributes, started, NULL);
        CHECK(error == 0, "thread %d cannot start at the limit: error %d", (int)i, error);
        pthread_attr_destroy(&attributes);
    }
    for (intptr_t i = 0; i < STARTED; i++)
        pthread_join(threads[i], NULL);
    return 0;
}
