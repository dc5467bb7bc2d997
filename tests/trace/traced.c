/* SPDX-License-Identifier: MIT */
/* A program whose calls are known: tests/test_trace.py records it. Each way prints what it did with blocks of the sizes that no
 * other code asks for: 7,000 to 7,999 bytes. */
#define _GNU_SOURCE
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    BLOCKS = 300,
    THREADS = 4,
    SIZE = 7000,
};

static void *blocks[THREADS][BLOCKS];

static void *opaque(void *p)
{
    __asm__ volatile("" : "+r"(p) : : "memory");
    return p;
}

static void take(unsigned row, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        blocks[row][i] = opaque(malloc(SIZE + i));
}

static void give(unsigned row, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        free(blocks[row][i]);
}

/* Each kind of call; errno stays. */
static int way_kinds(void)
{
    errno = 77;
    void *a = opaque(malloc(7001)), *b = opaque(calloc(7, 1001)), *c = opaque(aligned_alloc(4096, 7168)),
         *d = NULL;
    if (posix_memalign(&d, 64, 7003) != 0)
        return 1;
    d = opaque(d);
    a = opaque(realloc(a, 7500));
    b = opaque(realloc(b, 7501));
    void *e = opaque(realloc(NULL, 7004)), *f = opaque(memalign(256, 7005));
    e = opaque(realloc(e, 0)); /* a free */
    free(a);
    free(b);
    free(c);
    free(d);
    free(NULL);
    if (opaque(malloc(PTRDIFF_MAX)) != NULL || errno != ENOMEM)
        return 1;
    return f == NULL || e != NULL;
}

static void *fill_row(void *row)
{
    take((unsigned)(uintptr_t)row, BLOCKS);
    return NULL;
}

/* Blocks of threads, freed by the first one. */
static int way_threads(void)
{
    pthread_t threads[THREADS];
    for (uintptr_t i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, fill_row, (void *)i);
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        give(i, BLOCKS);
    }
    return 0;
}

static int way_fork(void)
{
    take(0, BLOCKS);
    const pid_t child = fork();
    if (child == 0) {
        give(0, 100);
        take(1, 50);
        exit(0);
    }
    int status = 1;
    waitpid(child, &status, 0);
    give(0, BLOCKS);
    printf("%d\n", (int)child);
    return status;
}

static volatile int stop;

static void *churn(void *row)
{
    while (!stop) {
        take((unsigned)(uintptr_t)row, BLOCKS);
        give((unsigned)(uintptr_t)row, BLOCKS);
    }
    return NULL;
}

/* Children of a process whose other threads are in the middle of calls. */
static int way_fork_busy(void)
{
    pthread_t threads[2];
    for (uintptr_t i = 0; i < 2; i++)
        pthread_create(&threads[i], NULL, churn, (void *)(i + 1));
    int failed = 0;
    for (int i = 0; i < 40; i++) {
        const pid_t child = fork();
        if (child == 0) {
            take(0, 50);
            give(0, 50);
            exit(0);
        }
        int status = 1;
        waitpid(child, &status, 0);
        failed |= status;
    }
    stop = 1;
    pthread_join(threads[0], NULL);
    pthread_join(threads[1], NULL);
    return failed != 0;
}

static int way_exec(void)
{
    take(0, BLOCKS);
    execl("/proc/self/exe", "traced", "kinds", (char *)NULL);
    return 1;
}

static int way_kill(void)
{
    take(0, BLOCKS);
    raise(SIGKILL);
    return 1;
}

static int way_quick(void)
{
    take(0, BLOCKS);
    _exit(0);
}

/* Much more than a MiB of a trace. */
static int way_long(void)
{
    for (int i = 0; i < 600; i++) {
        take(0, BLOCKS);
        give(0, BLOCKS);
    }
    return 0;
}

/* The file may not grow; SIGXFSZ is as it is. */
static int way_small_file(void)
{
    const struct rlimit limit = {100000, 100000};
    setrlimit(RLIMIT_FSIZE, &limit);
    return way_long();
}

/* All descriptors are closed, and their numbers used for a file of the program's. */
static int way_closed(void)
{
    for (int i = 3; i < 100; i++)
        close(i);
    const int own = dup(1);
    way_long();
    return own < 0;
}

static volatile sig_atomic_t ticks;

static void on_tick(int signal)
{
    (void)signal;
    ticks++;
    free(opaque(malloc(7999)));
}

/* Handlers that allocate, in the middle of calls. */
static int way_signals(void)
{
    struct sigaction action = {.sa_handler = on_tick, .sa_flags = SA_RESTART};
    const struct itimerval every = {{0, 200}, {0, 200}}, never = {{0, 0}, {0, 0}};
    on_tick(
        0); /* from now on, both sizes are in their bins: nothing else than the recording can be in the way */
    take(0, 1);
    give(0, 1);
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &every, NULL);
    for (int i = 0; i < 2000000 && ticks < 300; i++) {
        take(0, 1);
        give(0, 1);
    }
    setitimer(ITIMER_REAL, &never, NULL);
    return 0;
}

static int way_wait(void)
{
    char byte;
    take(0, BLOCKS);
    printf("ready\n");
    fflush(stdout);
    return read(0, &byte, 1) < 0;
}

static const struct {
    const char *name;
    int (*run)(void);
} ways[] = {
    {"kinds", way_kinds},
    {"threads", way_threads},
    {"fork", way_fork},
    {"fork_busy", way_fork_busy},
    {"exec", way_exec},
    {"kill", way_kill},
    {"quick", way_quick},
    {"long", way_long},
    {"wait", way_wait},
    {"closed", way_closed},
    {"small_file", way_small_file},
    {"signals", way_signals},
};

int main(int argc, char **argv)
{
    for (size_t i = 0; argc > 1 && i < sizeof ways / sizeof *ways; i++)
        if (strcmp(ways[i].name, argv[1]) == 0)
            return ways[i].run();
    return 2;
}
