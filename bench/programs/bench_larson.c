/* SPDX-License-Identifier: MIT */
/* Larson's server simulation: each thread owns an array of blocks and replaces random ones; after CHUNKS * ROUNDS
 * replacements it exits and a successor inherits the array. So blocks are freed by threads that did not allocate
 * them, and heaps of finished threads must be reused.
 *
 * Without -n each thread starts its own successor, and a lane (a chain of successors) ends when SECONDS are over.
 * With -n the first argument counts generations, and main starts each generation when the one before has ended, so
 * that the amount of work, and with one lane the order of all calls, is the same in each run. A lane's state is used
 * by one thread at a time; thread creation and joining pass it on.
 */
#include "harness.h"

#include <pthread.h>

enum {
    most_lanes = 256
};

typedef struct lane {
    void **block;        /* CHUNKS live blocks */
    uint32_t *size;      /* their sizes in bytes */
    uint64_t chunks;     /* length of both arrays */
    uint64_t rounds;     /* a generation replaces chunks * rounds blocks */
    uint64_t smallest;   /* bytes */
    uint64_t largest;    /* bytes */
    uint64_t state;      /* random numbers */
    uint64_t operations; /* replacements so far */
    double deadline;     /* when a lane that starts its own successors ends */
} lane_t;

static lane_t lanes[most_lanes];
static pthread_mutex_t done_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t done_signal = PTHREAD_COND_INITIALIZER;
static uint64_t lanes_left; /* under done_lock */

static void lane_done(void)
{
    pthread_mutex_lock(&done_lock);
    lanes_left--;
    pthread_cond_signal(&done_signal);
    pthread_mutex_unlock(&done_lock);
}

static void fill(lane_t *lane)
{
    for (uint64_t k = 0; k < lane->chunks; k++) {
        lane->size[k] = (uint32_t)bench_between(&lane->state, lane->smallest, lane->largest);
        lane->block[k] = bench_new(lane->size[k]);
    }
}

static void *generation(void *context)
{
    lane_t *lane = context;
    for (uint64_t i = 0; i < lane->chunks * lane->rounds; i++) {
        uint64_t k = bench_between(&lane->state, 0, lane->chunks - 1);
        bench_delete(lane->block[k], lane->size[k]);
        lane->size[k] = (uint32_t)bench_between(&lane->state, lane->smallest, lane->largest);
        lane->block[k] = bench_new(lane->size[k]);
    }
    lane->operations += lane->chunks * lane->rounds;
    return NULL;
}

static void *generation_and_successor(void *context)
{
    lane_t *lane = context;
    generation(lane);
    if (bench_now() < lane->deadline) {
        unsigned long successor;
        bench_thread_start(&successor, generation_and_successor, lane);
        pthread_detach((pthread_t)successor);
    } else {
        lane_done();
    }
    return NULL;
}

static void make_lane(lane_t *lane)
{
    lane->block = calloc(lane->chunks, sizeof *lane->block);
    lane->size = calloc(lane->chunks, sizeof *lane->size);
    if (lane->block == NULL || lane->size == NULL)
        bench_fail("no memory for %llu chunks", (unsigned long long)lane->chunks);
    fill(lane);
}

static void run_for_seconds(uint64_t count, double seconds)
{
    lanes_left = count;
    for (uint64_t i = 0; i < count; i++) {
        unsigned long first;
        lanes[i].deadline = bench_now() + seconds;
        bench_thread_start(&first, generation_and_successor, &lanes[i]);
        pthread_detach((pthread_t)first);
    }
    pthread_mutex_lock(&done_lock);
    while (lanes_left > 0)
        pthread_cond_wait(&done_signal, &done_lock);
    pthread_mutex_unlock(&done_lock);
}

static void empty_lane(lane_t *lane)
{
    for (uint64_t k = 0; k < lane->chunks; k++)
        bench_delete(lane->block[k], lane->size[k]);
    free(lane->block);
    free(lane->size);
}

/* `burst` and `loop` stand for the usual arguments: 10000 chunks once, or 100 chunks 100 times a generation. */
static void apply_preset(int *argc, char **argv, bench_arg_t *args)
{
    bool burst = bench_flag(argc, argv, "burst");
    bool loop = bench_flag(argc, argv, "loop");
    if (burst || loop) {
        args[1].value = 8;
        args[2].value = burst ? 1024 : 512;
        args[3].value = burst ? 10000 : 100;
        args[4].value = burst ? 1 : 100;
    }
}

static void make_lanes(const bench_arg_t *args)
{
    for (uint64_t i = 0; i < args[6].value; i++) {
        lanes[i] = (lane_t){
            .chunks = args[3].value,
            .rounds = args[4].value,
            .smallest = args[1].value,
            .largest = args[2].value,
            .state = args[5].value + i,
        };
        make_lane(&lanes[i]);
    }
}

static bool has_number(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (argv[i][0] != '-')
            return true;
    return false;
}

int main(int argc, char **argv)
{
    bench_arg_t args[] = {
        {.name = "SECONDS_OR_GENERATIONS", .value = 60, .min = 1, .max = 1000000},
        {.name = "MIN", .value = 8, .min = 1, .max = 1u << 30},
        {.name = "MAX", .value = 1024, .min = 1, .max = 1u << 30},
        {.name = "CHUNKS", .value = 5000, .min = 1, .max = 1u << 26},
        {.name = "ROUNDS", .value = 10, .min = 1, .max = 1u << 20},
        {.name = "SEED", .value = 4141, .max = UINT64_MAX},
        {.name = "THREADS", .value = 2, .min = 1, .max = most_lanes},
    };
    bool counted = bench_flag(&argc, argv, "-n");
    apply_preset(&argc, argv, args);
    counted |= !has_number(argc, argv); /* nothing said: a fixed amount of work */
    bench_parse(
        argc, argv,
        "Replaces random blocks; threads hand their blocks to a successor and exit. With -n the first "
        "argument counts generations, not seconds.",
        args, 7);
    if (args[1].value > args[2].value)
        bench_usage_error("MIN must not be above MAX");
    uint64_t count = args[6].value;
    make_lanes(args);
    if (counted)
        for (uint64_t g = 0; g < args[0].value; g++)
            bench_threads(count, generation, lanes, sizeof lanes[0]);
    else
        run_for_seconds(count, (double)args[0].value);
    uint64_t operations = 0;
    for (uint64_t i = 0; i < count; i++) {
        operations += lanes[i].operations;
        empty_lane(&lanes[i]);
    }
    return bench_report(operations);
}
