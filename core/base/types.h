/* SPDX-License-Identifier: MIT */
/* types.h: the vocabulary of the allocator. Read this first.
 *
 *   block      what malloc returns; no header in front of it.
 *   class      1..128: blocks of one size (classes.h). Class 0 does not exist.
 *   slice      16 KiB of address space, aligned; the unit of the map and of slabs.
 *   chunk      2 MiB of address space, aligned: 128 slices, of which the first holds the descriptors of the others.
 *   run        adjacent slices of one chunk.
 *   slab       a run cut into blocks of one class.
 *   large      a run that is one block, above the largest class and at most HAK_LARGE_MAX bytes.
 *   range      address space in whole units of 64 KiB; a free one is an `extent` in names (extent.h).
 *   huge       a block that is a range by itself, above HAK_LARGE_MAX bytes. (Huge pages of the system are `thp` here.)
 *   oversize   a block above the largest class: large or huge. Each heap has a small cache of freed ones.
 *   big cache  the free ranges that huge blocks have left (extent.h). Only options, features and statistics have this name.
 *   window     of the map: what covers 4 GiB of addresses (map.h); of time: what is not used in one is given up (retain.h, tick.h).
 *   heap       the slabs of one thread, and the inbox into which other threads put blocks of these slabs.
 *   owner      a heap's number, 1..HAK_OWNERS-1; written beside the class into the map, for each slice.
 *   orphan     a heap whose thread has ended: another thread takes it over, or its slabs one by one.
 *   entry      a slice's word in the map: owner and class, or what else lies there (map.h).
 *   bin        a thread's list of free blocks of one class: the fast path of malloc pops, that of free pushes.
 *   previous   the list that was in a bin when it was last full: a bin and it are two magazines, the loaded and the previous.
 *   remote     said of a block of another heap's slab. Freed ones are collected in batches, which are sent to their owners.
 *   stray      a block that a thread takes or frees without having a heap.
 *   unknown    said of a pointer that leads to no block of ours: libc's malloc may know it.
 *   quarantine freed blocks that are not for use yet (variants with HAK_HARDEN).
 *   clean      said of a slice whose bytes are known to be zero; otherwise it is dirty.
 *   purge      give the pages of dirty free slices back to the system, which makes them clean. */
#ifndef HAK_BASE_TYPES_H
#define HAK_BASE_TYPES_H

#include "base/build.h"

#include <assert.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HAK_ALIGN        ((size_t)16)   /* bytes; what malloc promises on every 64-bit ABI */
#define HAK_OS_PAGE      ((size_t)4096) /* bytes; the system's page */
#define HAK_CACHE_LINE   ((size_t)64)   /* bytes */
#define HAK_SLICE_SHIFT  14
#define HAK_SLICE        ((size_t)1 << HAK_SLICE_SHIFT)
#define HAK_CHUNK_SLICES 128u
#define HAK_CHUNK_HEAD   (HAK_HARDEN ? 8u : 2u) /* slices in front that are not for use */
#define HAK_CHUNK_TAIL   (HAK_HARDEN ? 1u : 0u) /* slices at the end that nobody may touch */
#define HAK_RUN_MOST     (HAK_HARDEN ? 40u : HAK_CHUNK_SLICES - HAK_CHUNK_HEAD - HAK_CHUNK_TAIL)
#define HAK_CHUNK        (HAK_SLICE * HAK_CHUNK_SLICES)
#define HAK_ADDRESS_BITS 47 /* user address space on x86-64 and arm64 without opt-in */
#define HAK_LARGE_MAX    ((size_t)HAK_BUILT_large_max_kb << 10) /* bytes; above it a block is huge */

/* No request above this can be met; also keeps every later rounding free of overflow. */
#define HAK_REQUEST_MAX ((size_t)1 << (HAK_ADDRESS_BITS - 1))

#define hak_likely(x)   __builtin_expect(!!(x), 1)
#define hak_unlikely(x) __builtin_expect(!!(x), 0)
#define HAK_NOINLINE    __attribute__((noinline))
#define HAK_INLINE      static inline __attribute__((always_inline))
/* On a variable that another file defines: it is in the same library, so no GOT is needed to reach it. */
#define HAK_HIDDEN __attribute__((visibility("hidden")))
#define HAK_COLD   __attribute__((noinline, cold))

/* Rounds up to a multiple of `to`, a power of two. The caller has checked that x + to does not overflow. */
static inline size_t hak_round_up(size_t x, size_t to)
{
    return (x + to - 1) & ~(to - 1);
}

/* Tells the core that this is a waiting loop. */
static inline void hak_pause(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#else
    atomic_signal_fence(memory_order_seq_cst);
#endif
}

static inline bool hak_is_power_of_two(size_t x)
{
    return x != 0 && (x & (x - 1)) == 0;
}

static inline size_t hak_min(size_t a, size_t b)
{
    return a < b ? a : b;
}

static inline size_t hak_max(size_t a, size_t b)
{
    return a > b ? a : b;
}

#endif
