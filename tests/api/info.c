/* SPDX-License-Identifier: MIT */
/* What a program asks of its malloc: mallinfo, mallinfo2, malloc_info, malloc_stats, mallopt, before and after known blocks.
 * libc's own malloc passes, too, but for what is said to be ours. */
#define _GNU_SOURCE
#include "suite.h"
#include "threads.h"

#include <dlfcn.h>
#include <limits.h>
#include <malloc.h>
#include <sys/resource.h>

#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

enum {
    BLOCKS = 400,
    SIZE = 10000,
    THREADS = 8
};

static char *blocks[BLOCKS];

static size_t in_use(void)
{
    const struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

static void take_blocks(size_t size)
{
    for (size_t i = 0; i < BLOCKS; i++) {
        blocks[i] = escape(malloc(size));
        assert_non_null(blocks[i]);
        blocks[i][0] = blocks[i][size - 1] =
            1; /* what is touched is no matter here, and would be half a GiB */
    }
}

static void give_blocks(void)
{
    for (size_t i = 0; i < BLOCKS; i++)
        free(blocks[i]);
}

/* Also a thread's own bins count as free: what is given is seen at once. */
static void test_blocks_of_all_sizes(void **state)
{
    (void)state;
    static const size_t sizes[] = {24, 100, 1000, SIZE, 100000, 500000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const size_t bytes = sizes[i] * BLOCKS;
        const size_t before = in_use();
        take_blocks(sizes[i]);
        const size_t held = in_use();
        give_blocks();
        const size_t after = in_use();
        if (held - before < bytes * 9 / 10 || held - before > bytes * 8 / 5 + 65536)
            fail_msg("%d blocks of %zu bytes count as %zd", BLOCKS, sizes[i], (ssize_t)(held - before));
        if (after > before + bytes / 10 + 65536) {
            fail_msg("%zd bytes more are in use after blocks of %zu were freed", (ssize_t)(after - before),
                     sizes[i]);
        }
    }
}

/* In these variants a large block that was freed cannot be touched for a while, and counts as used until it can be had again. */
static int freed_blocks_wait(void)
{
    return is_variant("hardened") || is_variant("debug");
}

static void test_big_blocks(void **state)
{
    (void)state;
    const struct mallinfo2 before = mallinfo2();
    char *first = escape(malloc(50u << 20));
    char *second = escape(malloc(30u << 20));
    const struct mallinfo2 held = mallinfo2();
    assert_int_equal(held.hblks - before.hblks, 2);
    assert_true(held.hblkhd - before.hblkhd >= 80u << 20);
    assert_true(held.hblkhd - before.hblkhd <= 81u << 20);
    first = realloc(first, 70u << 20);
    assert_true(mallinfo2().hblkhd - before.hblkhd >= 100u << 20);
    free(first);
    free(second);
    if (freed_blocks_wait())
        return;
    const struct mallinfo2 after = mallinfo2();
    assert_int_equal(after.hblks, before.hblks);
    assert_int_equal(after.hblkhd, before.hblkhd);
}

/* A block of 2 MiB is kept by the thread that frees it: it counts as free all the same. */
static void test_a_block_that_is_kept(void **state)
{
    (void)state;
    const size_t before = in_use();
    void *block = escape(malloc(2u << 20));
    assert_true(in_use() - before >= 2u << 20);
    free(block);
    assert_true(freed_blocks_wait() || in_use() <= before + 65536);
}

/* What a thread has just freed is in its bins: to the byte, it counts as free. (glibc counts its own such cache as used.) */
static void test_a_few_blocks(void **state)
{
    (void)state;
    if (dlsym(RTLD_DEFAULT, "hakmem_version") == NULL)
        skip();
    for (size_t size = 16; size < 20000; size = size * 3 / 2) {
        void *few[20];
        const size_t before = in_use();
        for (size_t i = 0; i < 20; i++)
            few[i] = escape(malloc(size));
        assert_true(in_use() >= before + 20 * size);
        for (size_t i = 0; i < 20; i++)
            free(few[i]);
        /* Hardened holds the last four of a class back. */
        assert_true(in_use() <= before + 4 * (size + 32 + size / 2));
    }
}

static void test_sums(void **state)
{
    (void)state;
    take_blocks(SIZE);
    const struct mallinfo2 info = mallinfo2();
    assert_int_equal(info.arena, info.uordblks + info.fordblks);
    assert_true(info.arena >= (size_t)BLOCKS * SIZE);
    assert_true(info.keepcost <= info.arena);
    assert_int_equal(info.smblks + info.usmblks + info.fsmblks, 0);
    const struct mallinfo narrow = mallinfo();
    assert_int_equal(narrow.uordblks, info.uordblks);
    assert_int_equal(narrow.arena, info.arena);
    give_blocks();
}

/* glibc's mallinfo wraps around; ours stops at the largest number. */
static void test_what_an_int_cannot_hold(void **state)
{
    (void)state;
    if (dlsym(RTLD_DEFAULT, "hakmem_version") == NULL)
        skip();
    void *block = escape(malloc((size_t)3 << 30));
    if (block == NULL)
        skip();
    assert_int_equal(mallinfo().hblkhd, INT_MAX);
    assert_true(mallinfo2().hblkhd >= (size_t)3 << 30);
    free(block);
}

static pthread_barrier_t barrier;

static void *hold_a_megabyte(void *unused)
{
    void *held[100];
    for (size_t i = 0; i < 100; i++) {
        held[i] = escape(malloc(SIZE));
        memset(held[i], 1, SIZE);
    }
    pthread_barrier_wait(&barrier); /* held */
    pthread_barrier_wait(&barrier); /* counted */
    for (size_t i = 0; i < 100; i++) {
        mallinfo2();
        free(held[i]);
    }
    return unused;
}

static void test_threads(void **state)
{
    (void)state;
    pthread_barrier_init(&barrier, NULL, THREADS + 1);
    pthread_t threads[THREADS];
    const size_t before = in_use();
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, hold_a_megabyte, NULL), 0);
    pthread_barrier_wait(&barrier);
    const size_t held = in_use();
    pthread_barrier_wait(&barrier);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_true(held - before >= (size_t)THREADS * 100 * SIZE);
    assert_true(in_use() <= before + 100 * SIZE);
    pthread_barrier_destroy(&barrier);
}

/* In a forked child a lock may be held for ever by a thread that is not there: the answer comes all the same. */
static void *churn(void *stop)
{
    while (!__atomic_load_n((int *)stop, __ATOMIC_RELAXED)) {
        for (size_t i = 1; i < 2000; i += 97)
            free(escape(malloc(i)));
        void *list[300];
        for (size_t i = 0; i < 300; i++)
            list[i] = escape(malloc(200));
        for (size_t i = 0; i < 300; i++)
            free(list[i]);
    }
    return NULL;
}

static void test_in_a_forked_child(void **state)
{
    (void)state;
    int stop = 0;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, churn, &stop), 0);
    for (int round = 0; round < 50; round++) {
        const pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            alarm(20);
            _exit(mallinfo2().arena != 0 ? 0 : 1);
        }
        int status = -1;
        waitpid(child, &status, 0);
        assert_int_equal(status, 0);
    }
    __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
    pthread_join(thread, NULL);
}

static size_t number_in(const char *text, const char *mark)
{
    const char *found = strstr(text, mark);
    assert_non_null(found);
    return strtoul(found + strlen(mark), NULL, 10);
}

static void test_malloc_info(void **state)
{
    (void)state;
    take_blocks(SIZE);
    char *big = escape(malloc(40u << 20));
    for (size_t i = 0; i < BLOCKS; i += 2) {
        free(blocks[i]);
        blocks[i] = NULL;
    }
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);
    assert_non_null(stream);
    assert_int_equal(malloc_info(1, stream), EINVAL);
    assert_int_equal(malloc_info(0, stream), 0);
    fclose(stream);
    static const char *const parts[] = {"<malloc version=\"1\">\n<heap nr=\"0\">\n<sizes>\n",
                                        "<total type=\"fast\" count=\"",
                                        "<total type=\"rest\" count=\"",
                                        "<system type=\"max\" size=\"",
                                        "<aspace type=\"total\" size=\"",
                                        "<aspace type=\"mprotect\" size=\"",
                                        "</heap>\n<total type=\"fast\""};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (strstr(text, parts[i]) == NULL)
            fail_msg("no %s in\n%s", parts[i], text);
    assert_string_equal(text + size - strlen("</malloc>\n"), "</malloc>\n");
    assert_true(number_in(text, "<system type=\"current\" size=\"") >= (size_t)BLOCKS * SIZE);
    const char *mapped = strstr(text, "<total type=\"mmap\" count=\"");
    assert_non_null(mapped);
    assert_true(number_in(mapped, "count=\"") >= 1);
    assert_true(number_in(mapped, "size=\"") >= 40u << 20);
    assert_true(number_in(strstr(text, "</sizes>"), "<total type=\"rest\" count=\"") >= 1);
    free(text);
    free(big);
    give_blocks();
}

static void test_malloc_stats(void **state)
{
    (void)state;
    take_blocks(SIZE);
    FILE *file = tmpfile();
    FILE *before = stderr;
    assert_non_null(file);
    stderr = file;
    malloc_stats();
    stderr = before;
    char text[1000] = "";
    rewind(file);
    assert_true(fread(text, 1, sizeof text - 1, file) > 0);
    fclose(file);
    assert_true(strncmp(text, "Arena 0:\nsystem bytes     = ", 28) == 0);
    const char *total = strstr(text, "Total (incl. mmap):\n");
    assert_non_null(total);
    assert_true(number_in(total, "system bytes     = ") >= (size_t)BLOCKS * SIZE);
    assert_true(number_in(total, "in use bytes     = ") >= (size_t)BLOCKS * SIZE);
    assert_non_null(strstr(total, "max mmap regions = "));
    assert_non_null(strstr(total, "max mmap bytes   = "));
    give_blocks();
}

static void test_mallopt(void **state)
{
    (void)state;
    static const int harmless[] = {M_TRIM_THRESHOLD, M_TOP_PAD,    M_MMAP_THRESHOLD, M_MMAP_MAX,
                                   M_CHECK_ACTION,   M_ARENA_TEST, M_ARENA_MAX};
    for (size_t i = 0; i < sizeof harmless / sizeof *harmless; i++)
        assert_int_equal(mallopt(harmless[i], 65536), 1);
    assert_int_equal(mallopt(M_MXFAST, 64), 1);
    assert_int_equal(mallopt(M_MXFAST, -1), 0);
    assert_int_equal(mallopt(M_MXFAST, 100000), 0);
    assert_int_equal(mallopt(M_PERTURB, 0), 1);
}

/* None of them allocates but through the stream it writes to: they answer when memory is out. */
static void test_when_memory_is_out(void **state)
{
    (void)state;
    const pid_t child = fork();
    if (child == 0) {
        const struct rlimit limit = {0, 0};
        setrlimit(RLIMIT_AS, &limit);
        _exit(mallinfo2().arena != 0 && mallinfo().arena != 0 ? 0 : 1);
    }
    int status = -1;
    waitpid(child, &status, 0);
    assert_int_equal(status, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blocks_of_all_sizes),
        cmocka_unit_test(test_big_blocks),
        cmocka_unit_test(test_a_block_that_is_kept),
        cmocka_unit_test(test_a_few_blocks),
        cmocka_unit_test(test_sums),
        cmocka_unit_test(test_what_an_int_cannot_hold),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_in_a_forked_child),
        cmocka_unit_test(test_malloc_info),
        cmocka_unit_test(test_malloc_stats),
        cmocka_unit_test(test_mallopt),
        cmocka_unit_test(test_when_memory_is_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
