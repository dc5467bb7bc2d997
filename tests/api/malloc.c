/* SPDX-License-Identifier: MIT */
/* malloc, free and malloc_usable_size: alignment, uniqueness, the whole block usable, errno. */
#define _GNU_SOURCE
#include "suite.h"

#include <malloc.h>
#include <stdalign.h>

enum {
    EVERY_SIZE = 40000
};

static void test_every_size_is_aligned(void **state)
{
    (void)state;
    static void *blocks[EVERY_SIZE + 1];
    for (size_t size = 0; size <= EVERY_SIZE; size++) {
        blocks[size] = malloc(size);
        assert_non_null(blocks[size]);
        /* Any object that fits must be aligned: 16 from 16 bytes on, its own natural alignment below. */
        const size_t need = size >= alignof(max_align_t) ? alignof(max_align_t) : size >= 8 ? 8 : 1;
        if ((uintptr_t)blocks[size] % need != 0)
            fail_msg("malloc(%zu) = %p is not aligned to %zu", size, blocks[size], need);
        assert_true(malloc_usable_size(blocks[size]) >= size);
    }
    for (size_t size = 0; size <= EVERY_SIZE; size++)
        free(blocks[size]);
}

static void test_zero_bytes_are_unique(void **state)
{
    (void)state;
    enum {
        COUNT = 1000
    };
    static void *blocks[COUNT];
    for (int i = 0; i < COUNT; i++) {
        blocks[i] = malloc(opaque(0));
        assert_non_null(blocks[i]);
    }
    for (int i = 0; i < COUNT; i++)
        for (int j = 0; j < i; j++)
            assert_ptr_not_equal(blocks[i], blocks[j]);
    for (int i = 0; i < COUNT; i++)
        free(blocks[i]);
}

/* All blocks of all sizes alive at once, each filled to its usable size: a shared byte shows as a difference. */
static void check_usable(const size_t *sizes, size_t count)
{
    void **blocks = calloc(count, sizeof *blocks);
    size_t *usable = calloc(count, sizeof *usable);
    assert_non_null(blocks);
    assert_non_null(usable);
    for (size_t i = 0; i < count; i++) {
        blocks[i] = malloc(sizes[i]);
        assert_non_null(blocks[i]);
        usable[i] = malloc_usable_size(blocks[i]);
        assert_true(usable[i] >= sizes[i]);
        fill(blocks[i], usable[i], i);
    }
    for (size_t i = 0; i < count; i++) {
        const size_t at = first_difference(blocks[i], usable[i], i);
        if (at != usable[i])
            fail_msg("malloc(%zu): byte %zu of %zu usable is a neighbour's too", sizes[i], at, usable[i]);
        free(blocks[i]);
    }
    free(usable);
    free(blocks);
}

static void test_usable_size_is_writable(void **state)
{
    (void)state;
    static size_t sizes[3 * 2100 + 6 * 44];
    size_t count = 0;
    for (size_t size = 0; size < 2100; size++)
        for (int copy = 0; copy < 3; copy++)
            sizes[count++] = size;
    for (size_t size = 1024; size <= 4u << 20; size *= 2) {
        for (size_t offset = 0; offset < 3; offset++) {
            sizes[count++] = size + offset - 1;
            sizes[count++] = size + size / 2 + offset - 1;
        }
    }
    check_usable(sizes, count);
}

/* Every size, two blocks of each, so many at once that neighbours meet: the first and last bytes are each block's own. */
static void test_edges_of_every_size(void **state)
{
    (void)state;
    enum {
        AT_ONCE = 500,
        EDGE = 16
    };
    static struct {
        unsigned char *block;
        size_t usable, edge;
    } taken[2 * AT_ONCE];
    for (size_t first = 0; first < EVERY_SIZE; first += AT_ONCE) {
        for (size_t i = 0; i < 2 * AT_ONCE; i++) {
            const size_t size = first + i / 2;
            taken[i].block = malloc(size);
            assert_non_null(taken[i].block);
            taken[i].usable = malloc_usable_size(taken[i].block);
            assert_true(taken[i].usable >= size);
            taken[i].edge = taken[i].usable < EDGE ? taken[i].usable : EDGE;
            fill(taken[i].block, taken[i].edge, i);
            fill(taken[i].block + taken[i].usable - taken[i].edge, taken[i].edge, i);
        }
        for (size_t i = 0; i < 2 * AT_ONCE; i++) {
            const unsigned char *end = taken[i].block + taken[i].usable;
            if (!is_filled(end - taken[i].edge, taken[i].edge, i) ||
                (taken[i].usable >= 2 * EDGE && !is_filled(taken[i].block, EDGE, i))) {
                fail_msg("malloc(%zu): an edge of %zu usable bytes is a neighbour's too", first + i / 2,
                         taken[i].usable);
            }
            free(taken[i].block);
        }
    }
}

static void test_usable_size_of_null_is_zero(void **state)
{
    (void)state;
    assert_int_equal(malloc_usable_size(NULL), 0);
}

static void test_free_of_null_does_nothing(void **state)
{
    (void)state;
    for (int i = 0; i < 100; i++)
        free(NULL);
}

static void test_errno_is_kept_by_success_and_free(void **state)
{
    (void)state;
    static const size_t sizes[] = {0,        1,        16,       64,        1000,      1024,
                                   1025,     5000,     32768,    40000,     65536,     300000,
                                   1u << 20, 2u << 20, 5u << 20, 33u << 20, 70u << 20, 200u << 20};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        errno = 4711;
        char *block = malloc(sizes[i]);
        assert_non_null(block);
        assert_int_equal(errno, 4711);
        memset(block, 1, sizes[i] < 4096 ? sizes[i] : 4096);
        errno = 4712;
        free(block);
        assert_int_equal(errno, 4712);
    }
}

static void test_too_large_is_enomem(void **state)
{
    (void)state;
    const size_t sizes[] = {(size_t)PTRDIFF_MAX + 1, (size_t)PTRDIFF_MAX, SIZE_MAX,        SIZE_MAX - 1,
                            SIZE_MAX - 15,           SIZE_MAX - 16,       SIZE_MAX - 4095, SIZE_MAX - 65536,
                            SIZE_MAX / 2 + 4096,     (size_t)1 << 62,     (size_t)1 << 48};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        errno = 0;
        void *block = malloc(opaque(sizes[i]));
        if (block != NULL)
            fail_msg("malloc(%zu) = %p", sizes[i], block);
        assert_int_equal(errno, ENOMEM);
    }
    void *block = malloc(100);
    assert_non_null(block);
    free(block);
}

/* Blocks come back: memory that was freed is found again rather than taken anew. What is taken in all is twice what may be held. */
static void test_freed_memory_is_used_again(void **state)
{
    (void)state;
    static const size_t sizes[] = {16, 200, 1024, 4000, 20000, 100000, 1u << 20, 8u << 20};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const long before = resident_kib();
        const size_t rounds = sizes[i] < 4000 ? 20000 : (64u << 20) / sizes[i];
        for (size_t round = 0; round < rounds; round++) {
            char *block = malloc(sizes[i]);
            assert_non_null(block);
            memset(block, (int)round, sizes[i]);
            free(escape(block));
        }
        const long grown = resident_kib() - before;
        if (grown > 32 * 1024)
            fail_msg("%zu rounds of malloc(%zu) and free hold %ld KiB more", rounds, sizes[i], grown);
    }
}

static void test_large_blocks(void **state)
{
    (void)state;
    for (size_t mib = 1; mib <= 512; mib *= 2) {
        for (int offset = -1; offset <= 1; offset++) {
            const size_t size = (mib << 20) + (size_t)offset;
            char *block = malloc(size);
            assert_non_null(block);
            assert_int_equal((uintptr_t)block % 16, 0);
            const size_t usable = malloc_usable_size(block);
            assert_true(usable >= size);
            block[0] = 1;
            block[size / 2] = 2;
            block[usable - 1] = 3;
            free(block);
        }
    }
}

static void test_random_walk(void **state)
{
    (void)state;
    enum {
        SLOTS = 2000,
        STEPS = 200000
    };
    static struct {
        char *block;
        size_t size;
        uint64_t seed;
    } slots[SLOTS];
    uint64_t random = 88172645463325252ull;
    for (int step = 0; step < STEPS; step++) {
        const size_t i = next_random(&random) % SLOTS;
        if (slots[i].block != NULL) {
            assert_true(is_filled(slots[i].block, slots[i].size, slots[i].seed));
            free(slots[i].block);
        }
        slots[i].size = random_size(&random, 70000);
        slots[i].seed = (uint64_t)step;
        slots[i].block = malloc(slots[i].size);
        assert_non_null(slots[i].block);
        fill(slots[i].block, slots[i].size, slots[i].seed);
    }
    for (size_t i = 0; i < SLOTS; i++) {
        if (slots[i].block != NULL)
            assert_true(is_filled(slots[i].block, slots[i].size, slots[i].seed));
        free(slots[i].block);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_size_is_aligned),
        cmocka_unit_test(test_zero_bytes_are_unique),
        cmocka_unit_test(test_usable_size_is_writable),
        cmocka_unit_test(test_edges_of_every_size),
        cmocka_unit_test(test_usable_size_of_null_is_zero),
        cmocka_unit_test(test_free_of_null_does_nothing),
        cmocka_unit_test(test_errno_is_kept_by_success_and_free),
        cmocka_unit_test(test_too_large_is_enomem),
        cmocka_unit_test(test_freed_memory_is_used_again),
        cmocka_unit_test(test_large_blocks),
        cmocka_unit_test(test_random_walk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
