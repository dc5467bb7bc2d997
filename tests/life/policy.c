/* SPDX-License-Identifier: MIT */
/* Each row of the policy changes what it promises, by the environment and by a file; a bad file is named once with its line and
 * changes nothing; the policy in force is written at exit and on SIGUSR1. The program runs itself, as life_options does. */
#define _GNU_SOURCE
#include "scenarios.h"

#include <pthread.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

enum {
    MANY = 4000,
};

/* --- the program that is run -------------------------------------------------------------------------------------- */

static void *blocks[MANY];

static void to_and_fro(int count, size_t size)
{
    for (int round = 0; round < 30; round++) {
        take_blocks(blocks, count, size);
        free_blocks(blocks, count);
    }
    print_page();
}

static void scenario_tiny(void)
{
    to_and_fro(700, 100);
}

static void scenario_mid(void)
{
    to_and_fro(10, 18000);
}

static void scenario_runs(void)
{
    to_and_fro(20, 100000);
}

static void scenario_stay(void)
{
    take_blocks(blocks, MANY, 64);
    print_page();
}

static void scenario_stay_mid(void)
{
    take_blocks(blocks, 1000, 4000);
    print_page();
}

static void scenario_neighbours(void)
{
    take_blocks(blocks, MANY, 1280);
    free_blocks(blocks, MANY);
    take_blocks(blocks, 500, 1100);
    print_page();
}

static void scenario_emptied(void)
{
    take_blocks(blocks, MANY, 1000);
    free_blocks(blocks, MANY);
    print_page();
}

static void scenario_oversize(void)
{
    for (int i = 0; i < 100; i++) {
        take_blocks(blocks, 2, 1 << 20);
        free_blocks(blocks, 2);
    }
    print_page();
}

static void *free_all(void *unused)
{
    (void)unused;
    free_blocks(blocks, MANY);
    return NULL;
}

static void scenario_remote(void)
{
    pthread_t thread;
    take_blocks(blocks, MANY, 1000);
    CHECK(pthread_create(&thread, NULL, free_all, NULL) == 0, "pthread_create");
    pthread_join(thread, NULL);
    print_page();
}

static void scenario_clock(void)
{
    take_blocks(blocks, 1000, 30000);
    free_blocks(blocks, 1000);
    for (int i = 0; i < 40; i++) {
        take_blocks(blocks, 20, 100000);
        free_blocks(blocks, 20);
        nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    }
    print_page();
}

static void scenario_growth(void)
{
    int moves = 0;
    char *block = malloc(2000);
    for (size_t size = 2000; size < 12000; size += 16) {
        char *moved = realloc(block, opaque(size));
        moves += (uintptr_t)moved != opaque((size_t)block);
        block = moved;
    }
    free(block);
    dprintf(1, "moves = %d\n", moves);
}

/* Pages that are there though nobody has touched them. */
static void scenario_ahead(void)
{
    const long before = resident_kib();
    take_blocks(blocks, 1, 20000);
    dprintf(1, "resident = %ld\n", resident_kib() - before);
}

/* Whether there are pages behind a small block, though a larger one came first. */
static void scenario_behind(void)
{
    take_blocks(blocks, 1, 20000);
    char *block = malloc(1000);
    unsigned char is_there;
    CHECK(mincore(block - (uintptr_t)block % 4096 + 32768, 4096, &is_there) == 0, "mincore");
    dprintf(1, "there = %d\n", is_there & 1);
}

/* Whether the system was asked for huge pages where the block lies. */
static bool asked_for_huge(const char *block)
{
    return strstr(mapping_flags(block), " hg") != NULL;
}

static void scenario_pages(void)
{
    take_blocks(blocks, MANY, 1000);
    dprintf(1, "small = %d\n", asked_for_huge(blocks[MANY - 1]));
    char *block = malloc(8 << 20);
    dprintf(1, "block = %d\n", asked_for_huge(block));
}

static void scenario_beside(void)
{
    void *live = malloc(opaque(80 << 20));
    free(malloc(opaque(40 << 20)));
    print_page();
    free(live);
}

static void scenario_signal(void)
{
    free(malloc(opaque(100)));
    raise(SIGUSR1);
    dprintf(1, "alive = 1\n");
    _exit(0); /* nothing is written at such an end */
}

static void own_handler(int signal)
{
    (void)signal;
    dprintf(1, "own = 1\n");
}

static void scenario_own_handler(void)
{
    signal(SIGUSR1, own_handler);
    raise(SIGUSR1);
    _exit(0);
}

/* What an enemy would do who may write there, and knows which name is written to first. */
static void scenario_link(void)
{
    char beside[200];
    snprintf(beside, sizeof beside, "%s.%d.0", getenv("HAKMEM_POLICY_OUT"), (int)getpid());
    CHECK(symlink("victim", beside) == 0, "symlink");
    dprintf(1, "pid = %d\n", (int)getpid());
}

static void scenario_stack(void)
{
    struct sigaction now;
    CHECK(sigaction(SIGUSR1, NULL, &now) == 0, "sigaction");
    dprintf(1, "stack = %d\n", (now.sa_flags & SA_ONSTACK) != 0);
}

static void scenario_nothing(void) {}

static const scenario_t scenarios[] = {
    {"tiny", scenario_tiny},         {"mid", scenario_mid},
    {"runs", scenario_runs},         {"stay", scenario_stay},
    {"stay_mid", scenario_stay_mid}, {"neighbours", scenario_neighbours},
    {"emptied", scenario_emptied},   {"oversize", scenario_oversize},
    {"remote", scenario_remote},     {"clock", scenario_clock},
    {"growth", scenario_growth},     {"ahead", scenario_ahead},
    {"signal", scenario_signal},     {"own_handler", scenario_own_handler},
    {"nothing", scenario_nothing},   {"page", print_page},
    {"pages", scenario_pages},       {"beside", scenario_beside},
    {"link", scenario_link},         {"stack", scenario_stack},
    {"behind", scenario_behind},
};

/* --- the judge ---------------------------------------------------------------------------------------------------- */

typedef struct effect {
    const char *setting; /* of the environment */
    const char *also;    /* a setting of both runs, or NULL */
    const char *scenario;
    const char *figure;
    int direction; /* 1: more of it than by default; -1: less */
} effect_t;

static const effect_t effects[] = {
    {"HAKMEM_BIN_FIRST_KB=1024", NULL, "mid", "blocks_flushed = ", -1},
    {"HAKMEM_BIN_TINY_KB=1", NULL, "tiny", "refills = ", 1},
    {"HAKMEM_BIN_MID_KB=16", NULL, "mid", "refills = ", 1},
    {"HAKMEM_BIN_RUN_KB=16384", NULL, "runs", "refills = ", -1},
    {"HAKMEM_BIN_BLOCKS=3", NULL, "tiny", "blocks_flushed = ", 1},
    {"HAKMEM_BIN_GROWTH=1", NULL, "mid", "blocks_flushed = ", 1},
    {"HAKMEM_BORROW=0", NULL, "neighbours", "slabs_made = ", 1},
    {"HAKMEM_CARVE_BYTES=16384", NULL, "stay", "refills = ", -1},
    {"HAKMEM_SLAB_BLOCKS=16", NULL, "stay_mid", "slabs_made = ", -1},
    {"HAKMEM_SLAB_SLICES=32", NULL, "stay", "slabs_made = ", -1},
    {"HAKMEM_EMPTY_SLABS=0", NULL, "emptied", "used = ", -1},
    {"HAKMEM_HEAP_CACHE_KB=0", NULL, "oversize", "big_taken = ", 1},
    {"HAKMEM_REMOTE_KB=1", NULL, "remote", "remote_batches = ", 1},
    {"HAKMEM_REMOTE_BLOCKS=4", NULL, "remote", "remote_batches = ", 1},
    {"HAKMEM_TICK_EVERY=65536", "HAKMEM_PURGE_DELAY_MS=1", "clock", "purges = ", -1},
    {"HAKMEM_REALLOC_SPARE=31", NULL, "growth", "moves = ", 1},
    {"HAKMEM_BIGCACHE_PART=0", NULL, "beside", "big_cached = ", -1},
    {"HAKMEM_POPULATE_KB=1024", NULL, "ahead", "resident = ", 1},
    {"HAKMEM_POPULATE_KB=1024", NULL, "behind", "there = ", 1},
};

static void test_each_row_changes_what_it_promises(void **state)
{
    (void)state;
    NEEDS(one_of("balanced learning research"));
    bool good = true;
    for (size_t i = 0; i < sizeof effects / sizeof *effects; i++) {
        const effect_t *of = &effects[i];
        RUN(of->scenario, "HAKMEM_RETAIN_MB=65536", of->also);
        const long before = told(of->figure);
        RUN(of->scenario, "HAKMEM_RETAIN_MB=65536", of->setting, of->also);
        const long after = told(of->figure);
        if (before < 0 || (after - before) * of->direction <= 0) {
            print_error("%s: %s%ld, and by default %ld\n", of->setting, of->figure, after, before);
            good = false;
        }
    }
    assert_true(good);
}

/* None is asked for while the last one was slow to get, as on a busy machine. */
#define RUN_UNTIL_HUGE(...)                                                                                  \
    for (int tries = 0; tries == 0 || (tries < 50 && told("small = ") != 1); tries++)                        \
    RUN("pages", __VA_ARGS__)

static void test_where_huge_pages_are_asked_for(void **state)
{
    (void)state;
    NEEDS(one_of("balanced learning research") && access("/sys/kernel/mm/transparent_hugepage", F_OK) == 0);
    RUN("pages", NULL);
    assert_true(told("small = ") == 0 && told("block = ") == 0);
    RUN_UNTIL_HUGE("HAKMEM_THP_FROM_KB=64");
    assert_true(told("small = ") == 1 && told("block = ") == 0);
    RUN("pages", "HAKMEM_THP_FROM_KB=64", "HAKMEM_SLAB_SLICES=8");
    assert_true(told("small = ") == 0);
    RUN_UNTIL_HUGE("HAKMEM_THP_FROM_KB=64", "HAKMEM_SLAB_SLICES=8", "HAKMEM_THP_RUN_KB=128");
    assert_true(told("small = ") == 1);
    RUN("pages", "HAKMEM_THP_BLOCK_KB=4096");
    assert_true(told("small = ") == 0 && told("block = ") == 1);
}

static char directory[] = "/tmp/hakmem-policy-XXXXXX";
static char path[64], setting[80], written[64];

static void put_file(const char *content)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(content, file);
    fclose(file);
}

static bool get_file(const char *name)
{
    FILE *file = fopen(name, "r");
    if (file == NULL)
        return false;
    text[fread(text, 1, sizeof text - 1, file)] = 0;
    fclose(file);
    return true;
}

/* More than the library looks at of a line. */
#define BLANKS                                                                                               \
    "                                                                                                    "   \
    "                                                                                                    "   \
    "                                                                                                    "

static void test_a_file_sets_values_and_the_environment_wins(void **state)
{
    (void)state;
    NEEDS(variant[0] != 0 && !one_of("minimal bench_minimal plugin"));
    put_file("# made by hand\nformat = 1\n\n [\tvalues ] # these\r\n  borrow = 3 # few" BLANKS
             ".\r\nretain_mb=7\r\n\n[provenance]\n"
             "program = \"x = y\"\nborrow = 99999\nwords = " BLANKS "1\n[figures]\nwall_s = [1.0, 0.5]");
    RUN("nothing", setting, "HAKMEM_RETAIN_MB=5", "HAKMEM_STATS=options", "HAKMEM_THP=on");
    char line[128];
    snprintf(line, sizeof line, "HAKMEM_POLICY = %s  (environment)\n", path);
    assert_non_null(strstr(text, line));
    assert_non_null(strstr(text, "HAKMEM_POLICY_OUT = none  (default)\n"));
    assert_non_null(strstr(text, "HAKMEM_THP = on  (environment)\n"));
    assert_non_null(strstr(text, "HAKMEM_BORROW = 3 blocks  (file)\n"));
    assert_non_null(strstr(text, "HAKMEM_RETAIN_MB = 5 MiB  (environment)\n"));
    assert_non_null(strstr(text, "HAKMEM_BIN_GROWTH = 4 times  (default)\n"));
    assert_null(strstr(text, "warning"));
}

/* What is in the file, and what is said of it. */
static const char *const bad_files[][2] = {
    {"", "line 1: the file has no line format"},
    {"format = 2\n", "line 1: a format that is not known"},
    {"format = 1\nborrow = 3\n", "line 2: only format stands"},
    {"format = 1\n[values]\nborrow = 3\nfoo = 1\n", "line 4: no parameter has the name foo"},
    {"format = 1\n[values]\nborrow = 256\n", "line 3: out of the range of borrow"},
    {"format = 1\n[values]\nborrow = -1\n", "line 3: not of the form"},
    {"format = 1\n[values]\nborrow = 3 4\n", "line 3: not of the form"},
    {"format = 1\n[values]\nborrow = 03\n", "line 3: not of the form"},
    {"format = 1\n[values]\nborrow = 3\r# few\n", "line 3: not of the form"},
    {"format = 1\n[values]\nborrow = 4294967299\n", "line 3: not of the form"},
    {"format = 1\n[values]\nborrow = 18446744073709551619\n", "line 3: not of the form"},
    {"format = 1\n[values]\nborrow = 3\nborrow = 3\n", "line 4: a second value of borrow"},
    {"format = 1\nformat = 1\n[values]\nborrow = 3\n", "line 2: a second value of format"},
    {"format = 1\n[values]\n[x]\n[values]\nborrow = 3\n", "line 4: a second section [values]"},
    {"format = 1\n[[values]]\nborrow = 3\n", "line 2: no section but [values] holds values"},
    {"format = 1\n[values.x]\nborrow = 3\n", "line 2: no section but [values] holds values"},
    {"format = 1\n[value]\nborrow = 3\n", "line 4: the file has no section [values]"},
    {"format = 1\n[values-2]\nborrow = 3\n", "line 4: the file has no section [values]"},
    {"format = 1\n[values]\nborrow = 3\ntiny_max = 512\n",
     "line 4: only configure.py --policy=FILE sets what is compiled in: tiny_max"},
    {"\x7f"
     "ELF\n\n",
     "line 1: not of the form"},
    {"format = 1\n[values]\nborrow = " BLANKS "3\n", "line 3: longer than 255 bytes"},
    {"format = 1\n[values]\nborrow = 3" BLANKS "4\n", "line 3: longer than 255 bytes"},
    {"format = 1\n[values]\nborrow = 3\n" BLANKS "[mine]\nx = 1\n", "line 4: longer than 255 bytes"},
};

static void test_a_bad_file_is_named_once_and_changes_nothing(void **state)
{
    (void)state;
    NEEDS(variant[0] != 0 && !one_of("minimal bench_minimal plugin"));
    for (size_t i = 0; i < sizeof bad_files / sizeof *bad_files; i++) {
        put_file(bad_files[i][0]);
        RUN("page", setting);
        const char *warning = strstr(text, "hakmem: warning: ");
        assert_non_null(warning);
        assert_non_null(strstr(text, bad_files[i][1]));
        assert_null(strstr(warning + 1, "hakmem: warning: "));
        assert_int_equal(told("HAKMEM_BORROW = "), 16);
    }
    unlink(path);
    RUN("page", setting);
    assert_non_null(strstr(text, "the file cannot be opened"));
    RUN("page", "HAKMEM_POLICY=/dev/zero");
    assert_non_null(strstr(text, "longer than 1 MiB"));
    RUN("page", "HAKMEM_TINY_MAX=512");
    assert_non_null(strstr(text, "HAKMEM_TINY_MAX=512: compiled in, configure.py --policy=FILE sets it"));
}

static void test_the_policy_in_force_is_written(void **state)
{
    (void)state;
    NEEDS(variant[0] != 0 && !one_of("minimal bench_minimal plugin"));
    char out[100];
    snprintf(out, sizeof out, "HAKMEM_POLICY_OUT=%s", written);
    RUN("nothing", out, "HAKMEM_BORROW=3");
    assert_true(get_file(written));
    assert_non_null(strstr(text, "format = 1\n"));
    assert_non_null(strstr(text, "\nborrow = 3 # blocks; environment\n"));
    /* what was written can be read */
    char in[100];
    snprintf(in, sizeof in, "HAKMEM_POLICY=%s", written);
    RUN("page", in);
    assert_int_equal(told("HAKMEM_BORROW = "), 3);
    assert_null(strstr(text, "warning"));
    unlink(written);
    RUN("signal", out);
    assert_int_equal(told("alive = "), 1);
    assert_true(get_file(written));
    unlink(written);
    RUN("own_handler", out);
    assert_int_equal(told("own = "), 1);
    assert_false(get_file(written));
    RUN("nothing", "HAKMEM_POLICY_OUT=/nowhere/at/all");
    assert_non_null(strstr(text, "HAKMEM_POLICY_OUT=/nowhere/at/all: it cannot be written"));
}

/* A device by another name would be gone for everybody, and a link that leads to a file of somebody's would lose him that. */
static void test_only_files_are_written_over(void **state)
{
    (void)state;
    NEEDS(variant[0] != 0 && !one_of("minimal bench_minimal plugin"));
    char out[100], name[100];
    struct stat now;
    snprintf(out, sizeof out, "HAKMEM_POLICY_OUT=%s", written);
    unlink(written);
    assert_int_equal(mkfifo(written, 0600), 0);
    RUN("nothing", out);
    assert_int_equal(lstat(written, &now), 0);
    assert_true(S_ISFIFO(now.st_mode));
    assert_non_null(strstr(text, "out.toml: it cannot be written"));
    unlink(written);
    RUN("link", out);
    snprintf(name, sizeof name, "%s.%ld.0", written, told("pid = "));
    assert_int_equal(unlink(name), 0);
    snprintf(name, sizeof name, "%s/victim", directory);
    assert_false(get_file(name));
    assert_true(get_file(written));
    RUN("stack", out);
    assert_int_equal(told("stack = "), 1);
}

static void test_without_options_no_file_is_read(void **state)
{
    (void)state;
    NEEDS(one_of("minimal bench_minimal plugin"));
    char out[100];
    snprintf(out, sizeof out, "HAKMEM_POLICY_OUT=%s", written);
    put_file("nonsense");
    RUN("nothing", setting, out);
    assert_string_equal(text, "");
    assert_false(get_file(written));
}

int main(int argc, char **argv)
{
    if (argc > 1)
        return run_scenario(scenarios, sizeof scenarios / sizeof *scenarios, argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_row_changes_what_it_promises),
        cmocka_unit_test(test_where_huge_pages_are_asked_for),
        cmocka_unit_test(test_a_file_sets_values_and_the_environment_wins),
        cmocka_unit_test(test_a_bad_file_is_named_once_and_changes_nothing),
        cmocka_unit_test(test_the_policy_in_force_is_written),
        cmocka_unit_test(test_only_files_are_written_over),
        cmocka_unit_test(test_without_options_no_file_is_read),
    };
    if (mkdtemp(directory) == NULL)
        return 1;
    snprintf(path, sizeof path, "%s/in.toml", directory);
    snprintf(setting, sizeof setting, "HAKMEM_POLICY=%s", path);
    snprintf(written, sizeof written, "%s/out.toml", directory);
    find_variant();
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(path);
    unlink(written);
    rmdir(directory);
    return failed;
}
