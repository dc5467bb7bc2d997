/* SPDX-License-Identifier: MIT */
/* family.h: what the malloc family, the C++ operators and the hak_ names have in common: the fast paths, with the
 * checks of the variants that have them. */
#ifndef HAK_API_FAMILY_H
#define HAK_API_FAMILY_H

#include "api/recorded.h"
#include "mem/fast.h"
#include "mem/harden_fast.h"
#include "mem/realloc.h"
#include "obs/watch.h"

#include <errno.h>
#include <string.h>

/* Where the exported function that this stands in was called, for messages. */
#define HAK_SITE __builtin_return_address(0)

/* A function that ends by a jump to another one, at every level of optimisation: for that one, its caller is ours. */
#if defined(__clang__)
#define HAK_JUMPS
#define HAK_JUMP __attribute__((musttail))
#else
#define HAK_JUMPS __attribute__((optimize("optimize-sibling-calls")))
#define HAK_JUMP
#endif

/* Exported under its standard name. */
#define HAK_EXPORT __attribute__((visibility("default")))

/* What a function of a kind gives (HAK_KIND_MALLOC, mem/harden.h). */
HAK_INLINE void *hak_family_malloc_kind(size_t size, unsigned kind)
{
    if (hak_watch_call(size))
        return hak_recorded_malloc(size, HAK_SITE);
    return HAK_HARDEN ? hak_harden_malloc(size, kind) : hak_fast_malloc(size);
}

HAK_INLINE void *hak_family_malloc(size_t size)
{
    return hak_family_malloc_kind(size, HAK_KIND_MALLOC);
}

/* `site` is where free, or what stands for it, was called; `size` what the caller says that it asked for, or HAK_ANY_SIZE. */
HAK_INLINE void hak_family_free_kind(void *p, size_t size, unsigned kind, const void *site)
{
    if (HAK_HARDEN)
        hak_harden_free(p, size, kind, site);
    else
        hak_fast_free(p);
}

HAK_INLINE void hak_family_free(void *p, const void *site)
{
    hak_family_free_kind(p, HAK_ANY_SIZE, HAK_KIND_MALLOC, site);
}

/* A size that the caller says; no block has the one that stands for none. */
HAK_INLINE size_t hak_family_said(size_t size)
{
    return size != HAK_ANY_SIZE ? size : size - 1;
}

/* The caller says how many bytes it asked for. */
HAK_INLINE void hak_family_free_sized(void *p, size_t size, const void *site)
{
    hak_family_free_kind(p, hak_family_said(size), HAK_KIND_MALLOC, site);
}

/* The caller says to what it had the block aligned. */
HAK_INLINE void hak_family_check_align(const void *p, size_t align, const void *site)
{
    if (HAK_HARDEN)
        hak_harden_check_align(p, align, site);
}

HAK_INLINE void *hak_family_aligned_kind(size_t align, size_t size, unsigned kind)
{
    if (hak_watch_call(size))
        return hak_recorded_aligned(align, size, HAK_SITE);
    return HAK_HARDEN ? hak_harden_aligned(align, size, kind) : hak_malloc_aligned(align, size);
}

HAK_INLINE void *hak_family_aligned(size_t align, size_t size)
{
    return hak_family_aligned_kind(align, size, HAK_KIND_MALLOC);
}

/* memalign takes any alignment: glibc's rounds it up to a power of two. EINVAL for what no power of two is above. */
HAK_INLINE void *hak_family_memalign(size_t align, size_t size)
{
    size_t power = HAK_ALIGN;
    if (align > SIZE_MAX / 2 + 1) {
        errno = EINVAL;
        return NULL;
    }
    while (power < align && power <= HAK_REQUEST_MAX)
        power *= 2;
    return hak_family_aligned(power, size);
}

/* Whole pages. */
HAK_INLINE void *hak_family_pages(size_t size)
{
    if (size <= HAK_REQUEST_MAX)
        return hak_family_aligned(HAK_OS_PAGE, hak_round_up(size, HAK_OS_PAGE));
    errno = ENOMEM;
    return NULL;
}

#define HAK_ZERO_INLINE ((size_t)64) /* bytes; above it memset is called */

/* Zeroes 16..HAK_ZERO_INLINE bytes, a multiple of 16, by stores that may overlap: no loop, no call. */
HAK_INLINE void hak_family_zero_tiny(void *block, size_t bytes)
{
    typedef long long line __attribute__((vector_size(16), may_alias));
    line *first = block;
    line *end = (line *)(void *)((char *)block + bytes);
    first[0] = (line){0, 0};
    end[-1] = (line){0, 0};
    if (bytes <= 32)
        return;
    first[1] = (line){0, 0};
    end[-2] = (line){0, 0};
}

HAK_INLINE void *hak_family_calloc(size_t count, size_t each)
{
    size_t size;
    if (hak_unlikely(__builtin_mul_overflow(count, each, &size)))
        size = SIZE_MAX;
    if (hak_watch_call(size))
        return hak_recorded_calloc(size, HAK_SITE);
    if (HAK_HARDEN) {
        if (hak_unlikely(size > HAK_CLASS_MAX - HAK_CANARY_BYTES))
            return hak_harden_calloc_oversize(size);
        void *p = hak_harden_malloc(size, HAK_KIND_MALLOC);
        return HAK_FILL_BYTE == 0 || p == NULL ? p : memset(p, 0, size);
    }
    if (hak_unlikely(size > HAK_ZERO_INLINE))
        return hak_malloc_zeroed(size);
    size_t offset = hak_tiny_size(size);
    hak_bin_ref_t bin = hak_bin_at(offset);
    void *block = bin->head;
    if (hak_unlikely(block == NULL)) /* nothing of this size left, or of size 0 */
        return hak_malloc_zeroed(size);
    hak_bin_pop(bin, block);
    hak_family_zero_tiny(block, offset);
    return block;
}

HAK_INLINE size_t hak_family_usable(const void *p, const void *site)
{
    return HAK_HARDEN ? hak_harden_usable(p, site) : hak_block_size(p);
}

HAK_INLINE void *hak_family_realloc(void *p, size_t size, const void *site)
{
    if (p == NULL)
        return hak_family_malloc(size);
    if (size == 0) { /* as glibc does: C leaves it open */
        hak_family_free(p, site);
        return NULL;
    }
    if (hak_watch_call(size))
        return hak_recorded_realloc(p, size, HAK_SITE);
    return HAK_HARDEN ? hak_harden_realloc(p, size, site) : hak_realloc(p, size);
}

#endif
