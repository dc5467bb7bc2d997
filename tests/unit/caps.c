/* SPDX-License-Identifier: MIT */
/* How bins begin: by the policy in force when the thread starts, also in a heap that a thread before it has left, and with less
 * where many heaps share what bins may hold. */
#include <stdatomic.h>

#include "base/policy.h"
#include "mem/heap.h"
#include "threads.h"
#include "hakmem.h"

enum {
    TINY = HAK_TINY_CLASSES, /* the largest of them */
    MID = HAK_TINY_CLASSES + 4,
    MANY = 40
};

static unsigned tiny_cap, mid_cap, run_cap;
static hak_heap_t *heap;

/* More than the few blocks for which a thread gets no heap of its own. */
static void use_little(void)
{
    for (int i = 0; i < 100; i++) {
        void *block = hakmem_alloc(16);
        CHECK(block != NULL, "no block");
        hakmem_free(block);
    }
}

static void *start(void *unused)
{
    use_little();
    heap = hak_thread.heap;
    tiny_cap = hak_thread.bins[TINY].cap;
    mid_cap = hak_thread.bins[MID].cap;
    run_cap = hak_thread.bins[HAK_CLASSES - 1].cap;
    (void)unused;
    return NULL;
}

static void start_one(void)
{
    hak_heap_t *before = heap;
    CHECK(run_threads(1, start) == 0, "a thread");
    CHECK(before == NULL || heap == before, "another heap than the one that was left");
}

static pthread_barrier_t barrier;
static atomic_uint among_many; /* the largest cap */

static void *start_among_many(void *unused)
{
    use_little();
    unsigned cap = hak_thread.bins[TINY].cap;
    for (unsigned most = among_many; cap > most && !atomic_compare_exchange_weak(&among_many, &most, cap);) {
    }
    pthread_barrier_wait(&barrier); /* so each has a heap */
    (void)unused;
    return NULL;
}

static void start_many(void)
{
    atomic_store(&among_many, 0);
    CHECK(run_threads(MANY, start_among_many) == 0, "many threads");
}

int main(void)
{
    start_one();
    const unsigned tiny = tiny_cap, mid = mid_cap;
    CHECK(tiny >= 3 && mid >= 3 && run_cap >= 3, "caps of %u, %u and %u", tiny, mid, run_cap);
    start_one();
    CHECK(tiny_cap == tiny && mid_cap == mid, "the same policy: %u and %u frees, before %u and %u", tiny_cap,
          mid_cap, tiny, mid);

    hak_policy_t next = *hak_policy();
    next.bin_blocks = 7;
    hak_policy_publish(&next);
    start_one();
    CHECK(tiny_cap == 7 && mid_cap <= 7, "seven blocks at most: %u and %u", tiny_cap, mid_cap);
    next.bin_blocks = hak_policy_default.bin_blocks;
    hak_policy_publish(&next);
    start_one();
    CHECK(tiny_cap == tiny && mid_cap == mid, "the old policy again: %u and %u", tiny_cap, mid_cap);

    CHECK(pthread_barrier_init(&barrier, NULL, MANY) == 0, "a barrier");
    start_many();
    start_many();
    CHECK(among_many < tiny, "%u frees in heaps that %d threads left, %u before", among_many, MANY, tiny);
    return 0;
}
