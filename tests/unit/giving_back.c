/* SPDX-License-Identifier: MIT */
/* Where blocks go that are free: into the bins of their thread up to a limit, into the slabs of a thread that has ended at
 * once, into those of one that waits when who freed them ends, and none of them is lost on the way between two threads. */
#include "suite.h"

#include <pthread.h>
#include <stdatomic.h>

#include "hakmem.h"
#include "mem/chunk.h"

enum {
    SMALL = 1000, /* bytes; such blocks go to their thread in parcels */
    MID = 6000,   /* bytes; such blocks go alone */
    MANY = 20000,
    FEW =
        1020, /* small ones: too few batches for the inbox to be emptied, and the last one is left for the end */
    RING = 4096,
    PASSES = 4096 * 100,
};

static void *blocks[MANY];

static void *take_many(void *size)
{
    for (size_t i = 0; i < MANY; i++) {
        blocks[i] = hakmem_alloc((size_t)size);
        assert_non_null(blocks[i]);
    }
    return NULL;
}

static void free_many(void)
{
    for (size_t i = 0; i < MANY; i++)
        hakmem_free(blocks[i]);
}

static void test_bins_have_an_end(void **state)
{
    (void)state;
    take_many((void *)SMALL);
    assert_true(hak_chunk_view().used > (size_t)MANY * SMALL);
    free_many();
    assert_in_range(hak_chunk_view().used, 0, 1 << 20);
}

static void test_blocks_of_a_finished_thread(void **state)
{
    (void)state;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, take_many, (void *)MID), 0);
    pthread_join(thread, NULL);
    assert_true(hak_chunk_view().used > (size_t)MANY * MID);
    free_many();
    assert_in_range(hak_chunk_view().used, 0, 4 << 20);
}

static void *free_few(void *unused)
{
    for (size_t i = 0; i < FEW; i++)
        hakmem_free(blocks[i]);
    return unused;
}

static void test_blocks_freed_by_a_finished_thread(void **state)
{
    (void)state;
    hakmem_trim();
    const size_t before = hak_chunk_view().used;
    for (size_t i = 0; i < FEW; i++) {
        blocks[i] = hakmem_alloc(SMALL);
        assert_non_null(blocks[i]);
    }
    assert_true(hak_chunk_view().used > before + (size_t)FEW * SMALL / 2);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, free_few, NULL), 0);
    pthread_join(thread, NULL); /* and nothing else: this thread's next slow path would find them */
    assert_in_range(hak_chunk_view().used, 0, before + (size_t)FEW * SMALL / 2);
}

/* One thread puts blocks here, another takes and frees them, half a ring at a time: while it does, the first one goes on
 * and finds them. */
static void *ring[RING];
static _Atomic(size_t) put, taken;

static void *free_from_ring(void *unused)
{
    for (size_t i = 0; i < PASSES; i++) {
        while (i % (RING / 2) == 0 && atomic_load(&put) < i + RING / 2)
            sched_yield();
        hakmem_free(ring[i % RING]);
        atomic_store(&taken, i + 1);
    }
    hakmem_trim();
    return unused;
}

static void test_nothing_is_lost_between_threads(void **state)
{
    (void)state;
    hakmem_trim();
    const size_t before = hak_chunk_view().used;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, free_from_ring, NULL), 0);
    for (size_t i = 0; i < PASSES; i++) {
        void *block = hakmem_alloc(i % 2 ? MID : 2 * MID);
        assert_non_null(block);
        while (i - atomic_load(&taken) == RING)
            sched_yield();
        ring[i % RING] = block;
        atomic_store(&put, i + 1);
    }
    pthread_join(thread, NULL);
    hakmem_trim();
    assert_int_equal(hak_chunk_view().used, before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bins_have_an_end),
        cmocka_unit_test(test_blocks_of_a_finished_thread),
        cmocka_unit_test(test_blocks_freed_by_a_finished_thread),
        cmocka_unit_test(test_nothing_is_lost_between_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
