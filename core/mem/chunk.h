/* chunk.h: the pool of slices: runs of 16 KiB slices out of 2 MiB chunks, shared by all threads under one lock.
 *
 * A chunk begins with 128 descriptors of 64 bytes. Descriptor i describes the run that begins at slice i; those in the
 * middle of a run say how far back its first one is. From any pointer into a chunk the descriptor is found by arithmetic
 * alone, and the descriptors of 1 MiB share one page. The first two slices are not for use: the first holds the
 * descriptors, and what would be their own two is the chunk's. */
#ifndef HAK_MEM_CHUNK_H
#define HAK_MEM_CHUNK_H

#include "base/types.h"

typedef struct hak_heap hak_heap_t;

/* A run in use. Written by the thread that owns `heap`, except where it says otherwise. */
typedef struct hak_slab {
    void *free; /* list of blocks that are neither handed out nor in a bin */
    struct hak_slab *next,
        *prev; /* in the heap's list of slabs of this class that have blocks to take; NULL-ended */
    _Atomic(hak_heap_t *) heap; /* owner; NULL for a large block. Others may compare it with their own */
    uint32_t free_count;        /* blocks in `free` */
    uint32_t carved;            /* blocks that were handed out once, but for the purged ones */
    uint32_t capacity;          /* blocks that fit */
    uint32_t size;              /* bytes in a block; of a large block at most HAK_LARGE_MAX */
    uint16_t class;             /* 1..128; 0 for a large block */
    uint8_t slices;             /* in the run */
    uint8_t back;               /* slices back to the first one of the run; written by the pool */
    bool listed;                /* in the heap's list */
    bool clean;                 /* all of it was zero when it was taken from the pool */
    uint8_t touched;            /* slices that an earlier class may have written to */
    uint32_t purged;            /* bit i: block i is free and in no list, and zero: its pages went back */
#if HAK_HARDEN
    uint32_t asked; /* bytes asked for, of a large block */
#else
    uint32_t
        inverse; /* of a slab of the variants that check links: 2^32 / (size / 16), rounded up (guard.h) */
#endif
} hak_slab_t;

static_assert(sizeof(hak_slab_t) == HAK_CACHE_LINE, "64 descriptors fill a page");
#define HAK_STATES (HAK_CHUNK_SLICES * sizeof(hak_slab_t)) /* offset of what guard.h keeps of each block */

static_assert(HAK_STATES <= HAK_SLICE, "the first slice holds all of them");
static_assert(!HAK_HARDEN || (HAK_CHUNK_HEAD * HAK_SLICE >> 4) >= HAK_STATES,
              "states begin behind the descriptors");

/* The descriptor of the run that p lies in. p is inside a chunk, behind its slices in front. */
HAK_INLINE hak_slab_t *hak_slab_of(const void *p)
{
    uintptr_t chunk = (uintptr_t)p & ~(HAK_CHUNK - 1);
    uintptr_t index = ((uintptr_t)p >> HAK_SLICE_SHIFT) & (HAK_CHUNK_SLICES - 1);
    hak_slab_t *slab =
        (hak_slab_t *)(chunk + index * sizeof(hak_slab_t)); /* NOLINT(performance-no-int-to-ptr) */
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

/* Takes a run of 1..HAK_RUN_MOST slices that begins at a multiple of `align` of them, a power of two; `slices`, `back` and
 * `clean` are set, the rest is the caller's to fill in. NULL when the system has no more memory, or no chunk can hold such a
 * run. Any thread. */
hak_slab_t *hak_chunk_take_run(unsigned slices, unsigned align);
/* The same for a run that is one block, which only its first byte leads to: the descriptors behind the first one, a cache line
 * each, are not written. */
hak_slab_t *hak_chunk_take_block(unsigned slices, unsigned align);
/* Gives a run back of which the first `touched` slices were used. Its map entries are the caller's to clear. Any thread, and
 * a heap's lock may be held: what is due to go back to the system by then goes at the thread's next hak_tick. */
void hak_chunk_release_run(hak_slab_t *run, unsigned touched);
/* Unmaps a run, which may be inaccessible, with all of its chunk, if nothing else is in use there. False if there is, or the system
 * refuses. Its map entries are cleared before. Only by whoever holds it; no lock may be held. */
bool hak_chunk_unmap_run(hak_slab_t *run);
/* Makes a run longer, in place: to `slices` in all, if those behind it are free. Only by whoever holds the run. */
bool hak_chunk_grow_run(hak_slab_t *run, unsigned slices);
/* Makes a run shorter; only by whoever holds it. */
void hak_chunk_shrink_run(hak_slab_t *run, unsigned slices);
/* Purges what retain.h says, a bounded number of chunks at a time. True if there is more to do. No lock may be held here and in
 * the next two. */
bool hak_chunk_release_due(uint32_t now_ms);
/* Purges all free slices, and unmaps chunks without runs where that leaves few mappings. Returns the bytes given back. */
size_t hak_chunk_trim(void);
/* Unmaps chunks without runs and address space held in reserve: when memory is out, for whoever else needs it (the
 * next thread's stack, say). Returns the bytes of address space given back. */
size_t hak_chunk_unmap_free(void);
/* In a forked child: repairs what another thread was in the middle of. */
void hak_chunk_after_fork(void);

/* A snapshot for the statistics page; bytes. */
typedef struct hak_chunk_view {
    size_t reserved; /* address space of all chunks */
    size_t used;     /* in runs that are taken */
    size_t dirty;    /* free and not yet purged */
    size_t purged;   /* given back so far, sum */
    size_t purges;   /* system calls that did it */
} hak_chunk_view_t;

hak_chunk_view_t hak_chunk_view(void);

#endif
