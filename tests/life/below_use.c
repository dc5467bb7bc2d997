/* SPDX-License-Identifier: MIT */
/* A limit of the address space (RLIMIT_AS) that is set far below what the program has: for what is unmapped then nothing can be
 * mapped again. So what the program frees serves it, again and again, however often it was refused. */
#include <errno.h>
#include <sys/resource.h>

#include "threads.h"

enum {
    MIB = 1 << 20,
    USED = 64 * MIB,
    MOST = 2 * USED,
    ROUNDS = 6,
    MORE = 500, /* refused requests */
    FEW = 16,
    BLOCKS = MOST / 1000
};

static void *blocks[BLOCKS];

/* Takes so many bytes in blocks of a size, or until one is refused; returns how many. */
static size_t take(size_t most, size_t size)
{
    size_t count = 0;
    while (count < most / size && (blocks[count] = malloc(size)) != NULL)
        fill(blocks[count++], 60, size);
    CHECK(count == most / size || errno == ENOMEM, "errno %d", errno);
    return count * size;
}

static void free_all(size_t bytes, size_t size)
{
    for (size_t i = 0; i < bytes / size; i++) {
        CHECK(is_filled(blocks[i], 60, size), "block %zu of %zu bytes changed", i, size);
        free(blocks[i]);
    }
}

static void test_rounds(size_t size)
{
    free_all(take(USED, size), size);
    CHECK(setrlimit(RLIMIT_AS, &(struct rlimit){4096, RLIM_INFINITY}) == 0, "setrlimit");
    size_t first = 0;
    for (int i = 0; i < ROUNDS; i++) {
        const size_t bytes = take(MOST, size);
        first = i == 0 ? bytes : first;
        CHECK(bytes >= first / 8 * 7, "round %d: %zu KiB in blocks of %zu, %zu in the first one", i,
              bytes >> 10, size, first >> 10);
        for (int more = 0; more < MORE; more++) /* the clock is looked at */
            free(escape(malloc(size)));
        free_all(bytes, size);
    }
}

/* Mappings of their own are refused to blocks of this size; the pool has room for them between those that stay. */
static void test_between_others(size_t size)
{
    const size_t each = 100000, stays = 40, count = take(USED, each) / each;
    CHECK(setrlimit(RLIMIT_AS, &(struct rlimit){4096, RLIM_INFINITY}) == 0, "setrlimit");
    for (size_t i = 0; i < count; i++)
        if (i % stays != 0)
            free(blocks[i]);
    const size_t had = take(USED, size) / size;
    CHECK(had >= FEW, "%zu blocks of %zu bytes of what was freed", had, size);
}

int main(void)
{
    static const size_t sizes[] = {1000, 20000, 100000, 300000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        run_in_child(test_rounds, sizes[i], "a limit below what is in use");
    run_in_child(test_between_others, 600000, "a limit below what is in use, between others");
    return 0;
}
