/* SPDX-License-Identifier: MIT */
/* oversize.h: blocks above HAK_CLASS_MAX: large ones, which are runs of the pool, and huge ones, which are mappings. A heap
 * keeps the last few that it freed: those of equal size are taken again without a lock. Sizes go by whole slices. Any
 * thread; no lock may be held. */
#ifndef HAK_MEM_OVERSIZE_H
#define HAK_MEM_OVERSIZE_H

#include "mem/heap.h"
#include "mem/huge.h"

/* Bytes: a huge block that shrinks no further stays one. Where a program asks for a bit more and a bit less than HAK_LARGE_MAX in
 * turns, each step would copy it. What it keeps too much, a half of this at most, lies behind what is used. */
#define HAK_STAYS_HUGE (HAK_LARGE_MAX / 4 * 3)

/* A block of at least `size` bytes. `zeroed`: it is going to be zeroed; *zero says whether it is known to be. NULL when memory is
 * out. */
void *hak_oversize_take(size_t size, bool zeroed, bool *zero);
/* A block of at least `size` bytes, aligned to `align`, a power of two above HAK_SLICE; of any size: what needs such an
 * alignment has slices of its own. NULL when memory is out; of what the pool has room for in an empty chunk, first of all when
 * there is none: only `anyhow` is it made a huge block, which takes more address space. */
void *hak_oversize_take_aligned(size_t align, size_t size, bool anyhow);
/* One of those that the calling thread keeps, of exactly so many slices; NULL if there is none. */
void *hak_oversize_take_cached(size_t slices);
/* Frees the block that p, whose map entry this is, begins; if it begins none, it goes to hak_free_not_ours. */
void hak_oversize_free(void *p, uint32_t entry);
/* Usable bytes in the block that p, whose map entry this is, begins; 0 if it begins none. */
size_t hak_oversize_size(const void *p, uint32_t entry);
/* An oversize block of `size` bytes with the contents of p, in place or by moving pages rather than bytes; NULL when it can be
 * neither (p is as it was). p is oversize, or a block above HAK_MID_MAX of the calling thread. */
void *hak_oversize_resize(void *p, uint32_t entry, size_t size);
/* Bytes of the block in the i-th place of what a heap keeps, 0 if it is empty; *huge says of which kind it is. For the heap's
 * thread. */
size_t hak_oversize_cached(const hak_heap_t *heap, unsigned i, bool *huge);
/* Bytes in all that a heap keeps, of either kind. Any thread. */
size_t hak_oversize_kept(const hak_heap_t *heap);
/* Frees what a heap keeps. Any thread: its own may be taking and keeping meanwhile. */
void hak_oversize_flush_cache(hak_heap_t *heap);

HAK_INLINE size_t hak_oversize_slices(size_t size)
{
    return (size + HAK_SLICE - 1) >> HAK_SLICE_SHIFT;
}

#endif
