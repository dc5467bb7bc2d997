/* SPDX-License-Identifier: MIT */
/* Under a limit of memory (RLIMIT_AS, RLIMIT_DATA): a request that is larger than all of it is refused, and what is free stays. One
 * that is set while the program runs leaves room for what the allocator has mapped and does not need. Nor is a request refused for
 * what only waits, in bins, caches or quarantine. */
#include <errno.h>
#include <sys/resource.h>

#include "threads.h"

enum {
    MIB = 1 << 20,
    BLOCKS = 4000, /* 16 MiB */
    ROUNDS = 50,
    FAULTS_MOST = 8000, /* 4,096 each time that all of them have to be touched anew */
    ROOM = 12,          /* MiB that a limit leaves */
    MORE = 11,          /* MiB that can be had beyond it */
    WAITING = 30,       /* blocks of 30 MiB that were freed */
    MOST = 1800         /* MiB */
};

static long faults(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_minflt;
}

static void set_limit(int resource, rlim_t bytes)
{
    struct rlimit limit;
    CHECK(getrlimit(resource, &limit) == 0, "getrlimit");
    limit.rlim_cur = bytes;
    CHECK(setrlimit(resource, &limit) == 0, "setrlimit");
}

static void limit_space(rlim_t bytes)
{
    set_limit(RLIMIT_AS, bytes);
}

static void use_blocks(void)
{
    static char *blocks[BLOCKS];
    for (int i = 0; i < BLOCKS; i++) {
        blocks[i] = malloc(4000);
        CHECK(blocks[i] != NULL, "block %d", i);
        memset(blocks[i], 1, 4000);
    }
    for (int i = 0; i < BLOCKS; i++)
        free(blocks[i]);
}

static void ask_for_too_much(void)
{
    use_blocks();
    const long before = faults();
    for (int i = 0; i < ROUNDS; i++) {
        errno = 0;
        void *none = malloc(opaque((size_t)5000 * MIB));
        CHECK(none == NULL && errno == ENOMEM, "5,000 MiB: errno %d", errno);
        none = aligned_alloc((size_t)1 << 20, opaque((size_t)5000 * MIB));
        CHECK(none == NULL, "5,000 MiB, aligned");
        use_blocks();
    }
    const long more = faults() - before;
    CHECK(more < FAULTS_MOST, "%ld page faults in %d rounds with requests that nobody can meet", more,
          ROUNDS);
}

static void test_refused_space(void)
{
    limit_space((rlim_t)4096 * MIB);
    ask_for_too_much();
}

static void test_refused_data(void)
{
    set_limit(RLIMIT_DATA, (rlim_t)4096 * MIB);
    ask_for_too_much();
}

static void test_given_up(void)
{
    static char *blocks[300];
    limit_space((rlim_t)number_behind("/proc/self/statm", "") * 4096 + (rlim_t)ROOM * MIB);
    int count = 0;
    while (count < 300 && (blocks[count] = malloc(MIB - 4096)) != NULL)
        count++;
    CHECK(count >= ROOM + MORE, "%d MiB of the %d that the limit leaves", count, ROOM);
    for (int i = 0; i < count; i++)
        free(blocks[i]);
}

/* 900 MiB in huge blocks and all that bins and caches hold were freed: nearly all of the limit must be had. `hardened` has some
 * 600 MiB of them wait, as long as nothing was refused. */
static void free_much(void)
{
    static char *blocks[WAITING];
    limit_space((rlim_t)number_behind("/proc/self/statm", "") * 4096 + (rlim_t)2000 * MIB);
    use_every_size();
    use_blocks();
    for (int i = 0; i < WAITING; i++) {
        blocks[i] = malloc((size_t)30 * MIB);
        CHECK(blocks[i] != NULL, "block %d", i);
    }
    for (int i = 0; i < WAITING; i++)
        free(blocks[i]);
}

static void test_waiting_is_free(void)
{
    free_much();
    void *most = malloc(opaque((size_t)MOST * MIB));
    CHECK(most != NULL, "%d MiB of 2,000, of which all is free", MOST);
    free(most);
}

static void test_waiting_is_free_aligned(void)
{
    free_much();
    void *most = aligned_alloc((size_t)1 << 20, opaque((size_t)MOST * MIB));
    CHECK(most != NULL, "%d MiB of 2,000, of which all is free, aligned", MOST);
    free(most);
}

static void run_alone(void (*test)(void), const char *what) /* what one has free would be the other one's */
{
    const pid_t child = fork();
    if (child == 0) {
        test();
        _exit(0);
    }
    expect_child_succeeds(child, what);
}

int main(void)
{
    run_alone(test_given_up, "a limit set midway");
    run_alone(test_waiting_is_free, "what only waits");
    run_alone(test_waiting_is_free_aligned, "what only waits, aligned");
    run_alone(test_refused_space, "more than the address space");
    run_alone(test_refused_data, "more than RLIMIT_DATA");
    return 0;
}
