/* SPDX-License-Identifier: MIT */
/* Sandboxes that refuse what the allocator can do without: flags of mmap, advice, protection, clocks, random numbers, numbers of
 * processes and threads, signal masks, limits. Whichever they refuse, with whichever error, before the start or later: memory
 * can be had and goes back. */
#define _GNU_SOURCE
#include <errno.h>
#include <malloc.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include "filter.h"
#include "threads.h"

#define LOAD(offset)          BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (offset))
#define SKIP_UNLESS(value, n) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (value), 0, (n))
#define RETURN(value)         BPF_STMT(BPF_RET | BPF_K, (value))
#define NUMBER                offsetof(struct seccomp_data, nr)
#define ARGUMENT(i)           (offsetof(struct seccomp_data, args) + 8 * (i))

static const struct refusal {
    const char *name;
    unsigned call;
    unsigned flags; /* of mmap: refused if any is there */
    int late;       /* what the linker needs itself cannot be refused before the start */
} refusals[] = {
    {"MAP_NORESERVE", SYS_mmap, MAP_NORESERVE, 0},
    {"MAP_FIXED_NOREPLACE", SYS_mmap, MAP_FIXED_NOREPLACE, 0},
    {"both", SYS_mmap, MAP_NORESERVE | MAP_FIXED_NOREPLACE, 0},
    {"madvise", SYS_madvise, 0, 0},
    {"mprotect", SYS_mprotect, 0, 1},
    {"getrandom", SYS_getrandom, 0, 0},
    {"clock_gettime", SYS_clock_gettime, 0, 0},
    {"prlimit64", SYS_prlimit64, 0, 0},
    {"rt_sigprocmask", SYS_rt_sigprocmask, 0, 1},
    {"gettid", SYS_gettid, 0, 0},
    {"getpid", SYS_getpid, 0, 0},
    {"tgkill", SYS_tgkill, 0, 0},
    {"mremap", SYS_mremap, 0, 0},
};

enum {
    REFUSALS = sizeof refusals / sizeof *refusals,
    THREADS = 8
};

static void refuse(const struct refusal *refusal, unsigned error)
{
    struct sock_filter program[] = {
        LOAD(NUMBER),
        SKIP_UNLESS(refusal->call, 3),
        LOAD(ARGUMENT(3)),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, refusal->flags != 0 ? refusal->flags : 0xffffffffu, 0, 1),
        RETURN(SECCOMP_RET_ERRNO | error),
        RETURN(SECCOMP_RET_ALLOW),
    };
    if (refusal->flags == 0) /* whatever the arguments are */
        program[3] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_IMM, 0);
    install_filter(program, sizeof program / sizeof *program);
}

static void *use(void *unused)
{
    enum {
        SLOTS = 60
    };
    void *blocks[SLOTS] = {NULL};
    uint64_t random = 3;
    for (int step = 0; step < fewer_in_debug(500); step++) {
        const size_t i = next_random(&random) % SLOTS;
        free(blocks[i]);
        const size_t size = step % 100 == 0 ? 6000000 : random_size(&random, 300000);
        blocks[i] = malloc(size);
        CHECK(blocks[i] != NULL, "no memory for %zu bytes", size);
        memset(blocks[i], 7, size < 5000 ? size : 5000);
    }
    for (size_t i = 0; i < SLOTS; i++)
        free(blocks[i]);
    (void)unused;
    return NULL;
}

static void fork_and_use(const char *what)
{
    const pid_t child = fork();
    if (child == 0) {
        alarm(20);
        use(NULL);
        _exit(0);
    }
    expect_child_succeeds(child, what);
}

static atomic_int done;

static void *use_until_done(void *unused)
{
    while (!atomic_load(&done)) {
        use(unused);
        malloc_trim(0); /* holds locks for long */
    }
    return NULL;
}

/* Children of a process whose other thread is likely to hold a lock; where advice is refused, the system does not tell them. */
static void fork_in_the_middle(void)
{
    pthread_t thread;
    atomic_store(&done, 0);
    CHECK(pthread_create(&thread, NULL, use_until_done, NULL) == 0, "pthread_create");
    /* A copy of memory that was cleared by hand, for want of advice, costs a child thirty times as much. */
    const int forks = is_variant("hardened") || is_variant("debug") ? 30 : 200;
    for (int i = 0; i < forks; i++)
        fork_and_use("a child forked while a thread allocates");
    atomic_store(&done, 1);
    pthread_join(thread, NULL);
}

static void use_all(int threads)
{
    use(NULL);
    use_every_size();
    CHECK(run_threads(threads, use) == 0, "threads");
    fork_and_use("a child in the sandbox");
    malloc_trim(0);
    use(NULL);
}

static void expect(pid_t child, const struct refusal *refusal, unsigned error, const char *when)
{
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child, "waitpid");
    if (WIFEXITED(status) && WEXITSTATUS(status) == TEST_SKIPPED)
        exit(TEST_SKIPPED);
    CHECK(status == 0, "%s refused with %u %s: status 0x%x", refusal->name, error, when, status);
}

int main(int argc, char **argv)
{
    if (argc > 1) {
        alarm(60);
        use_all(THREADS);
        if (strcmp(argv[1], "madvise") == 0)
            fork_in_the_middle();
        return 0;
    }
    static const unsigned errors[] = {EACCES, EINVAL, EPERM, ENOSYS}; /* mprotect gets the first one */
    for (size_t i = 0; i < REFUSALS; i++) {
        const unsigned error = errors[i % 4];
        for (int late = refusals[i].late; late < 2; late++) {
            const pid_t child = fork();
            if (child == 0) {
                alarm(60);
                refuse(&refusals[i], error);
                if (late) {
                    use_all(refusals[i].call == SYS_mprotect ? 0
                                                             : THREADS); /* libc needs it to start a thread */
                    _exit(0);
                }
                execl("/proc/self/exe", argv[0], refusals[i].name, NULL);
                _exit(9);
            }
            expect(child, &refusals[i], error, late ? "later" : "before the start");
        }
    }
    for (size_t i = 0; i < 3; i++) { /* the flags of mmap with every error, before the start */
        for (size_t k = 0; k < 4; k++) {
            const pid_t child = fork();
            if (child == 0) {
                refuse(&refusals[i], errors[k]);
                execl("/proc/self/exe", argv[0], refusals[i].name, NULL);
                _exit(9);
            }
            expect(child, &refusals[i], errors[k], "before the start");
        }
    }
    return 0;
}
