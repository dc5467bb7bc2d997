/* view.c: see view.h. Nothing static. */
#include "mem/view.h"

#include "mem/extent.h"
#include "mem/front.h"
#include "mem/huge.h"

#define TRIES     2000    /* for a heap's lock: in a forked child it may be held for ever */
#define LIST_MOST 100000u /* blocks in a bin or a stash, far more than there ever are */

static size_t free_bytes(const hak_memory_view_t *view)
{
    size_t bytes = 0;
    for (unsigned cls = 1; cls < HAK_CLASSES; cls++)
        bytes += view->free[cls] * hak_class_size(cls);
    return bytes;
}

static bool lock_for_a_look(hak_heap_t *heap)
{
    for (int i = 0; i < TRIES; i++) {
        if (hak_os_try_lock(&heap->lock))
            return true;
        hak_pause();
    }
    return false;
}

/* Adds what a heap's slabs have free. Returns the bytes of its empty slabs, which have no class. */
static size_t add_slabs_locked(hak_memory_view_t *view, const hak_heap_t *heap)
{
    for (unsigned cls = 1; cls < HAK_CLASSES; cls++)
        for (const hak_slab_t *slab = heap->cls[cls].slabs; slab != NULL; slab = slab->next)
            view->free[cls] += slab->free_count + slab->capacity - slab->carved;
    size_t bytes = 0;
    for (uint32_t i = 0; i < heap->spares; i++)
        bytes += heap->spare[i]->slices * HAK_SLICE;
    return bytes;
}

static size_t length_of(void *block)
{
    size_t n = 0;
    for (; block != NULL && n < LIST_MOST; block = hak_next(block))
        n++;
    return n;
}

static void add_own_bins(hak_memory_view_t *view, const hak_heap_t *own)
{
    for (unsigned cls = 1; cls < HAK_CLASSES; cls++)
        view->free[cls] += length_of(hak_bin_at(cls * 16)->head) +
                           length_of(atomic_load_explicit(&own->cls[cls].stash, memory_order_relaxed));
}

/* Huge blocks that the caller has freed and keeps. Returns the bytes of those that are runs of the pool. */
static size_t subtract_own_kept(hak_memory_view_t *view, const hak_heap_t *own)
{
    size_t bytes = 0;
    for (unsigned i = 0; i < HAK_KEPT; i++) {
        bool big;
        size_t size = hak_huge_kept(own, i, &big);
        view->big_blocks -= big;
        view->big_bytes -= big ? size : 0;
        view->mapped += big ? size : 0;
        view->kept += size;
        bytes += big ? 0 : size;
    }
    return bytes;
}

void hak_memory_view(hak_memory_view_t *view)
{
    *view = (hak_memory_view_t){.mapped = 0};
    size_t spare = 0; /* free bytes without a class */
    uint32_t heaps = hak_heap_count();
    for (uint32_t owner = 1; owner <= heaps; owner++) {
        hak_heap_t *heap = hak_heap_by_owner(owner);
        if (heap == NULL || !lock_for_a_look(heap))
            continue;
        spare += add_slabs_locked(view, heap);
        hak_os_unlock(&heap->lock);
    }
    hak_pool_view_t pool = hak_pool_view();
    hak_extent_view_t big = hak_extent_view();
    view->big_blocks = hak_big_count();
    view->big_bytes = big.live;
    view->mapped = pool.reserved + big.dirty + big.clean;
    view->kept = pool.dirty + big.dirty;
    if (hak_thread.heap != NULL) {
        add_own_bins(view, hak_thread.heap);
        spare += subtract_own_kept(view, hak_thread.heap);
    }
    /* Each part was looked at in its own moment: other threads may have freed what is no longer used. */
    spare += free_bytes(view);
    view->used = pool.used > spare ? pool.used - spare : 0;
}
