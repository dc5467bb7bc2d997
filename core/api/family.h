/* family.h: what the malloc family, the C++ operators and the hak_ names have in common: the fast paths, with the
 * checks of the variants that have them. */
#ifndef HAK_API_FAMILY_H
#define HAK_API_FAMILY_H

#include "mem/check.h"
#include "mem/front.h"
#include "obs/counters.h"

#include <errno.h>
#include <string.h>

/* Exported under its standard name. */
#define HAK_EXPORT __attribute__((visibility("default")))

/* The block of `size` requested bytes is p (or NULL): what the caller gets. */
HAK_INLINE void *hak_hand_out(void *p)
{
    if (!HAK_CHECKS || p == NULL)
        return p;
    return hak_check_taken(p, hak_block_size(p));
}

/* Requests so large that the canary would overflow are too large anyhow. */
HAK_INLINE size_t hak_with_canary(size_t size)
{
    return HAK_CHECKS && size < HAK_REQUEST_MAX ? size + HAK_CANARY_BYTES : size;
}

HAK_INLINE void *hak_family_malloc(size_t size)
{
    hak_histogram_add(size);
    return hak_hand_out(hak_malloc_front(hak_with_canary(size)));
}

HAK_INLINE void hak_family_free(void *p)
{
    if (HAK_CHECKS && p != NULL)
        hak_check_given(p);
    hak_free_front(p);
}

HAK_INLINE void *hak_family_aligned(size_t align, size_t size)
{
    hak_histogram_add(size);
    return hak_hand_out(hak_malloc_aligned(align, hak_with_canary(size)));
}

#define HAK_ZERO_INLINE ((size_t)64) /* bytes; above it memset is called */

/* Zeroes 1..HAK_ZERO_INLINE bytes, up to the next multiple of 16, by stores that may overlap: no loop, no call. */
HAK_INLINE void hak_zero_tiny(void *block, size_t size)
{
    typedef long long line __attribute__((vector_size(16), may_alias));
    line *first = block;
    line *last = (line *)(void *)((char *)block + ((size - 1) & ~(size_t)15));
    first[0] = (line){0, 0};
    last[0] = (line){0, 0};
    if (size <= 32)
        return;
    first[1] = (line){0, 0};
    last[-1] = (line){0, 0};
}

HAK_INLINE void *hak_family_calloc(size_t count, size_t each)
{
    size_t size;
    if (hak_unlikely(__builtin_mul_overflow(count, each, &size)))
        size = SIZE_MAX;
    hak_histogram_add(size);
    if (HAK_CHECKS) {
        void *p = hak_family_malloc(size);
        return p != NULL ? memset(p, 0, size) : NULL;
    }
    if (hak_unlikely(size > HAK_ZERO_INLINE))
        return hak_calloc_slow(size);
    hak_bin_ref_t bin = hak_bin_at((size + 15) & ~(size_t)15);
    void *block = bin->head;
    if (hak_unlikely(block == NULL)) /* nothing of this size left, or of size 0 */
        return hak_calloc_slow(size);
    hak_bin_pop(bin, block);
    hak_zero_tiny(block, size);
    return block;
}

HAK_INLINE size_t hak_family_usable(const void *p)
{
    size_t size = hak_block_size(p);
    return size != 0 ? size - HAK_CANARY_BYTES : 0;
}

HAK_INLINE void *hak_family_realloc(void *p, size_t size)
{
    if (p == NULL)
        return hak_family_malloc(size);
    if (size == 0) { /* as glibc does: C leaves it open */
        hak_family_free(p);
        return NULL;
    }
    hak_histogram_add(size);
    if (!HAK_CHECKS)
        return hak_realloc(p, size);
    /* With checks every realloc moves, so that stale pointers show. */
    void *target = hak_family_malloc(size);
    if (target == NULL)
        return NULL;
    memcpy(target, p, hak_min(hak_family_usable(p), size));
    hak_family_free(p);
    return target;
}

#endif
