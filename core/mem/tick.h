/* SPDX-License-Identifier: MIT */
/* tick.h: what has to be done now and then: memory that was not needed goes back to the system as time passes, whatever the
 * program does on the slow paths. Every heap counts its slow paths and looks at the clock once in so many; while there is more
 * to give back than one call does, each of them goes on with it. */
#ifndef HAK_MEM_TICK_H
#define HAK_MEM_TICK_H

#include "base/policy.h"
#include "mem/heap.h"

#define HAK_TICK_SHORT 4096u /* short slow paths that come between two looks at most */

/* So many slow paths from now on the next look is due. What the heap's shorter paths need of the policy is taken over here. */
HAK_INLINE void hak_tick_begin(hak_heap_t *heap)
{
    const hak_policy_t *policy = hak_policy();
    heap->ticks = policy->tick_every;
    heap->short_ticks = HAK_TICK_SHORT;
    heap->cache_most = policy->heap_cache_kb >> (HAK_SLICE_SHIFT - 10);
}

/* Slices that a heap may keep in its cache. */
HAK_INLINE uint32_t hak_tick_cache_most(const hak_heap_t *heap)
{
    return HAK_OPTIONS ? heap->cache_most : HAK_BUILT_heap_cache_kb >> (HAK_SLICE_SHIFT - 10);
}

/* Looks at the clock and gives back what is due. No lock may be held: watchers of the system calls may allocate. */
HAK_COLD void hak_tick_now(void);

/* At the end of a slow path of the thread's own heap. No lock may be held. */
HAK_INLINE void hak_tick(hak_heap_t *heap)
{
    if (hak_unlikely(--heap->ticks == 0))
        hak_tick_now();
}

/* The same at the end of one that is so short that a look at the clock once in 64 would show. */
HAK_INLINE void hak_tick_short(hak_heap_t *heap)
{
    if (hak_unlikely(--heap->short_ticks == 0))
        hak_tick_now();
}

#endif
