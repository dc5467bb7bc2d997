/* SPDX-License-Identifier: MIT */
/* A huge block that grows and cannot where it is: where another one has left memory it is copied there, since moving its pages
 * would throw away those that are there; a block that is too large for that, or finds no such memory, or of which the program has
 * touched little, is moved page by page. Where the system refuses to move it at once, since it is several mappings, it is moved in
 * pieces, and what cannot be is copied. */
#define _GNU_SOURCE
#include <errno.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "check.h"
#include "map/map.h"
#include "mem/extent.h"
#include "mem/huge.h"

enum {
    MIB = 1 << 20,
    SETTLED = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE
};

static int moves;
static size_t moved_most = SIZE_MAX;   /* bytes: more is several mappings */
static const unsigned char *not_moved; /* and so is what contains this byte */
static int refused;                    /* the how manieth move is refused all the same; 0: none */
static bool settles;                   /* somebody else maps a page in the hole that this leaves */
static unsigned char *settled;         /* which is here */

void *__wrap_mremap(void *address, size_t old_size, size_t new_size, int flags, ...);

void *__wrap_mremap(void *address, size_t old_size, size_t new_size, int flags, ...)
{
    va_list list;
    va_start(list, flags);
    unsigned char *target = va_arg(list, unsigned char *);
    va_end(list);
    if (new_size > moved_most || (size_t)(not_moved - (unsigned char *)address) < new_size) {
        errno = EFAULT;
        return MAP_FAILED;
    }
    if ((flags & MREMAP_FIXED) != 0 && ++moves == refused) {
        munmap(target, new_size); /* as kernels before Linux 6.17 do first */
        if (settles)              /* another thread, say */
            settled = mmap(target + MIB, HAK_OS_PAGE, PROT_READ | PROT_WRITE, SETTLED, -1, 0);
        errno = ENOMEM;
        return MAP_FAILED;
    }
    return (void *)syscall(SYS_mremap, address, old_size, new_size, flags, target); /* NOLINT */
}

static unsigned char *untouched(size_t size)
{
    bool zero;
    unsigned char *block = hak_huge_take(size, HAK_UNIT, false, &zero);
    CHECK(block != NULL, "no block of %zu bytes", size);
    return block;
}

static unsigned char *taken(size_t size)
{
    unsigned char *block = untouched(size);
    fill(block, size, size);
    return block;
}

static void released(unsigned char *block)
{
    hak_huge_release(block, hak_map_get(block));
}

/* A block that cannot grow where it is, since others lie beside it. */
typedef struct between {
    unsigned char *above, *block, *below;
} between_t;

static between_t between_others(unsigned char *block_of(size_t), size_t size)
{
    between_t made;
    made.above = taken(size);
    made.block = block_of(size);
    made.below = taken(size);
    moves = 0;
    return made;
}

/* The block may be another one by now. */
static void all_released(between_t made)
{
    released(made.block);
    released(made.above);
    released(made.below);
    hak_extent_trim(true);
}

/* Whether a block between two others goes by a copy to where a larger one was, or by moving its pages. */
static void grows(size_t size, bool copied)
{
    const size_t larger = size + size / 2;
    between_t all = between_others(taken, size);
    unsigned char *left = taken(larger);
    unsigned char *last = taken(size);
    released(left);
    unsigned char *grown = hak_huge_resize(all.block, hak_map_get(all.block), larger);
    CHECK(grown != NULL && grown != all.block, "%zu to %zu bytes", size, larger);
    CHECK(is_filled(grown, size, size), "%zu to %zu bytes lost something", size, larger);
    CHECK(moves == !copied, "%zu to %zu bytes: pages were moved %d times", size, larger, moves);
    CHECK(!copied || grown == left, "%zu to %zu bytes went past what was there", size, larger);
    all.block = grown;
    released(last);
    all_released(all);
}

static void moves_what_is_sparse(void)
{
    const size_t size = 3 * MIB;
    const size_t larger = 4 * MIB;
    between_t all = between_others(untouched, size);
    unsigned char *left = taken(larger);
    unsigned char *last = taken(size);
    all.block[0] = 1;
    all.block[size - 1] = 2;
    released(left);
    const long before = resident_kib();
    unsigned char *grown = hak_huge_resize(all.block, hak_map_get(all.block), larger);
    CHECK(grown != NULL && grown != all.block && moves == 1, "a sparse block was moved %d times", moves);
    CHECK(grown[0] == 1 && grown[size - 1] == 2, "a sparse block lost something");
    CHECK(resident_kib() - before < 1024, "a sparse block that grows: %ld KiB more", resident_kib() - before);
    all.block = grown;
    released(last);
    all_released(all);
}

static void moves_in_pieces(size_t most, size_t not_at, int refused_move, bool done)
{
    const size_t size = 6 * MIB + 5 * HAK_UNIT;
    between_t all = between_others(taken, size);
    moved_most = most;
    not_moved = not_at != SIZE_MAX ? all.block + not_at : NULL;
    refused = refused_move;
    unsigned char *grown = hak_huge_resize(all.block, hak_map_get(all.block), 9 * MIB);
    moved_most = SIZE_MAX;
    not_moved = NULL;
    refused = 0;
    CHECK((grown != NULL) == done, "moved by at most %zu bytes, not at %zu: %p", most, not_at, (void *)grown);
    const bool mapped = msync(all.block + (not_at < size ? not_at : 0), HAK_OS_PAGE, MS_ASYNC) == 0;
    CHECK(mapped == !done, "moved by at most %zu bytes, not at %zu: what was copied is mapped", most, not_at);
    if (grown != NULL)
        all.block = grown;
    CHECK(is_filled(all.block, size, size), "moved by at most %zu bytes, not at %zu: lost something", most,
          not_at);
    all_released(all);
}

static void leaves_what_is_lost(void)
{
    const size_t size = 6 * MIB;
    const size_t larger = 9 * MIB;
    const between_t all = between_others(taken, size);
    refused = 1;
    settles = true;
    CHECK(hak_huge_resize(all.block, hak_map_get(all.block), larger) == NULL && moves == 1, "moves: %d",
          moves);
    refused = 0;
    CHECK(settled != MAP_FAILED, "nobody settled");
    settled[0] = 0xee;
    CHECK(is_filled(all.block, size, size), "a block that stays lost something");
    unsigned char *next = taken(larger);
    CHECK(settled < next || settled >= next + larger, "another's page is taken for memory");
    CHECK(settled[0] == 0xee, "another's page was written");
    munmap(settled, HAK_OS_PAGE);
    released(next);
    all_released(all);
}

int main(void)
{
    grows(1 * MIB, true);
    grows(4 * MIB, true);
    grows(6 * MIB, false);
    moves_what_is_sparse();
    moves_in_pieces(6 * MIB, SIZE_MAX, 0, true);
    moves_in_pieces(MIB, SIZE_MAX, 0, true);
    moves_in_pieces(HAK_UNIT, SIZE_MAX, 0, true);
    moves_in_pieces(SIZE_MAX, 3 * MIB, 0, true);
    moves_in_pieces(SIZE_MAX, 6 * MIB + 4 * HAK_UNIT, 0, true);
    moves_in_pieces(SIZE_MAX, 0, 0, false);
    moves_in_pieces(0, SIZE_MAX, 0, false);
    moves_in_pieces(MIB, SIZE_MAX, 3, true);
    moves_in_pieces(MIB, SIZE_MAX, 1, false);
    leaves_what_is_lost();
    return 0;
}
