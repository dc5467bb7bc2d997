/* big.h: blocks above HAK_LARGE_MAX, each a mapping of its own, and the cache of freed ones. Any thread. */
#ifndef HAK_MEM_BIG_H
#define HAK_MEM_BIG_H

#include "map/map.h"

/* A block of at least `size` bytes, aligned to at least a slice and to `align`. *zero says whether it is known to be
 * zero. NULL when memory is out. */
void *hak_big_take(size_t size, size_t align, bool *zero);
/* Frees the block that p starts: into the cache, or back to the system. */
void hak_big_give(void *p, uint32_t entry);
/* A block in use. */
typedef struct hak_big {
    char *base;         /* first byte; NULL in a free record */
    size_t size;        /* bytes mapped: usable */
    uint32_t next_free; /* index of the next free record; 0 ends the list */
#if HAK_HARDEN
    size_t asked; /* bytes asked for */
#endif
} hak_big_t;

extern hak_big_t *hak_bigs HAK_HIDDEN; /* by what `high` of a block's map entry says; [0] is not used */

/* Usable bytes in the block that p, whose map entry this is, begins; 0 if it begins none. */
HAK_INLINE size_t hak_big_size(const void *p, uint32_t entry)
{
    const hak_big_t *record = &hak_bigs[hak_entry_high(entry)];
    return record->base == p ? record->size : 0;
}

/* Resizes in place, or by moving pages rather than bytes; NULL when it can be neither (p is as it was). */
void *hak_big_resize(void *p, uint32_t entry, size_t size);
/* Unmaps the cached blocks that nobody has used for the policy's delay. */
void hak_big_expire(void);
/* Unmaps all cached blocks; returns their bytes. */
size_t hak_big_trim(void);
void hak_big_after_fork(void);

typedef struct hak_big_view {
    size_t live;                /* bytes in blocks that are in use */
    size_t blocks;              /* of them */
    size_t cached;              /* bytes in the cache */
    uint64_t taken, from_cache; /* blocks so far */
} hak_big_view_t;

hak_big_view_t hak_big_view(void);

#endif
