/* SPDX-License-Identifier: MIT */
/* Big blocks: random ones of a few slots are replaced by blocks of 5 to 25 MiB, of which each 16th page is written.
 * An allocator that returns such blocks to the kernel at once pays for mapping and faulting them each time. One
 * thread.
 */
#include "harness.h"

#define MIB ((uint64_t)1 << 20)

enum {
    most_slots = 64,
    stride = 16 * 4096
};

static void write_pages(unsigned char *block, size_t size)
{
    for (size_t k = 0; k < size; k += stride)
        block[k] = (unsigned char)(k / stride);
    block[size - 1] = 0xff;
}

static void check_pages(const unsigned char *block, size_t size)
{
    for (size_t k = 0; k + 1 < size; k += stride)
        if (block[k] != (unsigned char)(k / stride))
            bench_fail("a block of %zu bytes lost its contents", size);
}

int main(int argc, char **argv)
{
    bench_arg_t args[] = {
        {.name = "ITERATIONS", .value = 3000, .min = 1, .max = 1000000000u},
        {.name = "SLOTS", .value = 4, .min = 1, .max = most_slots},
        {.name = "SEED", .value = 13, .max = UINT64_MAX},
    };
    bench_parse(argc, argv, "Replaces random blocks of 5 to 25 MiB and writes to each 16th page.", args, 3);
    unsigned char *block[most_slots] = {NULL};
    size_t size[most_slots] = {0};
    uint64_t state = args[2].value;
    for (uint64_t i = 0; i < args[0].value; i++) {
        uint64_t k = bench_between(&state, 0, args[1].value - 1);
        if (block[k] != NULL) {
            check_pages(block[k], size[k]);
            free(block[k]);
        }
        size[k] = bench_between(&state, 5 * MIB, 25 * MIB);
        block[k] = bench_malloc(size[k]);
        write_pages(block[k], size[k]);
    }
    for (uint64_t k = 0; k < args[1].value; k++)
        free(block[k]);
    return bench_report(args[0].value);
}
