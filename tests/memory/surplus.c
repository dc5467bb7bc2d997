// SPDX-License-Identifier: MIT
// A thread that frees more than it allocates, and allocates now and then: what is left over is others', round after round. One
// thread allocates, the other frees what it gets and allocates half as many of the same size, which it keeps for a while.
#include "threads.h"

enum {
    ROUNDS = 4000,
    BLOCKS = 200,        // of a round
    KEPT = 50,           // of the freeing thread
    MOST_KIB = 24 << 10, // beyond what was resident after a tenth of the rounds
};

static const size_t sizes[] = {100, 700, 1500, 5000};
static pthread_barrier_t full, empty;
static char *blocks[BLOCKS];

static size_t size_of(int round)
{
    return sizes[round % (int)(sizeof sizes / sizeof *sizes)];
}

static void *allocate(void *unused)
{
    (void)unused;
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < BLOCKS; i++) {
            blocks[i] = malloc(size_of(round));
            CHECK(blocks[i] != NULL, "no block of %zu bytes", size_of(round));
            memset(blocks[i], round, size_of(round));
        }
        pthread_barrier_wait(&full);
        pthread_barrier_wait(&empty);
    }
    return NULL;
}

static void replace(int i, int round)
{
    static char *kept[KEPT];
    free(kept[i % KEPT]);
    kept[i % KEPT] = malloc(size_of(round));
    CHECK(kept[i % KEPT] != NULL, "no block of %zu bytes", size_of(round));
    memset(kept[i % KEPT], 1, size_of(round));
}

int main(void)
{
    pthread_barrier_init(&full, NULL, 2);
    pthread_barrier_init(&empty, NULL, 2);
    pthread_t other;
    CHECK(pthread_create(&other, NULL, allocate, NULL) == 0, "no thread");
    long before = 0;
    for (int round = 0; round < ROUNDS; round++) {
        pthread_barrier_wait(&full);
        for (int i = 0; i < BLOCKS; i++) {
            free(blocks[i]);
            if (i % 2 == 1) {
                replace(i / 2, round);
            }
        }
        pthread_barrier_wait(&empty);
        if (round == ROUNDS / 10) {
            before = resident_kib();
        }
    }
    const long kib = resident_kib() - before;
    CHECK(kib <= MOST_KIB, "%ld KiB more were resident after %d rounds than after %d", kib, ROUNDS,
          ROUNDS / 10);
    pthread_join(other, NULL);
    return 0;
}
