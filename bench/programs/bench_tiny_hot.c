/* SPDX-License-Identifier: MIT */
/* Tiny and hot: a handful of blocks of 8 to 128 bytes is allocated and freed again and again, so that everything
 * stays in the first cache and only the length of the fast path counts. Threads share nothing.
 */
#include "harness.h"

enum {
    most_live = 4096,
    most_threads = 256,
    smallest = 8,
    largest = 128
};

typedef struct worker {
    uint64_t iterations; /* blocks to allocate and free */
    uint64_t live;       /* blocks at a time */
} worker_t;

static void *work(void *context)
{
    const worker_t *worker = context;
    void *block[most_live];
    size_t size[most_live];
    uint64_t state = 1;
    for (size_t k = 0; k < worker->live; k++)
        size[k] = bench_between(&state, smallest, largest);
    for (uint64_t done = 0; done < worker->iterations; done += worker->live) {
        for (size_t k = 0; k < worker->live; k++)
            block[k] = bench_new(size[k]);
        for (size_t k = 0; k < worker->live; k++)
            bench_delete(block[k], size[k]);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    bench_arg_t args[] = {
        {.name = "ITERATIONS", .value = 20000000, .min = 1, .max = 1000000000000u},
        {.name = "LIVE", .value = 32, .min = 1, .max = most_live},
        {.name = "THREADS", .value = 1, .min = 1, .max = most_threads},
    };
    bench_parse(argc, argv,
                "Allocates and frees a few blocks of 8 to 128 bytes over and over; ITERATIONS a thread.",
                args, 3);
    worker_t workers[most_threads];
    for (size_t i = 0; i < args[2].value; i++)
        workers[i] = (worker_t){.iterations = args[0].value, .live = args[1].value};
    bench_threads(args[2].value, work, workers, sizeof workers[0]);
    return bench_report(args[0].value * args[2].value);
}
