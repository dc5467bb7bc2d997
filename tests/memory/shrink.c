/* SPDX-License-Identifier: MIT */
/* What realloc cuts off comes back: blocks of 300 KiB to 100 MiB, cut down to nine tenths and less of what they were, have what
 * was asked for and little more, in malloc_usable_size and in resident memory; contents stay. */
#include <malloc.h>

#include "check.h"

enum {
    CHECKED = 5000
};

static unsigned char *shrunk(size_t before, size_t after, size_t seed, int resident)
{
    unsigned char *block = malloc(before);
    CHECK(block != NULL, "no block of %zu bytes", before);
    if (resident)
        memset(block, 1, before);
    block[after - 1] = 1;
    fill(block, CHECKED, seed);
    block = realloc(block, after);
    CHECK(block != NULL && is_filled(block, CHECKED, seed), "%zu to %zu bytes lost the start", before, after);
    CHECK(after == CHECKED || block[after - 1] == 1, "%zu to %zu bytes lost the end", before, after);
    const size_t usable = malloc_usable_size(block);
    CHECK(usable >= after && usable <= after + after / 7 + (64 << 10), "%zu bytes cut to %zu have %zu",
          before, after, usable);
    return block;
}

static void every_size(void)
{
    for (size_t before = 300000; before < (size_t)100 << 20; before = before * 7 / 4)
        for (size_t tenths = 1; tenths < 9; tenths += 2)
            free(shrunk(before, before / 10 * tenths, before + tenths, 0));
}

static void memory_comes_back(size_t before, size_t after, size_t count)
{
    static unsigned char *blocks[1000];
    malloc_trim(0);
    const long start = resident_kib();
    for (size_t i = 0; i < count; i++)
        blocks[i] = shrunk(before, after, i, 1);
    malloc_trim(0);
    const long kib = resident_kib() - start;
    const long live = (long)(count * after >> 10);
    CHECK(kib <= live + live / 4 + (8 << 10), "%zu blocks of %zu KiB, cut from %zu KiB: %ld KiB resident",
          count, after >> 10, before >> 10, kib);
    for (size_t i = 0; i < count; i++) {
        CHECK(is_filled(blocks[i], CHECKED, i), "block %zu changed", i);
        free(blocks[i]);
    }
}

int main(void)
{
    every_size();
    memory_comes_back(500 << 10, 280 << 10, 200);
    memory_comes_back(1 << 20, 260 << 10, 200);
    memory_comes_back(900 << 10, 300 << 10, 200);
    memory_comes_back((size_t)60 << 20, (size_t)31 << 20, 6);
    memory_comes_back((size_t)60 << 20, (size_t)50 << 20, 6);
    return 0;
}
