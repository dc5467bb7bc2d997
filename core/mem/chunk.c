/* chunk.c: the pool of slices. Everything static here is under `lock`; system calls that can take long (giving pages
 * back) are made without it, on slices that are marked as taken meanwhile. */
#include "mem/chunk.h"

#include "base/message.h"
#include "base/options.h"
#include "map/map.h"
#include "obs/trace.h"
#include "os/os.h"

#define REGION_LEAST                                                                                         \
    ((size_t)8 << 20) /* bytes of address space reserved at a time, or a quarter of what there is */
#define REGION_MOST     ((size_t)1 << 30)
#define ALL_FREE        (~(uint64_t)1) /* the free slices of a chunk without runs */
#define GIVES_PER_CLOCK 16u            /* the clock is read once in so many returned runs */

/* Descriptor 0 of a chunk. */
typedef struct chunk {
    uint64_t free;                 /* bit i: slice i is free; bit 0 never */
    uint64_t dirty;                /* bit i: slice i may hold something other than zero */
    struct chunk *next, *prev;     /* of those whose longest free run is as long */
    struct chunk *older, *younger; /* of those that have slices to purge */
    struct chunk *before;          /* of all chunks */
    uint32_t longest;              /* slices in the longest free run */
    uint32_t dirty_ms;             /* when it got the first slice to purge; the low bits of the clock */
} chunk_t;

static_assert(sizeof(chunk_t) == sizeof(hak_slab_t), "the chunk's own descriptor is one of the 64");

static hak_os_lock_t lock;
static chunk_t *by_longest[HAK_CHUNK_SLICES]; /* lists of chunks; [0] holds the full ones */
static uint64_t lists;                        /* bit n: by_longest[n] is not empty */
static chunk_t *oldest, *youngest;            /* the queue of chunks with slices to purge */
static chunk_t *all;
static char *region, *region_end; /* reserved address space that is not yet chunks */
static uint64_t dirty_slices;     /* free and dirty, in all chunks */
static uint64_t used_slices;
static uint32_t gives;
static uint32_t now_ms;        /* the low bits of the clock when it was read last */
static hak_pool_view_t totals; /* only reserved, purged, purges are kept here */

static uint64_t mask_of(unsigned first, unsigned slices)
{
    return (~(uint64_t)0 >> (HAK_CHUNK_SLICES - slices)) << first;
}

static unsigned bits(uint64_t set)
{
    return (unsigned)__builtin_popcountll(set);
}

/* The lowest ones that are adjacent. `set` is not empty. */
static uint64_t lowest_run(uint64_t set)
{
    uint64_t lowest = set & -set;
    return set & ~(set + lowest);
}

/* Bit i of the result: i begins a run of at least n ones. */
static uint64_t runs_of(uint64_t set, unsigned n)
{
    unsigned have = 1;
    while (have < n) {
        unsigned step = have < n - have ? have : n - have;
        set &= set >> step;
        have += step;
    }
    return set;
}

static unsigned longest_run(uint64_t set)
{
    unsigned length = 0;
    for (unsigned step = HAK_CHUNK_SLICES / 2; step != 0; step /= 2)
        if (runs_of(set, length + step) != 0)
            length += step;
    return length;
}

static void unlink_chunk(chunk_t *chunk)
{
    if (chunk->next != NULL)
        chunk->next->prev = chunk->prev;
    if (chunk->prev != NULL)
        chunk->prev->next = chunk->next;
    else if ((by_longest[chunk->longest] = chunk->next) == NULL)
        lists &= ~((uint64_t)1 << chunk->longest);
}

static void link_chunk(chunk_t *chunk, unsigned longest)
{
    chunk->longest = longest;
    chunk->prev = NULL;
    chunk->next = by_longest[longest];
    if (chunk->next != NULL)
        chunk->next->prev = chunk;
    by_longest[longest] = chunk;
    lists |= (uint64_t)1 << longest;
}

static void relink_chunk(chunk_t *chunk, unsigned longest)
{
    if (longest == chunk->longest)
        return;
    unlink_chunk(chunk);
    link_chunk(chunk, longest);
}

/* Marks slices as free again: the run that they now belong to may be the longest. */
static void set_free(chunk_t *chunk, uint64_t mask)
{
    chunk->free |= mask;
    unsigned first = (unsigned)__builtin_ctzll(mask);
    uint64_t taken_below = ~chunk->free & (((uint64_t)1 << first) - 1); /* not empty: slice 0 is never free */
    uint64_t taken_above = ~chunk->free >> first;
    unsigned begin = HAK_CHUNK_SLICES - (unsigned)__builtin_clzll(taken_below);
    unsigned end = taken_above == 0 ? HAK_CHUNK_SLICES : first + (unsigned)__builtin_ctzll(taken_above);
    if (end - begin > chunk->longest)
        relink_chunk(chunk, end - begin);
}

/* A free run of so many slices, the first by address in the fullest chunk that has one; false if no chunk has. A chunk's
 * `longest` is not lowered when a run is taken: it is corrected here, when a chunk turns out not to have what it says. */
static bool find_run(unsigned slices, chunk_t **chunk, unsigned *first)
{
    while ((lists >> slices) != 0) {
        *chunk = by_longest[slices + (unsigned)__builtin_ctzll(lists >> slices)];
        uint64_t runs = runs_of((*chunk)->free, slices);
        if (runs != 0) {
            *first = (unsigned)__builtin_ctzll(runs);
            return true;
        }
        relink_chunk(*chunk, longest_run((*chunk)->free));
    }
    return false;
}

static void queue_chunk(chunk_t *chunk)
{
    chunk->dirty_ms = now_ms;
    chunk->younger = NULL;
    chunk->older = youngest;
    *(youngest != NULL ? &youngest->younger : &oldest) = chunk;
    youngest = chunk;
}

static void unqueue_chunk(chunk_t *chunk)
{
    *(chunk->younger != NULL ? &chunk->younger->older : &youngest) = chunk->older;
    *(chunk->older != NULL ? &chunk->older->younger : &oldest) = chunk->younger;
}

/* Keeps the queue and the sum in step with a change of what a chunk has to purge. */
static void note_dirty(chunk_t *chunk, uint64_t before)
{
    uint64_t after = chunk->free & chunk->dirty;
    dirty_slices += bits(after);
    dirty_slices -= bits(before);
    if (before == 0 && after != 0)
        queue_chunk(chunk);
    if (before != 0 && after == 0)
        unqueue_chunk(chunk);
}

static bool reserve_region(void)
{
    size_t quarter = hak_round_up(totals.reserved / 4, HAK_CHUNK);
    size_t wanted = hak_min(hak_max(quarter, REGION_LEAST), REGION_MOST);
    for (size_t size = wanted; size >= HAK_CHUNK; size = size / 2 & ~(HAK_CHUNK - 1)) {
        char *at = hak_os_map(size, HAK_CHUNK);
        if (at == NULL)
            continue;
        if (!hak_map_cover(at, size)) {
            hak_os_unmap(at, size);
            continue;
        }
        /* A huge page behind a few used slices would cost more memory than it saves time. */
        if (hak_policy()->thp != HAK_THP_ON)
            hak_os_huge_pages(at, size, false);
        region = at;
        region_end = at + size;
        totals.reserved += size;
        return true;
    }
    return false;
}

static bool add_chunk(void)
{
    if (region == region_end && !reserve_region())
        return false;
    chunk_t *chunk = (chunk_t *)(void *)region;
    region += HAK_CHUNK;
    chunk->free = ALL_FREE;
    chunk->before = all;
    all = chunk;
    link_chunk(chunk, HAK_CHUNK_SLICES - 1);
    return true;
}

hak_slab_t *hak_run_take(unsigned slices)
{
    chunk_t *chunk;
    unsigned first;
    hak_os_lock(&lock);
    while (!find_run(slices, &chunk, &first)) {
        if (!add_chunk()) {
            hak_os_unlock(&lock);
            return NULL;
        }
    }
    uint64_t mask = mask_of(first, slices);
    uint64_t to_purge = chunk->free & chunk->dirty;
    bool clean = (chunk->dirty & mask) == 0;
    chunk->free &= ~mask;
    note_dirty(chunk, to_purge);
    used_slices += slices;
    hak_os_unlock(&lock);

    hak_slab_t *run = (hak_slab_t *)(void *)chunk + first;
    for (unsigned i = 0; i < slices; i++)
        run[i].back = (uint8_t)i;
    run->slices = (uint8_t)slices;
    run->clean = clean;
    hak_trace("run taken", hak_slab_base(run), slices);
    return run;
}

/* Purges one chunk. Under the lock, which it lets go of meanwhile. */
static void purge_chunk_locked(chunk_t *chunk)
{
    uint64_t todo = chunk->free & chunk->dirty;
    chunk->free &= ~todo;
    note_dirty(chunk, todo);
    hak_os_unlock(&lock);

    uint64_t done = 0;
    size_t calls = 0;
    for (uint64_t mask, rest = todo; rest != 0; rest &= ~mask, calls++) {
        mask = lowest_run(rest);
        char *at = (char *)chunk + ((size_t)__builtin_ctzll(mask) << HAK_SLICE_SHIFT);
        if (hak_os_discard(at, bits(mask) * HAK_SLICE))
            done |= mask;
    }
    hak_trace("purged", chunk, bits(done));

    hak_os_lock(&lock);
    chunk->dirty &= ~done;
    totals.purged += bits(done) * HAK_SLICE;
    totals.purges += calls;
    uint64_t before = chunk->free & chunk->dirty;
    for (uint64_t mask, rest = todo; rest != 0; rest &= ~mask) {
        mask = lowest_run(rest);
        set_free(chunk, mask);
    }
    note_dirty(chunk, before);
}

/* Purges the oldest chunks until what is left is young and little enough. Under the lock. */
static void purge_due_locked(void)
{
    uint64_t retained = (uint64_t)hak_policy()->retain_mb << (20 - HAK_SLICE_SHIFT);
    if (++gives % GIVES_PER_CLOCK == 0) {
        now_ms = (uint32_t)hak_os_now_ms();
        /* Each chunk once: one whose pages the system refuses to take goes to the end of the queue. */
        for (chunk_t *last = youngest;
             oldest != NULL && now_ms - oldest->dirty_ms >= hak_policy()->purge_delay_ms;) {
            chunk_t *chunk = oldest;
            purge_chunk_locked(chunk);
            if (chunk == last)
                break;
        }
    }
    if (dirty_slices > retained)
        for (uint64_t rounds = dirty_slices; oldest != NULL && dirty_slices > retained / 2 && rounds != 0;
             rounds--)
            purge_chunk_locked(oldest);
}

void hak_run_give(hak_slab_t *run, unsigned touched)
{
    chunk_t *chunk = (chunk_t *)((uintptr_t)run & ~(HAK_CHUNK - 1)); /* NOLINT(performance-no-int-to-ptr) */
    unsigned first = (unsigned)(run - (hak_slab_t *)(void *)chunk);
    unsigned slices = run->slices;
    hak_trace("run given", hak_slab_base(run), slices);
    hak_os_lock(&lock);
    hak_assert((chunk->free & mask_of(first, slices)) == 0);
    uint64_t to_purge = chunk->free & chunk->dirty;
    if (touched != 0)
        chunk->dirty |= mask_of(first, touched);
    set_free(chunk, mask_of(first, slices));
    note_dirty(chunk, to_purge);
    if (to_purge !=
        0) { /* its slices are in use, on the whole: the queue goes by the last time, not by the first */
        unqueue_chunk(chunk);
        queue_chunk(chunk);
    }
    used_slices -= slices;
    if (HAK_PURGE)
        purge_due_locked();
    hak_os_unlock(&lock);
}

size_t hak_pool_purge_all(void)
{
    hak_os_lock(&lock);
    size_t before = totals.purged;
    for (uint64_t rounds = dirty_slices; oldest != NULL && rounds != 0; rounds--)
        purge_chunk_locked(oldest);
    size_t purged = totals.purged - before;
    hak_os_unlock(&lock);
    return purged;
}

size_t hak_pool_unmap(void)
{
    hak_os_lock(&lock);
    size_t before = totals.reserved;
    if (region != region_end) {
        totals.reserved -= (size_t)(region_end - region);
        hak_os_unmap(region, (size_t)(region_end - region));
        region = region_end;
    }
    for (chunk_t **at = &all; *at != NULL;) {
        chunk_t *chunk = *at;
        if (chunk->free != ALL_FREE) {
            at = &chunk->before;
            continue;
        }
        *at = chunk->before;
        unlink_chunk(chunk);
        if ((chunk->free & chunk->dirty) != 0) {
            dirty_slices -= bits(chunk->free & chunk->dirty);
            unqueue_chunk(chunk);
        }
        totals.reserved -= HAK_CHUNK;
        hak_os_unmap(chunk, HAK_CHUNK);
    }
    size_t unmapped = before - totals.reserved;
    hak_os_unlock(&lock);
    return unmapped;
}

void hak_pool_after_fork(void)
{
    if (!hak_os_lock_reset(&lock))
        return;
    /* Another thread was at work. What each chunk has free is always true (one store); lists and sums are derived
     * from it. A run that was on its way in or out is lost to the child, which is all the harm. */
    lists = 0;
    oldest = youngest = NULL;
    dirty_slices = 0;
    for (unsigned i = 0; i < HAK_CHUNK_SLICES; i++)
        by_longest[i] = NULL;
    for (chunk_t *chunk = all; chunk != NULL; chunk = chunk->before) {
        link_chunk(chunk, longest_run(chunk->free));
        note_dirty(chunk, 0);
    }
}

hak_pool_view_t hak_pool_view(void)
{
    hak_os_lock(&lock);
    hak_pool_view_t view = totals;
    view.used = used_slices * HAK_SLICE;
    view.dirty = dirty_slices * HAK_SLICE;
    hak_os_unlock(&lock);
    return view;
}
