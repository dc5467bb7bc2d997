/* SPDX-License-Identifier: MIT */
/* What stays of freed blocks at once, as a program may do nothing that needs the allocator from then on. Of huge ones it is in
 * proportion to what lives: a program that copies a table of 40 MiB into one of 80 is left with the new one and a quarter of it. Of
 * a burst of any size beside which little lives, a few MiB stay; also of blocks that are freed in any order, when those that bins
 * keep may each hold a slab. And what stays makes no peak: of a range from which a smaller block was cut, or a part has gone back,
 * the rest is of no use to the next block of the size that was freed. */
#include "threads.h"

enum {
    MIB = 1 << 20,
    LIVE = 80 * MIB,
    FREED = 40 * MIB,
    BURST = 64 * MIB,
    STAYS = 13 /* MiB of it: 4 of small ones, 8 of huge ones, and the last of these */
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
    for (size_t i = 0; i < count; i++)
        blocks[i] = touched(size);
    for (size_t i = 0; i < count; i++)
        free(blocks[i]);
    const long stays = (resident_kib() - start) >> 10;
    CHECK(stays <= STAYS, "%ld MiB stay of a burst of %d in blocks of %zu bytes", stays, BURST / MIB, size);
    free(blocks);
}

static void check_scattered(size_t least)
{
    enum {
        COUNT = 800000
    };
    uint64_t state = 1;
    unsigned char **blocks = (unsigned char **)touched(COUNT * sizeof *blocks);
    const long start = resident_kib();
    for (size_t i = 0; i < COUNT; i++)
        blocks[i] = touched(least + 16 * (i % 4));
    for (size_t i = COUNT; i > 0; i--) { /* the order of their ends is as good as any */
        const size_t other = next_random(&state) % i;
        free(blocks[other]);
        blocks[other] = blocks[i - 1];
    }
    const long stays = (resident_kib() - start) >> 10;
    CHECK(stays <= STAYS, "%ld MiB stay of %d blocks of four sizes", stays, COUNT);
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

/* What programs do that derive keys: two blocks at a time, small ones and large ones in turns, some of them zeroed. */
static void check_peak(size_t zeroed)
{
    const size_t small = 4 * MIB + 32 * 1024;
    const long start = resident_kib();
    for (unsigned round = 0; round < 6; round++)
        for (unsigned large = 0; large < 2; large++) {
            const size_t size = large != 0 ? LIVE : small;
            unsigned char *first = zeroed != 0 ? calloc(1, size) : malloc(size);
            CHECK(first != NULL, "no block of %zu bytes", size);
            memset(first, 1, size);
            unsigned char *second = touched(size);
            free(second);
            free(first);
        }
    const long more = (peak_resident_kib() - start) >> 10;
    CHECK(more <= 2 * LIVE / MIB + 8, "a peak of %ld MiB, where %d live", more, 2 * LIVE / MIB);
}

int main(void)
{
    static const size_t sizes[] = {64, 8000, 200000, 4 * MIB};
    if (!is_variant("minimal") || is_variant("bench_minimal")) { /* of small ones all stays there */
        /* What was given back for one would be asked for again by the next. */
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
            run_in_child(check_burst, sizes[i], "a burst");
        run_in_child(check_scattered, 48, "blocks of four sizes");
    }
    check_huge();
    run_in_child(check_peak, 0, "blocks in turns");
    run_in_child(check_peak, 1, "zeroed blocks in turns");
    return 0;
}
