/* slow.c: what the fast paths leave: mid sizes, oversize blocks, alignment, realloc, blocks of others. Any thread;
 * nothing static. */
#include "base/message.h"
#include "base/options.h"
#include "mem/chunk.h"
#include "mem/extent.h"
#include "mem/front.h"
#include "mem/hard.h"
#include "mem/oversize.h"
#include "mem/remote.h"
#include "mem/scarce.h"
#include "mem/slab.h"
#include "mem/unknown.h"

#include <errno.h>
#include <string.h>

#define TURNS_MOST 32u /* as many as blocks wait in hardened */

/* --- malloc ------------------------------------------------------------------------------------------------------- */

/* What is cached or reserved goes back to the system. False if that was nothing. */
static bool trim_once(void)
{
    hak_heap_trim();
    return (hak_extent_trim(true) + hak_chunk_unmap_free()) != 0;
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

/* The end of a second try. */
static void *met_or_not(void *p)
{
    if (p != NULL)
        hak_scarce_begin();
    else
        errno = ENOMEM;
    return p;
}

static HAK_COLD void *take_oversize_again(size_t size, bool zeroed, bool *zero)
{
    bool again = size <= HAK_REQUEST_MAX && trim_everything();
    return met_or_not(again ? hak_oversize_take(size, zeroed, zero) : NULL);
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

/* A request above HAK_CLASS_MAX. */
static HAK_NOINLINE void *malloc_oversize(size_t size)
{
    void *p = hak_oversize_take_cached(hak_oversize_slices(size));
    return hak_likely(p != NULL) ? p : malloc_oversize_slow(size);
}

static HAK_COLD void *refill_again(unsigned c)
{
    return met_or_not(trim_everything() ? hak_bin_refill(c, true) : NULL);
}

void *hak_malloc_slow(size_t size)
{
    if (hak_unlikely(size > HAK_CLASS_MAX))
        return malloc_oversize(size);
    if (hak_unlikely(size == 0)) /* comes here always, though there may be blocks for it */
        return hak_malloc_front(1);
    void *p = hak_bin_refill(hak_class_of(size), false);
    return hak_likely(p != NULL) ? p : refill_again(hak_class_of(size));
}

void *hak_malloc_mid(size_t size)
{
    if (hak_unlikely(size > HAK_CLASS_MAX))
        return malloc_oversize(size);
    size_t offset = hak_class_of_mid(size) * 16;
    hak_bin_ref_t bin = hak_bin_at(offset);
    void *block = bin->head;
    if (hak_unlikely(block == NULL))
        return hak_malloc_slow(size);
    return hak_bin_pop(bin, block);
}

static HAK_NOINLINE void *calloc_oversize(size_t size)
{
    bool zero;
    void *p = take_oversize_or_fail(size, true, &zero);
    if (p != NULL && !zero)
        hak_huge_clear(p, size);
    return p;
}

/* No block of this class is in the bin: one that is new may be zero, and need not be touched. */
static HAK_NOINLINE void *calloc_new(size_t size)
{
    unsigned c = hak_class_of_mid(size);
    bool zero = false;
    void *block = hak_bin_refill_zero(c, &zero);
    if (hak_unlikely(block == NULL))
        block = refill_again(c);
    if (block != NULL && !zero)
        memset(block, 0, size);
    return block;
}

static HAK_NOINLINE void *calloc_mid(size_t size)
{
    if (hak_unlikely(size > HAK_CLASS_MAX))
        return calloc_oversize(size);
    hak_bin_ref_t bin = hak_bin_at(hak_class_of_mid(size) * 16);
    void *block = bin->head;
    if (hak_unlikely(block == NULL))
        return calloc_new(size);
    return memset(hak_bin_pop(bin, block), 0, size);
}

void *hak_calloc_slow(size_t size)
{
    if (hak_unlikely(size > HAK_TINY_MAX))
        return calloc_mid(size);
    /* A block with a class comes from its bin, and has a link in it: not known to be zero. */
    void *block = hak_malloc_front(size);
    return hak_likely(block != NULL) ? memset(block, 0, size) : NULL;
}

/* A block of just this class. */
static void *take_exactly(unsigned c)
{
    hak_bin_ref_t bin = hak_bin_at(c * 16);
    void *block = bin->head;
    if (block != NULL)
        return hak_bin_pop(bin, block);
    block = hak_bin_refill(c, true);
    return hak_likely(block != NULL) ? block : refill_again(c);
}

void *hak_malloc_aligned(size_t align, size_t size)
{
    if (align <= HAK_ALIGN)
        return hak_malloc_front(size);
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
    void *p = hak_oversize_take_aligned(align, hak_max(size, 1));
    if (hak_likely(p != NULL))
        return p;
    return met_or_not(trim_everything() ? hak_oversize_take_aligned(align, hak_max(size, 1)) : NULL);
}

/* --- free --------------------------------------------------------------------------------------------------------- */

/* `ours`: it lies in a block or range of ours. Of what does not we leave open whether another malloc knows it. */
static void refuse(void *p, bool ours)
{
    if (HAK_HARDEN || hak_check_frees() || (HAK_LINK_CHECKS && ours))
        hak_fatal("free of %x: not a block of this allocator, or freed before", (uint64_t)(uintptr_t)p);
    if (hak_thread.heap != NULL)
        hak_count_add(&hak_thread.heap->counters, HAK_COUNTER_foreign_frees, 1);
}

/* A pointer without an entry: a block of libc's, or of nobody. */
static HAK_NOINLINE void free_unknown(void *p)
{
    if (!hak_unknown_free(p))
        refuse(p, false);
}

static void check_start(const void *p)
{
    const hak_slab_t *slab = hak_slab_of(p);
    size_t at = (size_t)((const char *)p - hak_slab_base(slab));
    size_t index = at / slab->size;
    if (at % slab->size != 0 || index >= hak_slab_edge(slab) || hak_slab_is_purged(slab, index))
        hak_link_not_a_start(p);
}

static void check_seal(const void *p)
{
    if (HAK_CHECK_LINKS && hak_unlikely(hak_link_is_sealed(p)))
        hak_link_freed_twice(p);
}

/* Only with safe_free do a thread's own blocks come this way. */
static HAK_NOINLINE void free_checked(void *p, uint32_t entry)
{
    check_start(p);
    check_seal(p);
    if (hak_thread.heap == NULL || hak_entry_owner(entry) != hak_thread.heap->owner) {
        hak_remote_free(p, entry);
        return;
    }
    hak_bin_push(p, hak_entry_bin(entry));
}

void hak_free_not_ours(void *p, uint32_t entry)
{
    if (entry == 0)
        free_unknown(p);
    else
        refuse(p, true);
}

/* Everything but a block of another thread's slab. */
static HAK_NOINLINE void free_unusual(void *p, uint32_t entry)
{
    if (hak_check_frees() && hak_entry_in_slab(entry))
        free_checked(p, entry);
    else
        hak_oversize_free(p, entry);
}

void hak_free_slow(void *p)
{
    if (p == NULL)
        return;
    uint32_t entry = hak_map_get(p);
    if (hak_likely(hak_entry_in_slab(entry) && !hak_check_frees()))
        hak_remote_free(p, entry);
    else
        free_unusual(p, entry);
}

/* --- realloc ------------------------------------------------------------------------------------------------------ */

/* Bytes in the block that p begins; its entry is not 0. */
static size_t size_of(const void *p, uint32_t entry)
{
    return hak_entry_in_slab(entry) ? hak_slab_of(p)->size : hak_oversize_size(p, entry);
}

size_t hak_block_size(const void *p)
{
    uint32_t entry = hak_map_get(p);
    return hak_likely(entry != 0) ? size_of(p, entry) : hak_unknown_size((void *)(uintptr_t)p);
}

/* The same of a block that is not in a slab and can be cut down where it is: of that an eighth may be too much. */
static bool oversize_stays(size_t size, size_t before)
{
    return size <= before && size > before - before / 8;
}

/* Resizes a block above HAK_MID_MAX in place, or by moving pages. NULL when that cannot be. */
static HAK_NOINLINE void *resize(void *p, size_t size, size_t before)
{
    uint32_t entry = hak_map_get(p);
    if (hak_entry_in_slab(entry)) {
        if (size <= before || hak_entry_owner(entry) != hak_thread_self() >> HAK_ENTRY_SHIFT)
            return NULL;
        if (size <= HAK_CLASS_MAX)
            return hak_slab_grow(p, hak_class_of_mid(size)) ? p : NULL;
    }
    return size > HAK_CLASS_MAX ? hak_oversize_resize(p, entry, size) : NULL;
}

static HAK_NOINLINE void *realloc_moving(void *p, size_t size, size_t before)
{
    if (before > HAK_MID_MAX) {
        void *resized = resize(p, size, before);
        if (resized != NULL)
            return resized;
    }
    int saved = errno;
    void *target = hak_realloc_by_little(size, before) ? hak_malloc_front(size + size / 4) : NULL;
    if (target == NULL)
        target = hak_malloc_front(size);
    if (target == NULL && size > before)
        return NULL;
    errno = saved; /* an attempt that failed is no failure of the whole */
    if (target == NULL)
        return p; /* a block can always be shrunk, by doing nothing */
    /* NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker): the map has no entry for NULL */
    memcpy(target, p, hak_min(before, size));
    hak_free_front(p);
    return target;
}

/* A block of libc's becomes one of ours. Of anything else we do not know the length, so that there is nothing to copy. */
static HAK_COLD void *realloc_unknown(void *p, size_t size)
{
    size_t before = hak_unknown_size(p);
    void *target = before != 0 ? hak_malloc_front(size) : NULL;
    if (target != NULL)
        memcpy(target, p, hak_min(before, size));
    if (target != NULL || before == 0)
        free_unknown(p);
    if (before == 0)
        errno = ENOMEM;
    return target;
}

/* Of what lies in a block or range of ours, but begins none in use. */
static HAK_COLD void *realloc_refused(void *p)
{
    refuse(p, true);
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
    return before > HAK_MID_MAX ? resize(p, size, before) : NULL;
}

HAK_INLINE void *realloc_in_slab(void *p, size_t size)
{
    const hak_slab_t *slab = hak_slab_of(p);
    hak_link_check_start(slab, hak_slab_place(p), p);
    check_seal(p);
    size_t before = slab->size;
    if (hak_realloc_stays(size, before))
        return p;
    return realloc_moving(p, size, before);
}

/* With safe_free. */
static HAK_NOINLINE void *realloc_checked(void *p, size_t size)
{
    check_start(p);
    return realloc_in_slab(p, size);
}

void *hak_realloc(void *p, size_t size)
{
    uint32_t entry = hak_map_get(p);
    if (hak_unlikely(!hak_entry_in_slab(entry)))
        return realloc_oversize(p, size, entry);
    return hak_unlikely(hak_check_frees()) ? realloc_checked(p, size) : realloc_in_slab(p, size);
}

/* --- giving back -------------------------------------------------------------------------------------------------- */

bool hak_trim_all(void)
{
    if (HAK_HARDEN)
        hak_quarantine_flush_oversize(false);
    hak_heap_trim();
    size_t bytes = hak_extent_trim(false);
    return (bytes + hak_chunk_trim()) != 0;
}
