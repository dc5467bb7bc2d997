/* SPDX-License-Identifier: MIT */
/* A program linked with the library: the hak_ API, and malloc and hakmem_alloc of one allocator. */
#include "suite.h"

#include <hakmem.h>
#include <malloc.h>

static void test_version(void **state)
{
    (void)state;
    assert_non_null(strchr(hakmem_version(), ' '));
    assert_true(hakmem_version()[0] >= '0' && hakmem_version()[0] <= '9');
}

static void test_blocks_are_interchangeable(void **state)
{
    (void)state;
    for (size_t size = 1; size < 8u << 20; size = size * 3 + 1) {
        free(hakmem_alloc(size));
        hakmem_free(malloc(size));
        void *block = realloc(hakmem_alloc_zeroed(size, 2), size);
        assert_non_null(block);
        assert_true(is_zero(block, size));
        assert_true(hakmem_usable_size(block) >= size);
        assert_int_equal(hakmem_usable_size(block), malloc_usable_size(block));
        block = hakmem_resize(block, size * 2);
        assert_non_null(block);
        free(block);
    }
}

static void test_aligned(void **state)
{
    (void)state;
    for (size_t align = 1; align <= 1u << 24; align *= 2) {
        void *block = hakmem_alloc_aligned(align, 100);
        assert_non_null(block);
        assert_int_equal((uintptr_t)block % align, 0);
        hakmem_free(block);
    }
    errno = 0;
    assert_null(hakmem_alloc_aligned(opaque(48), 100));
    assert_int_equal(errno, EINVAL);
    errno = 0;
    assert_null(hakmem_alloc_aligned(opaque(0), 100));
    assert_int_equal(errno, EINVAL);
}

static void test_pointers_that_are_not_ours_have_no_size(void **state)
{
    (void)state;
    int on_stack = 0;
    static int in_image;
    assert_int_equal(hakmem_usable_size(NULL), 0);
    assert_int_equal(hakmem_usable_size(&on_stack), 0);
    assert_int_equal(hakmem_usable_size(&in_image), 0);
}

static void test_trim_gives_back(void **state)
{
    (void)state;
    enum {
        COUNT = 20000
    };
    static char *blocks[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        blocks[i] = malloc(2000);
        assert_non_null(blocks[i]);
        memset(blocks[i], 1, 2000);
    }
    const long full = resident_kib();
    for (size_t i = 0; i < COUNT; i++)
        free(blocks[i]);
    hakmem_trim();
    assert_true(resident_kib() < full - 30000);
}

/* Text is for people; the JSON is one object, checked here only for its shape and for being complete. */
static void test_statistics_are_printed(void **state)
{
    (void)state;
    for (int json = 0; json < 2; json++) {
        FILE *file = tmpfile();
        assert_non_null(file);
        hakmem_stats_print(fileno(file), json);
        static char text[65536];
        rewind(file);
        const size_t length = fread(text, 1, sizeof text - 1, file);
        fclose(file);
        assert_true(length > 10);
        text[length] = 0;
        int depth = 0;
        for (size_t i = 0; i < length; i++)
            depth += text[i] == '{' ? 1 : text[i] == '}' ? -1 : 0;
        assert_int_equal(depth, 0);
        assert_true(!json || text[0] == '{');
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_version),
        cmocka_unit_test(test_blocks_are_interchangeable),
        cmocka_unit_test(test_aligned),
        cmocka_unit_test(test_pointers_that_are_not_ours_have_no_size),
        cmocka_unit_test(test_trim_gives_back),
        cmocka_unit_test(test_statistics_are_printed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
