/* SPDX-License-Identifier: MIT */
/* Every function that gives memory, one by one: errno untouched by success and by free, ENOMEM when the request is too
 * large, a block of its own for 0 bytes; and what glibc's manual says of odd alignments. */
#define _GNU_SOURCE
#include "suite.h"

#include <malloc.h>

static void *by_malloc(size_t size)
{
    return malloc(size);
}

static void *by_calloc(size_t size)
{
    return calloc(1, size);
}

static void *by_calloc_of_bytes(size_t size)
{
    return calloc(size, 1);
}

static void *by_realloc(size_t size)
{
    return realloc(NULL, size);
}

static void *by_reallocarray(size_t size)
{
    return reallocarray(NULL, size, 1);
}

static void *by_aligned_alloc(size_t size)
{
    return aligned_alloc(64, size);
}

static void *by_memalign(size_t size)
{
    return memalign(256, size);
}

static void *by_posix_memalign(size_t size)
{
    void *block = NULL;
    const int error = posix_memalign(&block, 128, size);
    if (error != 0)
        errno = error;
    return block;
}

static void *by_valloc(size_t size)
{
    return valloc(size);
}

static void *by_pvalloc(size_t size)
{
    return pvalloc(size);
}

static const struct {
    const char *name;
    void *(*take)(size_t size);
} functions[] = {
    {"malloc", by_malloc},
    {"calloc(1, n)", by_calloc},
    {"calloc(n, 1)", by_calloc_of_bytes},
    {"realloc(NULL, n)", by_realloc},
    {"reallocarray(NULL, n, 1)", by_reallocarray},
    {"aligned_alloc", by_aligned_alloc},
    {"memalign", by_memalign},
    {"posix_memalign", by_posix_memalign},
    {"valloc", by_valloc},
    {"pvalloc", by_pvalloc},
};

enum {
    FUNCTIONS = sizeof functions / sizeof *functions
};

static void test_success_keeps_errno(void **state)
{
    (void)state;
    static const size_t sizes[] = {0,     1,      100,      1024,     1025,     5000,     32768,
                                   40000, 300000, 1u << 20, 3u << 20, 5u << 20, 33u << 20};
    for (size_t i = 0; i < FUNCTIONS; i++) {
        for (size_t j = 0; j < sizeof sizes / sizeof *sizes; j++) {
            errno = 4711;
            void *block = functions[i].take(sizes[j]);
            const size_t usable = malloc_usable_size(block);
            malloc_trim(0);
            free(block);
            if (block == NULL || usable < sizes[j] || errno != 4711) {
                fail_msg("%s of %zu bytes: block %p, %zu usable, errno %d", functions[i].name, sizes[j],
                         block, usable, errno);
            }
        }
    }
}

static void test_too_large_is_enomem(void **state)
{
    (void)state;
    static const size_t sizes[] = {SIZE_MAX,        SIZE_MAX - 1,       SIZE_MAX - 15,
                                   SIZE_MAX - 255,  SIZE_MAX - 4095,    SIZE_MAX - 65535,
                                   PTRDIFF_MAX,     PTRDIFF_MAX - 4095, (size_t)PTRDIFF_MAX + 1,
                                   (size_t)1 << 62, (size_t)1 << 48};
    for (size_t i = 0; i < FUNCTIONS; i++) {
        for (size_t j = 0; j < sizeof sizes / sizeof *sizes; j++) {
            errno = 0;
            void *block = functions[i].take(opaque(sizes[j]));
            if (block != NULL || errno != ENOMEM)
                fail_msg("%s of %zu bytes: block %p, errno %d", functions[i].name, sizes[j], block, errno);
        }
    }
}

static void test_zero_bytes_are_a_block(void **state)
{
    (void)state;
    void *blocks[FUNCTIONS][2];
    for (size_t i = 0; i < 2 * FUNCTIONS; i++) {
        blocks[i / 2][i % 2] = functions[i / 2].take(opaque(0));
        assert_non_null(blocks[i / 2][i % 2]);
        for (size_t j = 0; j < i; j++)
            assert_ptr_not_equal(blocks[i / 2][i % 2], blocks[j / 2][j % 2]);
    }
    for (size_t i = 0; i < 2 * FUNCTIONS; i++)
        free(blocks[i / 2][i % 2]);
}

/* Any block may be resized and freed, whoever gave it. */
static void test_blocks_are_interchangeable(void **state)
{
    (void)state;
    for (size_t i = 0; i < FUNCTIONS; i++) {
        for (size_t size = 1; size < 6u << 20; size *= 7) {
            unsigned char *block = functions[i].take(size);
            assert_non_null(block);
            fill(block, size, i);
            errno = 12;
            block = realloc(block, size * 2);
            assert_non_null(block);
            assert_true(is_filled(block, size, i));
            block = reallocarray(block, 3, size);
            assert_non_null(block);
            assert_true(is_filled(block, size, i));
            free(block);
            assert_int_equal(errno, 12);
        }
    }
}

static void test_aligned_alloc_refuses_what_is_no_power_of_two(void **state)
{
    (void)state;
    static const size_t bad[] = {0, 3, 24, 48, 100, 4095, 12288, SIZE_MAX};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        errno = 0;
        void *block = aligned_alloc(opaque(bad[i]), 192);
        if (block != NULL || errno != EINVAL)
            fail_msg("aligned_alloc(%zu, 192): block %p, errno %d", bad[i], block, errno);
    }
}

/* The manual of memalign asks for a power of two; glibc takes the next one for all else. */
static void test_memalign_rounds_the_alignment_up(void **state)
{
    (void)state;
    static const size_t odd[][2] = {{0, 16}, {3, 16}, {24, 32}, {48, 64}, {100, 128}, {5000, 8192}};
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        for (int copy = 0; copy < 20; copy++) {
            void *block = memalign(opaque(odd[i][0]), 100);
            assert_non_null(block);
            assert_int_equal((uintptr_t)block % odd[i][1], 0);
            free(block);
        }
    }
}

/* No power of two is above them: glibc says EINVAL (its bug 16038); 2^63 is one, and too much. */
static void test_memalign_cannot_round_up(void **state)
{
    (void)state;
    static const struct {
        size_t align;
        int error;
    } cases[] = {{SIZE_MAX, EINVAL},
                 {SIZE_MAX / 2 + 2, EINVAL},
                 {SIZE_MAX / 2 + 1, ENOMEM},
                 {SIZE_MAX / 4 + 1, ENOMEM}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        errno = 0;
        void *block = memalign(opaque(cases[i].align), 4096);
        if (block != NULL || errno != cases[i].error)
            fail_msg("memalign(%zu, 4096): block %p, errno %d", cases[i].align, block, errno);
    }
}

static void test_failed_resize_keeps_the_block(void **state)
{
    (void)state;
    for (size_t size = 1; size < 6u << 20; size *= 9) {
        unsigned char *block = malloc(size);
        assert_non_null(block);
        fill(block, size, size);
        errno = 0;
        assert_null(realloc(escape(block), opaque(PTRDIFF_MAX)));
        assert_int_equal(errno, ENOMEM);
        errno = 0;
        assert_null(reallocarray(escape(block), opaque(SIZE_MAX / 2), 3));
        assert_int_equal(errno, ENOMEM);
        errno = 0;
        assert_null(reallocarray(escape(block), opaque((size_t)1 << 33), opaque((size_t)1 << 31)));
        assert_int_equal(errno, ENOMEM);
        assert_true(is_filled(block, size, size));
        free(block);
    }
}

static void test_malloc_trim_says_whether_it_gave_back(void **state)
{
    (void)state;
    enum {
        COUNT = 200
    };
    void *blocks[COUNT];
    errno = 3;
    malloc_trim(0);
    for (size_t i = 0; i < COUNT; i++) {
        blocks[i] = malloc(100000);
        assert_non_null(blocks[i]);
        memset(blocks[i], 1, 100000);
    }
    for (size_t i = 0; i < COUNT; i++)
        free(blocks[i]);
    assert_int_equal(malloc_trim(0), 1);
    const int again = malloc_trim(SIZE_MAX);
    assert_true(again == 0 || again == 1);
    assert_int_equal(errno, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_success_keeps_errno),
        cmocka_unit_test(test_too_large_is_enomem),
        cmocka_unit_test(test_zero_bytes_are_a_block),
        cmocka_unit_test(test_blocks_are_interchangeable),
        cmocka_unit_test(test_aligned_alloc_refuses_what_is_no_power_of_two),
        cmocka_unit_test(test_memalign_rounds_the_alignment_up),
        cmocka_unit_test(test_memalign_cannot_round_up),
        cmocka_unit_test(test_failed_resize_keeps_the_block),
        cmocka_unit_test(test_malloc_trim_says_whether_it_gave_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
