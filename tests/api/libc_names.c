/* SPDX-License-Identifier: MIT */
/* glibc's own names of its malloc lead to the same malloc, and blocks of libc's own malloc, from whichever of its heaps, may
 * be given to free, realloc and malloc_usable_size: they go to libc. What only looks like one is harmless or refused, as
 * before. */
#define _GNU_SOURCE
#include <stdbool.h>
#include "suite.h"
#include "threads.h"

#include <dlfcn.h>
#include <malloc.h>
#include <sys/mman.h>

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t each);
void *__libc_realloc(void *block, size_t size);
void *__libc_memalign(size_t align, size_t size);
void *__libc_valloc(size_t size);
void *__libc_pvalloc(size_t size);
void __libc_free(void *block);

/* libc's malloc itself, whatever is preloaded. */
static void *(*libc_malloc)(size_t size);
static void *(*libc_memalign)(size_t align, size_t size);
static size_t (*libc_usable)(void *block);

static void find_libc(void)
{
    void *libc = dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD);
    CHECK(libc != NULL, "%s", dlerror());
    *(void **)&libc_malloc = dlsym(libc, "malloc");
    *(void **)&libc_memalign = dlsym(libc, "memalign");
    *(void **)&libc_usable = dlsym(libc, "malloc_usable_size");
}

static void test_names(void **state)
{
    (void)state;
    for (size_t size = 1; size < 3000000; size = size * 3 + 1) {
        char *block = __libc_malloc(size);
        fill(block, size, 1);
        assert_true(malloc_usable_size(block) >= size);
        block = realloc(block, size * 2);
        assert_true(is_filled(block, size, 1));
        block = __libc_realloc(block, size);
        assert_true(is_filled(block, size, 1));
        free(block);
        __libc_free(memset(malloc(size), 1, size));
        block = __libc_calloc(1, size);
        assert_true(is_zero(block, size));
        free(block);
        static void *(*const whole_pages[])(size_t) = {__libc_valloc, __libc_pvalloc};
        for (int i = 0; i < 2; i++) {
            block = whole_pages[i](size);
            assert_int_equal((uintptr_t)block % 4096, 0);
            free(block);
        }
        block = __libc_memalign(100, size); /* glibc takes the next power of two */
        assert_int_equal((uintptr_t)block % 128, 0);
        free(block);
    }
    __libc_free(NULL);
    errno = 0;
    assert_null(__libc_malloc(opaque(SIZE_MAX)));
    assert_int_equal(errno, ENOMEM);
    errno = 0;
    assert_null(__libc_pvalloc(opaque(SIZE_MAX)));
    assert_int_equal(errno, ENOMEM);
}

/* Hardened hands over only what lies in the heap of brk: words in front of other pointers can be forged. */
static bool is_hardened(void)
{
    const char *(*version)(void);
    *(void **)&version = dlsym(RTLD_DEFAULT, "hakmem_version");
    return version != NULL && (strstr(version(), "hardened") != NULL || strstr(version(), "debug") != NULL);
}

static const size_t sizes[] = {1, 24, 25, 1000, 5000, 60000, 100000, 300000, 5000000};

#define SIZES (sizeof sizes / sizeof *sizes)

/* Blocks of libc's next to each other, of which this one goes through all that a block goes through. */
static void live(char *block, size_t size, uint64_t seed)
{
    fill(block, size, seed);
    errno = 5;
    assert_int_equal(malloc_usable_size(block), libc_usable(block));
    char *grown = realloc(block, size * 2);
    assert_non_null(grown);
    assert_true(is_filled(grown, size, seed));
    free(grown);
    assert_int_equal(errno, 5);
}

static void *all_sizes(void *seed)
{
    for (int round = 0; round < 10; round++) {
        for (size_t i = 0; i < SIZES - (is_hardened() ? 2 : 0); i++) {
            if (sizes[i] > 1000000 && round > 1)
                continue;
            char *before = libc_malloc(sizes[i]);
            char *block = libc_malloc(sizes[i]);
            char *freed = libc_malloc(sizes[i]);
            char *behind = libc_malloc(sizes[i]);
            fill(before, sizes[i], 3);
            fill(behind, sizes[i], 4);
            errno = 6;
            free(freed);
            assert_int_equal(errno, 6);
            live(block, sizes[i], (uintptr_t)seed);
            assert_true(is_filled(before, sizes[i], 3) && is_filled(behind, sizes[i], 4));
            free(before);
            free(behind);
        }
    }
    return NULL;
}

static void test_blocks_of_libc(void **state)
{
    (void)state;
    all_sizes(NULL);
    for (size_t align = 32; align <= (is_hardened() ? 4096u : 1u << 20); align *= 2) {
        free(libc_memalign(align, 100));
        live(libc_memalign(align, 5000), 5000, align);
    }
}

static void test_blocks_of_libc_of_threads(void **state)
{
    (void)state;
    if (is_hardened())
        skip();
    assert_int_equal(run_threads(8, all_sizes), 0);
}

/* Memory is given back: it really was libc's free that got them. */
static void test_they_are_freed(void **state)
{
    (void)state;
    const long before = resident_kib();
    for (int round = 0; round < 2000; round++)
        free(memset(libc_malloc(100000), 1, 100000));
    assert_true(resident_kib() - before < 20000);
}

static void harmless(void *pointer)
{
    if (dlsym(RTLD_DEFAULT, "hakmem_version") == NULL || is_hardened())
        return; /* glibc and hardened end the program: tests/test_misuse.py */
    errno = 7;
    free(escape(pointer));
    assert_int_equal(malloc_usable_size(escape(pointer)), 0);
    assert_int_equal(errno, 7);
}

/* The same of what is not mapped, on the stack or static: balanced and its like end the program, too. */
static void harmless_elsewhere(void *pointer)
{
    static const char *const checked[] = {"balanced", "learning", "research"};
    const char *(*version)(void);
    *(void **)&version = dlsym(RTLD_DEFAULT, "hakmem_version");
    for (size_t i = 0; i < sizeof checked / sizeof *checked; i++) {
        if (version != NULL && strstr(version(), checked[i]) != NULL) {
            assert_int_equal(malloc_usable_size(escape(pointer)), 0);
            return;
        }
    }
    harmless(pointer);
}

static size_t words[64] __attribute__((aligned(64)));

/* What has no whole header, or one that cannot be: on the stack, in the program's image, in mappings, at the edge of what is
 * mapped. */
static void test_what_is_none(void **state)
{
    (void)state;
    size_t local[64] __attribute__((aligned(64)));
    char *page = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(page != MAP_FAILED);
    munmap(page, 4096);
    munmap(page + 8192, 4096);
    page += 4096;
    static const size_t headers[] = {0,  33,   49,       0x1001,   0x21002,  0x21003,      0x2002,
                                     65, 0x45, 0x100005, 0x7ffff1, SIZE_MAX, SIZE_MAX - 7, 0x31};
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
        for (size_t before = 0; before < 64; before += 16) {
            words[0] = local[0] = ((size_t *)page)[0] = before;
            words[1] = local[1] = ((size_t *)page)[1] = headers[i];
            harmless_elsewhere(&words[2]);
            harmless_elsewhere(&local[2]);
            harmless(page + 16);
        }
    }
    harmless(page);
    harmless(page + 4096 - 16);
    harmless_elsewhere(page + 4096);
    assert_true(page[0] == 48 && page[4095] == 0);
    munmap(page, 4096);
    harmless_elsewhere(page + 16);
    harmless_elsewhere((void *)(uintptr_t)opaque(24));
}

/* A mapping of the program's that begins as one of libc's would: libc knows that it has none. */
static void test_a_mapping_that_looks_like_one(void **state)
{
    (void)state;
    const size_t size = (size_t)1 << 20;
    char *start = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(start != MAP_FAILED);
    ((size_t *)start)[1] = size | 2;
    harmless(start + 16);
    fill(start, size, 1); /* it is still there */
    munmap(start, size);
}

int main(void)
{
    find_libc();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_blocks_of_libc),
        cmocka_unit_test(test_blocks_of_libc_of_threads),
        cmocka_unit_test(test_they_are_freed),
        cmocka_unit_test(test_what_is_none),
        cmocka_unit_test(test_a_mapping_that_looks_like_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
