/* SPDX-License-Identifier: MIT */
/* Large working set: millions of live blocks of 16 to 79 bytes, random ones of which are replaced. Neither the blocks
 * nor the allocator's own data fit into a cache or the TLB, so every operation pays for each line it touches. One
 * thread.
 */
#include "harness.h"

enum {
    smallest = 16,
    largest = 79
};

int main(int argc, char **argv)
{
    bench_arg_t args[] = {
        {.name = "LIVE", .value = 3000000, .min = 1, .max = 1u << 30},
        {.name = "REPLACEMENTS", .value = 1500000, .min = 0, .max = 1000000000000u},
        {.name = "SEED", .value = 9, .max = UINT64_MAX},
    };
    bench_parse(argc, argv, "Replaces random ones of three million live blocks of 16 to 79 bytes.", args, 3);
    uint64_t live = args[0].value;
    uint64_t state = args[2].value;
    void **block = bench_malloc(live * sizeof *block);
    unsigned char *size = bench_malloc(live);
    for (uint64_t k = 0; k < live; k++) {
        size[k] = (unsigned char)bench_between(&state, smallest, largest);
        block[k] = bench_new(size[k]);
    }
    for (uint64_t i = 0; i < args[1].value; i++) {
        uint64_t k = bench_between(&state, 0, live - 1);
        bench_delete(block[k], size[k]);
        size[k] = (unsigned char)bench_between(&state, smallest, largest);
        block[k] = bench_new(size[k]);
    }
    for (uint64_t k = 0; k < live; k++)
        bench_delete(block[k], size[k]);
    free(size);
    free(block);
    return bench_report(live + args[1].value);
}
