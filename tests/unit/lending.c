// SPDX-License-Identifier: MIT
// No heap can be made any more, because the system has no memory for it (or there are no numbers left): each new thread is served
// all the same, from the heaps that there are, and its blocks are as good as any.
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
static atomic_bool go, failing;

void *__real_hak_os_map(size_t size, size_t align);
void *__wrap_hak_os_map(size_t size, size_t align);

void *__wrap_hak_os_map(size_t size, size_t align)
{
    return atomic_load(&failing) ? NULL : __real_hak_os_map(size, align);
}

static void *serve(void *index)
{
    atomic_fetch_add(&ready, 1);
    while (!atomic_load(&go)) {
        usleep(1000);
    }
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
    while (atomic_load(&ready) < 2 * THREADS) { // all heaps are in use at the same time
        usleep(1000);
    }
    return NULL;
}

int main(void)
{
    alarm(60);
    static void *blocks[12000];
    for (size_t i = 0; i < 12000; i++) { // slices in reserve: a slab of each class for each thread
        blocks[i] = hakmem_alloc(15000);
    }
    for (size_t i = 0; i < 12000; i++) {
        hakmem_free(blocks[i]);
    }
    pthread_t threads[THREADS];
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, (size_t)256 << 10);
    for (intptr_t i = 0; i < THREADS; i++) {
        CHECK(pthread_create(&threads[i], &attributes, serve, (void *)i) == 0, "pthread_create");
    }
    while (atomic_load(&ready) < THREADS) {
        usleep(1000);
    }
    atomic_store(&failing, true);
    atomic_store(&go, true);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    CHECK(without > 0, "each of %d threads got a heap", THREADS);
    atomic_store(&failing, false);
    use_every_size();
    return 0;
}
