/* SPDX-License-Identifier: MIT */
/* oversize.c: see oversize.h. No state: what is in a cache belongs to its heap's thread, but anybody may take it away to
 * free it, when memory is out or the thread sleeps. */
#include "mem/oversize.h"

#include "map/map.h"
#include "mem/chunk.h"
#include "mem/free_slow.h"
#include "mem/learner.h"
#include "mem/sample.h"
#include "mem/tick.h"

#define LARGE_SLICES (HAK_LARGE_MAX >> HAK_SLICE_SHIFT)

/* A place for a kept block holds its address and, in the bits that are zero in it, its slices: one word, so that it can be
 * taken away by one atomic exchange. Its map entry says what it is, and that it is not in use. */
static uintptr_t cached_word(const void *p, size_t slices)
{
    return (uintptr_t)p | slices;
}

static char *block_in(uintptr_t word)
{
    return (char *)(word & ~(HAK_SLICE - 1)); /* NOLINT(performance-no-int-to-ptr) */
}

/* The entry of a kept block as it was when it was in use. */
static uint32_t uncached_entry(const void *p)
{
    return hak_map_get(p) + HAK_ENTRY_CACHED;
}

/* The slices in the block that p begins; false if it begins none. */
HAK_INLINE bool slices_of(const void *p, uint32_t entry, size_t *slices)
{
    if (((uintptr_t)p & (HAK_SLICE - 1)) != 0)
        return false;
    if (hak_entry_kind(entry) == HAK_ENTRY_HUGE)
        *slices = hak_huge_slices(p, entry);
    else if (hak_entry_kind(entry) == HAK_ENTRY_LARGE)
        *slices = hak_slab_of(p)->slices;
    else
        return false;
    return true;
}

/* Frees a block that is not kept. */
static void release_uncached(void *p, uint32_t entry)
{
    hak_map_set(p, 0);
    if (hak_entry_kind(entry) == HAK_ENTRY_HUGE) {
        hak_huge_release(p, entry);
        return;
    }
    hak_slab_t *run = hak_slab_of(p);
    hak_chunk_release_run(run, run->slices);
}

/* Empties a place; what was there is the caller's. acquire: pairs with the release in put_in_cache, for whoever is not the thread
 * that kept it */
static uintptr_t take_place(hak_heap_t *heap, unsigned i)
{
    return atomic_exchange_explicit(&heap->cached[i], 0, memory_order_acquire);
}

size_t hak_oversize_cached(const hak_heap_t *heap, unsigned i, bool *huge)
{
    uintptr_t word = atomic_load_explicit(&heap->cached[i], memory_order_relaxed);
    *huge = word != 0 && hak_entry_bin(uncached_entry(block_in(word))) == HAK_ENTRY_HUGE;
    return (word & (HAK_SLICE - 1)) << HAK_SLICE_SHIFT;
}

size_t hak_oversize_kept(const hak_heap_t *heap)
{
    size_t slices = 0;
    for (unsigned i = 0; i < HAK_CACHED; i++)
        slices += atomic_load_explicit(&heap->cached[i], memory_order_relaxed) & (HAK_SLICE - 1);
    return slices << HAK_SLICE_SHIFT;
}

void hak_oversize_flush_cache(hak_heap_t *heap)
{
    if (heap == hak_thread.heap)
        heap->cache_left = hak_tick_cache_most(heap);
    for (unsigned i = 0; i < HAK_CACHED; i++) {
        if (atomic_load_explicit(&heap->cached[i], memory_order_relaxed) == 0)
            continue;
        uintptr_t word = take_place(heap, i);
        if (word != 0)
            release_uncached(block_in(word), uncached_entry(block_in(word)));
    }
}

HAK_INLINE void *take_cached(size_t slices, size_t align)
{
    hak_heap_t *heap = hak_thread.heap;
    if (hak_unlikely(heap == NULL))
        return NULL;
    for (unsigned i = 0; i < HAK_CACHED; i++) {
        uintptr_t word = atomic_load_explicit(&heap->cached[i], memory_order_relaxed);
        if ((word & (HAK_SLICE - 1)) != slices || ((uintptr_t)block_in(word) & (align - 1)) != 0 ||
            hak_unlikely(take_place(heap, i) == 0))
            continue;
        heap->cache_left += (uint32_t)slices;
        hak_map_set(block_in(word), uncached_entry(block_in(word)));
        return block_in(word);
    }
    return NULL;
}

void *hak_oversize_take_cached(size_t slices)
{
    return take_cached(slices, 1);
}

/* Keeps a block, if there is a place and all is not too much. */
HAK_INLINE bool put_in_cache(hak_heap_t *heap, void *p, uint32_t entry, size_t slices)
{
    if (hak_unlikely(slices > heap->cache_left))
        return false;
    for (unsigned i = 0; i < HAK_CACHED; i++) {
        if (atomic_load_explicit(&heap->cached[i], memory_order_relaxed) != 0)
            continue;
        hak_map_set(p, entry - HAK_ENTRY_CACHED);
        atomic_store_explicit(&heap->cached[i], cached_word(p, slices), memory_order_release);
        heap->cache_left -= (uint32_t)slices;
        return true;
    }
    return false;
}

/* The heap has no free place, or has too much. */
static HAK_NOINLINE void cache_slow(hak_heap_t *heap, void *p, uint32_t entry, size_t slices)
{
    if (heap == NULL) {
        release_uncached(p, entry);
        return;
    }
    hak_oversize_flush_cache(heap);
    if (!put_in_cache(heap, p, entry, slices))
        release_uncached(p, entry);
    hak_tick(heap);
}

void hak_oversize_free(void *p, uint32_t entry)
{
    hak_heap_t *heap = hak_thread.heap;
    size_t slices;
    if (hak_sample_is_on())
        hak_sample_oversize_freed(p);
    if (hak_unlikely(!slices_of(p, entry, &slices)))
        hak_free_not_ours(p, entry);
    else if (hak_unlikely(heap == NULL || !put_in_cache(heap, p, entry, slices)))
        cache_slow(heap, p, entry, slices);
    else
        hak_tick_short(heap); /* a thread that takes and frees one such size in turns comes by nowhere else */
}

/* Makes a run a large block. */
static void *large_block(hak_slab_t *run)
{
    char *base = hak_slab_base(run);
    atomic_store_explicit(&run->heap, NULL, memory_order_relaxed); /* compared with one's own alone */
    run->class = 0;
    run->size = (uint32_t)(run->slices * HAK_SLICE);
    hak_map_set(base, HAK_ENTRY_LARGE);
    return base;
}

static void *take_large(size_t size, bool *zero)
{
    hak_slab_t *run = hak_chunk_take_block((unsigned)hak_oversize_slices(size), 1);
    if (run == NULL)
        return NULL;
    *zero = run->clean;
    return large_block(run);
}

/* At a limit the pool may have free what the system does not give any more. */
static void *take_huge(size_t size, bool zeroed, bool *zero)
{
    void *p = hak_huge_take(size, HAK_SLICE, zeroed, zero);
    return hak_likely(p != NULL) || size > HAK_RUN_MOST * HAK_SLICE ? p : take_large(size, zero);
}

HAK_INLINE void *take_any(size_t size, bool zeroed, bool *zero)
{
    hak_heap_t *heap = hak_thread.heap != NULL ? hak_thread.heap : hak_heap_attach_at_need();
    if (heap != NULL) {
        /* Sizes that never come back must not keep the pool from joining what lies side by side. */
        hak_oversize_flush_cache(heap);
        hak_count_add(&heap->counters, HAK_COUNTER_large_blocks, 1);
        hak_tick(heap);
    }
    if (size > HAK_LARGE_MAX)
        return size <= HAK_REQUEST_MAX ? take_huge(size, zeroed, zero) : NULL;
    return take_large(size, zero);
}

/* While the learner looks: compiled once more, as bin.c's refill. */
static HAK_NOINLINE void *take_watched(size_t size, bool zeroed, bool *zero)
{
    hak_learner_wake();
    return take_any(size, zeroed, zero);
}

void *hak_oversize_take(size_t size, bool zeroed, bool *zero)
{
    return hak_learner_is_watching() ? take_watched(size, zeroed, zero) : take_any(size, zeroed, zero);
}

void *hak_oversize_take_aligned(size_t align, size_t size, bool anyhow)
{
    bool zero;
    size_t slices = hak_oversize_slices(size);
    void *p = take_cached(slices, align);
    if (p != NULL)
        return p;
    if (hak_thread.heap == NULL)
        hak_heap_attach_at_need();
    if (slices <= LARGE_SLICES && align <= HAK_LARGE_MAX) {
        unsigned every = (unsigned)(align >> HAK_SLICE_SHIFT);
        hak_slab_t *run = hak_chunk_take_block((unsigned)slices, every);
        if (run != NULL)
            return large_block(run);
        if (!anyhow && hak_chunk_has_room((unsigned)slices, every))
            return NULL;
    }
    return hak_huge_take(size, align, false, &zero);
}

size_t hak_oversize_size(const void *p, uint32_t entry)
{
    size_t slices;
    return slices_of(p, entry, &slices) ? slices << HAK_SLICE_SHIFT : 0;
}

/* A large block with so many slices, in place; NULL if it cannot grow there. */
static void *resize_run(void *p, unsigned slices)
{
    hak_slab_t *run = hak_slab_of(p);
    if (slices < run->slices)
        hak_chunk_shrink_run(run, slices);
    else if (!hak_chunk_grow_run(run, slices))
        return NULL;
    for (size_t at = HAK_SLICE; run->class != 0 && at < run->size; at += HAK_SLICE)
        hak_map_set((char *)p + at, 0);
    return large_block(run);
}

void *hak_oversize_resize(void *p, uint32_t entry, size_t size)
{
    if (size > HAK_REQUEST_MAX)
        return NULL;
    if (hak_entry_kind(entry) == HAK_ENTRY_HUGE)
        return size > HAK_STAYS_HUGE ? hak_huge_resize(p, entry, size) : NULL;
    return size > HAK_LARGE_MAX ? NULL : resize_run(p, (unsigned)hak_oversize_slices(size));
}
