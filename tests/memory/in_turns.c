// SPDX-License-Identifier: MIT
// What blocks of a slab have left serves huge ones, and the other way round: bursts of the two in turns have little more resident
// than one of them alone.
#include "check.h"

enum {
    MIB = 1 << 20,
    BURST = 96 * MIB,
    ROUNDS = 4,
    KEPT = 48 * MIB, // by both together: a floor of 16, and what is free in chunks that are partly used
    MOST_BLOCKS = BURST / 2000
};

static char *blocks[MOST_BLOCKS];

// Returns what is resident while all blocks live, in KiB.
static long burst(size_t size)
{
    const size_t count = BURST / size;
    for (size_t i = 0; i < count; i++) {
        blocks[i] = malloc(size);
        CHECK(blocks[i] != NULL, "no block of %zu bytes", size);
        memset(blocks[i], 1, size);
    }
    const long resident = resident_kib();
    for (size_t i = 0; i < count; i++) {
        free(blocks[i]);
    }
    return resident;
}

static void in_turns(size_t small, size_t huge)
{
    const long before = resident_kib();
    long most = 0;
    for (int i = 0; i < 2 * ROUNDS; i++) {
        const long resident = burst(i % 2 ? huge : small) - before;
        most = resident > most ? resident : most;
    }
    CHECK(most < (BURST + KEPT) >> 10, "bursts of %d MiB of %zu and %zu bytes in turns: %ld KiB resident",
          BURST / MIB, small, huge, most);
}

int main(void)
{
    if (is_variant("hardened") || is_variant("debug") ||
        (is_variant("minimal") && !is_variant("bench_minimal"))) {
        return TEST_SKIPPED; // these keep them apart
    }
    in_turns(2000, 3 * MIB);
    in_turns(20000, 700000);
    return 0;
}
