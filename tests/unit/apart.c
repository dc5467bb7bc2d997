/* SPDX-License-Identifier: MIT */
/* Slabs of two threads do not lie between each other: where they do, each free and each new slab takes a line of the map, and
 * descriptors, from the other's core. And nothing is touched for that as long as something is there that was used before. */
#include "suite.h"

#include <pthread.h>

#include "hakmem.h"
#include "mem/chunk.h"

enum {
    GROUP = 16, /* slices, whose entries are a cache line */
    SIZE = 1024,
    IN_SLAB = HAK_SLICE / SIZE,
    FEW = 20, /* slabs of a thread that may lie anywhere */
    SLABS = 120,
    THREADS = 2,
    HEAP = 1001, /* numbers that no heap has */
    OTHER = 1002,
};

static pthread_barrier_t turn;
static uintptr_t groups[THREADS][SLABS]; /* of the map, by slab */

static unsigned slice_of(const hak_slab_t *run)
{
    return (unsigned)((uintptr_t)hak_slab_base(run) % HAK_CHUNK / HAK_SLICE);
}

/* First: there is no chunk yet. */
static void test_what_was_used_comes_first(void **state)
{
    (void)state;
    hak_slab_t *runs[GROUP];
    for (unsigned i = 0; i < GROUP; i++) {
        runs[i] = hak_chunk_take_beside(1, HAK_RUN_FRONT, HEAP);
        assert_non_null(runs[i]);
        assert_int_equal(slice_of(runs[i]), HAK_CHUNK_HEAD + i);
    }
    hak_chunk_release_run(runs[3], 1);
    assert_ptr_equal(hak_chunk_take_beside(1, HAK_RUN_FRONT, OTHER), runs[3]);
    assert_int_equal(slice_of(hak_chunk_take_beside(1, HAK_RUN_FRONT, OTHER)), 2 * GROUP);
    assert_int_equal(slice_of(hak_chunk_take_beside(1, HAK_RUN_FRONT, HEAP)), HAK_CHUNK_HEAD + GROUP);
    hak_chunk_release_run(runs[5], 1);
    assert_int_equal(slice_of(hak_chunk_take_beside(1, HAK_RUN_FRONT, OTHER)), 2 * GROUP + 1);
    assert_ptr_equal(hak_chunk_take_beside(1, HAK_RUN_FRONT, HEAP), runs[5]);
}

static void *take_in_turns(void *mine)
{
    uintptr_t *group = mine;
    for (unsigned slab = 0; slab < SLABS; slab++) {
        for (unsigned thread = 0; thread < THREADS; thread++) {
            pthread_barrier_wait(&turn);
            for (unsigned i = 0; group == groups[thread] && i < IN_SLAB; i++)
                group[slab] = (uintptr_t)hakmem_alloc(SIZE) / (GROUP * HAK_SLICE);
        }
    }
    return NULL;
}

static bool is_among(uintptr_t group, const uintptr_t *others)
{
    for (unsigned slab = FEW; slab < SLABS; slab++)
        if (others[slab] == group)
            return true;
    return false;
}

static void test_slabs_of_threads_lie_apart(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    pthread_barrier_init(&turn, NULL, THREADS);
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, take_in_turns, groups[i]), 0);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    unsigned beside_others = 0;
    for (unsigned slab = FEW; slab < SLABS; slab++)
        beside_others += is_among(groups[0][slab], groups[1]);
    assert_in_range(beside_others, 0, SLABS / 3); /* where a chunk is nearly full */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_was_used_comes_first),
        cmocka_unit_test(test_slabs_of_threads_lie_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
