/* SPDX-License-Identifier: MIT */
/* chunk.h: the pool of slices: runs of 16 KiB slices out of 2 MiB chunks, shared by all threads under one lock.
 *
 * A chunk begins with 128 descriptors of 64 bytes. Descriptor i describes the run that begins at slice i; those in the
 * middle of a run say how far back its first one is. From any pointer into a chunk the descriptor is found by arithmetic
 * alone, and the descriptors of 1 MiB share one page. The first two slices are not for use (with HAK_HARDEN eight): the
 * first holds the descriptors, and what would be their own two is the chunk's. */
#ifndef HAK_MEM_CHUNK_H
#define HAK_MEM_CHUNK_H

#include "mem/slab.h"

/* What a run is for. Slabs that touch few pages of each slice and those that touch many lie at two ends: or in time each slice
 * would have as many pages as the slabs that need most. A chunk's first half comes first: its descriptors are one page. */
typedef enum hak_run {
    HAK_RUN_SINGLE, /* one block, of which a program may touch little; as far in front as it can be */
    HAK_RUN_FRONT,  /* a slab that lies as far in front */
    HAK_RUN_BACK    /* one that lies as far behind, in the first half if it can */
} hak_run_t;

/* Takes a run of 1..HAK_RUN_MOST slices; `slices`, `back` and `clean` are set, the rest is the caller's to fill in. NULL when the
 * system has no more memory. Any thread. */
hak_slab_t *hak_chunk_take_run(unsigned slices, hak_run_t what);
/* The same for one block, which begins at a multiple of `align` slices, a power of two, and which only its first byte leads to: the
 * descriptors behind the first one, a cache line each, are not written. NULL, too, when no chunk can hold such a run. */
hak_slab_t *hak_chunk_take_block(unsigned slices, unsigned align);
/* True if such a run can always be had: in a new chunk at the latest. */
bool hak_chunk_has_room(unsigned slices, unsigned align);
/* As hak_chunk_take_run, for a slab of the heap with that number, beside others of it where there is a place. */
hak_slab_t *hak_chunk_take_beside(unsigned slices, hak_run_t what, uint32_t heap);
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
 * the next three. */
bool hak_chunk_release_due(uint32_t now_ms);
/* Purges all free slices, and unmaps chunks without runs where that leaves few mappings. Returns the bytes given back. */
size_t hak_chunk_trim(void);
/* Bytes of the chunks that have runs. */
size_t hak_chunk_in_use(void);
/* Unmaps chunks without runs and address space held in reserve: when memory is out, for whoever else needs it (the
 * next thread's stack, say). Returns the bytes of address space given back. */
size_t hak_chunk_unmap_free(void);
/* Chunks without runs that are dirty become free ranges. True if there were any. No lock may be held here and in the next. */
bool hak_chunk_move_to_extents(void);
/* So many bytes are touched anew for a huge block: how many of them the pool had given back lately. */
uint64_t hak_chunk_missed(uint64_t bytes);
/* True if p lies in a chunk. Looks at all of them: for what is no block. No lock may be held. */
bool hak_chunk_holds(const void *p);
/* The byte at p if that lies in a free slice that anybody may read, else 0. p lies in a chunk that has a run. No lock may be held.
 * With HAK_HARDEN alone. */
char hak_chunk_free_byte(const char *p);
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
