/* SPDX-License-Identifier: MIT */
/* bin.h: the slow side of the bins: where their blocks come from and go to. For the calling thread's own bins. */
#ifndef HAK_MEM_BIN_H
#define HAK_MEM_BIN_H

#include "mem/link.h"

/* The bin at a class's offset (class times 16). */
#if HAK_THREAD_IN_FS
typedef hak_bin_t __seg_fs *hak_bin_ref_t;

HAK_INLINE hak_bin_ref_t hak_bin_at(size_t offset)
{
    return (hak_bin_ref_t)(hak_thread_offset() + offsetof(hak_thread_t, bins) + offset);
}
#else
typedef hak_bin_t *hak_bin_ref_t;

HAK_INLINE hak_bin_ref_t hak_bin_at(size_t offset)
{
    return (hak_bin_t *)(void *)((char *)hak_thread.bins + offset);
}
#endif

/* Takes the first block of the bin; the caller has seen that there is one. */
HAK_INLINE void *hak_bin_pop(hak_bin_ref_t bin, void *block)
{
    bin->head = hak_link_next(block);
    hak_link_unseal(block);
    return block;
}

/* A block of the class for the calling thread, after its bin was found empty; not `exact`: or of the next class. NULL when
 * memory is out (errno is the caller's business). */
void *hak_bin_refill(unsigned c, bool exact);
/* The same for calloc, not exact, of a class above HAK_TINY_CLASSES. *zero becomes true if all of the block is known to be zero. */
void *hak_bin_refill_zero(unsigned c, bool *zero);
/* The bin at this offset is full: its frees_left is 0. */
void hak_bin_full(size_t offset);
/* Puts a free block into the bin at this offset, as the fast path of free does. That one does not call this: free would be an
 * instruction longer with clang 22. Nor do the fast paths of taking a block share one function that finds the bin as well: calloc
 * would be two longer with gcc 12, operator new two with clang. */
static inline void hak_bin_push(void *p, size_t offset)
{
    hak_bin_t *bin = &hak_thread.bins[offset / HAK_BIN_BYTES];
    hak_link_set(p, bin->head);
    bin->head = p;
    if (hak_unlikely(--bin->frees_left == 0))
        hak_bin_full(offset);
}

/* Blocks of each class that a thread leaves to its heap's next one (hak_bins_end): 8 make thread_churn no faster, and take a third
 * more memory. */
#define HAK_LEFT_BLOCKS 2u
/* Runs taken by it and by those before it that left some, beyond which it leaves nothing; fewer where many heaps share. */
#define HAK_LEFT_RUNS 64u

/* While calls are sampled: what the calling thread's bins have met so far is counted. */
void hak_bins_book(void);
/* Sets the bins of a thread up that has just got a heap. */
void hak_bins_init(hak_thread_t *thread);
/* The bins, which are empty, are as small again as they are at first. */
void hak_bins_reset(hak_thread_t *thread);
/* Where links are checked: aborts unless what the calling thread's bins hand out next are blocks, free and as they were left.
 * Looks at some classes, others each time. For whoever takes memory for a slab, which costs more. */
void hak_bins_check(hak_heap_t *heap) HAK_REQUIRES(heap->lock);
/* Puts all previous lists of a heap back into its slabs. Any thread. */
void hak_bins_flush_previous(hak_heap_t *heap) HAK_REQUIRES(heap->lock);
/* The same for the calling thread's bins of which it has used none since the last call: once in a while, as time passes. Those that
 * refills sweep are few, of some classes, and of a thread whose bins serve it none. No lock may be held. */
void hak_bins_sweep(hak_heap_t *heap);
/* Everything in the bins and previous lists goes back into the slabs, blocks of other heaps go to their owners. */
void hak_bins_empty(hak_thread_t *thread, hak_heap_t *heap) HAK_REQUIRES(heap->lock);
/* The same as the thread ends. But one that took few runs leaves some blocks of each class to the heap's next thread, as previous
 * lists, which anybody may take: where threads come and go, a thread's start and end are then half the work. */
void hak_bins_end(hak_thread_t *thread, hak_heap_t *heap) HAK_REQUIRES(heap->lock);

#endif
