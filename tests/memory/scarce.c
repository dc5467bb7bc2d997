/* SPDX-License-Identifier: MIT */
/* Requests that nobody can meet, and a limit that is reached once, do not make what follows slow: a while later big blocks come
 * from what is kept, as before. Told by the system calls, of which the program counts munmap and mmap. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>

#include "check.h"

/* Volatile, since libc's headers tell the compiler that free calls nothing in this file. */
static volatile long calls;

void *mmap(void *address, size_t size, int protection, int flags, int file, off_t offset)
{
    calls++;
    return (void *)syscall(SYS_mmap, address, size, protection, flags, file, offset);
}

int munmap(void *address, size_t size)
{
    calls++;
    return (int)syscall(SYS_munmap, address, size);
}

/* Takes `count` blocks of `size` bytes and a little more each, and frees them. */
static void come_and_go(size_t count, size_t size)
{
    char *volatile blocks[100];
    for (size_t i = 0; i < count; i++) {
        blocks[i] = malloc(size + i * (size / 100));
        CHECK(blocks[i] != NULL, "no block");
        blocks[i][0] = 1;
    }
    for (size_t i = 0; i < count; i++)
        free(blocks[i]);
}

/* What is free between two rounds: 30 MiB of blocks that have mappings of their own, and 32 MiB of the pool. */
static long calls_of_a_loop(void)
{
    const long before = calls;
    for (int i = 0; i < 2000; i++)
        come_and_go(6, 5u << 20);
    for (int i = 0; i < 200; i++)
        come_and_go(80, 280000);
    return calls - before;
}

static void refuse_once(void)
{
    /* The limit is just above what there is: the cache has to go back for this one. */
    char *volatile kept = malloc(40u << 20);
    kept[0] = 1;
    free(kept);
    char line[4096];
    const int file = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    const ssize_t length = read(file, line, sizeof line - 1);
    close(file);
    line[length > 0 ? length : 0] = 0;
    const rlim_t pages = strtoul(line, NULL, 10);
    struct rlimit old;
    getrlimit(RLIMIT_AS, &old);
    const struct rlimit tight = {pages * 4096 + (8u << 20), old.rlim_max};
    CHECK(setrlimit(RLIMIT_AS, &tight) == 0, "setrlimit");
    char *volatile block = malloc(45u << 20);
    free(block);
    CHECK(setrlimit(RLIMIT_AS, &old) == 0, "setrlimit");
    CHECK(block != NULL, "refused, though what is free would have been enough");
}

int main(void)
{
    const long usual = calls_of_a_loop();
    for (int i = 0; i < 3; i++) {
        errno = 0;
        CHECK(malloc((size_t)1 << 46) == NULL && errno == ENOMEM, "2^46 bytes: errno %d", errno);
    }
    const long after = calls_of_a_loop();
    CHECK(after < usual + 100, "%ld mmap and munmap in a loop, %ld after a request that nobody can meet",
          usual, after);
    refuse_once();
    calls_of_a_loop(); /* the clock is looked at */
    const struct timespec pause = {2, 200000000};
    nanosleep(&pause, NULL);
    calls_of_a_loop();
    const long healed = calls_of_a_loop();
    CHECK(healed < usual + 100, "%ld mmap and munmap in a loop, %ld two seconds after one was refused", usual,
          healed);
    return 0;
}
