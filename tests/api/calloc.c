/* SPDX-License-Identifier: MIT */
/* calloc: zeroes at every size, also of recycled memory and under threads; overflow refused. */
#define _GNU_SOURCE
#include "suite.h"

#include <malloc.h>
#include <pthread.h>

static void test_every_size_is_zero(void **state)
{
    (void)state;
    for (size_t size = 0; size <= 5000; size++) {
        char *dirty = malloc(size);
        assert_non_null(dirty);
        memset(dirty, 0xff, malloc_usable_size(dirty));
        free(escape(dirty));
        char *block = calloc(1, size);
        assert_non_null(block);
        assert_true(is_zero(block, size));
        memset(block, 0xff, malloc_usable_size(block));
        free(escape(block));
    }
}

static void test_large_recycled_memory_is_zero(void **state)
{
    (void)state;
    for (size_t size = 4096; size <= 24u << 20; size = size * 3 / 2 + 13) {
        for (int round = 0; round < 3; round++) {
            char *block = calloc(size / 13 + 1, 13);
            assert_non_null(block);
            if (!is_zero(block, size))
                fail_msg("calloc of %zu bytes, round %d: not zero", size, round);
            memset(block, 0xee, malloc_usable_size(block));
            free(escape(block));
        }
    }
}

/* A freed large block is cut up, its remains joined with others: known-zero tracking must follow all of it. */
static void test_split_and_joined_memory_is_zero(void **state)
{
    (void)state;
    enum {
        SLOTS = 64,
        STEPS = 6000
    };
    static struct {
        char *block;
        size_t size;
    } slots[SLOTS];
    uint64_t random = 42;
    for (int step = 0; step < STEPS; step++) {
        const size_t i = next_random(&random) % SLOTS;
        free(slots[i].block);
        slots[i].size = next_random(&random) % (step % 7 == 0 ? 900000 : 60000);
        const int zeroed = next_random(&random) % 2 == 0;
        slots[i].block = zeroed ? calloc(1, slots[i].size) : malloc(slots[i].size);
        assert_non_null(slots[i].block);
        if (zeroed && !is_zero(slots[i].block, slots[i].size))
            fail_msg("step %d: calloc of %zu bytes is not zero", step, slots[i].size);
        memset(slots[i].block, 0xdd, malloc_usable_size(slots[i].block));
    }
    for (size_t i = 0; i < SLOTS; i++) {
        free(slots[i].block);
        slots[i].block = NULL;
    }
}

static void *zero_worker(void *seed)
{
    uint64_t random = (uintptr_t)seed;
    char *kept[64] = {NULL};
    for (int step = 0; step < 15000; step++) {
        const size_t i = next_random(&random) % 64;
        free(kept[i]);
        const size_t size = step % 400 == 0 ? next_random(&random) % 4000000 : random_size(&random, 40000);
        kept[i] = calloc(1, size);
        if (kept[i] == NULL || !is_zero(kept[i], size))
            return (void *)1;
        memset(kept[i], 0xcc, malloc_usable_size(kept[i]));
    }
    for (size_t i = 0; i < 64; i++)
        free(kept[i]);
    return NULL;
}

static void test_zero_under_threads(void **state)
{
    (void)state;
    pthread_t threads[4];
    for (uintptr_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, zero_worker, (void *)(i + 1)), 0);
    for (int i = 0; i < 4; i++) {
        void *failed;
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
}

static void test_zero_elements(void **state)
{
    (void)state;
    void *a = calloc(opaque(0), 16);
    void *b = calloc(16, opaque(0));
    void *c = calloc(opaque(0), opaque(SIZE_MAX));
    assert_non_null(a);
    assert_non_null(b);
    assert_non_null(c);
    assert_ptr_not_equal(a, b);
    free(a);
    free(b);
    free(c);
}

static void test_overflow_is_enomem(void **state)
{
    (void)state;
    const size_t pairs[][2] = {{SIZE_MAX, 2},
                               {2, SIZE_MAX},
                               {SIZE_MAX / 2 + 1, 2},
                               {(size_t)1 << 32, (size_t)1 << 32},
                               {((size_t)1 << 32) + 1, ((size_t)1 << 32) - 1},
                               {SIZE_MAX / 16 + 2, 16},
                               {SIZE_MAX, 1},
                               {(size_t)1 << 62, 1},
                               {SIZE_MAX, SIZE_MAX}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        errno = 0;
        void *block = calloc(opaque(pairs[i][0]), opaque(pairs[i][1]));
        if (block != NULL)
            fail_msg("calloc(%zu, %zu) = %p", pairs[i][0], pairs[i][1], block);
        assert_int_equal(errno, ENOMEM);
    }
}

static void test_errno_is_kept(void **state)
{
    (void)state;
    for (size_t size = 1; size < 200u << 20; size *= 3) {
        errno = 99;
        void *block = calloc(1, size);
        assert_non_null(block);
        assert_int_equal(errno, 99);
        free(block);
        assert_int_equal(errno, 99);
    }
}

static void test_alignment(void **state)
{
    (void)state;
    for (size_t size = 16; size < 100000; size += 7) {
        void *block = calloc(1, size);
        assert_non_null(block);
        assert_int_equal((uintptr_t)block % 16, 0);
        free(block);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_size_is_zero),
        cmocka_unit_test(test_large_recycled_memory_is_zero),
        cmocka_unit_test(test_split_and_joined_memory_is_zero),
        cmocka_unit_test(test_zero_under_threads),
        cmocka_unit_test(test_zero_elements),
        cmocka_unit_test(test_overflow_is_enomem),
        cmocka_unit_test(test_errno_is_kept),
        cmocka_unit_test(test_alignment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
