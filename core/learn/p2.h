/* SPDX-License-Identifier: MIT */
/* p2.h: a percentile of numbers that come one by one, in constant memory: the P-square algorithm of Jain and Chlamtac (1985).
 * Five markers: the least, the greatest, the percentile, and one half way to each side. With each number the inner ones move by
 * at most a place towards where they belong, along a parabola through their neighbours. In double. One thread at a time. */
#ifndef HAK_LEARN_P2_H
#define HAK_LEARN_P2_H

#include "base/types.h"

#define HAK_P2_MARKERS 5u

typedef struct hak_p2 {
    double part;                   /* 0.5 for the median */
    double height[HAK_P2_MARKERS]; /* of the markers; the first numbers, sorted, until there are five */
    double place[HAK_P2_MARKERS];  /* how many numbers are at or below each, whole */
    double wanted[HAK_P2_MARKERS]; /* the same if it stood where it belongs */
    uint64_t count;                /* of all numbers */
} hak_p2_t;

void hak_p2_init(hak_p2_t *p2, double part);
void hak_p2_add(hak_p2_t *p2, double number);
/* The estimate; 0 without numbers, exact for up to five. */
double hak_p2_value(const hak_p2_t *p2);
/* Of several percentiles of the same numbers, the smallest part first: none is below the one before, as it may be by its error
 * alone. */
void hak_p2_values(const hak_p2_t *p2, unsigned count, double *values);

#endif
