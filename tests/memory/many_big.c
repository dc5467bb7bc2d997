/* SPDX-License-Identifier: MIT */
/* Blocks with mappings or slices of their own, as many as memory allows: 140,000 pages of a database (64 KiB aligned to as
 * much) and as many blocks above 1 MiB, untouched but for a byte: more than twice the mappings that the system allows. Freed
 * every other one, the process still has mappings left for a thread; the rest freed, all of it can be had again. */
#include <errno.h>
#include <malloc.h>

#include "threads.h"

enum {
    PAGES = 140000,
    BIGS = PAGES,
};

static char *blocks[PAGES];

static long mappings(void)
{
    FILE *file = fopen("/proc/self/maps", "r");
    CHECK(file != NULL, "no /proc/self/maps");
    long lines = 0;
    for (int c; (c = getc(file)) != EOF;)
        lines += c == '\n';
    fclose(file);
    return lines;
}

static void *allocate(void *unused)
{
    free(malloc(100));
    return unused;
}

static void expect_thread(const char *when)
{
    pthread_t thread;
    const int error = pthread_create(&thread, NULL, allocate, NULL);
    CHECK(error == 0, "%s: no thread can start: %s", when, strerror(error));
    pthread_join(thread, NULL);
}

static void take(size_t i, size_t size, int aligned)
{
    if (aligned) {
        const int error = posix_memalign((void **)&blocks[i], size, size);
        CHECK(error == 0 && (uintptr_t)blocks[i] % size == 0, "block %zu: error %d", i, error);
    } else {
        blocks[i] = malloc(size);
        CHECK(blocks[i] != NULL, "block %zu: errno %d", i, errno);
    }
    if (i % 16 == 0)
        blocks[i][0] = (char)i;
}

static void run(size_t count, size_t size, int aligned)
{
    for (size_t i = 0; i < count; i++)
        take(i, size, aligned);
    for (size_t i = 1; i < count; i += 2)
        free(blocks[i]);
    malloc_trim(0);
    /* The system allows 65,530; `hardened` has inaccessible pages behind the first 16,384 blocks. */
    CHECK(mappings() < (is_variant("hardened") || is_variant("debug") ? 40000 : 20000), "%ld mappings",
          mappings());
    expect_thread("every other block is freed");
    for (size_t i = 1; i < count; i += 2)
        take(i, size, aligned);
    for (size_t i = 0; i < count; i++) {
        CHECK(i % 16 != 0 || blocks[i][0] == (char)i, "block %zu changed", i);
        free(blocks[i]);
    }
    malloc_trim(0);
    expect_thread("all blocks are freed");
}

int main(void)
{
    /* There a block has two mappings, itself and what is inaccessible behind it. */
    const int each = is_variant("hardened") ? 2 : 1;
    const long before = resident_kib();
    run((size_t)fewer_in_debug(PAGES / each), 65536, 1);
    run((size_t)fewer_in_debug(BIGS / each), 1100 << 10, 0);
    /* What stays are the pages of the map for 170 GiB of addresses, and records. */
    CHECK(resident_kib() - before < 120 * 1024, "%ld KiB stay", resident_kib() - before);
    use_every_size();
    return 0;
}
