/* SPDX-License-Identifier: MIT */
/* The learner's thread (HAKMEM_LEARN=1): each of its options changes what it promises, it notices another pattern, and it is in
 * nobody's way: not of signals, forks, users, sandboxes, nor of the end of the process. The program runs itself, as
 * tests/life/options.c. */
#define _GNU_SOURCE
#include "filter.h"
#include "scenarios.h"

#include <dirent.h>
#include <pthread.h>
#include <sys/mman.h>
#include <time.h>

enum {
    BLOCKS = 2048,
    MID = 20000,    /* bytes; the largest of the sizes that most scenarios use */
    TINY = 64,      /* bytes */
    LARGE = 1 << 20 /* bytes */
};

#define LEARN  "HAKMEM_LEARN=1"
#define WINDOW "HAKMEM_LEARN_WINDOW_MS=5"
#define FEW    "HAKMEM_LEARN_MIN_SAMPLES=16"
#define SOON   "HAKMEM_FREEZE_SEC=1"
#define FAST   LEARN, WINDOW, FEW
#define HIGH   "HAKMEM_TARGET_HIT_MID=1" /* more than any program gets */

/* --- the program that is run -------------------------------------------------------------------------------------- */

static void *blocks[BLOCKS];
static uint64_t seed = 1;

static uint64_t clock_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Random sizes up to `most`, between `least` and that for so long; many blocks live, so that slow paths are entered. With
 * pauses, as programs have them: a test waits for windows to pass. */
static void churn(size_t least, size_t most, uint64_t ms)
{
    const size_t places = most >= LARGE ? 16 : BLOCKS;
    for (const uint64_t end = clock_ms() + ms; clock_ms() < end;) {
        for (int i = 0; i < 2000; i++) {
            const size_t at = next_random(&seed) % places;
            const size_t size = least + next_random(&seed) % (most - least);
            free(blocks[at]);
            blocks[at] = malloc(size);
            CHECK(blocks[at] != NULL, "malloc(%zu)", size);
            memset(blocks[at], 1, size < 64 ? size : 64);
        }
        usleep(1000);
    }
}

static void give_all(void)
{
    for (int i = 0; i < BLOCKS; i++) {
        free(blocks[i]);
        blocks[i] = NULL;
    }
}

static void print_statistics(int fd)
{
    void (*print)(int, int) = (void (*)(int, int))dlsym(RTLD_DEFAULT, "hakmem_stats_print");
    CHECK(print != NULL, "no hakmem_stats_print");
    print(fd, 0);
}

/* What the page shows now. */
static long shown(const char *name)
{
    static char page[1 << 15];
    const int fd = memfd_create("page", MFD_CLOEXEC);
    CHECK(fd >= 0, "memfd_create");
    print_statistics(fd);
    const ssize_t length = pread(fd, page, sizeof page - 1, 0);
    page[length > 0 ? length : 0] = 0;
    close(fd);
    return number_in(page, name);
}

enum {
    OFF,
    LEARNING,
    FROZEN
};

/* False if that has not come after so long. */
static bool churn_until(size_t least, size_t most, const char *name, long value)
{
    for (const uint64_t end = clock_ms() + 20000; clock_ms() < end;) {
        churn(least, most, 20);
        if (shown(name) >= value)
            return true;
    }
    return false;
}

static long threads_now(void)
{
    long found = 0;
    DIR *tasks = opendir("/proc/self/task");
    for (struct dirent *entry; tasks != NULL && (entry = readdir(tasks)) != NULL;)
        found += entry->d_name[0] != '.';
    if (tasks != NULL)
        closedir(tasks);
    return found;
}

/* Until there are so many threads, however loaded the machine is; false if that has not come after so long. */
static bool churn_until_threads(long wanted)
{
    for (const uint64_t end = clock_ms() + 20000; clock_ms() < end;) {
        churn(1, MID, 5);
        if (threads_now() == wanted)
            return true;
    }
    return false;
}

/* For what is not to come. */
static void scenario_mid(void)
{
    const uint64_t begun = clock_ms();
    churn(1, MID, 250);
    dprintf(1, "threads=%ld\n", threads_now());
    print_statistics(1);
    dprintf(1, "ms=%ld\n", (long)(clock_ms() - begun));
}

static void scenario_thread(void)
{
    dprintf(1, "thread=%d\n", churn_until_threads(2));
}

/* However loaded the machine is. */
static void scenario_windows(void)
{
    churn_until(1, MID, "learner_windows = ", 60);
    dprintf(1, "threads=%ld\n", threads_now());
    print_statistics(1);
}

/* Until the cap is as large as it gets; later it may be a step lower, for a window. */
static void scenario_widest(void)
{
    churn_until(1, MID, "learner_cap_mid_kb = ", 4096);
    print_statistics(1);
}

static void scenario_large(void)
{
    churn_until(300 << 10, 2 * LARGE, "learner_windows = ", 60);
    print_statistics(1);
}

static void scenario_long(void)
{
    churn(1, MID, 1500);
    dprintf(1, "threads=%ld\n", threads_now());
    print_statistics(1);
}

/* Blocks of one size taken and given in turns, until there were so many windows. */
static void take_in_turns(size_t size, int turns)
{
    for (const uint64_t end = clock_ms() + 20000; clock_ms() < end && shown("learner_windows = ") < 60;) {
        for (int i = 0; i < 20000; i++) {
            blocks[i % turns] = malloc(size);
            CHECK(blocks[i % turns] != NULL, "malloc(%zu)", size);
            if (i % turns == turns - 1)
                give_all();
        }
        usleep(1000);
    }
    print_statistics(1);
}

/* More than their bin holds at first, and less than it may hold. */
static void scenario_runs(void)
{
    take_in_turns(128 << 10, 6);
}

/* The largest size that has a bin. */
static void scenario_largest(void)
{
    take_in_turns(256 << 10, 6);
}

/* Frozen, and until its thread has gone. */
static void scenario_frozen(void)
{
    churn_until(1, MID, "learner_state = ", FROZEN);
    dprintf(1, "gone=%d\n", churn_until_threads(1));
    print_statistics(1);
}

/* Frozen, and until it has looked a few times. */
static void scenario_looking(void)
{
    churn_until(1, MID, "learner_state = ", FROZEN);
    churn_until(1, MID, "learner_looks = ", 6);
    dprintf(1, "threads=%ld\n", threads_now());
    print_statistics(1);
}

/* Half way it asks for other sizes. */
static void scenario_shift(void)
{
    dprintf(1, "frozen=%d\n", churn_until(1, MID, "learner_state = ", FROZEN));
    dprintf(1, "drifts=%ld\n", shown("learner_drifts = "));
    give_all();
    dprintf(1, "noticed=%d\n", churn_until(1, TINY, "learner_drifts = ", 1));
    dprintf(1, "again=%d\n", churn_until(1, TINY, "learner_state = ", FROZEN));
    dprintf(1, "windows=%ld\n", shown("learner_windows = "));
}

/* A line of the status of each thread but the first; what follows its name. */
static void print_status(const char *name)
{
    DIR *tasks = opendir("/proc/self/task");
    CHECK(tasks != NULL, "/proc/self/task");
    for (struct dirent *entry; (entry = readdir(tasks)) != NULL;) {
        char path[300], line[300];
        if (entry->d_name[0] == '.' || atoi(entry->d_name) == getpid())
            continue;
        snprintf(path, sizeof path, "/proc/self/task/%s/status", entry->d_name);
        FILE *file = fopen(path, "r");
        while (file != NULL && fgets(line, sizeof line, file) != NULL)
            if (strncmp(line, name, strlen(name)) == 0)
                dprintf(1, "%s", line);
        if (file != NULL)
            fclose(file);
    }
    closedir(tasks);
}

static void scenario_signals(void)
{
    churn_until_threads(2);
    print_status("SigBlk:");
}

static void scenario_user(void)
{
    churn_until_threads(2);
    CHECK(setuid(65534) == 0, "setuid");
    print_status("Uid:");
}

static void print_gone(void)
{
    dprintf(1, "gone=%ld\n", (long)clock_ms());
}

static void *churn_a_while(void *unused)
{
    churn(1, MID, 100);
    dprintf(1, "ended=%ld\n", (long)clock_ms());
    return unused;
}

/* The first thread is gone, the last one ends: so does the process. */
static void scenario_last(void)
{
    pthread_t thread;
    CHECK(atexit(print_gone) == 0, "atexit");
    dprintf(1, "thread=%d\n", churn_until_threads(2));
    CHECK(pthread_create(&thread, NULL, churn_a_while, NULL) == 0, "pthread_create");
    pthread_exit(NULL);
}

static void scenario_fork(void)
{
    dprintf(1, "parent=%d\n", churn_until_threads(2));
    const pid_t child = fork();
    CHECK(child >= 0, "fork");
    if (child == 0) {
        dprintf(1, "child first=%ld\n", threads_now());
        dprintf(1, "child later=%d\n", churn_until_threads(2));
        dprintf(1, "child windows=%d\n", churn_until(1, MID, "learner_windows = ", 1));
        _exit(0);
    }
    int status = -1;
    CHECK(waitpid(child, &status, 0) == child && status == 0, "the child ended with %x", (unsigned)status);
    dprintf(1, "parent later=%d\n", churn_until_threads(2));
}

/* Nothing happens for long: the thread goes, and comes back with work. */
static void scenario_idle(void)
{
    dprintf(1, "busy=%d\n", churn_until_threads(2));
    for (int i = 0; i < 1000 && threads_now() != 1; i++)
        nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    dprintf(1, "idle=%ld\n", threads_now());
    dprintf(1, "again=%d\n", churn_until_threads(2));
}

static void refuse_clone(void)
{
    struct sock_filter program[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 1, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone3, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EAGAIN),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    install_filter(program, sizeof program / sizeof *program);
}

static void scenario_refused(void)
{
    refuse_clone();
    errno = 0;
    churn(1, MID, 300);
    dprintf(1, "threads=%ld\nerrno=%d\n", threads_now(), errno);
}

static const scenario_t scenarios[] = {
    {"mid", scenario_mid},       {"windows", scenario_windows}, {"large", scenario_large},
    {"long", scenario_long},     {"shift", scenario_shift},     {"signals", scenario_signals},
    {"user", scenario_user},     {"last", scenario_last},       {"fork", scenario_fork},
    {"idle", scenario_idle},     {"refused", scenario_refused}, {"widest", scenario_widest},
    {"frozen", scenario_frozen}, {"looking", scenario_looking}, {"thread", scenario_thread},
    {"runs", scenario_runs},     {"largest", scenario_largest},
};

/* --- the judge ---------------------------------------------------------------------------------------------------- */

static void test_it_learns_only_when_asked(void **state)
{
    (void)state;
    RUN("mid", WINDOW);
    assert_int_equal(told("threads="), 1);
    assert_int_equal(told("learner_state = "), OFF);
    RUN("windows", FAST);
    assert_int_equal(told("threads="), 2);
    assert_int_equal(told("learner_state = "), LEARNING);
    assert_true(told("learner_windows = ") > 10 && told("learner_changes = ") > 0);
    assert_true(told("learner_faults_minor = ") > 0 && told("refills_mid = ") > 0);
    assert_non_null(strstr(text, "  (learner)\n"));
    assert_true(told("learner_cost_p50 = ") >= 0 &&
                told("learner_cost_p99 = ") >= told("learner_cost_p50 = "));
}

static void test_the_mode_evolving(void **state)
{
    (void)state;
    RUN("thread", "HAKMEM_MODE=evolving", WINDOW);
    assert_int_equal(told("thread="), 1);
    RUN("mid", "HAKMEM_MODE=evolving", "HAKMEM_LEARN=0", WINDOW);
    assert_int_equal(told("threads="), 1);
    RUN("mid", "HAKMEM_MODE=minimal", FAST); /* nothing is counted there */
    assert_int_equal(told("threads="), 1);
    assert_non_null(strstr(text, "HAKMEM_LEARN=1 changes nothing with HAKMEM_STATS=off"));
}

static void test_windows_and_samples(void **state)
{
    (void)state;
    RUN("mid", LEARN, FEW, "HAKMEM_LEARN_WINDOW_MS=150");
    assert_in_range(told("learner_windows = "), 0, told("ms=") / 150 + 1);
    RUN("mid", LEARN, WINDOW, "HAKMEM_LEARN_MIN_SAMPLES=1000000000");
    assert_int_equal(told("learner_windows = "), 0);
}

static void test_targets_steps_and_budgets(void **state)
{
    (void)state;
    RUN("windows", FAST, "HAKMEM_TARGET_HIT_MID=0.0");
    assert_int_equal(told("learner_cap_mid_kb = "), 1024);
    assert_int_equal(told("learner_bundle = "), 1);
    RUN("widest", FAST, HIGH);
    assert_int_equal(told("learner_cap_mid_kb = "), 4096);
    assert_int_equal(told("HAKMEM_BIN_MID_KB = "), 4096);
    assert_int_equal(told("HAKMEM_BIN_RUN_KB = "), 1024);
    assert_int_equal(told("learner_bundle = "), 4);
    assert_int_equal(told("HAKMEM_CARVE_BYTES = "), 16384);
    RUN("windows", FAST, HIGH, "HAKMEM_CAP_STEP_MID=0");
    assert_int_equal(told("learner_cap_mid_kb = "), 1024);
    RUN("windows", FAST, HIGH, "HAKMEM_BUDGET_MID=2");
    assert_int_equal(told("learner_cap_mid_kb = "), 2048);
    assert_int_equal(told("HAKMEM_BIN_RUN_KB = "), 512);
    RUN("large", FAST, "HAKMEM_TARGET_HIT_LARGE=0");
    assert_int_equal(told("learner_cap_large_kb = "), 4096);
    RUN("large", FAST, "HAKMEM_TARGET_HIT_LARGE=1");
    assert_int_equal(told("learner_cap_large_kb = "), 16384);
    assert_int_equal(told("HAKMEM_HEAP_CACHE_KB = "), 16384);
    RUN("large", FAST, "HAKMEM_TARGET_HIT_LARGE=1", "HAKMEM_CAP_STEP_LARGE=0");
    assert_int_equal(told("learner_cap_large_kb = "), 4096);
    RUN("large", FAST, "HAKMEM_TARGET_HIT_LARGE=1", "HAKMEM_BUDGET_LARGE=1");
    assert_int_equal(told("learner_cap_large_kb = "), 1024);
}

/* What is counted as met or not is what bins were asked for, to the byte; and what the controller raises is what decides. */
static void test_the_sizes_that_bins_have(void **state)
{
    (void)state;
    RUN("largest", FAST, "HAKMEM_DISABLE_ELO=1");
    assert_in_range(told("learner_hit_mid = "), 1, 600);
    assert_int_equal(told("learner_hit_large = "), 1000); /* nobody asked */
    assert_int_equal(told("learner_cap_mid_kb = "), 4096);
    RUN("runs", FAST, HIGH, "HAKMEM_DISABLE_ELO=1", "HAKMEM_CAP_STEP_MID=0");
    const long before = told("learner_hit_mid = ");
    RUN("runs", FAST, HIGH, "HAKMEM_DISABLE_ELO=1");
    assert_true(told("learner_hit_mid = ") > before + 200);
}

static bool all_ratings_are_equal(void)
{
    for (int i = 0; i < 12; i++) {
        char name[40];
        snprintf(name, sizeof name, "learner_rating_%d = ", i);
        if (told(name) != 1500)
            return false;
    }
    return true;
}

static void test_parts_that_can_be_turned_off(void **state)
{
    (void)state;
    RUN("windows", FAST, HIGH, "HAKMEM_ACE_ENABLED=0");
    assert_int_equal(told("learner_cap_mid_kb = "), 1024);
    assert_int_equal(told("learner_bundle = "), 1);
    RUN("windows", FAST, "HAKMEM_DISABLE_ELO=1");
    assert_int_equal(told("learner_strategy = "), 0);
    assert_true(told("learner_windows = ") > 50 && all_ratings_are_equal());
    assert_in_range(told("HAKMEM_POPULATE_KB = "), 64, 2048); /* the threshold is learned all the same */
    RUN("windows", FAST, "HAKMEM_DISABLE_ELO=1", "HAKMEM_DISABLE_UCB=1");
    assert_int_equal(told("HAKMEM_POPULATE_KB = "), 0);
    RUN("windows", FAST, "HAKMEM_DISABLE_ELO=0", "HAKMEM_DISABLE_UCB=1");
    assert_false(all_ratings_are_equal());
    assert_int_equal(told("learner_threshold_kb = "), 64);
    RUN("mid", FAST, "HAKMEM_EVO_POLICY=frozen");
    assert_int_equal(told("threads="), 1);
    assert_int_equal(told("learner_state = "), FROZEN);
    assert_int_equal(told("learner_windows = "), 0);
    RUN("windows", FAST, "HAKMEM_EVO_SAMPLE=0");
    assert_true(told("learner_refill_p50 = ") > 0);
    RUN("windows", FAST, "HAKMEM_EVO_SAMPLE=30");
    assert_int_equal(told("learner_refill_p50 = "), 0);
}

static void test_freezing_and_looking(void **state)
{
    (void)state;
    RUN("frozen", FAST, SOON, "HAKMEM_DISABLE_ELO=1", "HAKMEM_CANARY_FRAC=0");
    assert_int_equal(told("learner_state = "), FROZEN);
    assert_int_equal(told("learner_looks = "), 0);
    assert_int_equal(told("gone="), 1); /* nothing is left to do */
    RUN("looking", FAST, SOON, "HAKMEM_DISABLE_ELO=1", "HAKMEM_CANARY_FRAC=50");
    assert_true(told("learner_looks = ") > 5);
    assert_int_equal(told("threads="), 2);
    RUN("long", FAST, "HAKMEM_FREEZE_SEC=100", "HAKMEM_DISABLE_ELO=1");
    assert_int_equal(told("learner_state = "), LEARNING);
}

static void test_another_pattern_is_noticed_and_learned(void **state)
{
    (void)state;
    RUN("shift", FAST, SOON, "HAKMEM_CANARY_FRAC=30");
    assert_int_equal(told("frozen="), 1);
    assert_int_equal(told("drifts="), 0);
    assert_int_equal(told("noticed="), 1);
    assert_int_equal(told("again="), 1);
}

static void test_what_the_user_set_stays(void **state)
{
    (void)state;
    RUN("windows", FAST, HIGH, "HAKMEM_PURGE_DELAY_MS=777", "HAKMEM_BIN_MID_KB=512");
    assert_true(told("learner_changes = ") > 0);
    assert_int_equal(told("HAKMEM_PURGE_DELAY_MS = "), 777);
    assert_int_equal(told("HAKMEM_BIN_MID_KB = "), 512);
}

static void test_it_gets_no_signals(void **state)
{
    (void)state;
    RUN("signals", FAST);
    const char *line = strstr(text, "SigBlk:\t");
    assert_non_null(line);
    const uint64_t never = 1ull << (SIGKILL - 1) | 1ull << (SIGSTOP - 1) | 3ull << 31; /* and libc's two */
    assert_true((strtoull(line + 8, NULL, 16) | never) == UINT64_MAX);
}

static void test_it_becomes_another_user_too(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip();
    RUN("user", FAST);
    assert_non_null(strstr(text, "Uid:\t65534\t65534\t65534\t65534"));
}

static void test_it_keeps_no_process_alive(void **state)
{
    (void)state;
    assert_int_equal(RUN("last", LEARN, FEW, WINDOW, SOON, "HAKMEM_DISABLE_ELO=1"), 0);
    assert_int_equal(told("thread="), 1);
    /* Not until so many windows have passed without work that the thread goes anyway: 16, which are eight seconds. */
    assert_int_equal(RUN("last", LEARN, FEW, "HAKMEM_LEARN_WINDOW_MS=500", "HAKMEM_CANARY_FRAC=1"), 0);
    assert_int_equal(told("thread="), 1);
    assert_true(told("ended=") > 0);
    assert_in_range(told("gone=") - told("ended="), 0, 4000);
}

static void test_a_child_has_its_own(void **state)
{
    (void)state;
    assert_int_equal(RUN("fork", FAST), 0);
    assert_int_equal(told("parent="), 1);
    assert_int_equal(told("child first="), 1);
    assert_int_equal(told("child later="), 1);
    assert_int_equal(told("child windows="), 1);
    assert_int_equal(told("parent later="), 1);
}

static void test_it_does_not_wake_an_idle_process(void **state)
{
    (void)state;
    RUN("idle", FAST);
    assert_int_equal(told("busy="), 1);
    assert_int_equal(told("idle="), 1);
    assert_int_equal(told("again="), 1);
}

static void test_no_thread_is_one_warning(void **state)
{
    (void)state;
    if (RUN("refused", FAST) == TEST_SKIPPED << 8)
        skip();
    const char *line = strstr(text, "hakmem: warning: HAKMEM_LEARN=1: the system gives no thread");
    assert_ptr_equal(line, text);
    assert_null(strstr(line + 1, "hakmem:"));
    assert_int_equal(told("threads="), 1);
    assert_int_equal(told("errno="), 0);
}

int main(int argc, char **argv)
{
    if (argc > 1)
        return run_scenario(scenarios, sizeof scenarios / sizeof *scenarios, argv[1]);
    if (!find_variant() || strcmp(variant, "learning") != 0)
        return TEST_SKIPPED; /* the only one with a learner */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_it_learns_only_when_asked),
        cmocka_unit_test(test_the_mode_evolving),
        cmocka_unit_test(test_windows_and_samples),
        cmocka_unit_test(test_targets_steps_and_budgets),
        cmocka_unit_test(test_the_sizes_that_bins_have),
        cmocka_unit_test(test_parts_that_can_be_turned_off),
        cmocka_unit_test(test_freezing_and_looking),
        cmocka_unit_test(test_another_pattern_is_noticed_and_learned),
        cmocka_unit_test(test_what_the_user_set_stays),
        cmocka_unit_test(test_it_gets_no_signals),
        cmocka_unit_test(test_it_becomes_another_user_too),
        cmocka_unit_test(test_it_keeps_no_process_alive),
        cmocka_unit_test(test_a_child_has_its_own),
        cmocka_unit_test(test_it_does_not_wake_an_idle_process),
        cmocka_unit_test(test_no_thread_is_one_warning),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
