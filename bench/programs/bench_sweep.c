/* SPDX-License-Identifier: MIT */
/* One size, any number of threads: each thread replaces the blocks of its own slots, oldest first, so that only size
 * and threads differ from run to run. For the sweep over both (bench/study.py).
 */
#include "harness.h"

enum {
    most_threads = 256,
    slots = 64 /* live blocks of a thread */
};

typedef struct worker {
    uint64_t iterations; /* blocks to replace */
    size_t size;         /* bytes */
} worker_t;

static void *work(void *context)
{
    const worker_t *worker = context;
    void *block[slots] = {NULL};
    for (uint64_t i = 0; i < worker->iterations; i++) {
        void **slot = &block[i % slots];
        if (*slot != NULL)
            bench_delete(*slot, worker->size);
        *slot = bench_new(worker->size);
    }
    for (size_t i = 0; i < slots; i++)
        if (block[i] != NULL)
            bench_delete(block[i], worker->size);
    return NULL;
}

int main(int argc, char **argv)
{
    bench_arg_t args[] = {
        {.name = "ITERATIONS", .value = 2000000, .min = 1, .max = 1000000000000u},
        {.name = "THREADS", .value = 1, .min = 1, .max = most_threads},
        {.name = "SIZE", .value = 64, .min = 1, .max = 1u << 30},
    };
    bench_parse(argc, argv, "Threads replace blocks of one size; ITERATIONS a thread.", args, 3);
    worker_t workers[most_threads];
    for (size_t i = 0; i < args[1].value; i++)
        workers[i] = (worker_t){.iterations = args[0].value, .size = args[2].value};
    bench_threads(args[1].value, work, workers, sizeof workers[0]);
    return bench_report(args[0].value * args[1].value);
}
