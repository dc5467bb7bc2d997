/* SPDX-License-Identifier: MIT */
/* hak_alloc_cs and hak_free_cs: in every variant they are malloc and free; where call sites are watched, the statistics show
 * them, whatever the process does, and HAKMEM_SITE_RULES and the modes turn that off. The program runs itself, as
 * tests/life/options.c. */
#define _GNU_SOURCE
#include "scenarios.h"

#include "hakmem.h"
#include "threads.h"

enum {
    KIB = 1 << 10,
    MIB = 1 << 20,
    ROUNDS = 1000,
    THREADS = 4,
    CHILDREN = 10,
};

/* --- the program that is run -------------------------------------------------------------------------------------- */

static void turn(void)
{
    char *p = hak_alloc_cs(2 * MIB);
    CHECK(p != NULL, "2 MiB");
    memset(p, 1, 4096);
    hak_free_cs(p, 2 * MIB);
}

/* The founders' three places. */
static void scenario_three(void)
{
    for (int i = 0; i < 1000; i++) {
        void *p = hak_alloc_cs(64 * KIB);
        memset(p, 1, 100);
        hak_free_cs(p, 64 * KIB);
    }
    for (int i = 0; i < 100; i++) {
        void *p = hak_alloc_cs(256 * KIB);
        memset(p, 1, 100);
        hak_free_cs(p, 256 * KIB);
    }
    for (int i = 0; i < 10; i++)
        turn();
}

static void scenario_page(void)
{
    scenario_three();
    hakmem_stats_print(STDOUT_FILENO, 0);
}

static void *take_turns(void *index)
{
    (void)index;
    for (int i = 0; i < ROUNDS; i++)
        turn();
    return NULL;
}

/* Children that are made while threads are in the middle of it: the table is whole in each, and so is what sites keep. */
static void *make_children(void *index)
{
    (void)index;
    for (int i = 0; i < CHILDREN; i++) {
        const pid_t child = fork();
        if (child == 0) {
            alarm(20);
            take_turns(NULL);
            hakmem_trim();
            _exit(0);
        }
        expect_child_succeeds(child, "a child in the middle of hak_alloc_cs");
    }
    return NULL;
}

static void *act(void *index)
{
    return (intptr_t)index == 0 ? make_children(index) : take_turns(index);
}

static void scenario_forks(void)
{
    run_threads(THREADS, act);
    hakmem_stats_print(STDOUT_FILENO, 0);
}

/* A place that lies in no file. */
static void scenario_nowhere(void)
{
    void *p = hakmem_alloc_at(100, (const void *)(uintptr_t)0x1230);
    hakmem_free_at(p, 100);
    hakmem_stats_print(STDOUT_FILENO, 0);
}

static const scenario_t scenarios[] = {
    {"three", scenario_three},
    {"page", scenario_page},
    {"forks", scenario_forks},
    {"nowhere", scenario_nowhere},
};

/* --- the judge ---------------------------------------------------------------------------------------------------- */

static bool has_sites(void)
{
    return one_of("learning research");
}

static int lines_with(const char *words)
{
    int found = 0;
    for (const char *at = text; (at = strstr(at, words)) != NULL; at++)
        found++;
    return found;
}

static void test_blocks_are_as_all_others(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 100, 5000, 70 * KIB, 300 * KIB, 2 * MIB, 20 * MIB};
    for (size_t i = 0; i < 12 * sizeof sizes / sizeof *sizes; i++) {
        const size_t size = sizes[i / 12], some = size < 5000 ? size : 5000;
        char *a = hak_alloc_cs(size), *b = malloc(opaque(size)), *c = hak_alloc_cs(size);
        assert_true(a != NULL && b != NULL && c != NULL && a != b && a != c);
        assert_true(hakmem_usable_size(a) >= size && ((uintptr_t)a & 15) == 0);
        fill(a, some, i);
        fill(b, some, i + 1);
        fill(c, some, i + 2);
        assert_true(is_filled(a, some, i) && is_filled(b, some, i + 1));
        c = realloc(c, size + 100);
        assert_true(c != NULL && is_filled(c, some, i + 2));
        hak_free_cs(b, size);
        free(a);
        hak_free_cs(c, size + 100);
    }
    hak_free_cs(NULL, 5);
    errno = 0;
    assert_null(hak_alloc_cs(opaque(SIZE_MAX)));
    assert_int_equal(errno, ENOMEM);
}

static void test_three_sites_in_the_page(void **state)
{
    (void)state;
    RUN("page", NULL);
    if (!has_sites()) {
        assert_null(strstr(text, "site_calls"));
        return;
    }
    assert_int_equal(told("site_calls = "), 1110);
    assert_int_equal(told("site_ticks = "), 1);
    assert_int_equal(told("site_elsewhere = "), 0);
    assert_int_equal(
        lines_with("1000 calls  (SMALL_FREQUENT, 65536 bytes on average, 65536 at most; 1000 ends"), 1);
    assert_int_equal(lines_with("100 calls  (MEDIUM, 262144 bytes on average"), 1);
    assert_int_equal(lines_with("10 calls  (LARGE_INFREQUENT, 2097152 bytes on average"), 1);
    assert_int_equal(lines_with("; 10 ends seen, after 0 calls on average; 1 served by what it kept)"), 1);
    assert_int_equal(lines_with("/life_sites+0x"), 3);
}

static void test_the_page_at_exit(void **state)
{
    (void)state;
    NEEDS(has_sites());
    RUN("three", "HAKMEM_STATS_DUMP=1");
    assert_int_equal(told("site_calls = "), 1110);
    RUN("three", NULL);
    assert_string_equal(text, "");
}

static void test_rules(void **state)
{
    (void)state;
    RUN("page", "HAKMEM_SITE_RULES=2");
    if (!has_sites()) {
        assert_true(one_of("minimal bench_minimal plugin") ||
                    strstr(text, "HAKMEM_SITE_RULES=2 changes nothing: ") ==
                        text + strlen("hakmem: warning: "));
        return;
    }
    assert_int_equal(told("site_calls = "), 1110);
    assert_int_equal(lines_with("; 0 served by what it kept)"), 3);
    static const char *const off[] = {"HAKMEM_SITE_RULES=0", "HAKMEM_MODE=minimal", "HAKMEM_MODE=fast",
                                      "HAKMEM_MODE=balanced"};
    for (size_t i = 0; i < sizeof off / sizeof *off; i++) {
        RUN("page", off[i]);
        assert_int_equal(told("site_calls = "), -1);
    }
    RUN("page", "HAKMEM_MODE=balanced", "HAKMEM_SITE_RULES=1");
    assert_int_equal(told("site_calls = "), 1110);
    RUN("page", "HAKMEM_DISABLE_BIGCACHE=1");
    assert_int_equal(lines_with("; 0 served by what it kept)"), 3);
}

static void test_a_recording_has_all_calls(void **state)
{
    (void)state;
    NEEDS(has_sites());
    char path[64], setting[96], head[64] = {0};
    uint64_t events = 0;
    snprintf(path, sizeof path, "/tmp/life_sites.%d.trace", (int)getpid());
    snprintf(setting, sizeof setting, "HAKMEM_TRACE=%s", path);
    RUN("page", setting);
    const int file = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(file >= 0 && read(file, head, sizeof head) == sizeof head);
    close(file);
    unlink(path);
    memcpy(&events, head + 32, sizeof events);
    assert_in_range(events, 2 * 1110, 2 * 1110 + 50);
    assert_int_equal(told("site_calls = "), -1);
}

/* What a place keeps is neither live nor met a second time unseen. */
static void test_a_heap_profile_has_all_calls(void **state)
{
    (void)state;
    NEEDS(has_sites());
    char path[64], setting[96];
    unsigned long live = 0, live_bytes = 0, all = 0, all_bytes = 0;
    snprintf(path, sizeof path, "/tmp/life_sites.%d.heap", (int)getpid());
    snprintf(setting, sizeof setting, "HAKMEM_HEAP_PROFILE=%s", path);
    RUN("page", setting, "HAKMEM_HEAP_PROFILE_INTERVAL=1");
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "heap profile: %lu: %lu [%lu: %lu]", &live, &live_bytes, &all, &all_bytes),
                     4);
    fclose(file);
    unlink(path);
    assert_true(live_bytes < MIB && all >= 1110 && all < 1110 + 100);
    assert_true(all_bytes >= 1000 * 64 * KIB + 100 * 256 * KIB + 10 * 2 * MIB);
    /* The same calls by the places that sampling knows, as the addresses behind them. */
    assert_int_equal(lines_with(", an estimate, 2097152 bytes on average, 2097152 at most;"), 1);
}

static void test_children_of_threads(void **state)
{
    (void)state;
    assert_int_equal(RUN("forks", NULL), 0);
    assert_true(!has_sites() || told("site_calls = ") == (THREADS - 1) * ROUNDS);
}

static void test_a_place_in_no_file(void **state)
{
    (void)state;
    assert_int_equal(RUN("nowhere", NULL), 0);
    assert_true(!has_sites() || strstr(text, "site +0x1230 = 1 calls  (GATHERING, ") != NULL);
}

int main(int argc, char **argv)
{
    if (argc > 1)
        return run_scenario(scenarios, sizeof scenarios / sizeof *scenarios, argv[1]);
    if (!find_variant())
        return TEST_SKIPPED;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blocks_are_as_all_others),  cmocka_unit_test(test_three_sites_in_the_page),
        cmocka_unit_test(test_the_page_at_exit),          cmocka_unit_test(test_rules),
        cmocka_unit_test(test_a_recording_has_all_calls), cmocka_unit_test(test_a_heap_profile_has_all_calls),
        cmocka_unit_test(test_children_of_threads),       cmocka_unit_test(test_a_place_in_no_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
