/* SPDX-License-Identifier: MIT */
/* Two threads look at the clock, and who looked first is the last to say so: no window has passed for it, or all that is free would
 * go back though it is in use, and what a thread keeps that is awake. */
#include "mem/heap.h"
#include "mem/oversize.h"
#include "mem/retain.h"
#include "mem/scarce.h"
#include "hakmem.h"
#include "threads.h"

enum {
    WINDOW = 500,
    LATE = 4, /* ms */
    LARGE = 300000
};

static hak_heap_t *heap; /* of the thread that keeps a block */
static pthread_barrier_t kept, judged;

static void test_windows(void)
{
    const uint64_t mib = 1 << 20;
    hak_retain_t retain = {0};
    hak_retain_tick(&retain, 1000, WINDOW);
    hak_retain_freed(&retain, 10 * mib);
    hak_retain_tick(&retain, 1500, WINDOW);
    hak_retain_tick(&retain, 1500 - LATE, WINDOW);
    CHECK(hak_retain_due(&retain, 16 * mib) == 0, "a late look ends a window that has just begun");
    hak_retain_tick(&retain, 2000, WINDOW);
    CHECK(hak_retain_due(&retain, 16 * mib) == 10 * mib, "the next one does not end it");
    hak_retain_refused(&retain, 2000);
    hak_retain_tick(&retain, 2000 - LATE, WINDOW);
    CHECK(retain.refused, "a late look asks again what was refused");
    hak_retain_tick(&retain, 2000 + WINDOW, WINDOW);
    CHECK(!retain.refused, "the next one does not");
}

static void test_scarcity(void)
{
    hak_scarce_begin();
    hak_scarce_tick(5000);
    hak_scarce_tick(5000 - LATE);
    CHECK(hak_is_scarce(), "a late look ends what has just begun");
    hak_scarce_tick(5000 + 10000);
    CHECK(!hak_is_scarce(), "the next one does not end it");
}

static void *keep_a_block(void *unused)
{
    static void *small[20];
    for (int i = 0; i < 20; i++) /* the first few are taken without a heap */
        small[i] = hakmem_alloc(100);
    heap = hak_thread.heap;
    for (int i = 0; i < 20; i++)
        hakmem_free(small[i]);
    hakmem_free(escape(hakmem_alloc(LARGE)));
    pthread_barrier_wait(&kept);
    pthread_barrier_wait(&judged);
    return unused;
}

static int keeps(void)
{
    return hak_oversize_kept(heap) >= LARGE;
}

static void look(uint32_t now_ms)
{
    while (hak_heaps_flush_unattended(now_ms)) { /* ends: each goes on to the next heaps */
    }
}

static void test_visits(void)
{
    pthread_t thread;
    pthread_barrier_init(&kept, NULL, 2);
    pthread_barrier_init(&judged, NULL, 2);
    CHECK(pthread_create(&thread, NULL, keep_a_block, NULL) == 0, "pthread_create");
    pthread_barrier_wait(&kept);
    CHECK(keeps(), "nothing is kept");
    const uint32_t now = atomic_load(&heap->seen_ms) + 10000;
    atomic_store(&heap->seen_ms, now + LATE);
    look(now);
    CHECK(keeps(), "a thread that has just looked at the clock is taken for asleep");
    atomic_store(&heap->seen_ms, now - WINDOW);
    look(now - LATE);
    CHECK(keeps(), "a late look begins another round");
    look(now + WINDOW);
    CHECK(!keeps(), "nobody visits a thread that sleeps");
    pthread_barrier_wait(&judged);
    pthread_join(thread, NULL);
}

int main(void)
{
    test_windows();
    test_scarcity();
    test_visits();
    return 0;
}
