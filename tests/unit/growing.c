// SPDX-License-Identifier: MIT
// A huge block that grows and cannot where it is: where another one has left memory it is copied there, since moving its pages
// would throw away those that are there; a block that is too large for that, or finds no such memory, is moved page by page.
#define _GNU_SOURCE
#include <sys/mman.h>
#include <sys/syscall.h>

#include "check.h"
#include "map/map.h"
#include "mem/extent.h"
#include "mem/huge.h"

enum {
    MIB = 1 << 20
};

static int moves;

void *__wrap_mremap(void *address, size_t old_size, size_t new_size, int flags, ...);

void *__wrap_mremap(void *address, size_t old_size, size_t new_size, int flags, ...)
{
    va_list list;
    va_start(list, flags);
    void *target = va_arg(list, void *);
    va_end(list);
    moves += (flags & MREMAP_FIXED) != 0;
    return (void *)syscall(SYS_mremap, address, old_size, new_size, flags, target); // NOLINT
}

static unsigned char *taken(size_t size)
{
    bool zero;
    unsigned char *block = hak_huge_take(size, HAK_UNIT, false, &zero);
    CHECK(block != NULL, "no block of %zu bytes", size);
    fill(block, size, size);
    return block;
}

static void released(unsigned char *block)
{
    hak_huge_release(block, hak_map_get(block));
}

// Whether a block between two others goes by a copy to where a larger one was, or by moving its pages.
static void grows(size_t size, bool copied)
{
    const size_t larger = size + size / 2;
    unsigned char *above = taken(size);
    unsigned char *block = taken(size);
    unsigned char *below = taken(size);
    unsigned char *left = taken(larger);
    unsigned char *last = taken(size);
    released(left);
    moves = 0;
    unsigned char *grown = hak_huge_resize(block, hak_map_get(block), larger);
    CHECK(grown != NULL && grown != block, "%zu to %zu bytes", size, larger);
    CHECK(is_filled(grown, size, size), "%zu to %zu bytes lost something", size, larger);
    CHECK(moves == !copied, "%zu to %zu bytes: pages were moved %d times", size, larger, moves);
    CHECK(!copied || grown == left, "%zu to %zu bytes went past what was there", size, larger);
    released(grown);
    released(above);
    released(below);
    released(last);
    hak_extent_trim(true);
}

int main(void)
{
    grows(1 * MIB, true);
    grows(4 * MIB, true);
    grows(6 * MIB, false);
    return 0;
}
