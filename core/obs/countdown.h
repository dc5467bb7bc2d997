/* SPDX-License-Identifier: MIT */
/* countdown.h: how a call is sampled without a test on the fast path. One countdown a heap and class, for the heap's thread.
 *
 * A draw says how many calls of malloc may be met before the one that is sampled: `left`. Malloc cannot count, so the bin is kept
 * such that it cannot meet more. Let L be the blocks in the bin, F its frees_left. Whoever sets them sees to
 *
 *     L + F - 1 <= left,     and notes     booked = L + F.
 *
 * Malloc takes a block away (L - 1); free adds one (L + 1, F - 1). So L + F falls by one with each call of malloc and stays the
 * same with each free, whatever their order: the calls met since are booked - (L + F), exactly. And there are never too many: calls
 * met = booked - L - F <= left + 1 - L - F, which is at most `left`, since F is at least 1 whenever malloc is called. The moment F
 * gets 0 free itself comes by (hak_bin_full), takes the calls met off `left` and sets L and F anew; blocks that would be too
 * many leave the bin. With left = 0 that leaves an empty bin and F = 1: each free comes by until malloc does, finds
 * nothing, and this call is the sampled one.
 *
 * It is thus the (left + 1)-th call after the draw, whether the bin was filled between or one block went to and fro, and
 * no call is more likely to be it than another. Rejected: sampling one refill in so many, which never sees who frees what he
 * takes; a test in malloc, which is two instructions more in each.
 *
 * Two draws run side by side, by bytes (profile) and by calls (times): the bin is kept for the one that ends first. */
#ifndef HAK_OBS_COUNTDOWN_H
#define HAK_OBS_COUNTDOWN_H

#include "base/types.h"

enum {
    HAK_GAP_BYTES,
    HAK_GAP_CALLS,
    HAK_GAPS
};

#define HAK_GAP_NONE UINT32_MAX /* nothing is drawn: no call is sampled */

typedef struct hak_countdown {
    uint32_t gap[HAK_GAPS]; /* calls that may be met before the one that is sampled */
    uint32_t booked;        /* the bin's blocks and frees_left, when these were set last */
} hak_countdown_t;

/* Calls that may be met before one is sampled. */
HAK_INLINE uint32_t hak_countdown_left(const hak_countdown_t *countdown)
{
    return (uint32_t)hak_min(countdown->gap[HAK_GAP_BYTES], countdown->gap[HAK_GAP_CALLS]);
}

/* So many calls were met. */
HAK_INLINE void hak_countdown_pass(hak_countdown_t *countdown, uint32_t calls)
{
    for (unsigned i = 0; i < HAK_GAPS; i++)
        if (countdown->gap[i] != HAK_GAP_NONE)
            countdown->gap[i] -= (uint32_t)hak_min(calls, countdown->gap[i]);
}

/* Calls that a bin with so many blocks and frees left has met since it was noted. */
HAK_INLINE uint32_t hak_countdown_met(const hak_countdown_t *countdown, uint32_t blocks, uint32_t frees_left)
{
    uint32_t now = blocks + frees_left;
    return now < countdown->booked ? countdown->booked - now : 0;
}

/* frees_left of a bin with so many blocks, at most `left` of them; `cap`: what it may be at most. Noted. */
HAK_INLINE uint32_t hak_countdown_set(hak_countdown_t *countdown, uint32_t blocks, uint32_t cap)
{
    uint32_t frees_left = (uint32_t)hak_min(cap, (size_t)hak_countdown_left(countdown) - blocks + 1);
    countdown->booked = blocks + frees_left;
    return frees_left;
}

#endif
