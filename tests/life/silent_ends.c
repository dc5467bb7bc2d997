/* SPDX-License-Identifier: MIT */
/* Threads that end without telling: those that never allocate but for whom libc frees something at their end, those that use the
 * allocator for the first time when the last destructors run, and those that leave by the exit system call. What the allocator
 * keeps for threads is bounded by those that live at the same time, and memory does not grow. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include "threads.h"

enum {
    THREADS = 1500,
    AT_ONCE = 3,
    HEAPS_MOST = 64
};

static void *never_allocates(void *unused)
{
    return unused;
}

static pthread_key_t key;

/* The key's destructor, in each round but the first: sets it again until libc gives up, and allocates in the last one. */
static void late(void *round)
{
    const uintptr_t next = (uintptr_t)round + 1;
    if (next <= PTHREAD_DESTRUCTOR_ITERATIONS) {
        pthread_setspecific(key, (void *)next);
    } else {
        void *kept = malloc(next * 100);
        free(escape(malloc(20)));
        free(kept);
    }
}

static void *allocates_last(void *unused)
{
    pthread_setspecific(key, (void *)(uintptr_t)1);
    return unused;
}

static void *leaves_at_once(void *unused)
{
    free(escape(malloc(200)));
    syscall(SYS_exit, 0);
    return unused;
}

/* The same after so much that it has a heap of its own: its bins are lost with it, the heap is not. */
static void *leaves_a_heap(void *unused)
{
    void *volatile blocks[40];
    for (size_t i = 0; i < 40; i++)
        blocks[i] = malloc(48);
    for (size_t i = 0; i < 40; i++)
        free(blocks[i]);
    syscall(SYS_exit, 0);
    return unused;
}

/* Frees what another thread has allocated, never a block of its own. */
static _Atomic(void *) given;

static void *frees_one(void *unused)
{
    free(atomic_exchange(&given, NULL));
    return unused;
}

/* The number of heaps on the statistics page; -1 without one. */
static long heaps(void)
{
    void (*print)(int, int) = (void (*)(int, int))dlsym(RTLD_DEFAULT, "hakmem_stats_print");
    int ends[2];
    static char text[16384];
    if (print == NULL || pipe(ends) != 0)
        return -1;
    print(ends[1], 0);
    const ssize_t length = read(ends[0], text, sizeof text - 1);
    close(ends[0]);
    close(ends[1]);
    text[length > 0 ? length : 0] = 0;
    const char *line = strstr(text, "\nheaps = ");
    return line != NULL ? strtol(line + strlen("\nheaps = "), NULL, 10) : -1;
}

/* `growth` in KiB, of the last two thirds of all threads. */
static void many(void *(*work)(void *), const char *what, size_t stack, long growth)
{
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, stack);
    long before = 0;
    for (int i = 0; i < THREADS; i++) {
        pthread_t threads[AT_ONCE];
        for (int k = 0; k < AT_ONCE; k++) {
            atomic_store(&given, malloc(300));
            CHECK(pthread_create(&threads[k], &attributes, work, NULL) == 0, "pthread_create");
        }
        for (int k = 0; k < AT_ONCE; k++)
            pthread_join(threads[k], NULL);
        free(atomic_exchange(&given, NULL));
        if (i == THREADS / 3)
            before = resident_kib();
    }
    const long grown = resident_kib() - before;
    CHECK(heaps() <= HEAPS_MOST, "%s: %ld heaps of %d threads at once", what, heaps(), AT_ONCE);
    CHECK(grown < growth, "%s: %ld KiB more after %d threads", what, grown, THREADS * 2);
}

int main(void)
{
    CHECK(pthread_key_create(&key, late) == 0, "pthread_key_create");
    many(never_allocates, "threads that never allocate", (size_t)32 << 20, 2000);
    many(frees_one, "threads that free one block", (size_t)32 << 20, 2000);
    many(allocates_last, "threads that allocate in the last round", (size_t)64 << 10, 2000);
    many(leaves_at_once, "threads that leave by the system call", (size_t)64 << 10, 2000);
    many(leaves_a_heap, "threads that leave a heap by the system call", (size_t)64 << 10,
         2000 + THREADS * 2 * 9 / 2); /* a page, and what `hardened` keeps of its blocks */
    use_every_size();
    return 0;
}
