/* SPDX-License-Identifier: MIT */
/* aligned_alloc, memalign, posix_memalign, valloc, pvalloc: every alignment to 256 MiB, errors as POSIX says. */
#define _GNU_SOURCE
#include "suite.h"

#include <malloc.h>

static const size_t BIGGEST = (size_t)256 << 20;

static void check_block(void *block, size_t alignment, size_t size)
{
    assert_non_null(block);
    if ((uintptr_t)block % alignment != 0)
        fail_msg("%p for %zu bytes is not aligned to %zu", block, size, alignment);
    const size_t usable = malloc_usable_size(block);
    if (usable < size)
        fail_msg("%zu usable of %zu bytes asked for, aligned to %zu", usable, size, alignment);
    unsigned char *bytes = block;
    if (size <= 65536)
        fill(block, usable < 70000 ? usable : size, alignment);
    else
        bytes[0] = bytes[size / 2] = bytes[size - 1] = 1;
}

static void test_memalign_every_power(void **state)
{
    (void)state;
    static const size_t sizes[] = {0,    1,     16,    100,   256,    1000,     1024,    1025,
                                   4096, 10000, 32768, 65536, 100000, 1u << 20, 3u << 20};
    for (size_t alignment = 1; alignment <= BIGGEST; alignment *= 2) {
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            void *block = memalign(alignment, sizes[i]);
            check_block(block, alignment, sizes[i]);
            free(block);
        }
    }
}

static void test_posix_memalign_every_power(void **state)
{
    (void)state;
    for (size_t alignment = sizeof(void *); alignment <= BIGGEST; alignment *= 2) {
        for (size_t size = 1; size < 5u << 20; size *= 7) {
            void *block = NULL;
            errno = 123;
            assert_int_equal(posix_memalign(&block, alignment, size), 0);
            assert_int_equal(errno, 123);
            check_block(block, alignment, size);
            free(block);
        }
    }
}

static void test_aligned_alloc_every_power(void **state)
{
    (void)state;
    for (size_t alignment = 1; alignment <= BIGGEST; alignment *= 2) {
        for (size_t times = 1; times <= 4; times++) {
            const size_t size = alignment * times;
            if (size > BIGGEST)
                continue;
            errno = 5;
            void *block = aligned_alloc(alignment, size);
            check_block(block, alignment, size);
            assert_int_equal(errno, 5);
            free(block);
        }
    }
}

/* The size and alignment of each block equal: where mimalloc 2.0.9 gave misaligned memory. */
static void test_size_equal_to_alignment_many_at_once(void **state)
{
    (void)state;
    enum {
        COUNT = 50
    };
    for (size_t alignment = 16; alignment <= 65536; alignment *= 2) {
        for (size_t size = alignment / 2; size <= alignment * 2; size += alignment / 2) {
            void *blocks[COUNT];
            size_t usable[COUNT];
            for (size_t i = 0; i < COUNT; i++) {
                blocks[i] = memalign(alignment, size);
                assert_non_null(blocks[i]);
                assert_int_equal((uintptr_t)blocks[i] % alignment, 0);
                usable[i] = malloc_usable_size(blocks[i]);
                fill(blocks[i], usable[i], i);
            }
            for (size_t i = 0; i < COUNT; i++) {
                if (!is_filled(blocks[i], usable[i], i))
                    fail_msg("memalign(%zu, %zu): blocks overlap", alignment, size);
                free(blocks[i]);
            }
        }
    }
}

static void test_posix_memalign_rejects_bad_alignment(void **state)
{
    (void)state;
    const size_t bad[] = {0, 1, 2, 4, 3, 7, 24, 48, 100, 4095, SIZE_MAX, SIZE_MAX - 7};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        void *block = (void *)0x5a5a;
        errno = 33;
        assert_int_equal(posix_memalign(&block, opaque(bad[i]), 64), EINVAL);
        assert_ptr_equal(block, (void *)0x5a5a);
        assert_int_equal(errno, 33);
    }
}

static void test_posix_memalign_too_large(void **state)
{
    (void)state;
    const size_t sizes[] = {SIZE_MAX, (size_t)PTRDIFF_MAX + 1, SIZE_MAX - 63, SIZE_MAX - 4096,
                            (size_t)1 << 62};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        for (size_t alignment = 8; alignment <= 1u << 22; alignment *= 4) {
            void *block = (void *)0x5a5a;
            assert_int_equal(posix_memalign(&block, alignment, opaque(sizes[i])), ENOMEM);
            assert_ptr_equal(block, (void *)0x5a5a);
        }
    }
}

static void test_memalign_and_aligned_alloc_too_large(void **state)
{
    (void)state;
    const size_t sizes[] = {SIZE_MAX, (size_t)PTRDIFF_MAX + 1, SIZE_MAX - 63, SIZE_MAX - 4096,
                            (size_t)1 << 62};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        for (size_t alignment = 16; alignment <= 1u << 22; alignment *= 4) {
            errno = 0;
            assert_null(memalign(alignment, opaque(sizes[i])));
            assert_int_equal(errno, ENOMEM);
            errno = 0;
            assert_null(aligned_alloc(alignment, opaque(sizes[i])));
            assert_int_equal(errno, ENOMEM);
        }
    }
    errno = 0;
    assert_null(valloc(opaque(SIZE_MAX)));
    assert_int_equal(errno, ENOMEM);
    errno = 0;
    assert_null(pvalloc(opaque(SIZE_MAX)));
    assert_int_equal(errno, ENOMEM);
}

/* An alignment no address space can satisfy: refused, not a wrapped computation. */
static void test_huge_alignment_is_refused(void **state)
{
    (void)state;
    const size_t huge = (size_t)1 << 63;
    void *block = (void *)0x5a5a;
    const int error = posix_memalign(&block, opaque(huge), 64);
    assert_true(error == ENOMEM || error == EINVAL);
    errno = 0;
    assert_null(memalign(opaque(huge), 64));
    assert_true(errno == ENOMEM || errno == EINVAL);
    errno = 0;
    assert_null(aligned_alloc(opaque((size_t)1 << 62), opaque((size_t)1 << 62)));
    assert_true(errno == ENOMEM || errno == EINVAL);
}

static void test_valloc_and_pvalloc(void **state)
{
    (void)state;
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    for (size_t size = 0; size < 200000; size = size * 2 + 1) {
        void *block = valloc(size);
        check_block(block, page, size);
        void *pages = pvalloc(size);
        check_block(pages, page, (size + page - 1) / page * page);
        free(block);
        free(pages);
    }
}

static void test_many_aligned_in_random_order(void **state)
{
    (void)state;
    enum {
        SLOTS = 300,
        STEPS = 30000
    };
    static struct {
        void *block;
        size_t size;
    } slots[SLOTS];
    uint64_t random = 77;
    for (int step = 0; step < STEPS; step++) {
        const size_t i = next_random(&random) % SLOTS;
        if (slots[i].block != NULL)
            assert_true(is_filled(slots[i].block, slots[i].size, i));
        free(slots[i].block);
        const size_t alignment = (size_t)8 << next_random(&random) % 12;
        slots[i].size = random_size(&random, 20000);
        slots[i].block = memalign(alignment, slots[i].size);
        assert_non_null(slots[i].block);
        assert_int_equal((uintptr_t)slots[i].block % alignment, 0);
        fill(slots[i].block, slots[i].size, i);
    }
    for (size_t i = 0; i < SLOTS; i++)
        free(slots[i].block);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memalign_every_power),
        cmocka_unit_test(test_posix_memalign_every_power),
        cmocka_unit_test(test_aligned_alloc_every_power),
        cmocka_unit_test(test_size_equal_to_alignment_many_at_once),
        cmocka_unit_test(test_posix_memalign_rejects_bad_alignment),
        cmocka_unit_test(test_posix_memalign_too_large),
        cmocka_unit_test(test_memalign_and_aligned_alloc_too_large),
        cmocka_unit_test(test_huge_alignment_is_refused),
        cmocka_unit_test(test_valloc_and_pvalloc),
        cmocka_unit_test(test_many_aligned_in_random_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
