/* SPDX-License-Identifier: MIT */
/* guard.h: memory that nobody may touch, in the variants with HAK_HARDEN: in chunks, and behind oversize blocks. Any thread. */
#ifndef HAK_MEM_GUARD_H
#define HAK_MEM_GUARD_H

#include "base/bits.h"

/* Makes memory inaccessible that is in no slab, unless another thread is looking at it this moment, or the system refuses. True if
 * it is now. Any thread, with any lock. */
bool hak_guard_forbid(void *address, size_t size);
/* What of a chunk is made inaccessible. Each slice is two mappings, of which the system has 65,530 for a process. */
typedef enum hak_guard_extent {
    HAK_GUARD_NOTHING,
    HAK_GUARD_END, /* the last slice */
    HAK_GUARD_BARS /* and those that no block may lie in (hak_guard_bars) */
} hak_guard_extent_t;

/* For the next chunk; called once for each. */
hak_guard_extent_t hak_guard_next_chunk(void);
/* A set of slices of a chunk: the first behind its states, and some between blocks, at random distances, so that an overrun of a
 * megabyte from any block meets one. The last HAK_RUN_MOST before its end are never among them. */
hak_set_t hak_guard_bars(void);
/* True if the byte in front of a block is not as the allocator left it. */
bool hak_guard_is_underrun(const void *p);

#endif
