/* SPDX-License-Identifier: MIT */
/* At a limit on address space, what large blocks left free serves aligned ones: none of them takes more than it needs. */
#define _GNU_SOURCE
#include <malloc.h>
#include <sys/resource.h>
#include "check.h"

enum {
    MIB = 400, /* beside what there is */
};

static void **chain; /* blocks in use, each of which holds the next one's address */

static void release(void)
{
    while (chain != NULL) {
        void **block = chain;
        chain = *block;
        free(block);
    }
}

/* Takes blocks until there are no more, and frees them; how many there were, and how many of them had a mapping of their own. */
static size_t exhaust(size_t align, size_t size, size_t *mapped)
{
    size_t count = 0;
    for (void *block; posix_memalign(&block, align, size) == 0; count++) {
        *(void **)block = chain;
        chain = block;
    }
    *mapped = mallinfo2().hblks;
    release();
    return count;
}

static rlim_t address_space(void)
{
    char text[64] = "";
    const int file = open("/proc/self/statm", O_RDONLY);
    CHECK(read(file, text, sizeof text - 1) > 0, "statm");
    close(file);
    return (rlim_t)strtoul(text, NULL, 10) * 4096;
}

int main(void)
{
    free(malloc(100));
    const rlim_t bytes = address_space() + ((rlim_t)MIB << 20);
    CHECK(setrlimit(RLIMIT_AS, &(struct rlimit){bytes, bytes}) == 0, "setrlimit");
    size_t mapped;
    for (int burst = 0; burst < 3; burst++) { /* what such a one leaves is kept for the next */
        const size_t count = exhaust(16, 1000000, &mapped);
        CHECK(count > 250, "%zu blocks of 1 MB", count);
        CHECK(mapped > count * 9 / 10, "%zu of them are huge", mapped);
    }
    const size_t count = exhaust(65536, 70000, &mapped); /* 128 KiB each, or less */
    CHECK(count > MIB * 8 * 6 / 10, "%zu blocks of 70,000 bytes, aligned to 64 KiB, in %d MiB", count, MIB);
    CHECK(mapped == 0, "%zu of them take 576 KiB each", mapped);
    return 0;
}
