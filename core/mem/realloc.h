/* SPDX-License-Identifier: MIT */
/* realloc.h: blocks get another size, where they are if that is possible. Any thread. */
#ifndef HAK_MEM_REALLOC_H
#define HAK_MEM_REALLOC_H

#include "base/policy.h"

void *hak_realloc(void *p, size_t size);
/* The block that p begins, made to hold `size` bytes where it is or by moving pages; NULL when it cannot be. */
void *hak_realloc_in_place(void *p, size_t size);
/* Bytes in the block that p begins, canary included; 0 if p is not ours. */
size_t hak_block_size(const void *p);

/* A block of `before` bytes in a slab can be kept for `size`: they fit, and at least half of it stays in use. */
HAK_INLINE bool hak_realloc_stays(size_t size, size_t before)
{
    return size <= before && (size >= before / 2 || before <= 64);
}

/* What grows by little will do so again: up to HAK_LARGE_MAX, where pages are moved rather than bytes, some more than asked for (realloc_spare) spares the next copies. */
HAK_INLINE bool hak_realloc_by_little(size_t size, size_t before)
{
    return size - before <= before / 4; /* wraps around where it shrinks */
}

/* So much then, in place of `size`. */
HAK_INLINE size_t hak_realloc_with_spare(size_t size)
{
    return size + (size >> hak_policy()->realloc_spare);
}

#endif
