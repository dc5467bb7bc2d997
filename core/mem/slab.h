/* slab.h: slabs of a heap, out of the pool and back, and blocks in and out of them. All functions are for the holder of
 * the heap's lock, but for hak_slab_grow and hak_slab_purge_free. */
#ifndef HAK_MEM_SLAB_H
#define HAK_MEM_SLAB_H

#include "mem/heap.h"

/* A list of at least one block of the class, or NULL when memory is out. */
void *hak_slab_take_blocks(hak_heap_t *heap, unsigned c);
/* The same. *zero becomes true if it is one block that is known to be zero, but for its link. */
void *hak_slab_take_zero(hak_heap_t *heap, unsigned c, bool *zero);
/* One block of the class, or NULL. */
void *hak_slab_take_one(hak_heap_t *heap, unsigned c);
/* Puts a list of blocks back, of any slabs; what turns out to belong to another heap is sent there. Slabs that get empty
 * are released. */
void hak_slab_put_list(hak_heap_t *heap, void *list);
/* Makes a block in use that is a slab by itself (above HAK_MID_MAX) one of a higher class, in place. False if the memory
 * behind it is taken. */
bool hak_slab_grow(void *p, unsigned c);
/* Moves a slab that has blocks of the class to take from one heap to another; NULL if there is none. The caller
 * holds both locks. */
hak_slab_t *hak_slab_adopt(hak_heap_t *from, hak_heap_t *to, unsigned c);
/* Gives every empty slab back to the pool. */
void hak_slab_release_empty(hak_heap_t *heap);
/* Gives the pages that lie in free blocks alone back to the system, where slabs have such beside blocks in use. Any thread; no
 * lock may be held. */
void hak_slab_purge_free(hak_heap_t *heap);
/* Walks all slabs and aborts at the first broken invariant. */
void hak_slab_check(const hak_heap_t *heap);

/* The class has blocks to take that were handed out before. */
static inline bool hak_slab_has_free(const hak_heap_t *heap, unsigned c)
{
    return heap->class[c].slabs != NULL && heap->class[c].slabs->free != NULL;
}

#endif
