/* SPDX-License-Identifier: MIT */
/* malloc_slow.c: see malloc_slow.h. No state. */
#include "mem/malloc_slow.h"

#include "base/message.h"
#include "base/options.h"
#include "mem/chunk.h"
#include "mem/extent.h"
#include "mem/fast.h"
#include "mem/oversize.h"
#include "mem/quarantine.h"
#include "mem/remote.h"
#include "mem/sample.h"
#include "mem/scarce.h"
#include "mem/site_cache.h"
#include "mem/slab.h"
#include "mem/unknown.h"

#include <errno.h>
#include <string.h>

#define TURNS_MOST 32u               /* as many as blocks wait in hardened */
#define SPACE_MOST ((size_t)1 << 44) /* bytes: what is refused beyond it no memory of ours makes room for */

/* RLIMIT_AS was set below what is in use: whatever is unmapped, nothing can be mapped for it. Then what is free stays mapped. */
static bool is_beyond_limit(void)
{
    return hak_chunk_in_use() + hak_extent_view().live > hak_os_space_limit();
}

/* What is cached or reserved goes back to the system. False if that was nothing. */
static bool trim_once(void)
{
    hak_heap_trim();
    return is_beyond_limit() || (hak_extent_trim(true) + hak_chunk_unmap_free() + hak_map_give_up()) != 0;
}

/* Memory is out. Under RLIMIT_DATA a block that waits in hardened can be made accessible only when others have gone, whose memory
 * it may share a chunk with: so by turns, until no more of them go. */
static bool trim_everything(void)
{
    bool any = trim_once();
    for (unsigned turns = HAK_HARDEN ? TURNS_MOST : 0; turns != 0 && hak_quarantine_flush_oversize(true);
         turns--) {
        any = true;
        trim_once();
    }
    return any;
}

/* Bytes that are in use whatever is given back: never more than that, or a request would be refused that could be met. So huge
 * blocks alone count, without those that heaps and call sites keep. What the pool has in runs may be free in bins and slabs. In
 * hardened nothing counts: of what it has, up to 32 freed blocks wait. */
static size_t surely_in_use(void)
{
    if (HAK_HARDEN)
        return 0;
    size_t live = hak_extent_view().live; /* before what is kept, which it may become meanwhile */
    size_t kept = HAK_CALL_SITES ? hak_site_cache_bytes() : 0;
    uint32_t heaps = hak_heap_count();
    for (uint32_t owner = 1; owner <= heaps; owner++)
        kept += hak_oversize_kept(hak_heap_by_owner(owner));
    return live - hak_min(kept, live);
}

/* False of what would be refused whatever is given back: beside what is in use it is more than the process may have. Then all stays
 * as it is, or a program that asks for what it cannot have would fault in anew each time what it has free. */
static bool may_be_met(size_t size)
{
    size_t most = hak_min(hak_os_memory_limit(), SPACE_MOST);
    return size <= most && surely_in_use() <= most - size;
}

/* The end of a second try at a request of `size`. */
static void *met_or_not(void *p, size_t size)
{
    if ((p != NULL || size <= HAK_LARGE_MAX) && !is_beyond_limit())
        hak_scarce_begin();
    if (p == NULL)
        errno = ENOMEM;
    return p;
}

static HAK_COLD void *take_oversize_again(size_t size, bool zeroed, bool *zero)
{
    bool again = size <= HAK_REQUEST_MAX && may_be_met(size) && trim_everything();
    return met_or_not(again ? hak_oversize_take(size, zeroed, zero) : NULL, size);
}

/* A block above HAK_CLASS_MAX; when memory is out, once more after everything unused was given back. Sets errno on
 * failure. */
static void *take_oversize_or_fail(size_t size, bool zeroed, bool *zero)
{
    void *p = hak_oversize_take(size, zeroed, zero);
    return hak_likely(p != NULL) ? p : take_oversize_again(size, zeroed, zero);
}

/* No block of this size is kept; or it is too large for any. */
static HAK_NOINLINE void *malloc_oversize_slow(size_t size)
{
    if (hak_unlikely(size > HAK_REQUEST_MAX)) {
        errno = ENOMEM;
        return NULL;
    }
    bool zero;
    return take_oversize_or_fail(size, false, &zero);
}

HAK_INLINE void *take_cached_or_slow(size_t size)
{
    void *p = hak_oversize_take_cached(hak_oversize_slices(size));
    return hak_likely(p != NULL) ? p : malloc_oversize_slow(size);
}

static void end_time_of(size_t size, uint64_t since_ns)
{
    hak_time_end(size > HAK_LARGE_MAX ? HAK_TIME_huge : HAK_TIME_large, since_ns);
}

static HAK_NOINLINE void *malloc_oversize_sampled(size_t size)
{
    uint64_t since_ns = hak_time_begin();
    void *p = take_cached_or_slow(size);
    end_time_of(size, since_ns);
    return hak_sample_oversize(p);
}

/* A request above HAK_CLASS_MAX. */
static HAK_NOINLINE void *malloc_oversize(size_t size)
{
    return hak_sample_is_on() ? malloc_oversize_sampled(size) : take_cached_or_slow(size);
}

static HAK_COLD void *refill_again(unsigned c)
{
    return met_or_not(trim_everything() ? hak_bin_refill(c, true) : NULL, hak_class_size(c));
}

void *hak_malloc_slow(size_t size)
{
    if (hak_unlikely(size > HAK_CLASS_MAX))
        return malloc_oversize(size);
    if (hak_unlikely(size == 0)) /* comes here always, though there may be blocks for it */
        return hak_fast_malloc(1);
    void *p = hak_bin_refill(hak_class_of(size), false);
    return hak_likely(p != NULL) ? p : refill_again(hak_class_of(size));
}

void *hak_malloc_mid(size_t size)
{
    if (hak_unlikely(size > HAK_CLASS_MAX))
        return malloc_oversize(size);
    size_t offset = hak_class_of_mid(size) * HAK_BIN_BYTES;
    hak_bin_ref_t bin = hak_bin_at(offset);
    void *block = bin->head;
    if (hak_unlikely(block == NULL))
        return hak_malloc_slow(size);
    return hak_bin_pop(bin, block);
}

static HAK_NOINLINE void *calloc_oversize(size_t size)
{
    bool zero;
    uint64_t since_ns = hak_time_begin();
    void *p = take_oversize_or_fail(size, true, &zero);
    end_time_of(size, since_ns);
    if (p != NULL && !zero)
        hak_huge_clear(p, size);
    return hak_sample_is_on() ? hak_sample_oversize(p) : p;
}

/* Zeroes a block of a class above HAK_TINY_CLASSES. One that is a run by itself begins a page, and may be sparse. */
static void *clear_mid(void *block, size_t size)
{
    if (size <= HAK_MID_MAX)
        return memset(block, 0, size);
    hak_huge_clear(block, size);
    return block;
}

/* No block of this class is in the bin: one that is new may be zero, and need not be touched. */
static HAK_NOINLINE void *calloc_new(size_t size)
{
    unsigned c = hak_class_of_mid(size);
    bool zero = false;
    void *block = hak_bin_refill_zero(c, &zero);
    if (hak_unlikely(block == NULL))
        block = refill_again(c);
    return block != NULL && !zero ? clear_mid(block, size) : block;
}

static HAK_NOINLINE void *calloc_mid(size_t size)
{
    if (hak_unlikely(size > HAK_CLASS_MAX))
        return calloc_oversize(size);
    hak_bin_ref_t bin = hak_bin_at(hak_class_of_mid(size) * HAK_BIN_BYTES);
    void *block = bin->head;
    if (hak_unlikely(block == NULL))
        return calloc_new(size);
    return clear_mid(hak_bin_pop(bin, block), size);
}

void *hak_malloc_zeroed(size_t size)
{
    if (hak_unlikely(size > HAK_TINY_MAX))
        return calloc_mid(size);
    /* A block with a class comes from its bin, and has a link in it: not known to be zero. */
    void *block = hak_fast_malloc(size);
    return hak_likely(block != NULL) ? memset(block, 0, size) : NULL;
}

/* A block of just this class. */
static void *take_exactly(unsigned c)
{
    hak_bin_ref_t bin = hak_bin_at(c * HAK_BIN_BYTES);
    void *block = bin->head;
    if (block != NULL)
        return hak_bin_pop(bin, block);
    block = hak_bin_refill(c, true);
    return hak_likely(block != NULL) ? block : refill_again(c);
}

void *hak_malloc_aligned(size_t align, size_t size)
{
    if (align <= HAK_ALIGN)
        return hak_fast_malloc(size);
    if (size > HAK_REQUEST_MAX || align > HAK_REQUEST_MAX) {
        errno = ENOMEM;
        return NULL;
    }
    /* A slab begins at a slice: blocks whose size is a multiple of the alignment are aligned. */
    size_t padded = hak_round_up(hak_max(size, 1), align);
    if (align <= HAK_SLICE && padded <= HAK_CLASS_MAX) {
        unsigned c = hak_class_of(padded);
        while (hak_class_size(c) <= HAK_MID_MAX && hak_class_size(c) % align != 0)
            c++;
        return take_exactly(c);
    }
    if (align <= HAK_SLICE)
        return malloc_oversize(padded);
    void *p = hak_oversize_take_aligned(align, hak_max(size, 1), false);
    if (hak_sample_is_on())
        hak_sample_oversize(p);
    if (hak_likely(p != NULL))
        return p;
    bool again = may_be_met(align + size) && trim_everything();
    return met_or_not(again ? hak_oversize_take_aligned(align, hak_max(size, 1), true) : NULL,
                      hak_max(size, align));
}

bool hak_malloc_trim(void)
{
    if (HAK_HARDEN)
        hak_quarantine_flush_oversize(false);
    hak_heap_trim();
    size_t bytes = hak_extent_trim(false);
    return (bytes + hak_chunk_trim()) != 0;
}
