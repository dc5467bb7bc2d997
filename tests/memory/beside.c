/* SPDX-License-Identifier: MIT */
/* malloc_trim and free blocks beside others in use: the pages that lie in free blocks alone go back, also those that two of them
 * share; what is in use stays as it is; the blocks are there for the next requests, each for one. A child that is forked
 * meanwhile goes on with whole memory. */
#include <malloc.h>
#include <signal.h>

#include "threads.h"

enum {
    COUNT = 4000,
    CHECKED = 500, /* bytes at the start of each block */
    FORKS = 8
};

static unsigned char *blocks[COUNT];

static unsigned char *filled(size_t size, size_t seed)
{
    unsigned char *block = malloc(size);
    CHECK(block != NULL, "no block of %zu bytes", size);
    memset(block, 1, size);
    fill(block, CHECKED, seed);
    return block;
}

static void check_all(size_t size)
{
    for (size_t i = 0; i < COUNT; i++) {
        CHECK(blocks[i] == NULL || (is_filled(blocks[i], CHECKED, i) && blocks[i][size - 1] == 1),
              "block %zu of %zu bytes changed", i, size);
    }
}

static void free_unless(size_t every)
{
    for (size_t i = 0; i < COUNT; i++) {
        if (i % every != 0) {
            free(blocks[i]);
            blocks[i] = NULL;
        }
    }
}

static void expect_resident(long start, size_t size, size_t count, long pages_each, const char *when)
{
    const long kib = resident_kib() - start;
    /* 4 MiB more, and what the kernel leaves out of its sum: up to 31 pages of each kind on each processor. */
    const long most = (long)(count * (size + size / 8) >> 10) + (long)count * pages_each * 4 + 4096 + 512;
    CHECK(kib <= most, "%zu blocks of %zu bytes %s: %ld KiB, expected at most %ld", count, size, when, kib,
          most);
}

/* In two steps: the blocks freed in the second share pages with those of the first. */
static void pages_go_back(size_t size)
{
    const long start = resident_kib();
    for (size_t i = 0; i < COUNT; i++)
        blocks[i] = filled(size, i);
    free_unless(2);
    malloc_trim(0);
    check_all(size);
    free_unless(8);
    malloc_trim(0);
    check_all(size);
    expect_resident(start, size, COUNT / 8, 2, "live");
    for (size_t i = 0; i < COUNT; i++)
        if (blocks[i] == NULL)
            blocks[i] = filled(size, i);
    check_all(size);
    expect_resident(start, size, COUNT, 0, "in place of those before");
    for (size_t i = 0; i < COUNT; i++) {
        free(blocks[i]);
        blocks[i] = NULL;
    }
    malloc_trim(0);
    expect_resident(start, size, 0, 0, "live in the end");
}

static volatile int stops;

static void *trims(void *unused)
{
    (void)unused;
    while (!stops)
        malloc_trim(0);
    return NULL;
}

static int goes_on(size_t size)
{
    alarm(20);
    check_all(size);
    unsigned char *own[200];
    for (size_t i = 0; i < 200; i++) {
        own[i] = i % 2 ? calloc(1, size) : malloc(size);
        CHECK(i % 2 == 0 || is_zero(own[i], size), "calloc(%zu) in a child", size);
        memset(own[i], 1, size);
        fill(own[i], CHECKED, i + COUNT);
    }
    for (size_t i = 0; i < 200; i++)
        CHECK(is_filled(own[i], CHECKED, i + COUNT), "a child's block %zu changed", i);
    free_unless(16);
    malloc_trim(0);
    check_all(size);
    return 0;
}

/* The thread trims the heap of the one that forks. */
static void forks_meanwhile(size_t size)
{
    pthread_t thread;
    stops = 0;
    CHECK(pthread_create(&thread, NULL, trims, NULL) == 0, "no thread");
    for (int round = 0; round < FORKS; round++) {
        for (size_t i = 0; i < COUNT / 8; i++)
            blocks[i] = filled(size, i);
        for (size_t i = 0; i < COUNT / 8; i++) {
            if (i % 3 != 0) {
                free(blocks[i]);
                blocks[i] = NULL;
            }
        }
        const pid_t child = fork();
        if (child == 0)
            _exit(goes_on(size));
        expect_child_succeeds(child, "a child of a process that trims");
        for (size_t i = 0; i < COUNT / 8; i++) {
            free(blocks[i]);
            blocks[i] = NULL;
        }
    }
    stops = 1;
    pthread_join(thread, NULL);
}

/* The second free of a block whose pages went back is found at the latest when the block is to be handed out twice. */
static void free_twice(size_t size)
{
    malloc_trim(0);
    for (size_t i = 0; i < 24; i++)
        blocks[i] = filled(size, i);
    for (size_t i = 0; i < 24; i++)
        if (i % 5 != 0)
            free(blocks[i]);
    malloc_trim(0);
    free(escape(blocks[7]));
    for (size_t i = 0; i < 200; i++)
        filled(size, i);
}

static void twice_is_found(size_t size)
{
    const pid_t child = fork();
    if (child == 0) {
        close(2);
        free_twice(size);
        _exit(0);
    }
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child && WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT,
          "a block of %zu bytes freed twice, the second time after its pages went back: status %#x", size,
          (unsigned)status);
}

int main(void)
{
    static const size_t sizes[] = {2300, 5000, 9000, 13000, 32000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        if (RESIDENT_IS_KNOWN && !is_variant("debug")) /* which has no purged blocks */
            pages_go_back(sizes[i]);
        forks_meanwhile(sizes[i]);
        if (is_variant("balanced") || is_variant("hardened"))
            twice_is_found(sizes[i]);
    }
    return 0;
}
