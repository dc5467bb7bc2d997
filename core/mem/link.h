/* SPDX-License-Identifier: MIT */
/* link.h: the links of free blocks, which lie in the blocks, and what of them is checked. */
#ifndef HAK_MEM_LINK_H
#define HAK_MEM_LINK_H

#include "mem/slab.h"

/* The link of a free block is not what the allocator wrote. */
HAK_COLD _Noreturn void hak_link_corrupted(const void *block);
/* The block is on some list of free ones already. */
HAK_COLD _Noreturn void hak_link_freed_twice(const void *p);
/* What is freed and begins no block of its slab. */
HAK_COLD _Noreturn void hak_link_not_a_start(const void *p);

/* --- seals -------------------------------------------------------------------------------------------------------- *
 *
 * Without HAK_HARDEN, but with HAK_LINK_CHECKS, the second word of a free block is its link with the process's key: its
 * seal, on whatever list the block is and whoever holds that. A free of a sealed block is its second one; a link without
 * a seal is not followed. What is handed out has its seal broken, or a free of it would look like the second one. */

/* True of every free block, and of no other, but for one in 2^64. */
HAK_INLINE bool hak_link_is_sealed(const void *block)
{
    const hak_word_t *word = block;
    return (word[0] ^ word[1]) == hak_harden_keys.link;
}

HAK_INLINE void hak_link_seal(void *block, const void *next)
{
    hak_word_t *word = block;
    word[0] = (uintptr_t)next;
    word[1] = (uintptr_t)next ^ hak_harden_keys.link;
}

/* For whatever takes a block off a list to hand it out. */
HAK_INLINE void hak_link_unseal(void *block)
{
    if (HAK_CHECK_LINKS)
        ((hak_word_t *)block)[1] = 0;
}

/* Aborts if the block is a free one. */
HAK_INLINE void hak_link_check_seal(const void *block)
{
    if (HAK_CHECK_LINKS && hak_unlikely(hak_link_is_sealed(block)))
        hak_link_freed_twice(block);
}

/* The link in a free block. */
HAK_INLINE void *hak_link_next(const void *block)
{
    if (HAK_CHECK_LINKS && hak_unlikely(!hak_link_is_sealed(block)))
        hak_link_corrupted(block);
    return HAK_HARDEN ? hak_harden_next(block) : *(void *const *)block;
}

HAK_INLINE void hak_link_set(void *block, void *next)
{
    if (HAK_HARDEN)
        hak_harden_link(block, next);
    else if (HAK_CHECK_LINKS)
        hak_link_seal(block, next);
    else
        *(void **)block = next;
}

/* Aborts unless a block begins at p, which is `at` bytes into the slab: n times the inverse of a size, modulo 2^32, is less than
 * the inverse just if n is a multiple of the size (Lemire, Kaser and Kurz, "Faster remainder by direct computation", 2019),
 * which holds while their product is below 2^32: in units of 16 bytes it is below 2^28. The inverse of one unit is 0 in 32 bits.
 * For where there is time: when a block is on its way between threads or back into its slab. */
HAK_INLINE void hak_link_check_start(const hak_slab_t *slab, size_t at, const void *p)
{
#if !HAK_HARDEN
    uint32_t units = (uint32_t)(at / HAK_ALIGN);
    if (HAK_CHECK_LINKS && hak_unlikely(at % HAK_ALIGN != 0 || units * slab->inverse > slab->inverse - 1))
        hak_link_not_a_start(p);
#endif
    (void)slab, (void)at, (void)p;
}

/* The same, of a block alone. */
HAK_INLINE void hak_link_check_begins(const void *p)
{
    if (HAK_CHECK_LINKS)
        hak_link_check_start(hak_slab_of(p), hak_slab_place(p), p);
}

#endif
