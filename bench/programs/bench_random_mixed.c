/* SPDX-License-Identifier: MIT */
/* Random mixed sizes: a working set of slots; each iteration frees the block in a random slot or fills an empty one
 * with 16 to 1039 bytes. One thread. The classic small-object churn of a scripting language.
 */
#include "harness.h"

enum {
    smallest = 16,
    largest = 1039
};

int main(int argc, char **argv)
{
    bench_arg_t args[] = {
        {.name = "ITERATIONS", .value = 10000000, .min = 1, .max = 1000000000000u},
        {.name = "WORKING_SET", .value = 4096, .min = 1, .max = 1u << 28},
        {.name = "SEED", .value = 42, .max = UINT64_MAX},
    };
    bench_parse(argc, argv, "Frees or fills random slots of a working set with blocks of 16 to 1039 bytes.",
                args, 3);
    uint64_t iterations = args[0].value;
    uint64_t working_set = args[1].value;
    uint64_t state = args[2].value;
    void **block = calloc(working_set, sizeof *block);
    uint16_t *size = calloc(working_set, sizeof *size);
    if (block == NULL || size == NULL)
        bench_fail("no memory for a working set of %llu slots", (unsigned long long)working_set);
    for (uint64_t i = 0; i < iterations; i++) {
        uint64_t k = bench_between(&state, 0, working_set - 1);
        if (block[k] != NULL) {
            bench_delete(block[k], size[k]);
            block[k] = NULL;
        } else {
            size[k] = (uint16_t)bench_between(&state, smallest, largest);
            block[k] = bench_new(size[k]);
        }
    }
    for (uint64_t k = 0; k < working_set; k++)
        if (block[k] != NULL)
            bench_delete(block[k], size[k]);
    free(size);
    free(block);
    return bench_report(iterations);
}
