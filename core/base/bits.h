/* SPDX-License-Identifier: MIT */
/* bits.h: sets of up to 128 small numbers, as the bits of one value. Arithmetic only. */
#ifndef HAK_BASE_BITS_H
#define HAK_BASE_BITS_H

#include "base/types.h"

typedef unsigned __int128 hak_set_t; /* bit i: i is a member */

HAK_INLINE hak_set_t hak_set_bit(unsigned i)
{
    return (hak_set_t)1 << i;
}

/* The lowest member; the set is not empty. */
HAK_INLINE unsigned hak_set_first(hak_set_t set)
{
    uint64_t low = (uint64_t)set;
    return (unsigned)(low != 0 ? __builtin_ctzll(low) : 64 + __builtin_ctzll((uint64_t)(set >> 64)));
}

/* The highest member; the set is not empty. */
HAK_INLINE unsigned hak_set_last(hak_set_t set)
{
    uint64_t high = (uint64_t)(set >> 64);
    return high != 0 ? 127u - (unsigned)__builtin_clzll(high)
                     : 63u - (unsigned)__builtin_clzll((uint64_t)set);
}

HAK_INLINE unsigned hak_set_count(hak_set_t set)
{
    return (unsigned)(__builtin_popcountll((uint64_t)set) + __builtin_popcountll((uint64_t)(set >> 64)));
}

/* A set that is changed one member at a time, which in two words takes half the instructions. */
typedef struct hak_set_words {
    uint64_t word[2];
} hak_set_words_t;

HAK_INLINE void hak_set_add(hak_set_words_t *set, unsigned i)
{
    set->word[i / 64] |= (uint64_t)1 << i % 64;
}

HAK_INLINE void hak_set_remove(hak_set_words_t *set, unsigned i)
{
    set->word[i / 64] &= ~((uint64_t)1 << i % 64);
}

HAK_INLINE hak_set_t hak_set_of(hak_set_words_t set)
{
    return (hak_set_t)set.word[1] << 64 | set.word[0];
}

#endif
