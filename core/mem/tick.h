/* SPDX-License-Identifier: MIT */
/* tick.h: what has to be done now and then: memory that was not needed goes back to the system as time passes, whatever the
 * program does on the slow paths. Every heap counts its slow paths and looks at the clock once in so many; while there is more
 * to give back than one call does, each of them goes on with it. */
#ifndef HAK_MEM_TICK_H
#define HAK_MEM_TICK_H

#include "mem/heap.h"

#define HAK_TICKS 64u /* slow paths of a heap for each look at the clock */

/* Looks at the clock and gives back what is due. No lock may be held: watchers of the system calls may allocate. */
HAK_COLD void hak_tick_now(void);

/* At the end of a slow path of the thread's own heap. No lock may be held. */
HAK_INLINE void hak_tick(hak_heap_t *heap)
{
    if (hak_unlikely(--heap->ticks == 0))
        hak_tick_now();
}

#endif
