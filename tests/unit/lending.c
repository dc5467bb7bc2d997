/* SPDX-License-Identifier: MIT */
/* No heap can be made any more, because the system has no memory for it (or there are no numbers left): each new thread is served
 * all the same, from the heaps that there are, and its blocks are as good as any. If all of these are in use just then, it
 * waits. */
#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "threads.h"
#include "hakmem.h"
#include "mem/heap.h"

enum {
    THREADS = 200
};

static atomic_int ready, without;
static atomic_bool go, failing, locked, asks, leave;

void *__real_hak_os_map(size_t size, size_t align);
void *__wrap_hak_os_map(size_t size, size_t align);

void *__wrap_hak_os_map(size_t size, size_t align)
{
    return atomic_load(&failing) ? NULL : __real_hak_os_map(size, align);
}

static void *serve(void *index)
{
    atomic_fetch_add(&ready, 1);
    while (!atomic_load(&go))
        usleep(1000);
    unsigned char *blocks[60];
    for (size_t i = 0; i < 60; i++) {
        blocks[i] = hakmem_alloc(i * 7 + 1);
        CHECK(blocks[i] != NULL && errno != ENOMEM, "thread %zu gets no block %zu", (size_t)index, i);
        fill(blocks[i], i * 7 + 1, i + (uintptr_t)index);
    }
    atomic_fetch_add(&without, hak_thread.heap == NULL);
    for (size_t i = 0; i < 60; i++) {
        CHECK(is_filled(blocks[i], i * 7 + 1, i + (uintptr_t)index), "a block changed");
        hakmem_free(blocks[i]);
    }
    atomic_fetch_add(&ready, 1);
    while (!atomic_load(&leave)) /* all heaps have threads at the same time */
        usleep(1000);
    return NULL;
}

static void *ask_while_locked(void *unused)
{
    while (!atomic_load(&locked))
        usleep(1000);
    atomic_store(&asks, true);
    void *block = hakmem_alloc(100);
    CHECK(block != NULL, "no block while all heaps are in use");
    hakmem_free(block);
    return unused;
}

static void hold_all_heaps(void)
{
    const uint32_t count = hak_heap_count();
    for (uint32_t owner = 1; owner <= count; owner++)
        hak_os_lock(&hak_heap_by_owner(owner)->lock);
    atomic_store(&locked, true);
    while (!atomic_load(&asks))
        usleep(1000);
    usleep(50000);
    for (uint32_t owner = 1; owner <= count; owner++)
        hak_os_unlock(&hak_heap_by_owner(owner)->lock);
}

int main(void)
{
    alarm(60);
    static void *blocks[12000];
    for (size_t i = 0; i < 12000; i++) /* slices in reserve: a slab of each class for each thread */
        blocks[i] = hakmem_alloc(15000);
    for (size_t i = 0; i < 12000; i++)
        hakmem_free(blocks[i]);
    pthread_t threads[THREADS], late;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, (size_t)256 << 10);
    for (intptr_t i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], &attributes, serve, (void *)i) == 0, "pthread_create");
    CHECK(pthread_create(&late, &attributes, ask_while_locked, NULL) == 0, "pthread_create");
    while (atomic_load(&ready) < THREADS)
        usleep(1000);
    atomic_store(&failing, true);
    atomic_store(&go, true);
    while (atomic_load(&ready) < 2 * THREADS)
        usleep(1000);
    hold_all_heaps();
    pthread_join(late, NULL);
    atomic_store(&leave, true);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    CHECK(without > 0, "each of %d threads got a heap", THREADS);
    atomic_store(&failing, false);
    use_every_size();
    return 0;
}
