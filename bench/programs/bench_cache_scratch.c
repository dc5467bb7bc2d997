/* SPDX-License-Identifier: MIT */
/* Passive false sharing: main allocates one small block for each thread, side by side, and hands them out. Each
 * thread frees its block at once, then allocates, writes and frees blocks of the same size. An allocator that gives
 * the thread the handed block back keeps all threads writing to the same cache line.
 */
#include "harness.h"

enum {
    most_threads = 256,
    most_size = 4096
};

typedef struct worker {
    void *handed;        /* a block of main, to be freed first */
    size_t size;         /* bytes of every block */
    uint64_t iterations; /* blocks to allocate, write and free */
    uint64_t writes;     /* to every byte of each block */
} worker_t;

static void *work(void *context)
{
    const worker_t *worker = context;
    free(worker->handed);
    for (uint64_t i = 0; i < worker->iterations; i++) {
        volatile unsigned char *block = bench_malloc(worker->size);
        for (uint64_t n = 0; n < worker->writes; n++)
            for (size_t k = 0; k < worker->size; k++)
                block[k]++;
        free((void *)block);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    bench_arg_t args[] = {
        {.name = "THREADS", .value = 2, .min = 1, .max = most_threads},
        {.name = "ITERATIONS", .value = 10000, .min = 1, .max = 1u << 30},
        {.name = "SIZE", .value = 8, .min = 1, .max = most_size},
        {.name = "WRITES", .value = 4000, .min = 1, .max = 1u << 30},
    };
    bench_parse(
        argc, argv,
        "Threads free neighbouring blocks of main and write to blocks they allocate: passive false sharing.",
        args, 4);
    worker_t workers[most_threads];
    for (size_t i = 0; i < args[0].value; i++) {
        workers[i] = (worker_t){.handed = bench_new(args[2].value),
                                .size = args[2].value,
                                .iterations = args[1].value,
                                .writes = args[3].value};
    }
    bench_threads(args[0].value, work, workers, sizeof workers[0]);
    return bench_report(args[0].value * args[1].value * args[3].value);
}
