// SPDX-License-Identifier: MIT
// What stays of freed huge blocks is in proportion to what lives, at once: a program that copies a table of 40 MiB into one of 80
// and then does nothing that needs the allocator is left with the new one and a quarter of it, for good.
#include "check.h"

enum {
    MIB = 1 << 20,
    LIVE = 80 * MIB,
    FREED = 40 * MIB
};

static unsigned char *touched(size_t size)
{
    unsigned char *block = malloc(size);
    CHECK(block != NULL, "no block of %zu bytes", size);
    memset(block, 1, size);
    return block;
}

int main(void)
{
    const long start = resident_kib();
    unsigned char *before = touched(FREED);
    unsigned char *now = touched(LIVE);
    free(before);
    const long stays = (resident_kib() - start - (LIVE >> 10)) >> 10;
    CHECK(stays <= LIVE / 4 / MIB + 2, "%ld MiB stay of %d freed beside %d", stays, FREED / MIB, LIVE / MIB);
    CHECK(now[LIVE - 1] == 1, "the table changed");
    free(now);
    return 0;
}
