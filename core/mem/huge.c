/* huge.c: large and big blocks, and those that heaps keep. Nothing static: what is kept belongs to its heap's thread. */
#include "mem/huge.h"

#include "map/map.h"
#include "mem/big.h"
#include "mem/chunk.h"

#define KEPT_SLICES ((size_t)4 << (20 - HAK_SLICE_SHIFT)) /* that a heap keeps in all, at most: 4 MiB */

static void release(void *p, uint32_t entry)
{
    if (hak_entry_low(entry) == HAK_ENTRY_BIG) {
        hak_big_give(p, entry);
        return;
    }
    hak_slab_t *run = hak_slab_of(p);
    hak_run_give(run, run->slices);
}

void hak_huge_release_kept(hak_heap_t *heap)
{
    for (unsigned i = 0; i < HAK_KEPT; i++) {
        if (heap->kept[i].base != NULL)
            release(heap->kept[i].base, heap->kept[i].entry);
        heap->kept[i].base = NULL;
        heap->kept[i].slices = 0;
    }
    heap->kept_slices = 0;
}

void *hak_huge_take_kept(size_t slices)
{
    hak_heap_t *heap = hak_thread.heap;
    if (hak_unlikely(heap == NULL))
        return NULL;
    for (unsigned i = 0; i < HAK_KEPT; i++) {
        hak_kept_t *kept = &heap->kept[i];
        if (kept->slices != slices)
            continue;
        void *base = kept->base;
        hak_map_set(base, kept->entry);
        kept->base = NULL;
        kept->slices = 0;
        heap->kept_slices -= (uint32_t)slices;
        return base;
    }
    return NULL;
}

/* The heap has no free place, or has too much. */
static HAK_NOINLINE void keep_instead(hak_heap_t *heap, void *p, uint32_t entry, size_t slices)
{
    hak_huge_release_kept(heap);
    if (slices > KEPT_SLICES) {
        release(p, entry);
        return;
    }
    heap->kept[0] = (hak_kept_t){.base = p, .entry = entry, .slices = (uint32_t)slices};
    heap->kept_slices = (uint32_t)slices;
}

bool hak_huge_give(void *p, uint32_t entry)
{
    hak_heap_t *heap = hak_thread.heap;
    size_t slices = hak_huge_size(p, entry) >> HAK_SLICE_SHIFT;
    if (slices == 0)
        return false;
    hak_map_set(p, 0);
    if (hak_unlikely(heap == NULL)) {
        release(p, entry);
        return true;
    }
    if (hak_likely(heap->kept_slices + slices <= KEPT_SLICES)) {
        for (unsigned i = 0; i < HAK_KEPT; i++) {
            if (heap->kept[i].base != NULL)
                continue;
            heap->kept[i] = (hak_kept_t){.base = p, .entry = entry, .slices = (uint32_t)slices};
            heap->kept_slices += (uint32_t)slices;
            return true;
        }
    }
    keep_instead(heap, p, entry, slices);
    return true;
}

/* Makes a run a large block. */
static void *large_block(hak_slab_t *run)
{
    char *base = hak_slab_base(run);
    run->heap = NULL;
    run->cls = 0;
    run->size = (uint32_t)(run->slices * HAK_SLICE);
    hak_map_set(base, HAK_ENTRY_LARGE);
    return base;
}

void *hak_huge_take(size_t size, bool *zero)
{
    hak_heap_t *heap = hak_thread.heap != NULL ? hak_thread.heap : hak_heap_attach_at_need();
    if (heap != NULL) {
        /* Sizes that never come back must not keep the pool from joining what lies side by side. */
        hak_huge_release_kept(heap);
        hak_count_add(&heap->counters, HAK_COUNTER_large_blocks, 1);
    }
    if (size > HAK_LARGE_MAX)
        return size <= HAK_REQUEST_MAX ? hak_big_take(size, HAK_SLICE, zero) : NULL;
    hak_slab_t *run = hak_run_take((unsigned)hak_huge_slices(size));
    if (run == NULL)
        return NULL;
    *zero = run->clean;
    return large_block(run);
}

size_t hak_huge_size(const void *p, uint32_t entry)
{
    if (hak_entry_low(entry) == HAK_ENTRY_BIG)
        return hak_big_size(p, entry);
    return ((uintptr_t)p & (HAK_SLICE - 1)) == 0 ? hak_slab_of(p)->size : 0;
}

void *hak_huge_resize(void *p, uint32_t entry, size_t size)
{
    if (size > HAK_REQUEST_MAX)
        return NULL;
    if (hak_entry_low(entry) == HAK_ENTRY_BIG)
        return size > HAK_LARGE_MAX ? hak_big_resize(p, entry, size) : NULL;
    hak_slab_t *run = hak_slab_of(p);
    if (size > HAK_LARGE_MAX || !hak_run_grow(run, (unsigned)hak_huge_slices(size)))
        return NULL;
    for (size_t at = HAK_SLICE; run->cls != 0 && at < run->size; at += HAK_SLICE)
        hak_map_set((char *)p + at, 0);
    return large_block(run);
}
