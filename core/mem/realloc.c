/* SPDX-License-Identifier: MIT */
/* realloc.c: see realloc.h. No state. */
#include "mem/realloc.h"

#include "mem/fast.h"
#include "mem/huge.h"
#include "mem/oversize.h"
#include "mem/sample.h"
#include "mem/unknown.h"
#include "obs/profile.h"

#include <errno.h>
#include <string.h>

/* Bytes in the block that p begins; its entry is not 0. */
static size_t size_before(const void *p, uint32_t entry)
{
    return hak_entry_in_slab(entry) ? hak_slab_of(p)->size : hak_oversize_size(p, entry);
}

size_t hak_block_size(const void *p)
{
    uint32_t entry = hak_map_get(p);
    return hak_likely(entry != 0) ? size_before(p, entry) : hak_unknown_size((void *)(uintptr_t)p);
}

/* The same of a block that is not in a slab and can be cut down where it is: of that an eighth may be too much. */
static bool oversize_stays(size_t size, size_t before)
{
    return size <= before && size > before - before / 8;
}

/* While calls are sampled: a block that grows counts as another one. One in a slab moves, so that its bin meets it. */
static HAK_NOINLINE void *resize_sampled(void *p, uint32_t entry, size_t size)
{
    if (hak_entry_in_slab(entry) || size <= HAK_CLASS_MAX)
        return NULL;
    uint32_t stack = hak_profile_leave(p); /* before its address can be another block's */
    void *resized = hak_oversize_resize(p, entry, size);
    hak_sample_resized(p, stack, resized);
    return resized;
}

/* Resizes a block above HAK_MID_MAX in place, or by moving pages. NULL when that cannot be. */
static HAK_NOINLINE void *resize_in_place(void *p, size_t size, size_t before)
{
    uint32_t entry = hak_map_get(p);
    if (size > before && hak_thread.heap != NULL)
        hak_oversize_flush_cache(hak_thread.heap); /* which may be what lies behind it */
    if (hak_sample_is_on())
        return resize_sampled(p, entry, size);
    if (hak_entry_in_slab(entry)) {
        if (size <= before || hak_entry_owner(entry) != hak_thread_self() >> HAK_ENTRY_SHIFT)
            return NULL;
        if (size <= HAK_CLASS_MAX)
            return hak_slab_grow(p, hak_class_of_mid(size)) ? p : NULL;
    }
    return size > HAK_CLASS_MAX ? hak_oversize_resize(p, entry, size) : NULL;
}

static size_t as_asked(size_t size)
{
    return size;
}

/* Both blocks begin a slice, and much may be untouched. What was outgrown is not kept for a block of just its size: another one
 * may grow into it. */
static HAK_NOINLINE void *move_slices(void *target, void *p, size_t bytes)
{
    hak_huge_copy_pages(target, p, bytes);
    hak_fast_free(p);
    if (bytes > HAK_CLASS_MAX && hak_thread.heap != NULL)
        hak_oversize_flush_cache(hak_thread.heap);
    return target;
}

static HAK_NOINLINE void *realloc_moving(void *p, size_t size, size_t before)
{
    if (before > HAK_MID_MAX) {
        void *resized = resize_in_place(p, size, before);
        if (resized != NULL)
            return resized;
    }
    void *target = hak_realloc_target(size, before, as_asked);
    if (target == NULL)
        return size > before ? NULL : p;
    if (hak_min(before, size) > HAK_MID_MAX)
        return move_slices(target, p, hak_min(before, size));
    /* NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker): the map has no entry for NULL */
    memcpy(target, p, hak_min(before, size));
    hak_fast_free(p);
    return target;
}

/* A block of libc's becomes one of ours. Of anything else we do not know the length, so that there is nothing to copy. */
static HAK_COLD void *realloc_unknown(void *p, size_t size)
{
    size_t before = hak_unknown_size(p);
    void *target = before != 0 ? hak_fast_malloc(size) : NULL;
    if (target != NULL)
        memcpy(target, p, hak_min(before, size));
    if (target != NULL || before == 0)
        hak_free_unknown(p);
    if (before == 0)
        errno = ENOMEM;
    return target;
}

/* Of what lies in a block or range of ours, but begins none in use. */
static HAK_COLD void *realloc_refused(void *p)
{
    hak_free_refuse(p, true);
    errno = ENOMEM;
    return NULL;
}

/* Of a block that is not in a slab, or of what is none. */
static HAK_NOINLINE void *realloc_oversize(void *p, size_t size, uint32_t entry)
{
    size_t before = hak_oversize_size(p, entry);
    if (hak_unlikely(before == 0))
        return entry == 0 ? realloc_unknown(p, size) : realloc_refused(p);
    return oversize_stays(size, before) ? p : realloc_moving(p, size, before);
}

void *hak_realloc_in_place(void *p, size_t size)
{
    size_t before = hak_block_size(p);
    bool in_slab = hak_entry_in_slab(hak_map_get(p));
    if (in_slab ? hak_realloc_stays(size, before) : oversize_stays(size, before))
        return p;
    return before > HAK_MID_MAX ? resize_in_place(p, size, before) : NULL;
}

HAK_INLINE void *realloc_in_slab(void *p, size_t size)
{
    const hak_slab_t *slab = hak_slab_of(p);
    hak_link_check_start(slab, hak_slab_place(p), p);
    hak_link_check_seal(p);
    size_t before = slab->size;
    if (hak_realloc_stays(size, before))
        return p;
    return realloc_moving(p, size, before);
}

/* With safe_free. */
static HAK_NOINLINE void *realloc_checked(void *p, size_t size)
{
    hak_free_check_start(p);
    return realloc_in_slab(p, size);
}

void *hak_realloc(void *p, size_t size)
{
    uint32_t entry = hak_map_get(p);
    if (hak_unlikely(!hak_entry_in_slab(entry)))
        return realloc_oversize(p, size, entry);
    return hak_unlikely(hak_free_is_checked()) ? realloc_checked(p, size) : realloc_in_slab(p, size);
}
