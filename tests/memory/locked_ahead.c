/* SPDX-License-Identifier: MIT */
/* All that is mapped is locked (mlockall(MCL_FUTURE)), and so has its pages at once: what is mapped ahead of its use would take
 * memory that nobody uses. Where the blocks' addresses cross a multiple of 4 GiB, the map has another MiB. */
#include <errno.h>
#include <stdbool.h>
#include <sys/mman.h>

#include "threads.h"

enum {
    MIB = 1 << 20,
    LIVE = 160 * MIB,
    BEYOND = 14 * MIB,      /* that may be resident besides: 8 are reserved anyhow */
    BEYOND_BARS = 26 * MIB, /* of chunks in hardened, where inaccessible slices have pages, too */
    SMALL = 2000,           /* bytes: blocks in chunks */
    BLOCKS = LIVE / SMALL
};

static void *blocks[BLOCKS];

/* Takes all, and looks each MiB. */
static void take_all(size_t size)
{
    const long before = resident_kib();
    const bool bars = size == SMALL && (is_variant("hardened") || is_variant("debug"));
    const size_t beyond = bars ? BEYOND_BARS : BEYOND;
    size_t looked = 0;
    for (size_t i = 0; i < LIVE / size; i++) {
        blocks[i] = malloc(size);
        CHECK(blocks[i] != NULL, "no block of %zu bytes", size);
        memset(blocks[i], 1, size);
        const size_t taken = (i + 1) * size;
        if (taken < looked + MIB)
            continue;
        looked = taken;
        const long more = resident_kib() - before;
        CHECK(!RESIDENT_IS_KNOWN || more < (long)(taken + beyond) >> 10,
              "%ld KiB for %zu in blocks of %zu bytes", more, taken >> 10, size);
    }
}

static void test_locked(size_t size)
{
    use_every_size();
    if (mlockall(MCL_CURRENT | MCL_FUTURE) != 0) {
        printf("memory cannot be locked by this user: errno %d\n", errno);
        _exit(TEST_SKIPPED);
    }
    take_all(size);
}

int main(void)
{
    static const size_t sizes[] = {SMALL, 1040000}; /* little less than they take */
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const pid_t child = fork(); /* locks are not inherited */
        if (child == 0) {
            test_locked(sizes[i]);
            _exit(0);
        }
        int status = 0;
        CHECK(waitpid(child, &status, 0) == child, "waitpid");
        if (WIFEXITED(status) && WEXITSTATUS(status) == TEST_SKIPPED)
            return TEST_SKIPPED;
        CHECK(status == 0, "blocks of %zu bytes: %d", sizes[i], status);
    }
    return 0;
}
