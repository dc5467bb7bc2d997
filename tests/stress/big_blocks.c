/* SPDX-License-Identifier: MIT */
/* Blocks of 64 KiB to 24 MiB by two threads, grown, shrunk and freed: bounded while it runs, given back after. */
#include <malloc.h>
#include "threads.h"

enum {
    SLOTS = 6,
    STEPS = 500
};

static void *work(void *index)
{
    uint64_t random = (uintptr_t)index + 5;
    struct {
        unsigned char *block;
        size_t size;
    } slots[SLOTS] = {{NULL, 0}};
    for (int step = 0; step < STEPS; step++) {
        const size_t i = next_random(&random) % SLOTS;
        const size_t size = (size_t)65536 + next_random(&random) % (step % 8 == 0 ? 24u << 20 : 2u << 20);
        if (slots[i].block != NULL && step % 3 == 0) {
            const size_t kept = size < slots[i].size ? size : slots[i].size;
            const unsigned char last = slots[i].block[kept - 1];
            slots[i].block = realloc(slots[i].block, size);
            CHECK(slots[i].block != NULL, "no memory to resize to %zu bytes", size);
            CHECK(is_filled(slots[i].block, 5000, i), "realloc to %zu bytes lost the start", size);
            CHECK(slots[i].block[kept - 1] == last, "realloc to %zu bytes lost the end", size);
        } else {
            free(slots[i].block);
            slots[i].block = step % 2 ? malloc(size) : calloc(1, size);
            CHECK(slots[i].block != NULL, "no memory for %zu bytes", size);
            CHECK(step % 2 || (is_zero(slots[i].block, 5000) && is_zero(slots[i].block + size - 5000, 5000)),
                  "calloc(%zu)", size);
        }
        slots[i].size = size;
        memset(slots[i].block, 0xaa, size);
        fill(slots[i].block, 5000, i);
    }
    for (size_t i = 0; i < SLOTS; i++)
        free(slots[i].block);
    return NULL;
}

int main(void)
{
    const long before = resident_kib();
    CHECK(run_threads(2, work) == 0, "a thread failed");
    malloc_trim(0);
    const long held = resident_kib() - before;
    CHECK(held < 24 * 1024, "%ld KiB held after all big blocks were freed and trimmed", held);
    return 0;
}
