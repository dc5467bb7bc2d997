/* SPDX-License-Identifier: MIT */
/* The functions that libc may lack, and who defines each: free_sized, free_aligned_sized, cfree, mallinfo's friends. */
#define _GNU_SOURCE
#include "suite.h"

#include <dlfcn.h>
#include <malloc.h>

typedef void (*free_sized_t)(void *, size_t);
typedef void (*free_aligned_sized_t)(void *, size_t, size_t);
typedef void (*cfree_t)(void *);

static void test_free_sized(void **state)
{
    (void)state;
    free_sized_t free_sized = (free_sized_t)dlsym(RTLD_DEFAULT, "free_sized");
    if (free_sized == NULL)
        skip();
    const long before = resident_kib();
    for (int round = 0; round < 30; round++) {
        for (size_t size = 0; size < 100000; size = size * 5 / 4 + 1) {
            char *block = malloc(size);
            assert_non_null(block);
            memset(block, 1, size);
            errno = 17;
            free_sized(block, size);
            assert_int_equal(errno, 17);
            char *zeroed = calloc(1, size);
            assert_non_null(zeroed);
            free_sized(zeroed, size);
        }
    }
    free_sized(NULL, 0);
    free_sized(NULL, 100);
    assert_true(resident_kib() - before < 16 * 1024);
}

static void test_free_aligned_sized(void **state)
{
    (void)state;
    free_aligned_sized_t free_aligned_sized = (free_aligned_sized_t)dlsym(RTLD_DEFAULT, "free_aligned_sized");
    if (free_aligned_sized == NULL)
        skip();
    for (size_t alignment = 16; alignment <= 1u << 20; alignment *= 2) {
        for (size_t times = 1; times < 4; times++) {
            char *block = aligned_alloc(alignment, alignment * times);
            assert_non_null(block);
            block[0] = 1;
            errno = 18;
            free_aligned_sized(block, alignment, alignment * times);
            assert_int_equal(errno, 18);
        }
    }
    free_aligned_sized(NULL, 64, 64);
}

static void test_cfree(void **state)
{
    (void)state;
    cfree_t cfree = (cfree_t)dlsym(RTLD_DEFAULT, "cfree");
    if (cfree == NULL)
        skip();
    for (size_t size = 0; size < 300000; size = size * 2 + 1)
        cfree(malloc(size));
    cfree(NULL);
}

/* All of the family must come from one object: a block of one allocator freed by another is a crash (pvalloc in jemalloc). */
static void test_one_library_defines_the_family(void **state)
{
    (void)state;
    static const char *names[] = {
        "malloc",       "free",       "calloc",         "realloc", "aligned_alloc",
        "memalign",     "valloc",     "posix_memalign", "pvalloc", "malloc_usable_size",
        "reallocarray", "malloc_trim"};
    Dl_info first;
    assert_int_not_equal(dladdr(dlsym(RTLD_DEFAULT, "malloc"), &first), 0);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        Dl_info info;
        void *symbol = dlsym(RTLD_DEFAULT, names[i]);
        assert_non_null(symbol);
        assert_int_not_equal(dladdr(symbol, &info), 0);
        if (strcmp(info.dli_fname, first.dli_fname) != 0)
            fail_msg("%s comes from %s, malloc from %s", names[i], info.dli_fname, first.dli_fname);
    }
}

static void test_malloc_trim_keeps_live_blocks(void **state)
{
    (void)state;
    enum {
        COUNT = 500
    };
    static char *blocks[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        blocks[i] = malloc(i * 37);
        fill(blocks[i], i * 37, i);
    }
    for (size_t i = 0; i < COUNT; i += 2) {
        free(blocks[i]);
        blocks[i] = NULL;
    }
    malloc_trim(0);
    for (size_t i = 1; i < COUNT; i += 2) {
        assert_true(is_filled(blocks[i], i * 37, i));
        free(blocks[i]);
    }
}

/* libc's own users hand blocks to the program that the program frees. */
static void test_blocks_of_libc(void **state)
{
    (void)state;
    char *text = NULL;
    assert_int_equal(asprintf(&text, "%d %s", 42, "words"), 8);
    free(text);
    text = strdup("some text");
    assert_string_equal(text, "some text");
    free(text);
    text = getcwd(NULL, 0);
    assert_non_null(text);
    free(text);
    char *line = NULL;
    size_t size = 0;
    FILE *file = fopen("/proc/self/status", "r");
    assert_non_null(file);
    assert_true(getline(&line, &size, file) > 0);
    fclose(file);
    free(line);
    char *stream = NULL;
    file = open_memstream(&stream, &size);
    assert_non_null(file);
    for (int i = 0; i < 10000; i++)
        fprintf(file, "%d,", i);
    fclose(file);
    assert_int_equal(size, strlen(stream));
    free(stream);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_free_sized),
        cmocka_unit_test(test_free_aligned_sized),
        cmocka_unit_test(test_cfree),
        cmocka_unit_test(test_one_library_defines_the_family),
        cmocka_unit_test(test_malloc_trim_keeps_live_blocks),
        cmocka_unit_test(test_blocks_of_libc),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
