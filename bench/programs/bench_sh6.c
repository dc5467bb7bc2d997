/* SPDX-License-Identifier: MIT */
/* Waves of batches, each thread for itself: a wave allocates runs of equally sized blocks, frees every other run,
 * fills the gaps with runs of other sizes and frees all, first in the order of allocation, in the next wave against
 * it. Sizes lean to the small side, as objects of real programs do. Own design after the idea of SmartHeap's test 6.
 */
#include "harness.h"

enum {
    runs = 64,
    run_length = 32,
    most_threads = 256
};

typedef struct run {
    void *block[run_length];
    size_t size; /* bytes of each block; 0 when the run holds none */
} run_t;

typedef struct worker {
    uint64_t waves; /* to do */
    uint64_t state; /* random numbers */
} worker_t;

/* Half of the runs up to 64 bytes, a quarter up to 256, the rest up to 1000. */
static size_t run_size(uint64_t *state)
{
    uint64_t kind = bench_between(state, 0, 3);
    return bench_between(state, 1, kind < 2 ? 64 : kind < 3 ? 256 : 1000);
}

static void fill_run(run_t *run, size_t size)
{
    run->size = size;
    for (size_t k = 0; k < run_length; k++)
        run->block[k] = bench_new(size);
}

static void empty_run(run_t *run, bool backwards)
{
    for (size_t k = 0; k < run_length; k++)
        bench_delete(run->block[backwards ? run_length - 1 - k : k], run->size);
    run->size = 0;
}

static void *work(void *context)
{
    worker_t *worker = context;
    run_t *all = bench_malloc(runs * sizeof *all);
    for (uint64_t wave = 0; wave < worker->waves; wave++) {
        bool backwards = wave % 2 != 0;
        for (size_t r = 0; r < runs; r++)
            fill_run(&all[r], run_size(&worker->state));
        for (size_t r = 0; r < runs; r += 2)
            empty_run(&all[r], backwards);
        for (size_t r = 0; r < runs; r += 2)
            fill_run(&all[r], run_size(&worker->state));
        for (size_t r = 0; r < runs; r++)
            empty_run(&all[backwards ? runs - 1 - r : r], backwards);
    }
    free(all);
    return NULL;
}

int main(int argc, char **argv)
{
    bench_arg_t args[] = {
        {.name = "WAVES", .value = 5000, .min = 1, .max = 1u << 30},
        {.name = "THREADS", .value = 1, .min = 1, .max = most_threads},
        {.name = "SEED", .value = 6, .max = UINT64_MAX},
    };
    bench_parse(argc, argv, "Waves of runs of equal blocks, freed in part, refilled and freed both ways.",
                args, 3);
    worker_t workers[most_threads];
    for (size_t i = 0; i < args[1].value; i++)
        workers[i] = (worker_t){.waves = args[0].value, .state = args[2].value + i};
    bench_threads(args[1].value, work, workers, sizeof workers[0]);
    return bench_report(args[0].value * args[1].value * runs * run_length * 3 / 2);
}
