/* tend.c: see tend.h. No state. */
#include "mem/tend.h"

#include "mem/chunk.h"
#include "mem/extent.h"
#include "mem/scarce.h"

void hak_tend(void)
{
    hak_heap_t *heap = hak_thread.heap;
    uint32_t now_ms = (uint32_t)hak_os_now_ms();
    if (heap != NULL) {
        heap->ticks = HAK_TICKS; /* before anything else: a watcher that allocates comes by here too */
        atomic_store_explicit(&heap->seen_ms, now_ms, memory_order_relaxed);
    }
    hak_scarce_tick(now_ms);
    bool more = hak_heaps_tend(now_ms);
    more |= hak_pool_give_back(now_ms);
    more |= hak_extent_give_back(now_ms);
    if (heap != NULL && more)
        heap->ticks = 1;
}
