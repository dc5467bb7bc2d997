/* SPDX-License-Identifier: MIT */
/* view.c: see view.h. No state. */
#include "mem/view.h"

#include "mem/bin.h"
#include "mem/chunk.h"
#include "mem/extent.h"
#include "mem/oversize.h"
#include "mem/site_cache.h"

#define VIEW_TRIES 2000    /* for a heap's lock: in a forked child it may be held for ever */
#define LIST_MOST  100000u /* blocks in a bin or a previous list, far more than there ever are */

static size_t free_bytes(const hak_memory_view_t *view)
{
    size_t bytes = 0;
    for (unsigned c = 1; c < HAK_CLASSES; c++)
        bytes += view->free[c] * hak_class_size(c);
    return bytes;
}

static bool lock_for_a_look(hak_heap_t *heap) HAK_TRIES(heap->lock)
{
    for (int i = 0; i < VIEW_TRIES; i++) {
        if (hak_os_try_lock(&heap->lock))
            return true;
        hak_pause();
    }
    return false;
}

/* Adds what a heap's slabs have free. Returns the bytes of its empty slabs, which have no class. */
static size_t add_slabs(hak_memory_view_t *view, hak_heap_t *heap) HAK_REQUIRES(heap->lock)
{
    const hak_slab_t *slab;
    for (unsigned c = 1; c < HAK_CLASSES; c++)
        LIST_FOREACH (slab, hak_heap_slabs(heap, c), in_class)
            view->free[c] += slab->free_count + slab->capacity - slab->carved;
    size_t bytes = 0;
    for (uint32_t i = 0; i < heap->empty_count; i++)
        bytes += heap->empty_slabs[i]->slices * HAK_SLICE;
    return bytes;
}

static size_t length_of(void *block)
{
    size_t n = 0;
    for (; block != NULL && n < LIST_MOST; block = hak_link_next(block))
        n++;
    return n;
}

/* With the lock: without it anybody may take a previous list away, and hand its blocks out, in the middle. */
static void add_own_bins(hak_memory_view_t *view, hak_heap_t *own) HAK_REQUIRES(own->lock)
{
    for (unsigned c = 1; c < HAK_CLASSES; c++)
        view->free[c] += length_of(hak_bin_at(c * HAK_BIN_BYTES)->head) +
                         length_of(atomic_load_explicit(&own->class[c].previous, memory_order_relaxed));
}

/* Huge blocks that the caller has freed and keeps. Returns the bytes of those that are runs of the pool. */
static size_t subtract_own_cached(hak_memory_view_t *view, const hak_heap_t *own)
{
    size_t bytes = 0;
    for (unsigned i = 0; i < HAK_CACHED; i++) {
        bool huge;
        size_t size = hak_oversize_cached(own, i, &huge);
        /* Of what call sites keep by now some may have been taken since the blocks were counted. */
        view->huge_blocks -= hak_min(view->huge_blocks, huge);
        view->huge_bytes -= hak_min(view->huge_bytes, huge ? size : 0);
        view->mapped += huge ? size : 0;
        view->trimmable += size;
        bytes += huge ? 0 : size;
    }
    return bytes;
}

/* Huge blocks that call sites keep. */
static void subtract_kept(hak_memory_view_t *view)
{
    size_t bytes = hak_site_cache_bytes();
    view->huge_blocks -= hak_min(view->huge_blocks, hak_site_cache_blocks());
    view->huge_bytes -= hak_min(view->huge_bytes, bytes);
    view->mapped += bytes;
    view->trimmable += bytes;
}

void hak_memory_view(hak_memory_view_t *view)
{
    *view = (hak_memory_view_t){.mapped = 0};
    size_t classless = 0; /* free bytes without a class */
    uint32_t heaps = hak_heap_count();
    for (uint32_t owner = 1; owner <= heaps; owner++) {
        hak_heap_t *heap = hak_heap_by_owner(owner);
        if (!lock_for_a_look(heap))
            continue;
        classless += add_slabs(view, heap);
        hak_os_unlock(&heap->lock);
    }
    hak_chunk_view_t pool = hak_chunk_view();
    hak_extent_view_t huge = hak_extent_view();
    view->huge_blocks = hak_huge_count();
    view->huge_bytes = huge.live;
    view->mapped = pool.reserved + huge.dirty + huge.clean;
    view->trimmable = pool.dirty + huge.dirty;
    if (HAK_CALL_SITES)
        subtract_kept(view);
    hak_heap_t *own = hak_thread.heap;
    if (own != NULL && lock_for_a_look(own)) {
        add_own_bins(view, own);
        hak_os_unlock(&own->lock);
    }
    if (own != NULL)
        classless += subtract_own_cached(view, own);
    /* Each part was looked at in its own moment: other threads may have freed what is no longer used. */
    classless += free_bytes(view);
    view->used = pool.used > classless ? pool.used - classless : 0;
}
