/* SPDX-License-Identifier: MIT */
/* One side allocates, the other frees: as many threads that only allocate as threads that only free, with one shared
 * stack of batches between them. Unlike bench_producer_consumer a batch may reach any of the freeing threads, so
 * their remote frees meet in the same heaps. The stack's limit bounds the memory.
 *
 * The stack is under one lock; a batch belongs to whoever pushed or popped it last.
 */
#include "harness.h"

#include <pthread.h>

enum {
    batch_length = 512,
    most_waiting = 32,
    most_pairs = 64
};

typedef struct batch {
    struct batch *next;
    void *block[batch_length];
    uint16_t size[batch_length]; /* bytes of each block */
} batch_t;

typedef struct worker {
    bool allocates;
    uint64_t batches; /* to push, or to pop */
    uint64_t state;   /* random numbers */
} worker_t;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static batch_t *top;     /* under lock */
static unsigned waiting; /* batches on the stack, under lock */

static void push(batch_t *batch)
{
    pthread_mutex_lock(&lock);
    while (waiting == most_waiting)
        pthread_cond_wait(&changed, &lock);
    batch->next = top;
    top = batch;
    waiting++;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

static batch_t *pop(void)
{
    pthread_mutex_lock(&lock);
    while (waiting == 0)
        pthread_cond_wait(&changed, &lock);
    batch_t *batch = top;
    top = batch->next;
    waiting--;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
    return batch;
}

static void allocate_batches(worker_t *worker)
{
    static const uint16_t sizes[] = {8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384};
    for (uint64_t i = 0; i < worker->batches; i++) {
        batch_t *batch = bench_malloc(sizeof *batch);
        for (size_t k = 0; k < batch_length; k++) {
            batch->size[k] = sizes[bench_between(&worker->state, 0, sizeof sizes / sizeof sizes[0] - 1)];
            batch->block[k] = bench_new(batch->size[k]);
        }
        push(batch);
    }
}

static void free_batches(const worker_t *worker)
{
    for (uint64_t i = 0; i < worker->batches; i++) {
        batch_t *batch = pop();
        for (size_t k = 0; k < batch_length; k++)
            bench_delete(batch->block[k], batch->size[k]);
        free(batch);
    }
}

static void *work(void *context)
{
    worker_t *worker = context;
    if (worker->allocates)
        allocate_batches(worker);
    else
        free_batches(worker);
    return NULL;
}

int main(int argc, char **argv)
{
    bench_arg_t args[] = {
        {.name = "BATCHES", .value = 8000, .min = 1, .max = 1u << 24},
        {.name = "PAIRS", .value = 1, .min = 1, .max = most_pairs},
        {.name = "SEED", .value = 3, .max = UINT64_MAX},
    };
    bench_parse(argc, argv,
                "Some threads only allocate batches of 512 blocks, as many others only free them.", args, 3);
    static worker_t workers[2 * most_pairs];
    for (size_t i = 0; i < 2 * args[1].value; i++) {
        workers[i] =
            (worker_t){.allocates = i % 2 == 0, .batches = args[0].value, .state = args[2].value + i};
    }
    bench_threads(2 * args[1].value, work, workers, sizeof workers[0]);
    return bench_report(args[0].value * batch_length * args[1].value);
}
