/* SPDX-License-Identifier: MIT */
/* shape.c: see shape.h. No state. */
#include "learn/shape.h"

uint64_t hak_shape_of(hak_shape_t *shape, const uint64_t count[HAK_SHAPE_BINS])
{
    uint64_t all = 0;
    for (unsigned i = 0; i < HAK_SHAPE_BINS; i++)
        all += count[i];
    unsigned shift = 0; /* so that a million times a count fits into 64 bits */
    while (all >> shift >> 43 != 0)
        shift++;
    uint64_t whole = hak_max(all >> shift, 1);
    for (unsigned i = 0; i < HAK_SHAPE_BINS; i++)
        shape->part[i] = (uint32_t)((count[i] >> shift) * HAK_SHAPE_ALL / whole);
    return all;
}

uint32_t hak_shape_distance(const hak_shape_t *one, const hak_shape_t *other)
{
    uint32_t sum = 0;
    for (unsigned i = 0; i < HAK_SHAPE_BINS; i++)
        sum += one->part[i] > other->part[i] ? one->part[i] - other->part[i] : other->part[i] - one->part[i];
    return sum / 2;
}
