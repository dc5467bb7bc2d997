/* SPDX-License-Identifier: MIT */
/* site_cache.c: see site_cache.h. */
#include "mem/site_cache.h"

#if HAK_CALL_SITES

#include "base/options.h"
#include "mem/huge.h"
#include "mem/sample.h"
#include "mem/scarce.h"
#include "mem/tick.h"
#include "obs/site_table.h"

#define SLICES_MASK (HAK_SLICE - 1)

typedef struct kept {
    /* A place holds a block's address and, in the bits that are zero in it, its slices; 0: empty. release in hak_site_cache_keep,
     * pairs with acquire in empty_place: the block's map entry. */
    alignas(HAK_CACHE_LINE) _Atomic(uintptr_t) places[HAK_SITE_KEPT];
    _Atomic bool idle; /* nothing was taken or given since the last window; relaxed: a hint */
} kept_t;

static kept_t kept[HAK_SITE_SLOTS];
/* relaxed: a limit that may be passed by a block a thread, and figures. */
static _Atomic size_t kept_bytes, kept_blocks;
/* When the window began. relaxed: whoever changes it has the end of the window to itself. */
static _Atomic uint32_t window_ms;

static size_t slices_in(uintptr_t word)
{
    return word & SLICES_MASK;
}

/* Empties a place; what was in it is the caller's. */
static uintptr_t empty_place(_Atomic(uintptr_t) *place)
{
    uintptr_t word = atomic_exchange_explicit(place, 0, memory_order_acquire);
    if (word == 0)
        return 0;
    atomic_fetch_sub_explicit(&kept_bytes, slices_in(word) << HAK_SLICE_SHIFT, memory_order_relaxed);
    atomic_fetch_sub_explicit(&kept_blocks, 1, memory_order_relaxed);
    return word;
}

/* The block in a word, as in use again. */
static void *wake_block(uintptr_t word)
{
    void *p = (void *)(word & ~SLICES_MASK); /* NOLINT(performance-no-int-to-ptr) */
    hak_map_set(p, hak_map_get(p) + HAK_ENTRY_CACHED);
    return p;
}

static void release_word(uintptr_t word)
{
    if (word == 0)
        return;
    void *p = wake_block(word);
    uint32_t entry = hak_map_get(p);
    hak_map_set(p, 0);
    hak_huge_release(p, entry);
}

static void release_all_of(kept_t *site)
{
    for (unsigned i = 0; i < HAK_SITE_KEPT; i++)
        if (atomic_load_explicit(&site->places[i], memory_order_relaxed) != 0)
            release_word(empty_place(&site->places[i]));
}

void *hak_site_cache_take(unsigned slot, size_t slices)
{
    kept_t *site = &kept[slot];
    atomic_store_explicit(&site->idle, false, memory_order_relaxed);
    for (unsigned i = 0; i < HAK_SITE_KEPT; i++) {
        if (slices_in(atomic_load_explicit(&site->places[i], memory_order_relaxed)) != slices)
            continue;
        uintptr_t word = empty_place(&site->places[i]);
        if (slices_in(word) == slices)
            return hak_sample_is_on() ? hak_sample_oversize(wake_block(word)) : wake_block(word);
        release_word(word); /* somebody was quicker, and another block is there now, or none */
    }
    release_all_of(site); /* sizes that do not come back must not keep ranges apart that could be joined */
    return NULL;
}

static size_t most_bytes(void)
{
    return hak_options()->disable_bigcache || hak_is_scarce() ? 0 : (size_t)hak_policy()->bigcache_mb << 20;
}

static bool put_word(kept_t *site, uintptr_t word)
{
    for (unsigned i = 0; i < HAK_SITE_KEPT; i++) {
        uintptr_t empty = 0;
        if (atomic_compare_exchange_strong_explicit(&site->places[i], &empty, word, memory_order_release,
                                                    memory_order_relaxed))
            return true;
    }
    return false;
}

bool hak_site_cache_keep(unsigned slot, void *p)
{
    uint32_t entry = hak_map_get(p);
    if (((uintptr_t)p & SLICES_MASK) != 0 || hak_entry_kind(entry) != HAK_ENTRY_HUGE)
        return false;
    size_t slices = hak_huge_slices(p, entry), bytes = slices << HAK_SLICE_SHIFT;
    if (slices > SLICES_MASK ||
        atomic_load_explicit(&kept_bytes, memory_order_relaxed) + bytes > most_bytes())
        return false;
    if (hak_sample_is_on())
        hak_sample_oversize_freed(p); /* before another thread can take it */
    atomic_store_explicit(&kept[slot].idle, false, memory_order_relaxed);
    atomic_fetch_add_explicit(&kept_bytes, bytes, memory_order_relaxed);
    atomic_fetch_add_explicit(&kept_blocks, 1, memory_order_relaxed);
    hak_map_set(p, entry - HAK_ENTRY_CACHED);
    if (put_word(&kept[slot], (uintptr_t)p | slices))
        return true;
    hak_map_set(p, entry);
    atomic_fetch_sub_explicit(&kept_bytes, bytes, memory_order_relaxed);
    atomic_fetch_sub_explicit(&kept_blocks, 1, memory_order_relaxed);
    return false;
}

void hak_site_cache_flush(void)
{
    for (unsigned slot = 0; hak_site_cache_blocks() != 0 && slot < HAK_SITE_SLOTS; slot++)
        release_all_of(&kept[slot]);
}

void hak_site_cache_release_due(uint32_t now_ms)
{
    uint32_t since = atomic_load_explicit(&window_ms, memory_order_relaxed);
    if (hak_tick_since(since, now_ms) < hak_policy()->purge_delay_ms || hak_site_cache_blocks() == 0 ||
        !atomic_compare_exchange_strong_explicit(&window_ms, &since, now_ms, memory_order_relaxed,
                                                 memory_order_relaxed))
        return;
    for (unsigned slot = 0; slot < HAK_SITE_SLOTS; slot++)
        if (atomic_exchange_explicit(&kept[slot].idle, true, memory_order_relaxed))
            release_all_of(&kept[slot]);
}

size_t hak_site_cache_blocks(void)
{
    return atomic_load_explicit(&kept_blocks, memory_order_relaxed);
}

size_t hak_site_cache_bytes(void)
{
    return atomic_load_explicit(&kept_bytes, memory_order_relaxed);
}

#endif
