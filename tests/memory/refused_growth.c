/* SPDX-License-Identifier: MIT */
/* A big block that is to grow to what no system has: it is refused, the block is as it was, and so is all else. Nothing was mapped
 * for what did not come, so under a limit of the address space (RLIMIT_AS) as much can be had afterwards as before. */
#include <errno.h>
#include <sys/resource.h>

#include "threads.h"

enum {
    MIB = 1 << 20,
    PAGES_MOST = 64 * 256, /* that more may be mapped afterwards: 64 MiB */
    ROOM = 150,            /* MiB that a limit leaves */
    PART = 64,             /* MiB that fit in, before and after */
    BLOCKS = 2000
};

static const size_t sizes[] = {(size_t)1 << 46, ((size_t)1 << 46) - MIB, (size_t)63 << 40, (size_t)47 << 40,
                               (size_t)1 << 45};

static unsigned char *block_of_one(void)
{
    unsigned char *block = malloc(MIB);
    CHECK(block != NULL, "1 MiB");
    memset(block, 7, MIB);
    return block;
}

/* What is still there, whether the block grew or not; it is freed. */
static void check_block(unsigned char *block, unsigned char *grown, size_t size)
{
    CHECK(grown != NULL || errno == ENOMEM, "%zu bytes: errno %d", size, errno);
    unsigned char *kept = grown != NULL ? grown : block;
    for (size_t at = 0; at < MIB; at += 64)
        CHECK(kept[at] == 7, "byte %zu after a growth to %zu", at, size);
    free(kept);
}

static void use_all_sizes(void)
{
    for (size_t i = 0; i < BLOCKS; i++) {
        unsigned char *block = malloc(opaque(16 + i * 700));
        CHECK(block != NULL, "block %zu", i);
        memset(block, 1, 16);
        free(block);
    }
}

static void test_address_space(void)
{
    use_all_sizes();
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        unsigned char *block = block_of_one();
        const long before = number_behind("/proc/self/statm", "");
        errno = 0;
        unsigned char *grown = realloc(block, opaque(sizes[i]));
        const long more = grown == NULL ? number_behind("/proc/self/statm", "") - before : 0;
        CHECK(more < PAGES_MOST, "%ld pages more for %zu bytes that were refused", more, sizes[i]);
        check_block(block, grown, sizes[i]);
        use_all_sizes();
    }
}

static void test_limit(void)
{
    unsigned char *block = block_of_one();
    const rlim_t most = (rlim_t)number_behind("/proc/self/statm", "") * 4096 + (rlim_t)ROOM * MIB;
    CHECK(setrlimit(RLIMIT_AS, &(struct rlimit){most, most}) == 0, "setrlimit");
    void *part = malloc(opaque((size_t)PART * MIB));
    CHECK(part != NULL, "%d MiB of %d", PART, ROOM);
    free(part);
    for (size_t size = (size_t)1 << 36; size <= (size_t)1 << 40; size *= 2)
        CHECK(realloc(block, opaque(size)) == NULL, "%zu bytes under a limit", size);
    part = malloc(opaque((size_t)PART * MIB));
    CHECK(part != NULL, "%d MiB of %d, after growth that was refused", PART, ROOM);
    free(part);
    check_block(block, NULL, 0);
}

static void test_limit_in_child(void)
{
    const pid_t child = fork();
    if (child == 0) {
        test_limit();
        _exit(0);
    }
    expect_child_succeeds(child, "growth under a limit");
}

int main(void)
{
    test_limit_in_child();
    test_address_space();
    return 0;
}
