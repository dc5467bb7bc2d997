/* SPDX-License-Identifier: MIT */
/* Blocks whose pages went back are on no list: what a forked child does with the slabs of its only thread when another one had just
 * locked them, or was in the middle of adding to the set of such blocks. */
#include <signal.h>
#include <stdatomic.h>

#include "threads.h"
#include "hakmem.h"
#include "mem/slab.h"

enum {
    COUNT = 64,
    SIZE = 9000
};

static unsigned char *blocks[COUNT];
static atomic_int locked;
static bool half; /* the other thread is between two stores */
static hak_heap_t *heap;

static void fill_some(void)
{
    for (size_t i = 0; i < COUNT; i++) {
        if (blocks[i] == NULL) {
            blocks[i] = hakmem_alloc(SIZE);
            CHECK(blocks[i] != NULL, "no block");
            fill(blocks[i], SIZE, i);
        }
    }
}

static void check_and_free(size_t every)
{
    for (size_t i = 0; i < COUNT; i++) {
        CHECK(blocks[i] == NULL || is_filled(blocks[i], SIZE, i), "block %zu changed", i);
        if (i % every != 0) {
            hakmem_free(blocks[i]);
            blocks[i] = NULL;
        }
    }
}

static void *holds_the_lock(void *unused)
{
    (void)unused;
    hak_os_lock(&heap->lock);
    hak_slab_t *slab = LIST_FIRST(hak_heap_slabs(heap, hak_class_of(SIZE)));
    const uint32_t purged = slab->purged;
    CHECK(purged != 0, "no block is purged");
    if (half)
        slab->carved += (uint32_t)__builtin_popcount(purged);
    atomic_store(&locked, 1);
    while (atomic_load(&locked) == 1)
        hak_pause();
    if (half)
        slab->carved -= (uint32_t)__builtin_popcount(purged);
    hak_os_unlock(&heap->lock);
    return NULL;
}

static int goes_on(void)
{
    alarm(20);
    fill_some();
    check_and_free(2);
    fill_some();
    check_and_free(COUNT + 1);
    CHECK(hak_thread.heap == heap && atomic_load(&heap->state) == HAK_HEAP_LIVE, "the heap is not whole");
    hakmem_trim();
    hak_os_lock(&heap->lock);
    hak_slab_check(heap);
    hak_os_unlock(&heap->lock);
    return 0;
}

static void fork_while_locked(void)
{
    pthread_t thread;
    fill_some();
    check_and_free(4);
    hakmem_trim();
    heap = hak_thread.heap;
    atomic_store(&locked, 0);
    CHECK(pthread_create(&thread, NULL, holds_the_lock, NULL) == 0, "no thread");
    while (atomic_load(&locked) == 0)
        hak_pause();
    const pid_t child = fork();
    if (child == 0)
        _exit(goes_on());
    expect_child_succeeds(child, half ? "a child in the middle of a change" : "a child with the lock taken");
    atomic_store(&locked, 2);
    pthread_join(thread, NULL);
    fill_some();
    check_and_free(2);
    hakmem_trim();
}

int main(void)
{
    fork_while_locked();
    half = true;
    fork_while_locked();
    fill_some();
    check_and_free(COUNT + 1);
    return 0;
}
