/* SPDX-License-Identifier: MIT */
/* shape.h: the distribution of request sizes, and how far two of them are apart. In whole parts of a million: no rounding that
 * could differ from machine to machine. */
#ifndef HAK_LEARN_SHAPE_H
#define HAK_LEARN_SHAPE_H

#include "base/types.h"

#define HAK_SHAPE_BINS 48u      /* one for each power of two, as obs/counters.h has them */
#define HAK_SHAPE_ALL  1000000u /* all requests */

typedef struct hak_shape {
    uint32_t part[HAK_SHAPE_BINS]; /* of HAK_SHAPE_ALL; all 0 without requests */
} hak_shape_t;

/* The shape of so many requests; their number. */
uint64_t hak_shape_of(hak_shape_t *shape, const uint64_t count[HAK_SHAPE_BINS]);
/* Half the sum of all differences (the L1 distance, halved): 0 for equal ones, HAK_SHAPE_ALL for those that share no size. */
uint32_t hak_shape_distance(const hak_shape_t *one, const hak_shape_t *other);

#endif
