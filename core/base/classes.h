/* SPDX-License-Identifier: MIT */
/* classes.h: size in bytes <-> size class. Arithmetic only: no table, no state. The limits and steps are constants of the policy
 * (base/policy.def, scopes `build` and `start`); what is said here is said of the default ones.
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

#define HAK_TINY_STEP    ((size_t)HAK_BUILT_tiny_step) /* bytes between the sizes of the first kind */
#define HAK_TINY_MAX     ((size_t)HAK_BUILT_tiny_max)  /* bytes; the largest size of the first kind */
#define HAK_TINY_BITS    ((unsigned)__builtin_ctz(HAK_BUILT_tiny_max))
#define HAK_TINY_CLASSES ((unsigned)HAK_BUILT_tiny_max / 16u)
#define HAK_STEPS        ((unsigned)HAK_BUILT_mid_steps) /* classes in a doubling above that */
#define HAK_STEP_BITS    ((unsigned)__builtin_ctz(HAK_BUILT_mid_steps))
#define HAK_MID_MAX      ((size_t)HAK_BUILT_mid_max_kb << 10) /* bytes; above it a slab holds a single block */
#define HAK_CLASS_MAX    ((size_t)HAK_CLASS_MAX_KB << 10)     /* bytes; the largest size that has a class */
#define HAK_MID_CLASSES  hak_class_upto(HAK_BUILT_mid_max_kb * 1024) /* the largest class up to HAK_MID_MAX */
#define HAK_CLASSES      (hak_class_regular(HAK_CLASS_MAX_KB * 1024) + HAK_HAS_DYN1 + HAK_HAS_DYN2 + 1)

/* Hardened has none above 64 KiB: a block that has a class is filled when it is freed and looked at before it is handed out, all of
 * it, and one that has none is inaccessible meanwhile. */
#define HAK_HARDEN_CLASS_KB (HAK_BUILT_mid_max_kb > 64 ? HAK_BUILT_mid_max_kb : 64)
#define HAK_CLASS_MAX_KB                                                                                     \
    (HAK_HARDEN && HAK_BUILT_class_max_kb > HAK_HARDEN_CLASS_KB ? HAK_HARDEN_CLASS_KB                        \
                                                                : HAK_BUILT_class_max_kb)

/* More sizes of blocks, in bytes: constants of the build. What learns has them from the policy that it begins with, and those that
 * this does not set are HAK_CLASS_MAX, which no request with a class exceeds: their classes, the last ones, have no blocks. */
#if HAK_LEARNER
extern size_t hak_classes_more[2] HAK_HIDDEN; /* base/policy.c; written before the first block */
#define HAK_DYN1 hak_classes_more[0]
#define HAK_DYN2 hak_classes_more[1]
#else
#define HAK_DYN1 ((size_t)HAK_BUILT_mid_dyn1)
#define HAK_DYN2 ((size_t)HAK_BUILT_mid_dyn2)
#endif
#define HAK_HAS_DYN1 (HAK_LEARNER || HAK_BUILT_mid_dyn1 != 0)
#define HAK_HAS_DYN2 (HAK_LEARNER || HAK_BUILT_mid_dyn2 != 0)

/* The class whose blocks have a power of two of bytes, at least HAK_TINY_MAX: a constant, but in what learns; and without those
 * that the policy adds. */
#define hak_is_built_power(x) ((x) > 0 && ((x) & ((x)-1)) == 0)
#define hak_class_regular(power)                                                                             \
    (HAK_TINY_CLASSES + HAK_STEPS * ((unsigned)__builtin_ctz(power) - HAK_TINY_BITS))
#define hak_class_upto(power)                                                                                \
    (hak_class_regular(power) + (HAK_HAS_DYN1 && HAK_DYN1 <= (power)) + (HAK_HAS_DYN2 && HAK_DYN2 <= (power)))

static_assert(
    hak_is_built_power(HAK_BUILT_tiny_step) && hak_is_built_power(HAK_BUILT_tiny_max) &&
        hak_is_built_power(HAK_BUILT_mid_steps) && hak_is_built_power(HAK_BUILT_mid_max_kb) &&
        hak_is_built_power(HAK_BUILT_class_max_kb) && HAK_BUILT_large_max_kb % 16 == 0,
    "the policy asks for a step or limit that is no power of 2, or for a large_max_kb that is no multiple of 16");
static_assert(HAK_BUILT_large_max_kb >= HAK_BUILT_class_max_kb,
              "the policy has large_max_kb below class_max_kb");
#define hak_is_more(x) ((x) == 0 || ((x) % HAK_ALIGN == 0 && (x) > HAK_TINY_MAX && (x) < HAK_MID_MAX))
static_assert(
    hak_is_more(HAK_BUILT_mid_dyn1) && hak_is_more(HAK_BUILT_mid_dyn2),
    "the policy has a mid_dyn1 or mid_dyn2 that is no multiple of 16 above tiny_max and below mid_max_kb");
static_assert(HAK_BUILT_mid_dyn1 == 0 || HAK_BUILT_mid_dyn1 != HAK_BUILT_mid_dyn2,
              "the policy has a mid_dyn2 that is the mid_dyn1");

/* A class times this is the offset of its bin (mem/thread.h), and stands in the map; of a class up to HAK_TINY_CLASSES it is
 * the size, too. */
#define HAK_BIN_BYTES 16u

static_assert(HAK_BIN_BYTES == HAK_ALIGN, "the offset of a tiny class's bin is its size");

/* A size up to HAK_TINY_MAX as its block has it. */
HAK_INLINE size_t hak_tiny_size(size_t size)
{
    return (size + HAK_TINY_STEP - 1) & ~(HAK_TINY_STEP - 1);
}

/* The class of a request of 1..HAK_TINY_MAX bytes. */
HAK_INLINE unsigned hak_class_of_tiny(size_t size)
{
    return (unsigned)(hak_tiny_size(size) >> 4);
}

/* The class of a request of HAK_TINY_MAX+1..HAK_CLASS_MAX bytes. With s = size - 1 and m its highest bit, the top
 * four bits of s are 8 + k, where k in 0..7 numbers the step: the class is 64 + 8 * (m - 10) + k + 1 (of the default policy). In 32
 * bits, because clang makes six instructions more of 64. Each class more shifts those behind it. */
HAK_INLINE unsigned hak_class_of_mid(size_t size)
{
    unsigned s = (unsigned)size - 1;
    unsigned m = 31u ^ (unsigned)__builtin_clz(s);
    unsigned first = HAK_TINY_CLASSES + 1 - HAK_STEPS * (HAK_TINY_BITS + 1 - HAK_STEP_BITS);
    return HAK_STEPS * (m - HAK_STEP_BITS) + (s >> (m - HAK_STEP_BITS)) + first +
           (HAK_HAS_DYN1 && size > HAK_DYN1) + (HAK_HAS_DYN2 && size > HAK_DYN2);
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
    if (HAK_HAS_DYN1 && c == hak_class_of_mid(HAK_DYN1))
        return HAK_DYN1;
    if (HAK_HAS_DYN2 && c == hak_class_of_mid(HAK_DYN2))
        return HAK_DYN2;
    unsigned above = c - HAK_TINY_CLASSES - 1 - (HAK_HAS_DYN1 && c > hak_class_of_mid(HAK_DYN1)) -
                     (HAK_HAS_DYN2 && c > hak_class_of_mid(HAK_DYN2));
    return (size_t)(HAK_STEPS + 1 + (above & (HAK_STEPS - 1)))
           << (HAK_TINY_BITS - HAK_STEP_BITS + (above >> HAK_STEP_BITS));
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
