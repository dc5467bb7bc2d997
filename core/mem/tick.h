/* SPDX-License-Identifier: MIT */
/* tick.h: what has to be done now and then: memory that was not needed goes back to the system as time passes, whatever the
 * program does on the slow paths. Every heap counts its slow paths and looks at the clock once in so many; while there is more
 * to give back than one call does, each of them goes on with it. */
#ifndef HAK_MEM_TICK_H
#define HAK_MEM_TICK_H

#include "base/policy.h"
#include "mem/heap.h"

#define HAK_TICK_SHORT   4096u  /* short slow paths that come between two looks at most */
#define HAK_TICK_LATE_MS 60000u /* from a thread's look at the clock to what it does then, at most */

/* Milliseconds from `since` to `now`, the low bits of the clock. None when somebody looked at it a little later than the caller and
 * was faster to write that down: the difference would be 49 days. */
HAK_INLINE uint32_t hak_tick_since(uint32_t since, uint32_t now)
{
    uint32_t passed = now - since;
    return passed <= UINT32_MAX - HAK_TICK_LATE_MS ? passed : 0;
}

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
