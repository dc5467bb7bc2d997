/* SPDX-License-Identifier: MIT */
/* In `debug` realloc moves what could stay, so that stale pointers show; but an array that grows by little is not copied at each
 * step for that. */
#include "suite.h"

#include "hakmem.h"

/* How many of `steps` calls that add `by` bytes move the block. Its contents come along. */
static unsigned moves_of(unsigned char **block, size_t size, size_t by, unsigned steps)
{
    unsigned moved = 0;
    for (unsigned i = 0; i < steps; i++) {
        (*block)[size - 1] = (unsigned char)i;
        unsigned char *next = hakmem_resize(*block, size + by);
        assert_non_null(next);
        assert_int_equal(next[size - 1], (unsigned char)i);
        moved += next != *block;
        *block = next;
        size += by;
    }
    return moved;
}

static void test_what_is_small_moves_each_time(void **state)
{
    (void)state;
    for (size_t size = 24; size <= 400000; size *= 4) {
        unsigned char *block = hakmem_alloc(size);
        assert_int_equal(moves_of(&block, size, 8, 20), 20);
        hakmem_free(block);
    }
}

/* From 1 to 16 MiB: four powers of two. It moves for want of room behind it, too. */
static void test_what_is_huge_moves_each_eighth(void **state)
{
    (void)state;
    unsigned char *block = hakmem_alloc(1 << 20);
    unsigned moved = moves_of(&block, 1 << 20, 4096, 15 * 256);
    assert_in_range(moved, 4 * 8 - 1, 200); /* of 3,840 */
    hakmem_free(block);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_small_moves_each_time),
        cmocka_unit_test(test_what_is_huge_moves_each_eighth),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
