/* SPDX-License-Identifier: MIT */
/* Each option and each feature that the environment can turn changes what it promises, and nothing when it is not turned.
 * The program runs itself: once as the judge, and once for each setting as a program that allocates and tells what it saw. */
#define _GNU_SOURCE
#include "scenarios.h"

#include <malloc.h>
#include <pthread.h>
#include <time.h>

enum {
    MIB = 1 << 20,
    LARGE = 100 << 10, /* bytes; from the pool */
    LARGES = 655,      /* 64 MiB of them */
    BIG = 8 * MIB,     /* bytes; a mapping of its own */
    BIGS = 8,
    KEPT = 48 << 10,  /* KiB of 64 MiB: as good as all */
    GIVEN = 20 << 10, /* KiB: as good as nothing */
    SIZED = 5000,
    CALLS = 200000,
};

#define NEVER   "HAKMEM_PURGE_DELAY_MS=3600000"
#define ENDLESS "HAKMEM_RETAIN_MB=1048576"

/* --- the program that is run -------------------------------------------------------------------------------------- */

static void keep_busy(void)
{
    for (int round = 0; round < 30; round++) {
        void *few[64];
        take_blocks(few, 64, LARGE);
        free_blocks(few, 64);
        nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    }
}

static void scenario_pool(void)
{
    static void *blocks[LARGES];
    const long before = resident_kib();
    take_blocks(blocks, LARGES, LARGE);
    free_blocks(blocks, LARGES);
    const long freed = resident_kib();
    keep_busy();
    const long later = resident_kib();
    malloc_trim(0);
    dprintf(1, "freed=%ld\nlater=%ld\ntrimmed=%ld\n", freed - before, later - before,
            resident_kib() - before);
}

static void scenario_big(void)
{
    void *blocks[BIGS];
    const long before = resident_kib();
    take_blocks(blocks, BIGS, BIG);
    free_blocks(blocks, BIGS);
    dprintf(1, "freed=%ld\n", resident_kib() - before);
}

static void scenario_pages(void)
{
    void *small = malloc(100), *big = malloc(64 * MIB);
    CHECK(small != NULL && big != NULL, "malloc");
    dprintf(1, "small:%s", mapping_flags(small));
    dprintf(1, "big:%s", mapping_flags(big));
    free(big);
    free(small);
}

static void *free_all(void *blocks)
{
    free_blocks(blocks, SIZED);
    return NULL;
}

static void take_and_free_elsewhere(void **blocks)
{
    pthread_t thread;
    take_blocks(blocks, SIZED, 200);
    CHECK(pthread_create(&thread, NULL, free_all, blocks) == 0, "pthread_create");
    pthread_join(thread, NULL);
}

static void scenario_counts(void)
{
    static void *blocks[SIZED];
    take_and_free_elsewhere(blocks);
    take_blocks(blocks, SIZED, 3000);
    free_blocks(blocks, SIZED);
    void *large[100];
    take_blocks(large, 100, 300 << 10);
    free_blocks(large, 100);
    print_page();
}

static void scenario_events(void)
{
    free(malloc(opaque(BIG)));
    raise(SIGUSR2);
}

static void scenario_frequent(void)
{
    static void *blocks[SIZED];
    take_and_free_elsewhere(blocks);
    mallopt(M_TRIM_THRESHOLD, 8 << 20);
    raise(SIGUSR2);
}

static void scenario_fatal(void)
{
    free(malloc(opaque(BIG)));
    char *block = malloc(100);
    free(block);
    free((void *)opaque((size_t)block));
}

static void scenario_interior(void)
{
    char *block = malloc(100);
    free((void *)opaque((size_t)block + 16));
}

static void scenario_moves(void)
{
    char *block = malloc(1000);
    char *moved = realloc(block, opaque(990));
    dprintf(1, "moved=%d\n", (uintptr_t)moved != opaque((size_t)block));
    free(moved);
}

/* So many calls that their record is longer than a MiB. */
static void scenario_calls(void)
{
    for (int i = 0; i < CALLS; i++)
        free((void *)opaque((size_t)malloc((size_t)i % 1000)));
}

static void scenario_nothing(void) {}

static const scenario_t scenarios[] = {
    {"pool", scenario_pool},     {"big", scenario_big},           {"pages", scenario_pages},
    {"counts", scenario_counts}, {"events", scenario_events},     {"frequent", scenario_frequent},
    {"fatal", scenario_fatal},   {"interior", scenario_interior}, {"moves", scenario_moves},
    {"calls", scenario_calls},   {"nothing", scenario_nothing},   {"page", print_page},
};

/* --- the judge ---------------------------------------------------------------------------------------------------- */

/* What each variant has (variants/); the tests must not ask the library that they judge. */
static bool has_options(void)
{
    return one_of("balanced learning research hardened debug");
}

static bool has_trace(void)
{
    return one_of("research debug");
}

static bool has_histogram(void)
{
    return one_of("learning research");
}

/* Where freed blocks may no longer be read, their pages are gone at once, whatever the options say. */
static bool keeps_pages(void)
{
    return !one_of("hardened debug");
}

static void test_the_retained_amount(void **state)
{
    (void)state;
    NEEDS(has_options());
    RUN("pool", ENDLESS, NEVER);
    assert_true(!keeps_pages() || (told("freed=") > KEPT && told("later=") > KEPT));
    RUN("pool", "HAKMEM_RETAIN_MB=0", NEVER);
    assert_in_range(told("freed=") + 1024, 0, GIVEN);
}

static void test_the_delay(void **state)
{
    (void)state;
    NEEDS(has_options());
    RUN("pool", ENDLESS, "HAKMEM_PURGE_DELAY_MS=5");
    assert_in_range(told("later=") + 1024, 0, GIVEN);
}

static void test_what_is_given_back_without_options(void **state)
{
    (void)state;
    NEEDS(one_of("minimal bench_minimal"));
    RUN("pool", ENDLESS, NEVER);
    if (one_of("minimal")) /* without the feature `purge` only malloc_trim gives back */
        assert_true(told("freed=") > KEPT && told("later=") > KEPT);
    else
        assert_in_range(told("freed=") + 1024, 0, 2 * GIVEN);
    assert_in_range(told("trimmed=") + 1024, 0, GIVEN);
}

static void test_the_cache_of_big_blocks(void **state)
{
    (void)state;
    if (one_of("minimal")) {
        RUN("big", NULL);
        assert_in_range(told("freed=") + 1024, 0, GIVEN);
    }
    NEEDS(has_options());
    RUN("big", "HAKMEM_BIGCACHE_MB=256", NEVER);
    assert_true(!keeps_pages() || told("freed=") > KEPT);
    RUN("big", "HAKMEM_BIGCACHE_MB=0", NEVER);
    assert_in_range(told("freed=") + 1024, 0, GIVEN);
    RUN("big", "HAKMEM_BIGCACHE_MB=256", "HAKMEM_DISABLE_BIGCACHE=1", NEVER);
    assert_in_range(told("freed=") + 1024, 0, GIVEN);
}

static bool flagged(const char *name, const char *flag)
{
    const char *line = strstr(text, name);
    const char *end = line != NULL ? strchr(line, '\n') : NULL;
    const char *found = line != NULL ? strstr(line, flag) : NULL;
    return found != NULL && found < end;
}

static void test_huge_pages(void **state)
{
    (void)state;
    NEEDS(has_options() && access("/sys/kernel/mm/transparent_hugepage", F_OK) == 0);
    RUN("pages", "HAKMEM_THP=on");
    assert_true(flagged("small:", " hg") && flagged("big:", " hg"));
    RUN("pages", "HAKMEM_THP=off");
    assert_true(flagged("small:", " nh") && flagged("big:", " nh"));
    RUN("pages", "HAKMEM_THP=auto");
    assert_true(!flagged("small:", " hg") && !flagged("big:", " hg") && !flagged("big:", " nh"));
}

static const char *const counters[] = {"refills = ",       "slabs_made = ",     "blocks_flushed = ",
                                       "remote_blocks = ", "remote_batches = ", "large_blocks = "};
#define COUNTERS (sizeof counters / sizeof *counters)

static void test_counters(void **state)
{
    (void)state;
    NEEDS(has_options());
    RUN("counts", "HAKMEM_STATS=counters");
    for (size_t i = 0; i < COUNTERS; i++)
        assert_true(told(counters[i]) > 0);
    assert_true(told("large_blocks = ") >= 100);
    assert_true(told("remote_blocks = ") >= SIZED - 100);
    assert_in_range(told("remote_batches = "), 1, SIZED / 8); /* the feature `remote_batch` */
    static const char *const off[] = {"HAKMEM_STATS=off", "HAKMEM_MODE=minimal", "HAKMEM_MODE=fast"};
    for (size_t k = 0; k < sizeof off / sizeof *off; k++) {
        RUN("counts", off[k]);
        for (size_t i = 0; i < COUNTERS; i++)
            assert_int_equal(told(counters[i]), 0);
    }
}

static void test_the_page_at_exit(void **state)
{
    (void)state;
    NEEDS(has_options());
    char title[100];
    snprintf(title, sizeof title, "hakmem %s, mode ", variant);
    RUN("nothing", "HAKMEM_STATS_DUMP=1");
    assert_ptr_equal(strstr(text, title), text);
    assert_true(told("refills = ") >= 0 && told("HAKMEM_STATS_DUMP = ") == 1);
    RUN("nothing", "HAKMEM_STATS_DUMP=0");
    assert_string_equal(text, "");
}

static void test_the_histogram(void **state)
{
    (void)state;
    RUN("counts", "HAKMEM_SIZE_HIST=1");
    if (!has_histogram()) {
        assert_int_equal(told("requests_upto_"), -1);
        assert_true(!has_options() ||
                    strstr(text, "the variants that can do it: learning and research") != NULL);
        return;
    }
    assert_in_range(told("requests_upto_256 = "), SIZED, SIZED + 100);
    assert_in_range(told("requests_upto_4096 = "), SIZED, SIZED + 100);
    static const char *const off[] = {"HAKMEM_SIZE_HIST=0", "HAKMEM_MODE=minimal", "HAKMEM_MODE=balanced"};
    for (size_t k = 0; k < sizeof off / sizeof *off; k++) {
        RUN("counts", off[k]);
        assert_int_equal(told("requests_upto_"), -1);
    }
}

static void test_the_ring_of_events(void **state)
{
    (void)state;
    NEEDS(has_trace());
    RUN("events", "HAKMEM_MEM_TRACE=1");
    assert_non_null(strstr(text, "hakmem: trace: huge taken 0x"));
    static const char *const off[] = {"HAKMEM_MEM_TRACE=0", "HAKMEM_MODE=minimal", "HAKMEM_MODE=fast"};
    for (size_t k = 0; k < sizeof off / sizeof *off; k++) {
        RUN("events", off[k]);
        assert_string_equal(text, "");
    }
}

static void test_frequent_events_if_all_are_asked_for(void **state)
{
    (void)state;
    NEEDS(has_trace());
    RUN("frequent", "HAKMEM_MEM_TRACE=2");
    assert_non_null(strstr(text, "hakmem: trace: bin refilled 0x"));
    assert_non_null(strstr(text, "hakmem: trace: batch sent 0x"));
    assert_non_null(strstr(text, "hakmem: trace: policy published 0x"));
    RUN("frequent", "HAKMEM_MEM_TRACE=1");
    assert_non_null(strstr(text, "hakmem: trace: policy published 0x"));
    assert_null(strstr(text, "hakmem: trace: bin refilled"));
    assert_null(strstr(text, "hakmem: trace: batch sent"));
}

static void test_a_fatal_error_tells_the_last_events(void **state)
{
    (void)state;
    NEEDS(has_trace());
    RUN("fatal", NULL);
    const char *line = strstr(text, "hakmem: fatal: double free of 0x");
    assert_ptr_equal(line, text);
    assert_non_null(strstr(line, "hakmem: trace: huge taken 0x"));
    RUN("fatal", "HAKMEM_MEM_TRACE=0");
    assert_ptr_equal(strstr(text, "hakmem: fatal: double free of 0x"), text);
    assert_null(strstr(text, "hakmem: trace:"));
}

/* The header of a trace (docs/trace.md); `length` becomes the file's. */
static uint64_t header_of(const char *path, size_t at, unsigned bytes, off_t *length)
{
    unsigned char head[64] = {0};
    uint64_t value = 0;
    const int file = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(file >= 0 && read(file, head, sizeof head) == sizeof head &&
                memcmp(head, "HAKTRACE", 8) == 0);
    *length = lseek(file, 0, SEEK_END);
    close(file);
    for (unsigned i = bytes; i > 0; i--)
        value = value << 8 | head[at + i - 1];
    return value;
}

static void test_the_recording(void **state)
{
    (void)state;
    char path[64], setting[96];
    off_t length;
    snprintf(path, sizeof path, "/tmp/life_options.%d.trace", (int)getpid());
    snprintf(setting, sizeof setting, "HAKMEM_TRACE=%s", path);
    unlink(path);
    RUN("calls", setting);
    if (!has_histogram()) {
        assert_int_equal(access(path, F_OK), -1);
        assert_true(!has_options() ||
                    strstr(text, "the variants that can do it: learning and research") != NULL);
        return;
    }
    assert_string_equal(text, "");
    assert_int_equal(header_of(path, 20, 4, &length), 1); /* with the program */
    assert_in_range(header_of(path, 32, 8, &length), 2 * CALLS,
                    2 * CALLS + 1000); /* each malloc, each free */
    assert_true(length > MIB);
    RUN("calls", setting, "HAKMEM_TRACE_MB=1");
    assert_string_equal(text, "");
    assert_int_equal(header_of(path, 20, 4, &length), 2); /* at the limit */
    assert_true(length <= MIB && length > MIB - 10000);
    unlink(path);
}

static void test_safe_free(void **state)
{
    (void)state;
    NEEDS(one_of("balanced learning research"));
    RUN("interior", "HAKMEM_SAFE_FREE=1");
    assert_ptr_equal(strstr(text, "hakmem: fatal: "), text);
    RUN("nothing", "HAKMEM_SAFE_FREE=1");
    assert_string_equal(text, "");
}

static void test_checks_move_every_realloc(void **state)
{
    (void)state;
    RUN("moves", NULL);
    assert_int_equal(told("moved="), one_of("debug"));
}

static void test_names_are_answered_once(void **state)
{
    (void)state;
    RUN("nothing", "HAKMEM_NO_SUCH_NAME=1", "HAKMEM_TINY_CAP=3");
    if (!has_options()) {
        assert_string_equal(text, "");
        return;
    }
    const char *first = strstr(text, "HAKMEM_NO_SUCH_NAME"), *second = strstr(text, "HAKMEM_TINY_CAP");
    assert_true(first != NULL && strstr(first + 1, "HAKMEM_NO_SUCH_NAME") == NULL);
    assert_true(second != NULL && strstr(second + 1, "HAKMEM_TINY_CAP") == NULL);
}

static void test_modes_give_back_or_do_not(void **state)
{
    (void)state;
    NEEDS(has_options());
    RUN("pool", "HAKMEM_MODE=minimal");
    assert_true(!keeps_pages() || (told("freed=") > KEPT && told("later=") > KEPT));
    RUN("pool", "HAKMEM_MODE=fast");
    assert_in_range(told("later=") + 1024, 0, 2 * GIVEN);
    RUN("page", "HAKMEM_MODE=fast");
    assert_non_null(strstr(text, ", mode fast\n"));
}

int main(int argc, char **argv)
{
    if (argc > 1)
        return run_scenario(scenarios, sizeof scenarios / sizeof *scenarios, argv[1]);
    if (!find_variant())
        return TEST_SKIPPED;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_retained_amount),
        cmocka_unit_test(test_the_delay),
        cmocka_unit_test(test_what_is_given_back_without_options),
        cmocka_unit_test(test_the_cache_of_big_blocks),
        cmocka_unit_test(test_huge_pages),
        cmocka_unit_test(test_counters),
        cmocka_unit_test(test_the_page_at_exit),
        cmocka_unit_test(test_the_histogram),
        cmocka_unit_test(test_the_ring_of_events),
        cmocka_unit_test(test_frequent_events_if_all_are_asked_for),
        cmocka_unit_test(test_a_fatal_error_tells_the_last_events),
        cmocka_unit_test(test_the_recording),
        cmocka_unit_test(test_safe_free),
        cmocka_unit_test(test_checks_move_every_realloc),
        cmocka_unit_test(test_names_are_answered_once),
        cmocka_unit_test(test_modes_give_back_or_do_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
