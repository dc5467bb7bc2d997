/* SPDX-License-Identifier: MIT */
/* slab.h: slabs of a heap, out of the pool and back, and blocks in and out of them. */
#ifndef HAK_MEM_SLAB_H
#define HAK_MEM_SLAB_H

#include "mem/heap.h"

/* A run in use. Written by the holder of the lock of `heap`, except where it says otherwise. */
typedef struct hak_slab {
    void *free; /* list of blocks that are neither handed out nor in a bin */
    /* In the heap's list of slabs of this class that have blocks to take. */
    LIST_ENTRY(hak_slab) in_class;
    /* Owner; NULL for a large block. Others may compare it with their own. relaxed: changed under the locks of both heaps, and
     * asked again by who has taken one of them. */
    _Atomic(hak_heap_t *) heap;
    uint32_t free_count; /* blocks in `free` */
    uint32_t carved;     /* blocks that were handed out once, but for the purged ones */
    uint32_t capacity;   /* blocks that fit */
    uint32_t size;       /* bytes in a block; of a large block at most HAK_LARGE_MAX */
    uint16_t class;      /* 1..128; 0 for a large block */
    uint8_t slices;      /* in the run */
    uint8_t back;        /* slices back to the first one of the run; written by the pool */
    bool listed;         /* in the heap's list */
    bool clean;          /* all of it was zero when it was taken from the pool */
    uint8_t touched;     /* slices that an earlier class may have written to */
    uint32_t purged;     /* bit i: block i is free, in no list, and zero: its pages went back or are new */
#if HAK_HARDEN
    uint32_t asked; /* bytes asked for, of a large block */
#else
    /* Of a slab of the variants that check links: 2^32 / (size / 16), rounded up (link.h). */
    uint32_t inverse;
#endif
} hak_slab_t;

static_assert(sizeof(hak_slab_t) == HAK_CACHE_LINE, "64 descriptors fill a page");
#define HAK_STATES (HAK_CHUNK_SLICES * sizeof(hak_slab_t)) /* offset of what harden.h keeps of each block */

static_assert(HAK_STATES <= HAK_SLICE, "the first slice holds all of them");
static_assert(!HAK_HARDEN || (HAK_CHUNK_HEAD * HAK_SLICE >> 4) >= HAK_STATES,
              "states begin behind the descriptors");

/* The descriptor of the slice that p lies in. p is inside a chunk, behind its slices in front. */
HAK_INLINE hak_slab_t *hak_slab_descriptor(const void *p)
{
    uintptr_t chunk = (uintptr_t)p & ~(HAK_CHUNK - 1);
    uintptr_t index = ((uintptr_t)p >> HAK_SLICE_SHIFT) & (HAK_CHUNK_SLICES - 1);
    return (hak_slab_t *)(chunk + index * sizeof(hak_slab_t)); /* NOLINT(performance-no-int-to-ptr) */
}

/* That of the run: of its first slice. */
HAK_INLINE hak_slab_t *hak_slab_of(const void *p)
{
    hak_slab_t *slab = hak_slab_descriptor(p);
    return slab - slab->back;
}

/* The first byte of a run. */
HAK_INLINE char *hak_slab_base(const hak_slab_t *slab)
{
    uintptr_t chunk = (uintptr_t)slab & ~(HAK_CHUNK - 1);
    uintptr_t index = ((uintptr_t)slab - chunk) / sizeof(hak_slab_t);
    return (char *)(chunk + (index << HAK_SLICE_SHIFT)); /* NOLINT(performance-no-int-to-ptr) */
}

/* The index of the first block that was never handed out; all behind it were not either. */
HAK_INLINE uint32_t hak_slab_edge(const hak_slab_t *slab)
{
    return slab->carved + (uint32_t)__builtin_popcount(slab->purged);
}

/* Asked of any index. */
HAK_INLINE bool hak_slab_is_purged(const hak_slab_t *slab, size_t index)
{
    return slab->purged != 0 && (slab->purged >> index & 1) != 0;
}

HAK_INLINE void hak_slab_set_inverse(hak_slab_t *slab)
{
#if !HAK_HARDEN
    if (HAK_CHECK_LINKS)
        slab->inverse = UINT32_MAX / (slab->size / HAK_ALIGN) + 1;
#endif
    (void)slab;
}

/* Bytes between the first one of its slab and p. */
HAK_INLINE size_t hak_slab_place(const void *p)
{
    size_t slices = hak_slab_descriptor(p)->back;
    return ((uintptr_t)p & (HAK_SLICE - 1)) + (slices << HAK_SLICE_SHIFT);
}

/* A list of at least one block of the class, or NULL when memory is out. */
void *hak_slab_take_blocks(hak_heap_t *heap, unsigned c) HAK_REQUIRES(heap->lock);
/* The same. *zero becomes true if it is one block that is known to be zero, but for its link. */
void *hak_slab_take_zero(hak_heap_t *heap, unsigned c, bool *zero) HAK_REQUIRES(heap->lock);
/* One block of the class, to hand out, or NULL. */
void *hak_slab_take_one(hak_heap_t *heap, unsigned c) HAK_REQUIRES(heap->lock);
/* Puts a list of blocks back, of any slabs; what turns out to belong to another heap is sent there. Slabs that get empty
 * are released. */
void hak_slab_put_list(hak_heap_t *heap, void *list) HAK_REQUIRES(heap->lock);
/* Makes a block in use that is a slab by itself (above HAK_MID_MAX) one of a higher class, in place. False if the memory
 * behind it is taken. */
bool hak_slab_grow(void *p, unsigned c);
/* Moves a slab that has blocks of the class to take from one heap to another; NULL if there is none. */
hak_slab_t *hak_slab_adopt(hak_heap_t *from, hak_heap_t *to, unsigned c) HAK_REQUIRES(from->lock)
    HAK_REQUIRES(to->lock);
/* Gives every empty slab back to the pool: those that are kept, as no other stays in a list (settle). */
void hak_slab_release_empty(hak_heap_t *heap) HAK_REQUIRES(heap->lock);
/* Gives the pages that lie in free blocks alone back to the system, where slabs have such beside blocks in use: of so many slabs
 * about, from *place on, which the heap's lock guards if it is the heap's own. True if it is through, or has no reason to go on.
 * Any thread; no lock may be held. */
bool hak_slab_purge_free(hak_heap_t *heap, hak_purging_t *place, uint32_t most) HAK_EXCLUDES(heap->lock);
/* Walks all slabs and aborts at the first broken invariant. */
void hak_slab_check(hak_heap_t *heap) HAK_REQUIRES(heap->lock);

/* The class has blocks to take that were handed out before. */
static inline bool hak_slab_has_free(hak_heap_t *heap, unsigned c) HAK_REQUIRES(heap->lock)
{
    const hak_slab_t *first = LIST_FIRST(hak_heap_slabs(heap, c));
    return first != NULL && first->free != NULL;
}

#endif
