/* SPDX-License-Identifier: MIT */
/* classes.h: size in bytes <-> size class. Arithmetic only: no table, no state.
 *
 * Up to 1 KiB the classes are the multiples of 16 bytes, so that the class of a request is its size rounded up,
 * divided by 16, and no table has to be read. Above that each doubling is cut into eight steps: a request of
 * 2^m < size <= 2^(m+1) goes to the next multiple of 2^(m-3), so that at most 1/9 of a block is waste.
 *
 *   class    1      2    ...   64      65      66   ...   72      73   ...   128
 *   bytes   16     32    ... 1024    1152    1280   ... 2048    2304   ... 256 KiB                                  */
#ifndef HAK_BASE_CLASSES_H
#define HAK_BASE_CLASSES_H

#include "base/types.h"

#define HAK_TINY_MAX     ((size_t)1024) /* bytes; the largest size of the first kind */
#define HAK_TINY_CLASSES 64u
#define HAK_MID_CLASSES  104u                /* the largest class up to HAK_MID_MAX */
#define HAK_CLASSES      129u                /* class numbers are 1..128 */
#define HAK_CLASS_MAX    ((size_t)256 << 10) /* bytes; the largest size that has a class */
#define HAK_MID_MAX      ((size_t)32 << 10)  /* bytes; above it a slab holds a single block */

/* A class times this is the offset of its bin (mem/thread.h), and stands in the map; of a class up to HAK_TINY_CLASSES it is
 * the size, too. */
#define HAK_BIN_BYTES 16u

static_assert(HAK_BIN_BYTES == HAK_ALIGN, "the offset of a tiny class's bin is its size");

/* The class of a request of 1..HAK_TINY_MAX bytes. */
HAK_INLINE unsigned hak_class_of_tiny(size_t size)
{
    return (unsigned)((size + 15) >> 4);
}

/* The class of a request of HAK_TINY_MAX+1..HAK_CLASS_MAX bytes. With s = size - 1 and m its highest bit, the top
 * four bits of s are 8 + k, where k in 0..7 numbers the step: the class is 64 + 8 * (m - 10) + k + 1. In 32 bits, because
 * clang makes six instructions more of 64. */
HAK_INLINE unsigned hak_class_of_mid(size_t size)
{
    unsigned s = (unsigned)size - 1;
    unsigned m = 31u ^ (unsigned)__builtin_clz(s);
    return 8 * (m - 3) + (s >> (m - 3)) + 1;
}

/* The class of a request of 0..HAK_CLASS_MAX bytes; a request of nothing gets the smallest block. */
static inline unsigned hak_class_of(size_t size)
{
    if (size > HAK_TINY_MAX)
        return hak_class_of_mid(size);
    return size == 0 ? 1 : hak_class_of_tiny(size);
}

/* Bytes in a block of a class 1..128. */
static inline size_t hak_class_size(unsigned c)
{
    if (c <= HAK_TINY_CLASSES)
        return (size_t)c * HAK_ALIGN;
    unsigned step = (c - HAK_TINY_CLASSES - 1) & 7;
    unsigned doubling = (c - HAK_TINY_CLASSES - 1) >> 3;
    return (size_t)(9 + step) << (7 + doubling);
}

/* Slices in a slab of a class: a single block above 32 KiB; below, so many that at least `blocks` fit and at most a
 * thirty-second is left over, but no less than `least`. */
static inline unsigned hak_class_slices(unsigned c, size_t blocks, size_t least)
{
    size_t size = hak_class_size(c);
    if (size > HAK_MID_MAX)
        return (unsigned)((size + HAK_SLICE - 1) >> HAK_SLICE_SHIFT);
    size_t bytes = hak_round_up(hak_max(blocks * size, least * HAK_SLICE), HAK_SLICE);
    while (bytes % size > bytes / 32)
        bytes += HAK_SLICE;
    return (unsigned)(bytes >> HAK_SLICE_SHIFT);
}

/* Blocks in a slab of a class with so many slices. */
static inline unsigned hak_class_capacity(unsigned c, size_t slices)
{
    size_t size = hak_class_size(c);
    return size > HAK_MID_MAX ? 1 : (unsigned)(slices * HAK_SLICE / size);
}

#endif
