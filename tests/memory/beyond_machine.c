/* SPDX-License-Identifier: MIT */
/* More at once than the machine has, memory and swap together: NULL and ENOMEM, as the system says of it, not a block whose first
 * writing ends the program. Half of that is given, and what a program has meanwhile is as it was. */
#define _GNU_SOURCE
#include <errno.h>
#include <malloc.h>
#include <sys/mman.h>

#include "check.h"

enum {
    MIB = 1 << 20,
    TRIES = 64 /* blocks that fill gaps */
};

static void check_refused(const char *what, size_t size, const void *got)
{
    CHECK(got == NULL, "%s of %zu MiB", what, size / MIB);
    CHECK(errno == ENOMEM, "%s: errno %d", what, errno);
    errno = 0;
}

static void test_refused(size_t size)
{
    void *volatile got = malloc(size);
    check_refused("malloc", size, got);
    got = calloc(2, size / 2);
    check_refused("calloc", size, got);
    got = memalign((size_t)2 * MIB, size);
    check_refused("memalign", size, got);
    got = valloc(size);
    check_refused("valloc", size, got);
}

/* Of a block of such a size that is in use. */
static void test_growth(size_t from, size_t size)
{
    unsigned char *volatile block = malloc(from);
    CHECK(block != NULL, "%zu bytes", from);
    fill(block, from < MIB ? from : MIB, 60);
    void *volatile got = realloc(block, size);
    check_refused("realloc", size, got);
    CHECK(is_filled(block, from < MIB ? from : MIB, 60), "a block of %zu bytes changed", from);
    free(block);
}

/* The same where the addresses behind the block are free: it is the first one that lies below a hole. */
static void test_growth_in_place(size_t from, size_t size)
{
    unsigned char *volatile blocks[TRIES];
    size_t count = 0;
    unsigned char *above =
        mmap(NULL, 2 * size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(above != MAP_FAILED, "no addresses");
    do {
        blocks[count] = malloc(from);
        CHECK(blocks[count] != NULL, "%zu bytes", from);
    } while (blocks[count++] > above && count < TRIES);
    munmap(above, 2 * size);
    unsigned char *volatile block = blocks[--count];
    fill(block, MIB, 60);
    void *volatile got = realloc(block, size);
    check_refused("realloc in place", size, got);
    CHECK(is_filled(block, MIB, 60), "a block of %zu bytes changed", from);
    free(block);
    while (count > 0)
        free(blocks[--count]);
}

static void test_given(size_t size)
{
    unsigned char *block = malloc(MIB);
    CHECK(block != NULL, "no block");
    fill(block, MIB, 60);
    unsigned char *larger = realloc(block, size);
    CHECK(larger != NULL, "%zu MiB are refused", size / MIB);
    CHECK(is_filled(larger, MIB, 60), "a block changed that grew");
    larger[size - 1] = 1;
    free(larger);
}

int main(void)
{
    if (number_behind("/proc/sys/vm/overcommit_memory", "") != 0)
        return TEST_SKIPPED; /* the system gives all, or counts what everybody has */
    const size_t machine =
        (size_t)(number_behind("/proc/meminfo", "MemTotal:") + number_behind("/proc/meminfo", "SwapTotal:"))
        << 10;
    if (machine < (size_t)1024 * MIB)
        return TEST_SKIPPED;
    /* What the heap itself maps would lie between a block and the hole. */
    free(escape(malloc(1)));
    errno = 0;
    test_growth_in_place((size_t)100 * MIB, 2 * machine); /* more than is mapped ahead */
    test_growth_in_place((size_t)300 * MIB, 2 * machine);
    static const size_t from[] = {1, 1000, 100000, 400000, MIB, 100 * MIB, 300 * MIB};
    for (size_t size = machine + machine / 8; size < (size_t)1 << 45; size *= 4) {
        test_refused(size);
        for (size_t i = 0; i < sizeof from / sizeof *from; i++)
            test_growth(from[i], size + from[i]);
        test_given(machine / 2);
    }
    return 0;
}
