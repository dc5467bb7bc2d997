/* SPDX-License-Identifier: MIT */
/* Blocks of which the program has locked a page, and which it frees as they are: the system takes no such page back. All other free
 * pages go back all the same, beside blocks in use. */
#include <malloc.h>
#include <sys/mman.h>

#include "check.h"

enum {
    COUNT = 10000,
    BYTES = 64 << 20,
    LOCKED = 12, /* blocks, far from each other */
    PAGE = 4096, /* bytes */
    KEPT = 10,   /* one block in so many stays in use */
    REST_KIB =
        14
        << 10 /* beside those: pages shared with free ones, and what lies behind a locked one in its chunk */
};

static void expect_few_stay(size_t size)
{
    static char *blocks[COUNT];
    const size_t count = BYTES / size;
    const long start = resident_kib();
    for (size_t i = 0; i < count; i++) {
        blocks[i] = malloc(size);
        CHECK(blocks[i] != NULL, "no block of %zu bytes", size);
        memset(blocks[i], 1, size);
    }
    for (size_t i = 1; i <= LOCKED; i++)
        if (mlock(blocks[i * (count / (LOCKED + 1)) / KEPT * KEPT + 1], PAGE) != 0)
            exit(TEST_SKIPPED);
    for (size_t i = 0; i < count; i++)
        if (i % KEPT != 0)
            free(blocks[i]);
    malloc_trim(0);
    const long kib = resident_kib() - start;
    const long most = (long)(count / KEPT * (size + 2 * PAGE) >> 10) + REST_KIB;
    printf("%zu bytes: %ld KiB, at most %ld\n", size, kib, most);
    CHECK(kib <= most, "%ld KiB stay of blocks of %zu bytes, expected at most %ld", kib, size, most);
    munlockall();
    for (size_t i = 0; i < count; i += KEPT)
        free(blocks[i]);
    malloc_trim(0);
}

int main(void)
{
    if (!RESIDENT_IS_KNOWN || is_variant("debug")) /* which has no purged blocks */
        return TEST_SKIPPED;
    expect_few_stay(8000);
    expect_few_stay(20000);
    expect_few_stay(60000);
    return 0;
}
