/* SPDX-License-Identifier: MIT */
/* Batches that change hands: every thread allocates a batch, swaps it for whatever another thread left on a shared
 * shelf, and frees what it got, forwards or backwards. Most frees are remote and every thread both allocates and
 * frees. Own design after the idea of SmartHeap's test 8.
 *
 * The shelf is an array of atomic pointers: the exchange publishes a batch's contents to the thread that takes it.
 */
#include "harness.h"

#include <stdatomic.h>

enum {
    batch_length = 128,
    shelf_places = 32,
    most_threads = 256
};

typedef struct batch {
    void *block[batch_length];
    uint16_t size[batch_length]; /* bytes of each block */
} batch_t;

typedef struct worker {
    uint64_t batches; /* to allocate */
    uint64_t state;   /* random numbers */
} worker_t;

static _Atomic(batch_t *) shelf[shelf_places];

static batch_t *make_batch(uint64_t *state)
{
    batch_t *batch = bench_malloc(sizeof *batch);
    size_t base = bench_between(state, 8, 400);
    for (size_t k = 0; k < batch_length; k++) {
        batch->size[k] = (uint16_t)(base + k % 4 * 8);
        batch->block[k] = bench_new(batch->size[k]);
    }
    return batch;
}

static void free_batch(batch_t *batch, bool backwards)
{
    for (size_t i = 0; i < batch_length; i++) {
        size_t k = backwards ? batch_length - 1 - i : i;
        bench_delete(batch->block[k], batch->size[k]);
    }
    free(batch);
}

static void *work(void *context)
{
    worker_t *worker = context;
    for (uint64_t i = 0; i < worker->batches; i++) {
        uint64_t place = bench_between(&worker->state, 0, shelf_places - 1);
        batch_t *mine = make_batch(&worker->state);
        batch_t *other = atomic_exchange_explicit(&shelf[place], mine, memory_order_acq_rel);
        if (other != NULL)
            free_batch(other, i % 2 != 0);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    bench_arg_t args[] = {
        {.name = "BATCHES", .value = 40000, .min = 1, .max = 1u << 30},
        {.name = "THREADS", .value = 2, .min = 1, .max = most_threads},
        {.name = "SEED", .value = 8, .max = UINT64_MAX},
    };
    bench_parse(argc, argv, "Threads swap batches of 128 blocks and free what another allocated.", args, 3);
    worker_t workers[most_threads];
    for (size_t i = 0; i < args[1].value; i++)
        workers[i] = (worker_t){.batches = args[0].value, .state = args[2].value + i};
    bench_threads(args[1].value, work, workers, sizeof workers[0]);
    for (size_t place = 0; place < shelf_places; place++) {
        batch_t *left = atomic_load_explicit(&shelf[place], memory_order_acquire);
        if (left != NULL)
            free_batch(left, false);
    }
    return bench_report(args[0].value * args[1].value * batch_length);
}
