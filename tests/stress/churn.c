/* SPDX-License-Identifier: MIT */
/* Random churn by N threads that pass blocks to each other through shared slots; every block is checked when it moves.
 * Argument: the number of threads. The work per thread shrinks with it, so that each run takes about a second. */
#include <malloc.h>
#include <stdatomic.h>
#include "threads.h"

enum {
    SLOTS = 4096,
    OPERATIONS = 400000,
    CHECKED = 600
};

typedef struct {
    size_t size;
    uint64_t seed;
    unsigned char bytes[];
} message_t;

static _Atomic(message_t *) slots[SLOTS];
static int operations;

/* How much of a message is written and checked: all of a small one, the start and the last byte of a large one. */
static size_t checked(const message_t *message)
{
    return message->size < CHECKED ? message->size : CHECKED;
}

static message_t *new_message(uint64_t *random)
{
    const uint64_t choice = next_random(random);
    size_t size = choice % 5000 == 0  ? choice % 3000000
                  : choice % 100 == 0 ? choice % 60000
                                      : random_size(random, 2000);
    size += sizeof(message_t);
    message_t *message = NULL;
    switch (choice >> 60) {
    case 0: message = calloc(1, size); break;
    case 1: message = memalign((size_t)16 << (choice >> 40) % 9, size); break;
    case 2: message = realloc(malloc(size / 2 + 1), size); break;
    default: message = malloc(size); break;
    }
    CHECK(message != NULL, "no memory for %zu bytes", size);
    CHECK((choice >> 60) != 0 || is_zero(message, size < 3000 ? size : 3000), "calloc(%zu) is not zero",
          size);
    message->size = size - sizeof(message_t);
    message->seed = choice;
    fill(message->bytes, checked(message), message->seed);
    if (message->size > CHECKED)
        message->bytes[message->size - 1] = (unsigned char)choice;
    return message;
}

static void check_message(const message_t *message)
{
    const size_t at = first_difference(message->bytes, checked(message), message->seed);
    CHECK(at == checked(message), "byte %zu of a message of %zu bytes changed", at, message->size);
    CHECK(message->size <= CHECKED || message->bytes[message->size - 1] == (unsigned char)message->seed,
          "the last byte of a message of %zu bytes changed", message->size);
}

static void *work(void *index)
{
    uint64_t random = ((uintptr_t)index + 1) * 7919;
    for (int i = 0; i < operations; i++) {
        const size_t slot = next_random(&random) % SLOTS;
        message_t *message = atomic_exchange(&slots[slot], NULL);
        if (message != NULL) {
            check_message(message);
            free(message);
        }
        message = new_message(&random);
        message = atomic_exchange(&slots[slot], message);
        if (message != NULL) {
            check_message(message);
            free(message);
        }
    }
    return NULL;
}

int main(int argc, char **argv)
{
    const int threads = argc > 1 ? atoi(argv[1]) : 2;
    operations = OPERATIONS / threads;
    /* Two generations of threads: the second works on what the first left. */
    for (int generation = 0; generation < 2; generation++)
        CHECK(run_threads(threads, work) == 0, "generation %d", generation);
    for (size_t i = 0; i < SLOTS; i++) {
        if (slots[i] != NULL) {
            check_message(slots[i]);
            free(slots[i]);
        }
    }
    return 0;
}
