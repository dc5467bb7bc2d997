/* SPDX-License-Identifier: MIT */
/* The heap profile: what it says of places whose calls are known is right within the error of sampling, whether a place lets its
 * blocks grow in number or takes and frees one; and a sampled block is one like any other. The program runs itself, as life_options
 * does; tests/test_profile.py runs its scenarios, too. */
#define _GNU_SOURCE
#include "scenarios.h"

#include <errno.h>
#include <malloc.h>
#include <math.h>
#include <pthread.h>
#include <sys/mman.h>

#define PLACE __attribute__((noinline, noclone))

enum {
    MANY = 100000,
    SLOTS = 64,
    SITES_MOST = 16,
};

/* --- the program that is run -------------------------------------------------------------------------------------- */

static void *kept[MANY];

/* So that no call is left out, and none is the last thing that a function does. */
static void *use(void *p)
{
    void *volatile seen = p;
    CHECK(seen != NULL, "no memory");
    *(volatile char *)seen = 1;
    return seen;
}

static void tell(const char *name, const void *place, size_t size, size_t calls, size_t live)
{
    void *p = malloc(size);
    const size_t usable = malloc_usable_size(p);
    free(p);
    printf("site %s %p %zu %zu %zu\n", name, place, usable, calls, live);
    fflush(stdout);
}

PLACE static void grows(void)
{
    for (int i = 0; i < MANY; i++)
        kept[i] = use(malloc(100));
}

PLACE static void repeats(void)
{
    for (int i = 0; i < 4 * MANY; i++)
        free(use(malloc(100)));
}

/* Of 64 blocks one is replaced, at random. */
static void replace(void *(*take)(void), int times)
{
    void *blocks[SLOTS] = {NULL};
    unsigned random = 1;
    for (int i = 0; i < times; i++) {
        random = random * 1103515245 + 12345;
        void **block = &blocks[(random >> 16) % SLOTS];
        free(*block);
        *block = take();
    }
    for (int i = 0; i < SLOTS; i++)
        free(blocks[i]);
}

PLACE static void *mixes(void)
{
    return use(calloc(1, 48));
}

PLACE static void *mid(void)
{
    return use(aligned_alloc(64, 5000));
}

PLACE static void *run(void)
{
    return use(malloc(100000));
}

PLACE static void *large(void)
{
    return use(malloc(400000));
}

PLACE static void *sent(void)
{
    return use(malloc(200));
}

static void *free_kept(void *unused)
{
    for (int i = 0; i < MANY; i++)
        free(kept[i]);
    return unused;
}

static void by_another_thread(void *(*routine)(void *))
{
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, routine, NULL) == 0, "pthread_create");
    pthread_join(thread, NULL);
}

/* Of a thread that has ended. */
static void *take_and_end(void *unused)
{
    for (int i = 0; i < MANY; i++)
        kept[i] = sent();
    return unused;
}

static void scenario_sites(void)
{
    by_another_thread(take_and_end);
    by_another_thread(free_kept);
    tell("sent", (void *)(uintptr_t)sent, 200, MANY, 0);
    repeats();
    tell("repeats", (void *)(uintptr_t)repeats, 100, 4 * MANY, 0);
    replace(mixes, 4 * MANY);
    tell("mixes", (void *)(uintptr_t)mixes, 48, 4 * MANY, 0);
    replace(mid, 40000);
    tell("mid", (void *)(uintptr_t)mid, 5000, 40000, 0);
    replace(run, 3000);
    tell("run", (void *)(uintptr_t)run, 100000, 3000, 0);
    replace(large, 1000);
    tell("large", (void *)(uintptr_t)large, 400000, 1000, 0);
    grows();
    tell("grows", (void *)(uintptr_t)grows, 100, MANY, MANY);
}

/* With each block sampled: contents, sizes and alignments are what they are without. */
static void scenario_every(void)
{
    for (size_t size = 1; size < 3000000; size += size / 3 + 1) {
        unsigned char *p = use(calloc(1, size));
        for (size_t i = 1; i < size; i += 97)
            CHECK(p[i] == 0, "calloc(%zu)", size);
        memset(p, 7, size);
        CHECK(malloc_usable_size(p) >= size, "usable");
        p = use(realloc(p, size * 2 + 100));
        CHECK(size == 1 || (p[size - 1] == 7 && p[size / 2] == 7), "realloc(%zu)", size);
        p = use(realloc(p, size / 3 + 1));
        free(p);
        for (size_t align = 16; align <= 65536; align *= 4) {
            p = use(aligned_alloc(align, size));
            CHECK((uintptr_t)p % align == 0, "%zu bytes aligned to %zu", size, align);
            memset(p, 5, size);
            free(p);
        }
    }
}

static void scenario_signal(void)
{
    grows();
    raise(SIGUSR1);
    _exit(0);
}

static void scenario_fork(void)
{
    grows();
    const pid_t child = fork();
    if (child == 0) {
        free_kept(NULL);
        printf("child %d\n", (int)getpid());
        exit(0);
    }
    int status = -1;
    waitpid(child, &status, 0);
    CHECK(status == 0, "the child's status is 0x%x", status);
}

/* The system refuses the mappings of the profile. */
static void scenario_nothing(void) {}

/* Something of each kind that is timed. */
static void scenario_kinds(void)
{
    repeats();
    replace(mid, 40000);
    replace(large, 300);
    for (int i = 0; i < 30; i++)
        free(use(malloc(3000000)));
    take_and_end(NULL);
    by_another_thread(free_kept);
    malloc_trim(0);
}

static void scenario_repeats(void)
{
    repeats();
}

static void scenario_grows(void)
{
    grows();
}

static void scenario_json(void)
{
    void (*print)(int, int) = (void (*)(int, int))dlsym(RTLD_DEFAULT, "hakmem_stats_print");
    repeats();
    if (print != NULL)
        print(STDOUT_FILENO, 1);
    _exit(0);
}

static const scenario_t scenarios[] = {
    {"kinds", scenario_kinds}, {"repeats", scenario_repeats}, {"grows", scenario_grows},
    {"json", scenario_json},

    {"sites", scenario_sites}, {"every", scenario_every},     {"signal", scenario_signal},
    {"fork", scenario_fork},   {"nothing", scenario_nothing},
};

/* --- the judge ---------------------------------------------------------------------------------------------------- */

typedef struct site {
    char name[32];
    unsigned long place, size, calls, live;       /* what is true */
    double sampled, sampled_live, all, all_bytes; /* what the profile has of it */
} site_t;

static site_t sites[SITES_MOST];
static size_t site_count;
static char profile[] = "/tmp/hakmem-profile-XXXXXX";
static char setting[80];
static double interval;

static void read_sites(void)
{
    site_count = 0;
    for (const char *at = strstr(text, "site "); at != NULL && site_count < SITES_MOST;
         at = strstr(at + 1, "site ")) {
        site_t *of = &sites[site_count];
        if (sscanf(at, "site %31s %lx %lu %lu %lu", of->name, &of->place, &of->size, &of->calls, &of->live) ==
            5)
            site_count++;
    }
}

/* That begins last before the address. */
static site_t *site_at(unsigned long address)
{
    site_t *found = NULL;
    for (size_t i = 0; i < site_count; i++)
        if (sites[i].place <= address && (found == NULL || sites[i].place > found->place))
            found = &sites[i];
    return found != NULL && address - found->place < 4096 ? found : NULL;
}

/* Lines of the file that are stacks; -1 if it is not there or not of the format. */
static int read_profile(const char *name)
{
    static char line[2048];
    unsigned long live, live_bytes, all, all_bytes, first;
    FILE *file = fopen(name, "r");
    if (file == NULL)
        return -1;
    int lines = -1;
    if (fgets(line, sizeof line, file) != NULL &&
        sscanf(line, "heap profile: %lu: %lu [%lu: %lu] @ heap_v2/%lf", &live, &live_bytes, &all, &all_bytes,
               &interval) == 5)
        lines = 0;
    for (size_t i = 0; i < site_count; i++)
        sites[i].sampled = sites[i].sampled_live = 0;
    while (lines >= 0 && fgets(line, sizeof line, file) != NULL && line[0] != '\n') {
        lines++;
        if (sscanf(line, "%lu: %lu [%lu: %lu] @ %lx", &live, &live_bytes, &all, &all_bytes, &first) != 5)
            lines = -2;
        site_t *of = site_at(first);
        if (of != NULL && all_bytes == all * of->size) {
            of->sampled += (double)all;
            of->sampled_live += (double)live;
        }
    }
    fclose(file);
    return lines;
}

/* Whether so many of n calls may have been sampled, if each is with p: what is further off comes about less than once in 10^9 times
 * (Bernstein's bound, with ln 2e9 for the luck). Deviations alone do not do where few are expected, nor where nearly all are: there
 * one call that is left out is many of them. */
static bool is_likely(double sampled, unsigned long calls, double p)
{
    const double n = (double)calls, luck = 21.4;
    return n == 0 ? sampled == 0
                  : fabs(sampled - n * p) <= luck / 3 + sqrt(luck * luck / 9 + 2 * luck * n * p * (1 - p));
}

static bool has_profile(void)
{
    return one_of("learning research");
}

/* In an interval so small that a fifth more or less of the samples would be seen at each place that takes small blocks. */
static void test_places_are_judged_right(void **state)
{
    (void)state;
    NEEDS(has_profile());
    assert_int_equal(RUN("sites", setting, "HAKMEM_HEAP_PROFILE_INTERVAL=8"), 0);
    read_sites();
    assert_int_equal(site_count, 7);
    assert_true(read_profile(profile) > 0);
    assert_true(interval == 8 * 1024);
    bool good = true;
    for (size_t i = 0; i < site_count; i++) {
        const site_t *of = &sites[i];
        const double p = 1 - exp(-(double)of->size / interval);
        if (!is_likely(of->sampled, of->calls, p) || !is_likely(of->sampled_live, of->live, p)) {
            print_error("%s: %.0f calls sampled, %.0f of them live; expected %.1f and %.1f\n", of->name,
                        of->sampled, of->sampled_live, p * (double)of->calls, p * (double)of->live);
            good = false;
        }
    }
    assert_true(good);
}

static void test_the_interval_is_the_one_asked_for(void **state)
{
    (void)state;
    NEEDS(has_profile());
    assert_int_equal(RUN("sites", setting, "HAKMEM_HEAP_PROFILE_INTERVAL=4096"), 0);
    read_sites();
    assert_true(read_profile(profile) > 0 && interval == 4096 * 1024);
    for (size_t i = 0; i < site_count; i++) {
        const double p = 1 - exp(-(double)sites[i].size / interval);
        assert_true(is_likely(sites[i].sampled, sites[i].calls, p));
    }
}

static void test_sampled_blocks_are_blocks(void **state)
{
    (void)state;
    NEEDS(has_profile());
    assert_int_equal(RUN("every", setting, "HAKMEM_HEAP_PROFILE_INTERVAL=1"), 0);
    assert_true(read_profile(profile) > 0);
    assert_int_equal(RUN("every", setting, "HAKMEM_HEAP_PROFILE_INTERVAL=1", "HAKMEM_SAFE_FREE=1"), 0);
    assert_true(read_profile(profile) > 0);
}

static void test_a_signal_writes_it(void **state)
{
    (void)state;
    NEEDS(has_profile());
    unlink(profile);
    assert_int_equal(RUN("signal", setting), 0);
    assert_true(read_profile(profile) > 0);
}

static void test_a_child_has_its_own(void **state)
{
    (void)state;
    NEEDS(has_profile());
    char childs[96];
    unlink(profile);
    assert_int_equal(RUN("fork", setting, "HAKMEM_HEAP_PROFILE_INTERVAL=32"), 0);
    assert_true(told("child ") > 0);
    snprintf(childs, sizeof childs, "%s.%ld", profile, told("child "));
    unsigned long live = 1;
    FILE *file = fopen(childs, "r");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "heap profile: %lu:", &live), 1);
    fclose(file);
    unlink(childs);
    assert_true(live < 50); /* it has freed what the parent keeps */
    file = fopen(profile, "r");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "heap profile: %lu:", &live), 1);
    fclose(file);
    assert_true(live > 100);
}

static void test_a_file_that_cannot_be_written_is_named_once(void **state)
{
    (void)state;
    NEEDS(has_profile());
    assert_int_equal(RUN("nothing", "HAKMEM_HEAP_PROFILE=/nowhere/at/all"), 0);
    const char *warning =
        strstr(text, "hakmem: warning: HAKMEM_HEAP_PROFILE=/nowhere/at/all: it cannot be written");
    assert_non_null(warning);
    assert_null(strstr(warning + 1, "hakmem: warning"));
}

static void test_nothing_is_written_unless_asked(void **state)
{
    (void)state;
    unlink(profile);
    RUN("nothing", NULL);
    assert_int_equal(access(profile, F_OK), -1);
}

static void test_what_is_timed(void **state)
{
    (void)state;
    NEEDS(has_profile());
    static const char *const kinds[] = {"tiny",   "mid",    "large", "huge",
                                        "refill", "remote", "purge", "system"};
    char name[64];
    assert_int_equal(RUN("kinds", "HAKMEM_PROF=1", "HAKMEM_PROF_SAMPLE=6"), 0);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        snprintf(name, sizeof name, "prof_%s_timed = ", kinds[i]);
        assert_true(told(name) > 0);
        snprintf(name, sizeof name, "prof_%s = ", kinds[i]);
        assert_true(told(name) >= 0 && told(name) < 100000000);
    }
    assert_true(told("prof_system = ") > 0);
    /* half a million calls, of which one in 64 is timed, and one in 1024 */
    assert_true(is_likely((double)told("prof_tiny_timed = "), 5 * MANY, 1.0 / 64));
    assert_int_equal(RUN("kinds", "HAKMEM_PROF=1", "HAKMEM_PROF_SAMPLE=10"), 0);
    assert_true(is_likely((double)told("prof_tiny_timed = "), 5 * MANY, 1.0 / 1024));
    assert_int_equal(RUN("kinds", NULL), 0);
    assert_null(strstr(text, "prof_"));
}

static void test_how_many_calls_a_bin_meets(void **state)
{
    (void)state;
    NEEDS(has_profile());
    assert_int_equal(RUN("repeats", "HAKMEM_FRONT_STATS=1"), 0);
    assert_true(told("front_rate = ") > 990);
    const long calls = told("front_met = ") + told("front_missed = ");
    assert_true(calls >= 4 * MANY && calls < 4 * MANY + 1000); /* to the call, and libc's */
    /* samples of both kinds change nothing of it */
    assert_int_equal(RUN("repeats", "HAKMEM_FRONT_STATS=1", "HAKMEM_PROF=1", "HAKMEM_PROF_SAMPLE=4", setting,
                         "HAKMEM_HEAP_PROFILE_INTERVAL=2"),
                     0);
    const long sampled = told("front_met = ") + told("front_missed = ");
    assert_true(sampled >= 4 * MANY && sampled < 4 * MANY + 1000 && told("front_rate = ") > 800);
    assert_int_equal(RUN("grows", "HAKMEM_FRONT_STATS=1"), 0);
    assert_true(told("front_rate = ") > 900 && told("front_missed = ") > 1000);
    assert_int_equal(RUN("repeats", "HAKMEM_FRONT_STATS=1", "HAKMEM_STATS_DUMP=1"), 0);
    const char *once = strstr(text, "front_rate = ");
    assert_true(once != NULL && strstr(once + 1, "front_rate = ") == NULL);
    assert_int_equal(RUN("repeats", NULL), 0);
    assert_null(strstr(text, "front_"));
}

static void test_the_statistics_have_both(void **state)
{
    (void)state;
    NEEDS(has_profile());
    assert_int_equal(RUN("json", "HAKMEM_PROF=1", "HAKMEM_FRONT_STATS=1", "HAKMEM_PROF_SAMPLE=8"), 0);
    assert_true(text[0] == '{' && strstr(text, "\"prof_tiny\": ") != NULL);
    assert_non_null(strstr(text, "\"front_rate\": 99"));
}

static int begin(void **state)
{
    (void)state;
    find_variant();
    const int file = mkstemp(profile);
    close(file);
    snprintf(setting, sizeof setting, "HAKMEM_HEAP_PROFILE=%s", profile);
    return file < 0;
}

static int end(void **state)
{
    (void)state;
    unlink(profile);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc > 1)
        return run_scenario(scenarios, sizeof scenarios / sizeof *scenarios, argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_places_are_judged_right),
        cmocka_unit_test(test_the_interval_is_the_one_asked_for),
        cmocka_unit_test(test_sampled_blocks_are_blocks),
        cmocka_unit_test(test_a_signal_writes_it),
        cmocka_unit_test(test_a_child_has_its_own),
        cmocka_unit_test(test_a_file_that_cannot_be_written_is_named_once),
        cmocka_unit_test(test_nothing_is_written_unless_asked),
        cmocka_unit_test(test_what_is_timed),
        cmocka_unit_test(test_how_many_calls_a_bin_meets),
        cmocka_unit_test(test_the_statistics_have_both),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
