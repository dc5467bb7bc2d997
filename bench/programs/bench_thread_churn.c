/* SPDX-License-Identifier: MIT */
/* Thread churn: ten thousand short threads, a few at a time; each allocates a handful of blocks, passes one of them
 * to its successor through a mailbox, frees the rest and ends. The cost of setting up, abandoning and adopting a
 * thread's heap decides.
 *
 * A mailbox is written by one thread and read by the next in the same lane; joining orders the two.
 */
#include "harness.h"

enum {
    most_lanes = 64,
    blocks = 24
};

typedef struct lane {
    void *mail;       /* a block of the predecessor */
    size_t mail_size; /* bytes, 0 when there is none */
    uint64_t state;   /* random numbers */
} lane_t;

static void *short_life(void *context)
{
    lane_t *lane = context;
    void *block[blocks];
    size_t size[blocks];
    for (size_t k = 0; k < blocks; k++) {
        size[k] = bench_between(&lane->state, 16, 1500);
        block[k] = bench_new(size[k]);
    }
    if (lane->mail_size != 0)
        bench_delete(lane->mail, lane->mail_size);
    lane->mail = block[0];
    lane->mail_size = size[0];
    for (size_t k = 1; k < blocks; k++)
        bench_delete(block[k], size[k]);
    return NULL;
}

int main(int argc, char **argv)
{
    bench_arg_t args[] = {
        {.name = "THREADS", .value = 10000, .min = 1, .max = 1u << 24},
        {.name = "AT_A_TIME", .value = 4, .min = 1, .max = most_lanes},
        {.name = "SEED", .value = 14, .max = UINT64_MAX},
    };
    bench_parse(argc, argv,
                "Runs ten thousand short threads, a few at a time, that allocate and free a little.", args,
                3);
    lane_t lanes[most_lanes] = {{0}};
    for (size_t i = 0; i < args[1].value; i++)
        lanes[i].state = args[2].value + i;
    for (uint64_t started = 0; started < args[0].value;) {
        uint64_t left = args[0].value - started;
        uint64_t count = left < args[1].value ? left : args[1].value;
        bench_threads(count, short_life, lanes, sizeof lanes[0]);
        started += count;
    }
    for (size_t i = 0; i < args[1].value; i++)
        if (lanes[i].mail_size != 0)
            bench_delete(lanes[i].mail, lanes[i].mail_size);
    return bench_report(args[0].value);
}
