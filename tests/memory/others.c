/* SPDX-License-Identifier: MIT */
/* A thread that does nothing but free what another one has allocated: that goes back at once beyond what is kept for reuse, whether
 * its owner sleeps or has ended. And as time passes what lies beside blocks in use. */
#include <stdbool.h>

#include "threads.h"

enum {
    TAKEN = 160 << 20, /* bytes */
    LEAST = 64,        /* bytes: the smallest block */
    STAYS_KIB = 28 << 10
};

static pthread_barrier_t taken, freed;
static char *blocks[TAKEN / LEAST];
static size_t size, count;

static void take_all(void)
{
    for (size_t i = 0; i < count; i++) {
        blocks[i] = malloc(size);
        CHECK(blocks[i] != NULL, "no block of %zu bytes", size);
        for (size_t at = 0; at < size; at += 4096)
            blocks[i][at] = 1;
    }
}

static void *take_and_wait(void *unused)
{
    take_all();
    pthread_barrier_wait(&taken);
    pthread_barrier_wait(&freed);
    return unused;
}

static void *take_and_end(void *unused)
{
    take_all();
    return unused;
}

static void free_all(const char *owner, long before)
{
    for (size_t i = 0; i < count; i++)
        free(blocks[i]);
    const long stays = resident_kib() - before;
    CHECK(stays <= STAYS_KIB, "%zu blocks of %zu bytes freed, whose owner %s: %ld KiB stay", count, size,
          owner, stays);
}

/* Slow paths: more sizes in turns than a thread keeps of large blocks. */
static void go_on(int ms)
{
    for (int i = 0; i < ms; i++) {
        for (size_t k = 0; k < 8; k++)
            free(malloc(opaque(300000 + k * 16384)));
        usleep(1000);
    }
}

static void *free_most_and_end(void *unused)
{
    for (size_t i = 0; i < count; i++)
        if (i % 8 != 0)
            free(blocks[i]);
    return unused;
}

/* Of blocks that lie beside others in use pages go back as time passes, though their owner, who frees nothing, sleeps, and who
 * freed them has ended. */
static void free_most_of_others(void)
{
    const pid_t child = fork();
    if (child == 0) {
        size = 5000;
        count = TAKEN / size;
        pthread_t owner, freeing;
        const long before = resident_kib();
        CHECK(pthread_create(&owner, NULL, take_and_wait, NULL) == 0, "pthread_create");
        pthread_barrier_wait(&taken);
        CHECK(pthread_create(&freeing, NULL, free_most_and_end, NULL) == 0, "pthread_create");
        pthread_join(freeing, NULL);
        long stays = TAKEN;
        for (int i = 0; i < 20 && stays > TAKEN >> 11; i++) {
            go_on(500);
            stays = resident_kib() - before;
        }
        CHECK(stays <= TAKEN >> 11, "of %d KiB most were freed by a thread that ended: %ld KiB stay",
              TAKEN >> 10, stays);
        _exit(0);
    }
    expect_child_succeeds(child, "most blocks of another thread");
}

/* In a process of its own: memory that is asked for again soon after it went back would be kept. */
static void free_others(size_t bytes, bool owner_ends)
{
    const pid_t child = fork();
    if (child == 0) {
        size = bytes;
        count = TAKEN / bytes;
        pthread_t thread;
        const long before = resident_kib();
        CHECK(pthread_create(&thread, NULL, owner_ends ? take_and_end : take_and_wait, NULL) == 0,
              "pthread_create");
        if (owner_ends)
            pthread_join(thread, NULL);
        else
            pthread_barrier_wait(&taken);
        free_all(owner_ends ? "has ended" : "sleeps", before);
        _exit(0);
    }
    expect_child_succeeds(child, "blocks of another thread");
}

int main(void)
{
    static const size_t sizes[] = {LEAST, 3000, 100000};
    if (is_variant("minimal") && !is_variant("bench_minimal")) /* nothing goes back there */
        return TEST_SKIPPED;
    memset(blocks, 0, sizeof blocks); /* resident from now on */
    use_every_size();                 /* this thread has a heap */
    pthread_barrier_init(&taken, NULL, 2);
    pthread_barrier_init(&freed, NULL, 2);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        free_others(sizes[i], false);
        free_others(sizes[i], true);
    }
    if (!is_variant("debug")) /* there pages of free blocks stay */
        free_most_of_others();
    return 0;
}
