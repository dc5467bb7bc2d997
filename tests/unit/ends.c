/* SPDX-License-Identifier: MIT */
/* Slabs of blocks up to 1 KiB, which mostly touch one page of a slice, lie as far in front as they can, those of larger ones as far
 * behind: else each slice would in time have pages for the larger ones. */
#include "suite.h"

#include "hakmem.h"
#include "mem/chunk.h"

enum {
    TINY = 1024,
    MID = 1152, /* whose slab is a slice, too */
    BLOCKS = 40 * HAK_SLICE / TINY,
    HALF = HAK_CHUNK_SLICES / 2, /* of a chunk: their descriptors are a page */
    GROUP = 16,                  /* slices, whose entries in the map are a cache line */
    HEAP = 1001,                 /* a number that no heap has */
};

static unsigned slice_of(const void *p)
{
    return (unsigned)((uintptr_t)p % HAK_CHUNK / HAK_SLICE);
}

static unsigned take(unsigned slices, hak_run_t what)
{
    hak_slab_t *run = hak_chunk_take_run(slices, what);
    assert_non_null(run);
    return slice_of(hak_slab_base(run));
}

static unsigned take_beside(hak_run_t what)
{
    hak_slab_t *run = hak_chunk_take_beside(1, what, HEAP);
    assert_non_null(run);
    return slice_of(hak_slab_base(run));
}

/* First: there is no chunk yet. */
static void test_no_run_over_the_middle(void **state)
{
    (void)state;
    assert_int_equal(take(2, HAK_RUN_BACK), HALF - 2);
}

/* What a heap keeps of the slabs at one end is not for the other. */
static void test_classes_have_ends(void **state)
{
    (void)state;
    static void *block[BLOCKS];
    bool tiny[HAK_CHUNK_SLICES] = {false};
    for (unsigned i = 0; i < BLOCKS; i++) {
        block[i] = hakmem_alloc(TINY);
        assert_non_null(block[i]);
        tiny[slice_of(block[i])] = true;
    }
    for (unsigned i = 0; i < BLOCKS; i++)
        hakmem_free(block[i]);
    unsigned mid = slice_of(hakmem_alloc(MID));
    assert_false(tiny[mid]);
    assert_int_equal(mid, HALF - 3);
}

static void test_runs_have_ends(void **state)
{
    (void)state;
    unsigned front = take(1, HAK_RUN_FRONT);
    assert_in_range(front, HAK_CHUNK_HEAD, HALF - 4);
    assert_int_equal(take(1, HAK_RUN_SINGLE), front + 1);
    assert_int_equal(take(2, HAK_RUN_BACK), HALF - 5);
    assert_int_equal(take(1, HAK_RUN_BACK), HALF - 6);
    for (unsigned taken = HALF; taken >= HALF;) /* until the first half is full */
        taken = take(1, HAK_RUN_BACK) < HALF ? HALF : 0;
    assert_int_equal(take(2, HAK_RUN_BACK), HAK_CHUNK_SLICES - 3);
}

/* A heap's own groups have ends, too, and so has one that it begins. */
static void test_groups_have_ends(void **state)
{
    (void)state;
    unsigned back = take_beside(HAK_RUN_BACK);
    assert_int_equal(back % GROUP, GROUP - 1);
    assert_int_equal(take_beside(HAK_RUN_BACK), back - 1);
    assert_int_equal(take_beside(HAK_RUN_FRONT), back - GROUP + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_run_over_the_middle),
        cmocka_unit_test(test_classes_have_ends),
        cmocka_unit_test(test_runs_have_ends),
        cmocka_unit_test(test_groups_have_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
