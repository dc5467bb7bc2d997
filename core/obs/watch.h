/* SPDX-License-Identifier: MIT */
/* watch.h: by what a call tells whether anybody wants to know of it: the sizes are counted (counters.h), or the call is recorded
 * (record.h). Written before the first block, and once more when a recording ends early; read by any thread. That race is
 * benign: whoever reads an old word does once more what is for nothing. Words and not bits of one, so that each test is
 * one comparison with memory. */
#ifndef HAK_OBS_WATCH_H
#define HAK_OBS_WATCH_H

#include "obs/counters.h"

extern uint32_t hak_watch HAK_HIDDEN;       /* not 0: sizes are counted, or calls recorded */
extern uint32_t hak_watch_calls HAK_HIDDEN; /* not 0: calls are recorded */
/* Not 0: frees are recorded, or checked (HAKMEM_SAFE_FREE). The fast path of free does not test it: threads that begin then get an
 * owner that no block has (use_heap in mem/heap.c), so that all of theirs take the slow path. */
extern uint32_t hak_watch_frees HAK_HIDDEN;

/* Counts the request; true if it is to be recorded. */
HAK_INLINE bool hak_watch_call(size_t size)
{
    if (!HAK_HISTOGRAM || hak_watch == 0)
        return false;
    if (HAK_RECORD && hak_unlikely(hak_watch_calls != 0))
        return true;
    hak_histogram_add(size);
    return false;
}

#endif
