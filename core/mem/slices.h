/* SPDX-License-Identifier: MIT */
/* slices.h: sets of slices of one chunk, and the runs of adjacent ones in them. Arithmetic only. */
#ifndef HAK_MEM_SLICES_H
#define HAK_MEM_SLICES_H

#include "base/bits.h"

/* Bit i is slice i. */
typedef hak_set_t hak_slices_t;

static_assert(sizeof(hak_slices_t) * 8 == HAK_CHUNK_SLICES, "a bit for each slice");

static inline hak_slices_t hak_slices_mask(unsigned first, unsigned slices)
{
    return (~(hak_slices_t)0 >> (HAK_CHUNK_SLICES - slices)) << first;
}

/* The lowest members that are adjacent. `set` is not empty. */
static inline hak_slices_t hak_slices_lowest_run(hak_slices_t set)
{
    hak_slices_t lowest = set & -set;
    return set & ~(set + lowest);
}

/* The members that begin a run of at least n. */
static inline hak_slices_t hak_slices_runs(hak_slices_t set, unsigned n)
{
    unsigned have = 1;
    for (; have <= n / 2; have *= 2)
        set &= set >> have;
    return set & set >> (n - have);
}

/* By doubling: where runs of 1, 2, 4 ... begin, as long as there are any; then by how much the longest of these go on. Not
 * `inline`: gcc would copy it into each of its callers. */
static unsigned hak_slices_longest_run(hak_slices_t set)
{
    hak_slices_t begins[8] = {set};
    unsigned k = 0;
    if (set == 0)
        return 0;
    while ((begins[k + 1] = begins[k] & begins[k] >> (1u << k)) != 0)
        k++;
    unsigned length = 1u << k;
    for (hak_slices_t at = begins[k]; k-- != 0;) {
        hak_slices_t longer = at & begins[k] >> length;
        at = longer != 0 ? longer : at;
        length += longer != 0 ? 1u << k : 0;
    }
    return length;
}

/* The slices whose number is a multiple of `align`, a power of two up to 64. By a table: a division of 128 bits is a loop. */
static inline hak_slices_t hak_slices_every(unsigned align)
{
    static const uint64_t half[] = {~(uint64_t)0,
                                    0x5555555555555555,
                                    0x1111111111111111,
                                    0x0101010101010101,
                                    0x0001000100010001,
                                    0x0000000100000001,
                                    1};
    uint64_t word = half[__builtin_ctz(align)];
    return (hak_slices_t)word << 64 | word;
}

/* Of places where runs of n slices may begin, the last one: of a run within the first half, if there is any. `set` is not empty, n
 * at most 64. */
HAK_INLINE unsigned hak_slices_behind(hak_slices_t set, unsigned n)
{
    uint64_t first_half = (uint64_t)set & ~(uint64_t)0 >> (n - 1);
    return first_half != 0 ? 63u - (unsigned)__builtin_clzll(first_half) : hak_set_last(set);
}

#define HAK_GROUP 16u /* slices whose entries fill a cache line of the map */

/* A number for each group of a chunk; as long as a set of its slices. */
typedef uint16_t hak_groups_t __attribute__((vector_size(sizeof(hak_slices_t))));

static_assert(sizeof(hak_groups_t) / sizeof(uint16_t) * HAK_GROUP == HAK_CHUNK_SLICES,
              "each slice is in a group");

/* The slices of the groups for which both are the same. */
static inline hak_slices_t hak_groups_equal(hak_groups_t a, hak_groups_t b)
{
    return (hak_slices_t)(a == b);
}

#endif
