/* SPDX-License-Identifier: MIT */
/* extent.h: the address space of huge blocks: ranges of whole units that are free, and where new ones come from. Any thread.
 *
 * A range that is given is joined with its neighbours and kept: dirty, until retain.h says that it goes back to the
 * system; afterwards unmapped, or, where that would cut a mapping in two and a thousand were cut before (SPLITS_MOST), without
 * pages and clean. (The system allows some 65,000 mappings. If every other of 131,072 blocks were unmapped, no thread could be
 * started any more.)
 *
 * In hardened free ranges are inaccessible (up to some thousand of them): what is taken is made accessible. A short one lies in
 * front of what has nothing else of ours there.
 *
 * Ranges are found by size in lists by a quarter of a power of two, and their neighbours through the map: the first and the
 * last slice of a free range have an entry with the number of its record. */
#ifndef HAK_MEM_EXTENT_H
#define HAK_MEM_EXTENT_H

#include "map/map.h"
#include "mem/retain.h"
#include "mem/scarce.h"

/* Sizes and addresses are multiples of it: the system then puts one mapping right below the other, so that neighbours can be
 * joined, and what is cut from a range fits others. */
#define HAK_UNIT ((size_t)64 << 10)
/* Bytes that are to be zero: from here on pages go back instead of being written, and ranges that are zero come first. */
#define HAK_ZERO_BY_PAGE ((size_t)32 << 20)

/* Takes `size` bytes, whole units, aligned to at least a unit. `zeroed`: it is going to be zeroed, so that of large ones a clean
 * range is better; *zero says whether it is clean. The map is covered there. NULL when the system has no more. No lock may be
 * held. */
char *hak_extent_take(size_t size, size_t align, bool zeroed, bool *zero);
/* Takes the `size` bytes that begin at `at`, if they are free. */
bool hak_extent_take_at(char *at, size_t size);
/* Gives a range back, of which the caller has cleared all map entries. True if it is time for hak_extent_release_due. No lock
 * may be held. */
bool hak_extent_release(char *base, size_t size, bool dirty);
/* Tells of a range that was taken, and moved to other addresses or away by the system itself. */
void hak_extent_moved(size_t before, size_t after);
/* Nothing is mapped where this range was: in hardened what was in front of it goes, and what is behind it gets something in front.
 * No lock may be held. */
void hak_extent_vacated(char *base, size_t size);
/* Gives back to the system what retain.h says, a bounded number of ranges at a time. True if there is more to do. No lock may
 * be held. */
bool hak_extent_release_due(uint32_t now_ms);
/* Gives all of it back; `unmap`: the address space of what is clean, too. Returns the bytes. No lock may be held. */
size_t hak_extent_trim(bool unmap);
/* True if p lies in the free range of which the slice at `end`, which the map covers, is the first or the last. No lock may be
 * held. */
bool hak_extent_holds(const char *end, const void *p);
/* Dirty ranges serve the pool before it touches fresh memory, and its chunks without runs serve huge blocks. Not in hardened, which
 * closes what is free, nor while memory is scarce. */
HAK_INLINE bool hak_extent_shares(void)
{
    return !HAK_HARDEN && !hak_is_scarce();
}

/* Cuts a chunk for the pool, of which this says what it keeps, out of a dirty range or a clean one. NULL if there is none. Under
 * the pool's lock, as the next. */
char *hak_extent_take_chunk(bool dirty, hak_retain_t *pool);
/* Makes a chunk free that has no map entries. False if there is no memory for its record. */
bool hak_extent_receive_chunk(char *chunk, hak_retain_t *pool);
void hak_extent_after_fork(void);

/* A snapshot for the statistics page; bytes. */
typedef struct hak_extent_view {
    size_t live;                /* taken */
    size_t dirty;               /* free, with pages */
    size_t clean;               /* free, without */
    uint64_t taken, from_cache; /* ranges so far; of these, dirty ones */
} hak_extent_view_t;

hak_extent_view_t hak_extent_view(void);

#endif
