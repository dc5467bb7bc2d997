/* SPDX-License-Identifier: MIT */
/* guard.c: see guard.h. Static is how many chunks there were so far. */
#include "mem/guard.h"

#include "mem/chunk.h"
#include "mem/harden.h"
#include "os/os.h"

#define CHUNKS_BARRED 1024u      /* chunks that have bars: 10,240 mappings; */
#define CHUNKS_FIRST  8192u      /* that have an inaccessible end: 14,336 more; */
#define CHUNKS_THEN   64u        /* of those that follow one in so many has one, */
#define CHUNKS_LAST   (1u << 18) /* up to this one: 7,936 more */

static _Atomic uint32_t chunks_so_far; /* relaxed: a count */

hak_guard_extent_t hak_guard_next_chunk(void)
{
    uint32_t n = atomic_fetch_add_explicit(&chunks_so_far, 1, memory_order_relaxed);
    if (n < CHUNKS_BARRED)
        return HAK_GUARD_BARS;
    if (n < CHUNKS_FIRST || (n % CHUNKS_THEN == 0 && n < CHUNKS_LAST))
        return HAK_GUARD_END;
    return HAK_GUARD_NOTHING;
}

hak_set_t hak_guard_bars(void)
{
    const unsigned first = HAK_CHUNK_HEAD;
    const unsigned last = HAK_CHUNK_SLICES - HAK_CHUNK_TAIL - HAK_RUN_MOST - 1;
    const unsigned third = (last - first) / 3;
    hak_set_t bars = hak_set_bit(first) | hak_set_bit(last);
    for (unsigned i = 0; i < 2; i++) { /* each in a third of its own, at least four slices from the next */
        unsigned within = (unsigned)(hak_thread_random() % (third - 4));
        bars |= hak_set_bit(first + 4 + i * (third + 4) + within);
    }
    return bars;
}

static bool is_corrupted(const void *p)
{
    return !hak_harden_is_left(atomic_load_explicit((const _Atomic unsigned char *)p, memory_order_relaxed));
}

#if HAK_HARDEN
/* The byte in front of a slice is somebody else's, who may free it and make it inaccessible at any moment. So the thread says
 * first where it looks; only a slab is accessible all through, and what is free, which the pool looks at. */
static HAK_NOINLINE bool is_corrupted_in_front(const char *before)
{
    hak_heap_t *heap = hak_thread.heap;
    if (heap == NULL)
        return false;
    /* Either the entry is seen as it is after the slab was given up, or hak_guard_forbid sees this. */
    atomic_store_explicit(&heap->looks_at, (uintptr_t)before, memory_order_seq_cst);
    atomic_thread_fence(memory_order_seq_cst);
    bool in_slab = hak_entry_in_slab(hak_map_find(before));
    bool corrupted = in_slab && is_corrupted(before);
    atomic_store_explicit(&heap->looks_at, 0, memory_order_release);
    return corrupted || (!in_slab && !hak_harden_is_left((unsigned char)hak_chunk_free_byte(before)));
}

static HAK_NOINLINE bool is_looked_at(const char *address, size_t size)
{
    atomic_thread_fence(memory_order_seq_cst);
    for (uint32_t owner = hak_heap_count(); owner != 0; owner--)
        if (atomic_load_explicit(&hak_heap_by_owner(owner)->looks_at, memory_order_seq_cst) -
                (uintptr_t)address <
            size)
            return true;
    return false;
}

#endif

bool hak_guard_forbid(void *address, size_t size)
{
#if HAK_HARDEN
    if (is_looked_at(address, size))
        return false;
#endif
    return hak_os_forbid(address, size);
}

bool hak_guard_is_underrun(const void *p)
{
    const char *before = (const char *)p - 1;
#if HAK_HARDEN
    if (((uintptr_t)p & (HAK_SLICE - 1)) == 0)
        return is_corrupted_in_front(before);
#endif
    return is_corrupted(before);
}
