/* SPDX-License-Identifier: MIT */
/* sample.h: calls that are sampled: which ones, what is done with them, and how their blocks' ends are noticed. Compiled in by
 * HAK_SAMPLING. Blocks with a class go by the countdown of obs/countdown.h, which the bins keep (bin.c); those above are decided
 * one by one, on the slow path that they take anyhow.
 *
 * A sampled block that has a class comes from the heap of nobody: a heap that no thread has, so that whoever frees one takes the
 * path of other threads' blocks, where the owner is known. The frees of all other blocks stay what they were. */
#ifndef HAK_MEM_SAMPLE_H
#define HAK_MEM_SAMPLE_H

#include "mem/heap.h"
#include "os/times.h"

/* Not 0: calls are sampled or counted. Written before the first block. */
extern uint32_t hak_sample_on HAK_HIDDEN;

HAK_INLINE bool hak_sample_is_on(void)
{
    return HAK_SAMPLING && hak_unlikely(hak_sample_on != 0);
}

/* Looks at the options, before the first block. */
void hak_sample_start(void);
/* In a forked child, alone. */
void hak_sample_after_fork(void);
/* A heap gets its thread: it begins to count. */
void hak_sample_begin_heap(hak_heap_t *heap);

/* --- blocks with a class, by the heap's thread -------------------------------------------------------------------- */

/* Calls that may be met before one is sampled. */
uint32_t hak_sample_left(const hak_heap_t *heap, unsigned c);
/* The bin has so many blocks and frees left: what it met is counted. */
void hak_sample_book(hak_heap_t *heap, unsigned c, uint32_t blocks, uint32_t frees_left);
/* frees_left of a bin with so many blocks. */
uint32_t hak_sample_frees(hak_heap_t *heap, unsigned c, uint32_t blocks, uint32_t cap);
/* A call that found the bin empty. The block, if it is sampled for the profile; NULL: it is met as any other. *timed: it is to
 * go by hak_sample_timed. No lock may be held. */
void *hak_sample_call(hak_heap_t *heap, unsigned c, bool *timed);
/* A block of the class, of which the bin has one, by the path of a call that is not sampled, under the clock. */
void *hak_sample_timed(hak_heap_t *heap, unsigned c);
/* A call by a thread that can have no heap: the block, if it is sampled for the profile. */
void *hak_sample_stray(unsigned c);
/* Calls of all heaps that their bins met, and that found them empty. */
void hak_sample_front(uint64_t *met, uint64_t *missed);
/* A block of another heap is freed. True if it was the heap of nobody's, and all is done. */
bool hak_sample_freed(void *p, uint32_t entry);

/* --- blocks above HAK_CLASS_MAX ----------------------------------------------------------------------------------- */

/* A block was taken: whether it is sampled is decided here. NULL is let through. Returns p. */
void *hak_sample_oversize(void *p);
/* A block is about to be freed. */
void hak_sample_oversize_freed(const void *p);
/* A block was resized where it was or by moving pages; it counts as a new one. NULL: it was not. `before`: what
 * hak_profile_leave said of it. */
void hak_sample_resized(const void *before, uint32_t stack, void *p);

#endif
