/* SPDX-License-Identifier: MIT */
/* The system calls of the allocator, all of them: a program behind a seccomp filter may rely on this list. Whatever
 * else the process calls ends it here with the number.
 *
 * call           arguments                        when
 * mmap           anonymous, private               memory for a chunk or a big block; the map at the first request
 * munmap                                          a big block freed, memory out, malloc_trim
 * mremap                                          a big block resized
 * mprotect       read and write                   the map's next window of 4 GiB
 * madvise        DONTNEED, (NO)HUGEPAGE           memory given back, advice on new memory
 * futex          WAIT and WAKE, private           a lock that another thread holds
 * clock_gettime  CLOCK_MONOTONIC_COARSE           only where the vDSO has none
 * rt_sigaction   SIGUSR2                          only `research` and `debug`, once when loaded
 * write          to stderr                        only messages: bad options, corruption, statistics when asked;
 * rt_sigprocmask around it, and rt_sigtimedwait if it fails
 * getrandom, prlimit64, madvise WIPEONFORK        once each, when loaded; prlimit64 when memory is out, too
 * rt_sigprocmask, getpid, gettid                  in a forked child, once
 * pthread_create's, getpid, getrusage, getrandom  only `learning`, with HAKMEM_LEARN=1: its thread
 * getpid, gettid, tgkill with signal 0            when a thread needs a heap and more than 16 are in use
 *
 * The program itself needs exit_group and rt_sigreturn. "start" puts the filter up before the program's and libc's
 * constructors run, "threads" when two threads of the process are already there, which then allocate for each other. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <malloc.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include "threads.h"

static const unsigned allowed[] = {SYS_mmap,    SYS_munmap,     SYS_mremap,        SYS_mprotect,
                                   SYS_madvise, SYS_futex,      SYS_clock_gettime, SYS_rt_sigaction,
                                   SYS_write,   SYS_exit_group, SYS_rt_sigreturn};

enum {
    ALLOWED = sizeof allowed / sizeof *allowed
};

/* Before the constructors libc cannot format numbers yet. */
static void refused(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)context;
    char text[] = "system call 000 is not in the list\n";
    const unsigned number = (unsigned)info->si_syscall;
    for (unsigned i = 14, rest = number; i >= 12; i--, rest /= 10)
        text[i] = (char)('0' + rest % 10);
    _exit(write(2, text, sizeof text - 1) < 0 ? 2 : 1);
}

/* From here on every thread of the process is behind the filter. Allocates nothing. */
static void install(void)
{
    struct sigaction action = {.sa_sigaction = refused, .sa_flags = SA_SIGINFO | SA_NODEFER};
    CHECK(sigaction(SIGSYS, &action, NULL) == 0, "sigaction");
    struct sock_filter program[ALLOWED + 3];
    program[0] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    for (size_t i = 0; i < ALLOWED; i++) {
        const unsigned char ahead = (unsigned char)(ALLOWED - i);
        program[i + 1] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, allowed[i], ahead, 0);
    }
    program[ALLOWED + 1] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP);
    program[ALLOWED + 2] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    const struct sock_fprog filter = {ALLOWED + 3, program};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &filter) != 0) {
        dprintf(1, "no seccomp filter here: errno %d\n", errno);
        _exit(TEST_SKIPPED);
    }
}

static void before_constructors(int argc, char **argv, char **environment)
{
    (void)environment;
    if (argc > 1 && strcmp(argv[1], "start") == 0)
        install();
}

__attribute__((section(".preinit_array"), used)) static void (*entry)(int, char **,
                                                                      char **) = before_constructors;

static void churn(uint64_t random)
{
    static _Atomic(void *) shared[64];
    void *kept[200] = {NULL};
    for (int step = 0; step < 60000; step++) {
        const size_t i = next_random(&random) % 200;
        free(kept[i]);
        kept[i] = malloc(step % 2000 == 0 ? next_random(&random) % (9u << 20) : random_size(&random, 300000));
        CHECK(kept[i] != NULL, "no memory");
        if (step % 16 == 0)
            kept[i] = atomic_exchange(&shared[next_random(&random) % 64], kept[i]);
        if (step % 20000 == 19999)
            malloc_trim(0);
    }
    for (size_t i = 0; i < 200; i++)
        free(kept[i]);
}

static atomic_int running;
static atomic_int behind_filter;
static atomic_int finished;

static void *work(void *index)
{
    atomic_fetch_add(&running, 1);
    while (!atomic_load(&behind_filter)) {
    }
    churn((uintptr_t)index + 3);
    atomic_fetch_add(&finished, 1);
    while (1) { /* to end a thread takes system calls of libc's */
    }
    return NULL;
}

static void big_blocks(void)
{
    char *block = NULL;
    for (size_t size = 1u << 20; size < 200u << 20; size = size * 3 / 2) {
        block = realloc(block, size);
        CHECK(block != NULL, "no memory for %zu bytes", size);
        block[size - 1] = 1;
    }
    block = realloc(block, 3u << 20);
    free(realloc(block, 100));
    free(escape(memalign(64u << 20, 5u << 20)));
    CHECK(malloc(opaque(PTRDIFF_MAX)) == NULL, "a block of half the address space");
}

int main(int argc, char **argv)
{
    const int threaded = argc > 1 && strcmp(argv[1], "threads") == 0;
    if (threaded) {
        pthread_t thread;
        for (intptr_t i = 0; i < 2; i++)
            CHECK(pthread_create(&thread, NULL, work, (void *)i) == 0, "pthread_create");
        while (atomic_load(&running) < 2) {
        }
        install();
        atomic_store(&behind_filter, 1);
    }
    churn(1);
    big_blocks();
    use_every_size();
    while (threaded && atomic_load(&finished) < 2) {
    }
    malloc_trim(0);
    _exit(0);
}
