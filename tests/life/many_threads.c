/* SPDX-License-Identifier: MIT */
/* Ten thousand short threads: each allocates and frees; what a finished thread held is used again. */
#include "threads.h"

static void *work(void *index)
{
    void *blocks[20];
    for (size_t i = 0; i < 20; i++) {
        blocks[i] = malloc(i * i * 20 + 1);
        if (blocks[i] == NULL)
            return (void *)1;
        memset(blocks[i], (int)(intptr_t)index, i * i * 20 + 1);
    }
    for (size_t i = 0; i < 20; i++)
        free(blocks[i]);
    return NULL;
}

int main(void)
{
    CHECK(run_threads(20, work) == 0, "a thread got no memory");
    const long before = resident_kib();
    for (int round = 0; round < 500; round++)
        CHECK(run_threads(20, work) == 0, "round %d: a thread got no memory", round);
    const long grown = resident_kib() - before;
    CHECK(grown < 24 * 1024, "10,000 finished threads left %ld KiB behind", grown);
    return 0;
}
