/* check.h: what the variants with HAK_CHECKS do to blocks, and nothing in the others.
 *
 * A free block carries a key in its second word, by which a second free is seen; a block in use carries a canary in
 * its last eight bytes, by which an overrun is seen. Both are derived from the block's address. */
#ifndef HAK_MEM_CHECK_H
#define HAK_MEM_CHECK_H

#include "base/classes.h"

/* Bytes at the end of each block that are not the caller's. */
#define HAK_CANARY_BYTES (HAK_CHECKS ? sizeof(uint64_t) : (size_t)0)

HAK_INLINE uint64_t hak_check_key(const void *p)
{
    return ((uint64_t)(uintptr_t)p ^ 0x5bd1e995973ac84full) * 0x9e3779b97f4a7c15ull;
}

HAK_INLINE void hak_check_mark_free(void *p)
{
    if (HAK_CHECKS)
        ((uint64_t *)p)[1] = hak_check_key(p);
}

/* Marks a block of `size` bytes (canary included) as in use and fills its first 2 KiB with 0xa5. Returns p. */
void *hak_check_taken(void *p, size_t size);
/* Checks that p begins a block in use and that its canary is whole; aborts otherwise. Then fills its first 2 KiB
 * with 0xdb. */
void hak_check_given(void *p);
/* Checks only that p begins a block that was handed out at some time; aborts otherwise. `entry` is its map entry, of a
 * slab. */
void hak_check_start(const void *p, uint32_t entry);

#endif
