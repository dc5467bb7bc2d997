/* SPDX-License-Identifier: MIT */
/* Producer and consumer: one thread of each pair only allocates, the other only frees, so every free is remote.
 * Blocks travel in batches through a ring of DEPTH batches, which bounds the memory. With DEPTH 1 the two take
 * strict turns and the order of all calls is the same in each run; deeper rings let both run at once.
 *
 * A ring's batch belongs to the producer until it posts `filled` and to the consumer until it posts `emptied`. Both
 * are eventfd semaphores rather than pthread ones: a read costs the same instructions whether it had to wait or not,
 * so that counts repeat exactly. For the same reason the consumer starts its producer, which ends when all is freed,
 * and is joined before the consumer ends: where a thread begins or ends beside another that works, an allocator does
 * one thing or the other.
 */
#include "harness.h"

#include <sys/eventfd.h>
#include <unistd.h>

enum {
    batch_length = 256,
    most_depth = 64,
    most_pairs = 64
};

typedef struct message {
    uint32_t size; /* bytes, this header included */
    uint32_t key;  /* position in the stream, checked by the consumer */
} message_t;

typedef struct pair {
    int filled;       /* semaphore: batches the consumer may take */
    int emptied;      /* semaphore: batches the producer may fill */
    uint64_t batches; /* to hand over in all */
    uint64_t depth;   /* batches in the ring */
    uint64_t smallest;
    uint64_t largest;
    uint64_t state; /* random numbers, the producer's */
    message_t *ring[most_depth][batch_length];
} pair_t;

static pair_t pairs[most_pairs];

static int semaphore(uint64_t count)
{
    int fd = eventfd((unsigned)count, EFD_SEMAPHORE | EFD_CLOEXEC);
    if (fd < 0)
        bench_fail("cannot make an eventfd");
    return fd;
}

static void wait_for(int fd)
{
    uint64_t one;
    if (read(fd, &one, sizeof one) != sizeof one)
        bench_fail("cannot read an eventfd");
}

static void post(int fd)
{
    uint64_t one = 1;
    if (write(fd, &one, sizeof one) != sizeof one)
        bench_fail("cannot write an eventfd");
}

static void *produce(void *context)
{
    pair_t *pair = context;
    for (uint64_t batch = 0; batch < pair->batches; batch++) {
        wait_for(pair->emptied);
        message_t **out = pair->ring[batch % pair->depth];
        for (uint32_t k = 0; k < batch_length; k++) {
            size_t size = sizeof(message_t) + bench_between(&pair->state, pair->smallest, pair->largest);
            out[k] = bench_malloc(size);
            *out[k] = (message_t){.size = (uint32_t)size, .key = (uint32_t)batch * batch_length + k};
        }
        post(pair->filled);
    }
    for (uint64_t batch = 0; batch < pair->depth; batch++)
        wait_for(pair->emptied);
    return NULL;
}

static void consume(pair_t *pair)
{
    for (uint64_t batch = 0; batch < pair->batches; batch++) {
        wait_for(pair->filled);
        message_t **in = pair->ring[batch % pair->depth];
        for (uint32_t k = 0; k < batch_length; k++) {
            if (in[k]->key != (uint32_t)batch * batch_length + k) {
                bench_fail("message %u arrived with the key %u", (unsigned)batch * batch_length + k,
                           in[k]->key);
            }
            free(in[k]);
        }
        post(pair->emptied);
    }
}

static void *run_pair(void *context)
{
    unsigned long producer;
    bench_thread_start(&producer, produce, context);
    consume(context);
    bench_thread_join(producer);
    return NULL;
}

int main(int argc, char **argv)
{
    bench_arg_t args[] = {
        {.name = "BATCHES", .value = 16000, .min = 1, .max = 1u << 24},
        {.name = "DEPTH", .value = 16, .min = 1, .max = most_depth},
        {.name = "PAIRS", .value = 1, .min = 1, .max = most_pairs},
        {.name = "MIN", .value = 16, .min = 0, .max = 1u << 30},
        {.name = "MAX", .value = 512, .min = 0, .max = 1u << 30},
        {.name = "SEED", .value = 7, .max = UINT64_MAX},
    };
    bench_parse(argc, argv, "One thread allocates messages in batches of 256, another frees them.", args, 6);
    if (args[3].value > args[4].value)
        bench_usage_error("MIN must not be above MAX");
    uint64_t count = args[2].value;
    for (size_t i = 0; i < count; i++) {
        pairs[i].filled = semaphore(0);
        pairs[i].emptied = semaphore(args[1].value);
        pairs[i].batches = args[0].value;
        pairs[i].depth = args[1].value;
        pairs[i].smallest = args[3].value;
        pairs[i].largest = args[4].value;
        pairs[i].state = args[5].value + i;
    }
    bench_threads(count, run_pair, pairs, sizeof pairs[0]);
    return bench_report(args[0].value * batch_length * count);
}
