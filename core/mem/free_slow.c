/* SPDX-License-Identifier: MIT */
/* free_slow.c: see free_slow.h. No state. */
#include "mem/free_slow.h"

#include "base/message.h"
#include "mem/bin.h"
#include "mem/chunk.h"
#include "mem/huge.h"
#include "mem/oversize.h"
#include "mem/remote.h"
#include "mem/unknown.h"
#include "obs/record.h"
#include "os/os.h"

void hak_free_refuse(void *p, bool ours)
{
    if (HAK_HARDEN || hak_free_is_checked() || (HAK_LINK_CHECKS && ours))
        hak_fatal("free of %x: not a block of this allocator, or freed before", (uint64_t)(uintptr_t)p);
    if (hak_thread.heap != NULL)
        hak_count_add(&hak_thread.heap->counters, HAK_COUNTER_unknown_frees, 1);
}

/* True if p can be no block of any malloc: it lies where ours has something else (a slice that is free, the middle of a large
 * or huge block, a range that huge ones left), where the program has variables, or where nothing is. */
static bool is_nobodys(const void *p)
{
    return hak_chunk_holds(p) || hak_huge_holds(p) ||
           hak_os_unmapped((const char *)p - ((uintptr_t)p & (sizeof(uint32_t) - 1))) ||
           hak_unknown_is_static(p);
}

void hak_free_unknown(void *p)
{
    if (!hak_unknown_free(p))
        hak_free_refuse(p, HAK_LINK_CHECKS && !HAK_HARDEN && is_nobodys(p));
}

/* Of a slab that another thread may be purging: what that changes in two steps (slab.c) is known if there was none between two
 * looks. Else a block in use could seem to lie behind all that were handed out. */
static bool was_handed_out(const hak_slab_t *slab, size_t index)
{
    uint32_t purged, carved;
    do { /* ends: each further round others have purged blocks, or taken such */
        purged = __atomic_load_n(&slab->purged, __ATOMIC_ACQUIRE);
        carved = __atomic_load_n(&slab->carved, __ATOMIC_ACQUIRE);
    } while (__atomic_load_n(&slab->purged, __ATOMIC_RELAXED) != purged);
    return index < carved + (uint32_t)__builtin_popcount(purged) &&
           (purged == 0 || (purged >> index & 1) == 0);
}

void hak_free_check_start(const void *p)
{
    const hak_slab_t *slab = hak_slab_of(p);
    size_t at = (size_t)((const char *)p - hak_slab_base(slab));
    size_t index = at / slab->size;
    if (at % slab->size != 0 || !was_handed_out(slab, index))
        hak_link_not_a_start(p);
}

/* Only when frees are watched do a thread's own blocks come this way. */
static HAK_NOINLINE void free_watched_slab(void *p, uint32_t entry)
{
    if (hak_free_is_checked())
        hak_free_check_start(p);
    hak_link_check_seal(p);
    if (hak_thread.heap == NULL || hak_entry_owner(entry) != hak_thread.heap->owner) {
        hak_remote_free(p, entry);
        return;
    }
    hak_bin_push(p, hak_entry_bin(entry));
}

void hak_free_not_ours(void *p, uint32_t entry)
{
    if (entry == 0)
        hak_free_unknown(p);
    else
        hak_free_refuse(p, true);
}

static HAK_NOINLINE void free_watched(void *p, uint32_t entry)
{
    if (HAK_RECORD)
        hak_record_free(p); /* before its address can be another block's */
    if (hak_entry_in_slab(entry))
        free_watched_slab(p, entry);
    else
        hak_oversize_free(p, entry);
}

/* Everything but a block of another thread's slab. */
static HAK_NOINLINE void free_unusual(void *p, uint32_t entry)
{
    if (p == NULL)
        return;
    if (hak_free_is_watched())
        free_watched(p, entry);
    else
        hak_oversize_free(p, entry);
}

void hak_free_slow(void *p, size_t seen)
{
    uint32_t entry = (uint32_t)seen ^ hak_thread_self();
    if (hak_likely(hak_entry_in_slab(entry) && !hak_free_is_watched()))
        hak_remote_free(p, entry);
    else
        free_unusual(p, entry);
}
