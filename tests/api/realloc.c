/* SPDX-License-Identifier: MIT */
/* realloc and reallocarray: contents kept over every kind of move, NULL, zero, overflow, failure leaves the block. */
#define _GNU_SOURCE
#include "suite.h"

#include <malloc.h>

static void test_null_is_malloc(void **state)
{
    (void)state;
    errno = 7;
    for (size_t size = 0; size < 100000; size = size * 2 + 1) {
        char *block = realloc(NULL, size);
        assert_non_null(block);
        memset(block, 1, size);
        free(block);
    }
    assert_int_equal(errno, 7);
}

/* glibc frees and returns NULL; C17 lets an allocator return a block. Either way nothing leaks or crashes. */
static void test_zero_size_frees(void **state)
{
    (void)state;
    const long before = resident_kib();
    for (int i = 0; i < 20000; i++) {
        char *block = malloc(10000);
        assert_non_null(block);
        memset(block, 1, 10000);
        void *rest = realloc(escape(block), opaque(0));
        free(rest);
    }
    assert_true(resident_kib() - before < 32 * 1024);
}

static void test_grow_and_shrink_by_steps(void **state)
{
    (void)state;
    unsigned char *block = malloc(1);
    block[0] = 0;
    size_t last = 1;
    for (size_t size = 2; size < 70000; size += 1 + size / 40) {
        last = size;
        block = realloc(block, size);
        assert_non_null(block);
        assert_true(malloc_usable_size(block) >= size);
        fill(block, size, 5);
        assert_true(size < 16 || (uintptr_t)block % 16 == 0);
    }
    for (size_t size = last; size > 1; size -= 1 + size / 30) {
        block = realloc(block, size);
        assert_non_null(block);
        assert_true(is_filled(block, size, 5));
    }
    free(block);
}

static void test_random_walks_keep_contents(void **state)
{
    (void)state;
    enum {
        SLOTS = 32,
        STEPS = 4000
    };
    static const size_t limits[] = {100, 1100, 5000, 40000, 300000, 3000000, 24000000};
    struct {
        unsigned char *block;
        size_t size;
    } slots[SLOTS] = {{NULL, 0}};
    uint64_t random = 2463534242ull;
    for (int step = 0; step < STEPS; step++) {
        const size_t i = next_random(&random) % SLOTS;
        /* Large walks are rare: they are slow to fill. */
        const size_t kind = next_random(&random) % 100;
        const size_t limit =
            limits[(kind >= 30) + (kind >= 50) + (kind >= 70) + (kind >= 85) + (kind >= 96) + (kind >= 99)];
        const size_t size = 1 + next_random(&random) % limit;
        unsigned char *moved = realloc(slots[i].block, size);
        assert_non_null(moved);
        const size_t kept = slots[i].size < size ? slots[i].size : size;
        const size_t at = first_difference(moved, kept, i);
        if (slots[i].block != NULL && at != kept)
            fail_msg("step %d: realloc from %zu to %zu bytes lost byte %zu", step, slots[i].size, size, at);
        fill(moved, size, i);
        slots[i].block = moved;
        slots[i].size = size;
    }
    for (size_t i = 0; i < SLOTS; i++)
        free(slots[i].block);
}

static void test_to_large_and_back(void **state)
{
    (void)state;
    for (size_t small = 16; small < 3u << 20; small *= 5) {
        unsigned char *block = malloc(small);
        assert_non_null(block);
        fill(block, small, small);
        for (int round = 0; round < 3; round++) {
            block = realloc(block, 20u << 20);
            assert_non_null(block);
            assert_true(is_filled(block, small, small));
            block[(20u << 20) - 1] = 1;
            block = realloc(block, 45u << 20);
            assert_non_null(block);
            assert_true(is_filled(block, small, small));
            assert_int_equal(block[(20u << 20) - 1], 1);
            block[(45u << 20) - 1] = 1;
            block = realloc(block, small);
            assert_non_null(block);
            assert_true(is_filled(block, small, small));
        }
        free(block);
    }
}

static void test_aligned_blocks_can_be_resized(void **state)
{
    (void)state;
    for (size_t alignment = 16; alignment <= 1u << 20; alignment *= 4) {
        for (size_t size = 10; size < 1000000; size *= 9) {
            void *block = aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
            assert_non_null(block);
            fill(block, size, alignment);
            block = realloc(block, size * 3);
            assert_non_null(block);
            assert_true(is_filled(block, size, alignment));
            fill(block, size * 3, alignment);
            block = realloc(block, size / 2);
            assert_non_null(block);
            assert_true(is_filled(block, size / 2, alignment));
            free(block);
        }
    }
}

/* Between sizes a bit below and above the largest block that is no mapping (512 KiB) nothing is copied. */
static void test_around_the_largest_large_block_stays(void **state)
{
    (void)state;
    char *block = malloc(540000);
    assert_non_null(block);
    fill(block, 500000, 1);
    const uintptr_t place = (uintptr_t)block;
    for (int i = 0; i < 20; i++) {
        block = realloc(block, i % 2 == 0 ? 500000 : 540000);
        assert_non_null(block);
        assert_true((uintptr_t)block == place || is_variant("debug")); /* there it always moves */
    }
    assert_true(is_filled(block, 500000, 1));
    block = realloc(block, 300000); /* which would keep as much again */
    assert_non_null(block);
    assert_true(malloc_usable_size(block) < 400000);
    assert_true(is_filled(block, 300000, 1));
    free(block);
}

static void test_shrinking_gives_memory_back(void **state)
{
    (void)state;
    enum {
        COUNT = 16
    };
    char *blocks[COUNT];
    for (int i = 0; i < COUNT; i++) {
        blocks[i] = malloc(8u << 20);
        assert_non_null(blocks[i]);
        memset(blocks[i], 1, 8u << 20);
    }
    const long full = resident_kib();
    for (int i = 0; i < COUNT; i++) {
        blocks[i] = realloc(blocks[i], 100);
        assert_non_null(blocks[i]);
    }
    malloc_trim(0);
    const long left = resident_kib();
    for (int i = 0; i < COUNT; i++)
        free(blocks[i]);
    if (left > full / 2)
        fail_msg("%d blocks of 8 MiB shrunk to 100 bytes still hold %ld of %ld KiB", COUNT, left, full);
}

static void test_too_large_keeps_the_block(void **state)
{
    (void)state;
    const size_t sizes[] = {SIZE_MAX, (size_t)PTRDIFF_MAX + 1, (size_t)1 << 62, SIZE_MAX - 4096,
                            (size_t)1 << 48};
    for (size_t own = 10; own < 5u << 20; own *= 11) {
        char *block = malloc(own);
        assert_non_null(block);
        fill(block, own, 3);
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            errno = 0;
            assert_null(realloc(block, opaque(sizes[i])));
            assert_int_equal(errno, ENOMEM);
            assert_true(is_filled(block, own, 3));
        }
        free(block);
    }
}

static void test_reallocarray(void **state)
{
    (void)state;
    unsigned char *block = reallocarray(NULL, 10, 10);
    assert_non_null(block);
    fill(block, 100, 9);
    block = reallocarray(block, 1000, 77);
    assert_non_null(block);
    assert_true(is_filled(block, 100, 9));
    const size_t pairs[][2] = {
        {SIZE_MAX, 2}, {(size_t)1 << 32, (size_t)1 << 32}, {SIZE_MAX / 16 + 2, 16}, {3, SIZE_MAX / 2}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        errno = 0;
        assert_null(reallocarray(escape(block), opaque(pairs[i][0]), opaque(pairs[i][1])));
        assert_int_equal(errno, ENOMEM);
        assert_true(is_filled(block, 100, 9));
    }
    free(block);
}

static void test_errno_is_kept(void **state)
{
    (void)state;
    errno = 55;
    char *block = NULL;
    for (size_t size = 1; size < 300u << 20; size = size * 2 + 1) {
        block = realloc(block, size);
        assert_non_null(block);
        assert_int_equal(errno, 55);
    }
    for (size_t size = 200u << 20; size > 0; size /= 3) {
        block = realloc(block, size);
        assert_non_null(block);
        assert_int_equal(errno, 55);
    }
    free(block);
    assert_int_equal(errno, 55);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_null_is_malloc),
        cmocka_unit_test(test_zero_size_frees),
        cmocka_unit_test(test_grow_and_shrink_by_steps),
        cmocka_unit_test(test_random_walks_keep_contents),
        cmocka_unit_test(test_to_large_and_back),
        cmocka_unit_test(test_aligned_blocks_can_be_resized),
        cmocka_unit_test(test_around_the_largest_large_block_stays),
        cmocka_unit_test(test_shrinking_gives_memory_back),
        cmocka_unit_test(test_too_large_keeps_the_block),
        cmocka_unit_test(test_reallocarray),
        cmocka_unit_test(test_errno_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
