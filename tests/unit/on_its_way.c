/* SPDX-License-Identifier: MIT */
/* What one thread is giving back to the system another one does not count as free any more: at a look at the clock meanwhile it
 * would give back as much once more, of what is to stay; and a child that is forked meanwhile would do so for ever, as nothing
 * leads to that memory there. What the system does not take is free as before. */
#define _GNU_SOURCE
#include <errno.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "hakmem.h"
#include "mem/chunk.h"
#include "mem/extent.h"
#include "still.h"
#include "threads.h"

enum {
    MIB = 1 << 20,
    BLOCKS = 6, /* more than a heap keeps */
    BIG = 2 * MIB,
    SMALL = 20000,
    SMALLS = 100 /* less than 4 MiB, so that nothing goes back at once */
};

/* What is free and may have pages, while something goes back; NULL: nobody looks. */
static size_t (*dirty)(void);
static size_t seen, calls;
static bool refuses;

/* False if the system is to refuse. */
static bool watched(void)
{
    if (dirty == NULL)
        return true;
    calls++;
    seen = dirty();
    errno = EINVAL;
    return !refuses;
}

int __wrap_madvise(void *at, size_t size, int advice);
int __wrap_munmap(void *at, size_t size);

int __wrap_madvise(void *at, size_t size, int advice)
{
    return watched() ? (int)syscall(SYS_madvise, at, size, advice) : -1;
}

int __wrap_munmap(void *at, size_t size)
{
    return watched() ? (int)syscall(SYS_munmap, at, size) : -1;
}

static size_t dirty_ranges(void)
{
    return hak_extent_view().dirty;
}

static size_t dirty_slices(void)
{
    return hak_chunk_view().dirty;
}

static void free_some(size_t count, size_t size)
{
    static unsigned char *blocks[SMALLS];
    for (size_t i = 0; i < count; i++) {
        blocks[i] = hakmem_alloc(size);
        CHECK(blocks[i] != NULL, "block %zu", i);
        memset(blocks[i], 1, size);
    }
    for (size_t i = 0; i < count; i++)
        hakmem_free(blocks[i]);
}

static void give_back(size_t (*of)(void), bool refused, size_t (*give)(void))
{
    const size_t before = of();
    CHECK(before >= MIB, "only %zu bytes are free", before);
    dirty = of;
    refuses = refused;
    calls = 0;
    give();
    dirty = NULL;
    CHECK(calls != 0, "the system was not asked");
    CHECK(refused || seen == 0, "%zu of %zu bytes still count when the last of them goes back", seen, before);
    CHECK(of() == (refused ? before : 0), "%zu of %zu bytes are free afterwards", of(), before);
}

static size_t trim_ranges(void)
{
    return hak_extent_trim(false);
}

int main(void)
{
    free_some(BLOCKS, BIG);
    hak_heap_trim();
    give_back(dirty_ranges, true, trim_ranges);
    give_back(dirty_ranges, false, trim_ranges);
    free_some(SMALLS, SMALL);
    void *stays = hakmem_alloc(SMALL); /* a chunk without runs would be unmapped */
    hak_heap_trim();
    give_back(dirty_slices, true, hak_chunk_trim);
    give_back(dirty_slices, false, hak_chunk_trim);
    hakmem_free(stays);
    return 0;
}
