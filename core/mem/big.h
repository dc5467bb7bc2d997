/* big.h: blocks above HAK_LARGE_MAX, each a mapping of its own, and the cache of freed ones. Any thread. */
#ifndef HAK_MEM_BIG_H
#define HAK_MEM_BIG_H

#include "base/types.h"

/* A block of at least `size` bytes, aligned to at least a slice and to `align`. *zero says whether it is known to be
 * zero. NULL when memory is out. */
void *hak_big_take(size_t size, size_t align, bool *zero);
/* True if p, whose map entry this is, is the first byte of the block. */
bool hak_big_starts(const void *p, uint32_t entry);
/* Frees the block that p starts: into the cache, or back to the system. */
void hak_big_give(void *p, uint32_t entry);
/* Usable bytes. */
size_t hak_big_size(uint32_t entry);
/* Resizes in place, or by moving pages rather than bytes; NULL when it can be neither (p is as it was). */
void *hak_big_resize(void *p, uint32_t entry, size_t size);
/* Unmaps all cached blocks; returns their bytes. */
size_t hak_big_trim(void);
void hak_big_after_fork(void);

typedef struct hak_big_view {
    size_t live;                /* bytes in blocks that are in use */
    size_t cached;              /* bytes in the cache */
    uint64_t taken, from_cache; /* blocks so far */
} hak_big_view_t;

hak_big_view_t hak_big_view(void);

#endif
