/* SPDX-License-Identifier: MIT */
/* Fragmentation stress: generations of blocks whose size range drifts upwards; of each generation one block in eight
 * survives to the end, scattered over the memory of the others. An allocator that cannot reuse the gaps for other
 * sizes shows it in peak memory. One thread.
 */
#include "harness.h"

enum {
    survivor_every = 8
};

typedef struct entry {
    void *block;
    size_t size; /* bytes */
} entry_t;

static entry_t make_entry(uint64_t *state, uint64_t generation)
{
    uint64_t smallest = 16 + generation * 24;
    size_t size = bench_between(state, smallest, 3 * smallest);
    return (entry_t){.block = bench_new(size), .size = size};
}

/* Fisher and Yates: so that blocks die in an order unlike that of their birth. */
static void shuffle(uint64_t *state, entry_t *entries, uint64_t count)
{
    for (uint64_t k = count - 1; k > 0; k--) {
        uint64_t other = bench_between(state, 0, k);
        entry_t moved = entries[k];
        entries[k] = entries[other];
        entries[other] = moved;
    }
}

int main(int argc, char **argv)
{
    bench_arg_t args[] = {
        {.name = "GENERATIONS", .value = 50, .min = 1, .max = 100000},
        {.name = "BLOCKS", .value = 20000, .min = 16, .max = 1u << 24},
        {.name = "SEED", .value = 5, .max = UINT64_MAX},
    };
    bench_parse(argc, argv, "Generations of growing blocks of which one in eight survives.", args, 3);
    uint64_t generations = args[0].value;
    uint64_t blocks = args[1].value;
    uint64_t state = args[2].value;
    uint64_t survivors = 0;
    entry_t *young = calloc(blocks, sizeof *young);
    entry_t *old = calloc(generations * (blocks / survivor_every + 1), sizeof *old);
    if (young == NULL || old == NULL)
        bench_fail("no memory for the list of %llu blocks", (unsigned long long)(blocks * generations));
    for (uint64_t g = 0; g < generations; g++) {
        for (uint64_t k = 0; k < blocks; k++)
            young[k] = make_entry(&state, g);
        shuffle(&state, young, blocks);
        for (uint64_t k = 0; k < blocks; k++)
            if (k % survivor_every == 0)
                old[survivors++] = young[k];
            else
                bench_delete(young[k].block, young[k].size);
    }
    for (uint64_t k = 0; k < survivors; k++)
        bench_delete(old[k].block, old[k].size);
    free(old);
    free(young);
    return bench_report(generations * blocks);
}
