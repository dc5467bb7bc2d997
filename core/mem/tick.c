/* SPDX-License-Identifier: MIT */
/* tick.c: see tick.h. No state. */
#include "mem/tick.h"

#include "mem/bin.h"
#include "mem/chunk.h"
#include "mem/extent.h"
#include "mem/learner.h"
#include "mem/scarce.h"
#include "mem/site_cache.h"

#define SWEEP_MS 100u /* the least time between two looks at all bins */

/* Once in each window: what the thread has not used in it goes back into its slabs. */
static void sweep_bins(hak_heap_t *heap, uint32_t now_ms)
{
    if (now_ms - heap->swept_ms < hak_max(hak_policy()->purge_delay_ms, SWEEP_MS))
        return;
    heap->swept_ms = now_ms;
    hak_bins_sweep(heap);
}

static void look_at_clock(hak_heap_t *heap)
{
    uint32_t now_ms = (uint32_t)hak_os_now_ms();
    if (heap != NULL) {
        atomic_store_explicit(&heap->seen_ms, now_ms, memory_order_relaxed);
        sweep_bins(heap, now_ms);
    }
    hak_scarce_tick(now_ms);
    if (hak_learner_is_watching())
        hak_learner_note_memory();
    if (HAK_CALL_SITES)
        hak_site_cache_release_due(now_ms);
    bool more = hak_heaps_flush_unattended(now_ms);
    more |= hak_chunk_release_due(now_ms);
    more |= hak_extent_release_due(now_ms);
    if (heap != NULL && more)
        heap->ticks = 1;
}

/* What is given back within a look, and a watcher that allocates, come by here again: that look goes on, and sees to it. Or each
 * sleeping heap whose blocks make more due would have a look, and the stack's next part, of its own. */
void hak_tick_now(void)
{
    hak_heap_t *heap = hak_thread.heap;
    if (heap != NULL)
        hak_tick_begin(heap);
    if (hak_thread.at_tick)
        return;
    hak_thread.at_tick = true;
    look_at_clock(heap);
    hak_thread.at_tick = false;
}
