// SPDX-License-Identifier: MIT
// What stays of freed blocks at once, as a program may do nothing that needs the allocator from then on. Of huge ones it is in
// proportion to what lives: a program that copies a table of 40 MiB into one of 80 is left with the new one and a quarter of it. Of
// a burst of any size beside which little lives, a few MiB stay.
#include <unistd.h>

#include "threads.h"

enum {
    MIB = 1 << 20,
    LIVE = 80 * MIB,
    FREED = 40 * MIB,
    BURST = 64 * MIB,
    STAYS = 13 // MiB of it: 4 of small ones, 8 of huge ones, and the last of these
};

static unsigned char *touched(size_t size)
{
    unsigned char *block = malloc(size);
    CHECK(block != NULL, "no block of %zu bytes", size);
    memset(block, 1, size);
    return block;
}

static void check_burst(size_t size)
{
    const size_t count = BURST / size;
    unsigned char **blocks = (unsigned char **)touched(count * sizeof *blocks);
    const long start = resident_kib();
    for (size_t i = 0; i < count; i++) {
        blocks[i] = touched(size);
    }
    for (size_t i = 0; i < count; i++) {
        free(blocks[i]);
    }
    const long stays = (resident_kib() - start) >> 10;
    CHECK(stays <= STAYS, "%ld MiB stay of a burst of %d in blocks of %zu bytes", stays, BURST / MIB, size);
    free(blocks);
}

static void check_huge(void)
{
    const long start = resident_kib();
    unsigned char *before = touched(FREED);
    unsigned char *now = touched(LIVE);
    free(before);
    const long stays = (resident_kib() - start - (LIVE >> 10)) >> 10;
    CHECK(stays <= LIVE / 4 / MIB + 2, "%ld MiB stay of %d freed beside %d", stays, FREED / MIB, LIVE / MIB);
    CHECK(now[LIVE - 1] == 1, "the table changed");
    free(now);
}

int main(void)
{
    static const size_t sizes[] = {64, 8000, 200000, 4 * MIB};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        if (is_variant("minimal") && !is_variant("bench_minimal")) { // of small ones all stays there
            break;
        }
        const pid_t child = fork(); // what was given back for one size would be asked for again by the next
        if (child == 0) {
            check_burst(sizes[i]);
            _exit(0);
        }
        expect_child_succeeds(child, "a burst");
    }
    check_huge();
    return 0;
}
