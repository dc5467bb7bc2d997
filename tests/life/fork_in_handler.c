/* SPDX-License-Identifier: MIT */
/* A signal handler forks while its thread is in the middle of malloc or free, as POSIX.1-2017 allows. The child returns from the
 * handler into the interrupted call and goes on: with small, mid and large blocks, alone or with another thread in the parent
 * that is at the same locks. */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/time.h>
#include "threads.h"

enum {
    SLOTS = 50,
    FORKS = 20
};

static volatile int in_child, forks;
static atomic_int done;

static void again_in(int microseconds)
{
    const struct itimerval timer = {.it_value = {.tv_usec = microseconds}};
    setitimer(ITIMER_REAL, &timer, NULL);
}

static void fork_here(int signal)
{
    (void)signal;
    const int saved = errno;
    const pid_t child = fork();
    if (child == 0) {
        in_child = 1;
        again_in(0);
    } else {
        int status = 0;
        while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
        }
        CHECK(child > 0 && status == 0, "fork %d: the child's status is 0x%x", forks, status);
        forks++;
        if (forks < FORKS)
            again_in(200 + forks * 37 % 200); /* not so soon that the thread gets nowhere on a busy machine */
    }
    errno = saved;
}

/* Returns in the parent after FORKS, never in a child. */
static void allocate(size_t least, size_t most)
{
    static unsigned char *blocks[SLOTS];
    static size_t sizes[SLOTS];
    uint64_t random = 88172645463325252ull;
    int after = 0;
    forks = 0;
    again_in(100);
    while (forks < FORKS) {
        const size_t i = next_random(&random) % SLOTS;
        CHECK(blocks[i] == NULL || (blocks[i][0] == i && blocks[i][sizes[i] - 1] == i), "a block changed");
        free(blocks[i]);
        sizes[i] = least + next_random(&random) % (most - least);
        blocks[i] = malloc(sizes[i]);
        CHECK(blocks[i] != NULL, "no memory for %zu bytes", sizes[i]);
        blocks[i][0] = blocks[i][sizes[i] - 1] = (unsigned char)i;
        after += in_child;
        if (after > 100)
            _exit(0);
    }
    again_in(0);
    for (size_t i = 0; i < SLOTS; i++) {
        free(blocks[i]);
        blocks[i] = NULL;
    }
}

static void *meet(void *unused)
{
    uint64_t random = 7;
    void *blocks[32] = {NULL};
    while (!atomic_load(&done)) {
        const size_t i = next_random(&random) % 32;
        free(blocks[i]);
        blocks[i] = malloc(random_size(&random, 2000000));
    }
    for (size_t i = 0; i < 32; i++)
        free(blocks[i]);
    return unused;
}

static void every_size(void)
{
    allocate(1, 900);
    allocate(2000, 30000);
    allocate(40000, 250000);
    allocate(300000, 900000);
    allocate(1100000, 1400000);
}

int main(void)
{
    signal(SIGALRM, fork_here);
    every_size();
    /* The other thread takes no signal from its start on: a child of its would go on with its endless work. */
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGALRM);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, meet, NULL) == 0, "pthread_create");
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    every_size();
    atomic_store(&done, 1);
    pthread_join(thread, NULL);
    return 0;
}
