/* SPDX-License-Identifier: MIT */
/* A thread that frees more than it allocates, and allocates now and then: what is left over is others', round after round. One
 * thread allocates, the other frees what it gets and allocates half as many of the same size, which it keeps for a while. */
#include "threads.h"

enum {
    ROUNDS = 4800,
    SIZES = 24,
    BLOCKS = 100,       /* of a round: 3 MB at most */
    KEPT = 25,          /* of the freeing thread */
    MOST_KIB = 36 << 10 /* of all bins, and what lives */
};

static pthread_barrier_t full, empty;
static char *blocks[BLOCKS];

/* 100 bytes to 29 KiB. */
static size_t size_of(int round)
{
    size_t size = 100;
    for (int i = round % SIZES; i > 0; i--)
        size += size * 28 / 100;
    return size;
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
    const long before = resident_kib();
    for (int round = 0; round < ROUNDS; round++) {
        pthread_barrier_wait(&full);
        for (int i = 0; i < BLOCKS; i++) {
            free(blocks[i]);
            if (i % 2 == 1)
                replace(i / 2, round);
        }
        pthread_barrier_wait(&empty);
    }
    const long kib = resident_kib() - before;
    CHECK(kib <= MOST_KIB, "%ld KiB are resident after %d rounds", kib, ROUNDS);
    pthread_join(other, NULL);
    return 0;
}
