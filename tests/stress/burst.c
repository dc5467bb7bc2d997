// A burst of 300 MB, freed: after malloc_trim less than a tenth of the peak is resident. By size of block, and
// freed by the thread that allocated ("own") or by another ("remote"), in order or at random.
#include <malloc.h>
#include "threads.h"

enum {
    BYTES = 300 * 1000 * 1000
};

static void **blocks;
static size_t count;
static size_t block_size;

static void *allocate(void *index)
{
    (void)index;
    for (size_t i = 0; i < count; i++) {
        blocks[i] = malloc(block_size);
        CHECK(blocks[i] != NULL, "no memory for block %zu of %zu bytes", i, block_size);
        memset(blocks[i], 1, block_size);
    }
    return NULL;
}

static void release(void)
{
    uint64_t random = 3;
    for (size_t i = count; i > 1; i--) {
        const size_t other = next_random(&random) % i;
        void *swap = blocks[i - 1];
        blocks[i - 1] = blocks[other];
        blocks[other] = swap;
    }
    for (size_t i = 0; i < count; i++) {
        free(blocks[i]);
    }
}

int main(int argc, char **argv)
{
    block_size = argc > 1 ? strtoul(argv[1], NULL, 10) : 100;
    const int remote = argc > 2 && strcmp(argv[2], "remote") == 0;
    count = BYTES / block_size;
    blocks = malloc(count * sizeof *blocks);
    CHECK(blocks != NULL, "no memory for the table");
    if (remote) {
        CHECK(run_threads(1, allocate) == 0, "the thread failed");
    } else {
        allocate(NULL);
    }
    const long peak = resident_kib();
    release();
    free(blocks);
    malloc_trim(0);
    const long left = resident_kib();
    CHECK(left < peak / 10, "%zu-byte blocks: %ld of %ld KiB still resident after malloc_trim", block_size,
          left, peak);
    return 0;
}
