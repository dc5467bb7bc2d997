/* SPDX-License-Identifier: MIT */
/* Mid sizes with threads: each thread replaces random blocks of 8 to 32 KiB in its own slots. Threads share nothing,
 * so twice the threads should do twice the work.
 */
#include "harness.h"

#define KIB ((uint64_t)1024)

enum {
    most_threads = 256
};

typedef struct worker {
    uint64_t iterations; /* blocks to replace */
    uint64_t slots;      /* live blocks */
    uint64_t state;      /* random numbers */
} worker_t;

static void *work(void *context)
{
    worker_t *worker = context;
    void **block = calloc(worker->slots, sizeof *block);
    uint32_t *size = calloc(worker->slots, sizeof *size);
    if (block == NULL || size == NULL)
        bench_fail("no memory for %llu slots", (unsigned long long)worker->slots);
    for (uint64_t i = 0; i < worker->iterations; i++) {
        uint64_t k = bench_between(&worker->state, 0, worker->slots - 1);
        if (block[k] != NULL)
            bench_delete(block[k], size[k]);
        size[k] = (uint32_t)bench_between(&worker->state, 8 * KIB, 32 * KIB);
        block[k] = bench_new(size[k]);
    }
    for (uint64_t k = 0; k < worker->slots; k++)
        if (block[k] != NULL)
            bench_delete(block[k], size[k]);
    free(size);
    free(block);
    return NULL;
}

int main(int argc, char **argv)
{
    bench_arg_t args[] = {
        {.name = "ITERATIONS", .value = 2000000, .min = 1, .max = 1000000000000u},
        {.name = "THREADS", .value = 2, .min = 1, .max = most_threads},
        {.name = "SLOTS", .value = 256, .min = 1, .max = 1u << 24},
        {.name = "SEED", .value = 11, .max = UINT64_MAX},
    };
    bench_parse(argc, argv, "Threads replace random blocks of 8 to 32 KiB; ITERATIONS a thread.", args, 4);
    worker_t workers[most_threads];
    for (size_t i = 0; i < args[1].value; i++) {
        workers[i] =
            (worker_t){.iterations = args[0].value, .slots = args[2].value, .state = args[3].value + i};
    }
    bench_threads(args[1].value, work, workers, sizeof workers[0]);
    return bench_report(args[0].value * args[1].value);
}
