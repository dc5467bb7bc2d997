/* SPDX-License-Identifier: MIT */
/* chunk.c: the pool of slices. Memory goes back to the system without the lock, from slices that are marked as taken meanwhile
 * and chunks that are in no list. (Address space that is no chunk yet goes back with it.) */
#include "mem/chunk.h"

#include "base/message.h"
#include "base/options.h"
#include "map/map.h"
#include "mem/age.h"
#include "mem/eager.h"
#include "mem/extent.h"
#include "mem/guard.h"
#include "mem/heap.h"
#include "mem/retain.h"
#include "mem/scarce.h"
#include "mem/slices.h"
#include "mem/thp.h"
#include "mem/tick.h"
#include "obs/trace.h"
#include "os/times.h"

#include <sys/queue.h>

/* Bytes of address space reserved at a time: a quarter of what there is, within these limits. */
#define REGION_LEAST ((size_t)8 << 20)
#define REGION_MOST  ((size_t)1 << 30)
/* The longest run of a chunk without any, and its free slices. */
#define EMPTY_RUN (HAK_CHUNK_SLICES - HAK_CHUNK_HEAD - HAK_CHUNK_TAIL)
#define ALL_FREE  ((~(hak_slices_t)0 >> (HAK_CHUNK_HEAD + HAK_CHUNK_TAIL)) << HAK_CHUNK_HEAD)
/* From here on all are free in every chunk without runs, up to the tail: a run that fits there can always be had. */
#define SURELY_FREE      (HAK_CHUNK_SLICES - HAK_CHUNK_TAIL - HAK_RUN_MOST)
#define STATE_GROUP      (unsigned)(HAK_OS_PAGE / (HAK_SLICE >> 4)) /* slices whose states fill a page */
#define CHUNKS_AT_A_TIME 16u   /* that one call purges, or passes to find dirty ones */
#define MAPPINGS_MOST    4096u /* chunks beyond which none is taken out from between others */
#define ALIGNED_SCAN     16u   /* chunks that are looked at for a run that is aligned and fits exactly */
#define BESIDE_CLOSED    8u /* the single block between closed slices that opens them all; two mappings each */
#define SPARSE           ((uint64_t)2 << 20) /* bytes of slabs a heap, where many share, that may be nearly untouched */
#define BESIDE_SCAN      8u /* chunks that are looked at for a run beside others of the heap */

static hak_os_lock_t pool_lock = HAK_OS_LOCK(POOL);

/* The first descriptors of a chunk, whose slices are not for use. */
typedef struct chunk {
    /* Among those that have slices to purge; first: no address is computed for it. */
    hak_age_t age HAK_GUARDED_BY(pool_lock);
    hak_slices_t free HAK_GUARDED_BY(pool_lock);         /* never those in front */
    hak_slices_t whole HAK_GUARDED_BY(pool_lock);        /* what is free when there are no runs */
    hak_slices_t dirty HAK_GUARDED_BY(pool_lock);        /* may hold something other than zero */
    LIST_ENTRY(chunk) as_long HAK_GUARDED_BY(pool_lock); /* with others whose longest free run is as long */
    LIST_ENTRY(chunk) in_all HAK_GUARDED_BY(pool_lock);
    SLIST_ENTRY(chunk) in_removed;              /* no part of the pool any more; the remover's alone */
    uint32_t longest HAK_GUARDED_BY(pool_lock); /* slices in the longest free run */
    bool thp HAK_GUARDED_BY(pool_lock);         /* the system has been told to back it by a huge page */
    /* Slices in front that got pages ahead of their use (populate_kb). */
    uint8_t backed HAK_GUARDED_BY(pool_lock);
    /* The heap that took each group when it was vacant, by its number's low bits; 0: none. */
    hak_groups_t taker HAK_GUARDED_BY(pool_lock);
} chunk_t;

typedef LIST_HEAD(chunks, chunk) chunks_t;
typedef SLIST_HEAD(removed, chunk) removed_t;

static_assert(HAK_RUN_MOST * HAK_SLICE >= HAK_LARGE_MAX, "a large block fits");
static_assert(sizeof(chunk_t) <= HAK_CHUNK_HEAD * sizeof(hak_slab_t), "the chunk's own descriptors hold it");

/* Lists of chunks; [0] holds the full ones. */
static chunks_t by_longest[HAK_CHUNK_SLICES] HAK_GUARDED_BY(pool_lock);
/* Bit n: by_longest[n] is not empty. */
static hak_slices_t chunk_lists HAK_GUARDED_BY(pool_lock);
/* Those with slices to purge; what had a slice freed last is last. */
static hak_age_t chunk_queue HAK_GUARDED_BY(pool_lock) = HAK_AGE_EMPTY(chunk_queue);
/* A forked child relies on what follows each chunk there, and on nothing else. */
static chunks_t all HAK_GUARDED_BY(pool_lock);
/* Reserved address space that is not yet chunks; inaccessible in hardened. */
static char *region HAK_GUARDED_BY(pool_lock), *region_end HAK_GUARDED_BY(pool_lock);
/* The system has been told to back it by huge pages. */
static bool region_thp HAK_GUARDED_BY(pool_lock);
static hak_thp_t thp_cost HAK_GUARDED_BY(pool_lock);
/* Where links are checked: free slices of the first chunk that are inaccessible until they are taken, and that chunk; NULL
 * when there are none. */
static hak_slices_t closed HAK_GUARDED_BY(pool_lock);
static chunk_t *closed_chunk HAK_GUARDED_BY(pool_lock);
static unsigned beside_closed HAK_GUARDED_BY(pool_lock); /* single blocks so far that were put between them */
/* Its `free` are the slices that are free and dirty, in bytes. */
static hak_retain_t pool_retain HAK_GUARDED_BY(pool_lock);
static uint64_t used_slices HAK_GUARDED_BY(pool_lock);
/* Only reserved, purged, purges are kept here. */
static hak_chunk_view_t pool_totals HAK_GUARDED_BY(pool_lock);

static void unlink_chunk(chunk_t *chunk) HAK_REQUIRES(pool_lock)
{
    LIST_REMOVE(chunk, as_long);
    if (LIST_NEXT(chunk, as_long) == NULL && LIST_EMPTY(&by_longest[chunk->longest]))
        chunk_lists &= ~hak_set_bit(chunk->longest);
}

static void link_chunk(chunk_t *chunk, unsigned longest) HAK_REQUIRES(pool_lock)
{
    chunk->longest = longest;
    LIST_INSERT_HEAD(&by_longest[longest], chunk, as_long);
    chunk_lists |= hak_set_bit(longest);
}

static void relink_chunk(chunk_t *chunk, unsigned longest) HAK_REQUIRES(pool_lock)
{
    if (longest == chunk->longest)
        return;
    unlink_chunk(chunk);
    link_chunk(chunk, longest);
}

/* Marks slices as free again: the run that they now belong to may be the longest. */
static void set_free(chunk_t *chunk, hak_slices_t mask) HAK_REQUIRES(pool_lock)
{
    chunk->free |= mask;
    unsigned first = hak_set_first(mask);
    /* Not empty: those in front are never free. */
    hak_slices_t taken_below = ~chunk->free & (hak_set_bit(first) - 1);
    hak_slices_t taken_above = ~chunk->free >> first;
    unsigned begin = hak_set_last(taken_below) + 1;
    unsigned end = taken_above == 0 ? HAK_CHUNK_SLICES : first + hak_set_first(taken_above);
    if (end - begin > chunk->longest)
        relink_chunk(chunk, end - begin);
}

/* Looks at the chunks of a list, of which *chunk is the first, for runs that begin in one of `places`: the first chunk that has
 * some, and where; 0 if none has of the *left that are still to be looked at. A chunk that has no run as long goes where it
 * belongs. */
static hak_slices_t look_in_list(chunk_t **chunk, unsigned slices, hak_slices_t places, unsigned *left)
    HAK_REQUIRES(pool_lock)
{
    for (chunk_t *next; *chunk != NULL; *chunk = next) {
        next = LIST_NEXT(*chunk, as_long);
        hak_slices_t runs = hak_slices_runs((*chunk)->free, slices);
        if ((runs & places) != 0)
            return runs & places;
        if (runs == 0)
            relink_chunk(*chunk, hak_slices_longest_run((*chunk)->free));
        if (*left == 0) /* of each list the first one all the same */
            break;
        --*left;
    }
    return 0;
}

/* The same for a run that begins at a multiple of `align` slices. A chunk whose longest run is as long as the alignment's
 * worst case has one for certain; of those that may have one by luck, a few are looked at. */
static HAK_NOINLINE bool find_aligned(unsigned slices, unsigned align, chunk_t **chunk, unsigned *first)
    HAK_REQUIRES(pool_lock)
{
    unsigned left = ALIGNED_SCAN;
    for (hak_slices_t rest = chunk_lists >> slices << slices; rest != 0; rest &= rest - 1) {
        *chunk = LIST_FIRST(&by_longest[hak_set_first(rest)]);
        hak_slices_t runs = look_in_list(chunk, slices, hak_slices_every(align), &left);
        if (runs != 0) {
            *first = hak_set_first(runs);
            return true;
        }
    }
    return false;
}

/* Where runs of free slices begin, of those that are not closed if there are any. */
HAK_INLINE hak_slices_t places_in(const chunk_t *chunk, unsigned slices) HAK_REQUIRES(pool_lock)
{
    if (hak_likely(chunk != closed_chunk))
        return hak_slices_runs(chunk->free, slices);
    /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): what lists hold is not NULL */
    hak_slices_t open = hak_slices_runs(chunk->free & ~closed, slices);
    return open != 0 ? open : hak_slices_runs(chunk->free, slices);
}

/* Where a run begins, of the places that are free for it. */
HAK_INLINE unsigned choose_run(hak_slices_t runs, unsigned slices, hak_run_t what)
{
    return what == HAK_RUN_BACK ? hak_slices_behind(runs, slices) : hak_set_first(runs);
}

/* A free run of so many slices, in the fullest chunk that has one; false if no chunk has. A chunk's `longest` is not lowered when a
 * run is taken: it is corrected here, when a chunk turns out not to have what it says. */
HAK_INLINE bool find_run(unsigned slices, hak_run_t what, chunk_t **chunk, unsigned *first)
    HAK_REQUIRES(pool_lock)
{
    while ((chunk_lists >> slices) != 0) {
        *chunk = LIST_FIRST(&by_longest[slices + hak_set_first(chunk_lists >> slices)]);
        hak_slices_t runs = places_in(*chunk, slices);
        if (runs != 0) {
            *first = choose_run(runs, slices, what);
            return true;
        }
        relink_chunk(*chunk, hak_slices_longest_run((*chunk)->free));
    }
    return false;
}

static hak_slices_t vacant_groups(const chunk_t *chunk) HAK_REQUIRES(pool_lock)
{
    return hak_groups_equal((hak_groups_t)chunk->free, (hak_groups_t)chunk->whole);
}

/* As find_run, but beside other runs of the heap with that number; false if another place is as good.
 *
 * Each free reads its slice's entry in the map, and each slab that is made or given up writes one. The entries of a group are one
 * cache line, and its descriptors are neighbours: where slabs of two threads lie between each other, each takes these from the
 * other's core all the time. So a heap's runs are in groups that were vacant when it had the first of them there. But before
 * another group is begun, what was used before is used again, whoever used it: hardly more memory is touched. Looks at a few
 * chunks, the fullest first. */
static bool find_beside(unsigned slices, hak_run_t what, uint16_t owner, chunk_t **chunk, unsigned *first)
    HAK_REQUIRES(pool_lock)
{
    hak_slices_t vacant = 0;
    bool used = false;
    unsigned left = BESIDE_SCAN;
    for (hak_slices_t rest = chunk_lists >> slices << slices; rest != 0 && left != 0; rest &= rest - 1) {
        chunk_t *at = LIST_FIRST(&by_longest[hak_set_first(rest)]);
        for (; at != NULL && left != 0; at = LIST_NEXT(at, as_long), left--) {
            hak_slices_t runs = hak_slices_runs(at->free, slices);
            hak_slices_t own = runs & hak_groups_equal(at->taker, (hak_groups_t){0} + owner);
            if (own != 0) {
                *chunk = at;
                *first = choose_run(own, slices, what);
                return true;
            }
            used |= (runs & at->dirty) != 0;
            if (vacant == 0 && (vacant = runs & vacant_groups(at)) != 0)
                *chunk = at;
        }
    }
    if (vacant == 0 || used)
        return false;
    *first = choose_run(vacant, slices, what);
    return true;
}

/* NULL if there is none. */
static chunk_t *oldest_chunk(void) HAK_REQUIRES(pool_lock)
{
    char *place = (char *)hak_age_oldest(&chunk_queue);
    return place != NULL ? (chunk_t *)(void *)(place - offsetof(chunk_t, age)) : NULL;
}

/* Keeps the queue in step with a change of what a chunk has to purge. */
static void note_dirty(chunk_t *chunk, hak_slices_t before) HAK_REQUIRES(pool_lock)
{
    hak_slices_t after = chunk->free & chunk->dirty;
    if (before == 0 && after != 0)
        hak_age_add(&chunk_queue, &chunk->age);
    if (before != 0 && after == 0)
        hak_age_remove(&chunk->age);
}

/* Of a region that was just mapped, how much stays: a chunk, where all of it would be locked. Small programs are not looked at. */
static size_t region_to_keep(char *at, size_t size)
{
    if (size > REGION_LEAST || hak_eager_is_on())
        hak_eager_look(at);
    bool less = hak_eager_is_on() && size > HAK_CHUNK && hak_os_unmap(at + HAK_CHUNK, size - HAK_CHUNK);
    return less ? HAK_CHUNK : size;
}

static bool reserve_region(void) HAK_REQUIRES(pool_lock)
{
    size_t quarter = hak_round_up(pool_totals.reserved / 4, HAK_CHUNK);
    size_t wanted = hak_eager_is_on() ? HAK_CHUNK : hak_min(hak_max(quarter, REGION_LEAST), REGION_MOST);
    for (size_t size = wanted; size >= HAK_CHUNK; size = size / 2 & ~(HAK_CHUNK - 1)) {
        char *at = hak_os_map(size, HAK_CHUNK);
        if (at == NULL)
            continue;
        size = region_to_keep(at, size);
        if (!hak_map_cover(at, size)) {
            hak_os_unmap(at, size);
            continue;
        }
        region_thp = hak_policy()->thp == HAK_THP_ON;
        hak_os_thp(at, size, region_thp);
        if (HAK_HARDEN)
            hak_os_forbid(at, size);
        region = at;
        region_end = at + size;
        pool_totals.reserved += size;
        return true;
    }
    return false;
}

static void forbid_slice(char *chunk, unsigned slice)
{
    hak_guard_forbid(chunk + slice * HAK_SLICE, HAK_SLICE);
}

/* Makes the slice at a new chunk's end inaccessible, where what runs over the end of the last block would reach the next
 * chunk's descriptors, and the bars between its blocks. Returns the slices that are for use. */
static hak_slices_t guard_chunk(char *chunk)
{
    hak_slices_t bars = hak_guard_bars();
    hak_guard_extent_t extent = hak_guard_next_chunk();
    if (extent != HAK_GUARD_NOTHING)
        forbid_slice(chunk, HAK_CHUNK_SLICES - 1);
    for (hak_slices_t rest = extent == HAK_GUARD_BARS ? bars : 0; rest != 0; rest &= rest - 1)
        forbid_slice(chunk, hak_set_first(rest));
    return ALL_FREE & ~bars;
}

/* All but the first quarter of the first chunk, which is what a small program has: an overrun of a megabyte from any block there
 * meets closed slices, or the chunk's beginning. One call more for each process, and one for those that have more. */
static void close_most(chunk_t *chunk) HAK_REQUIRES(pool_lock)
{
    const unsigned quarter = HAK_CHUNK_SLICES / 4;
    closed = hak_slices_mask(quarter, HAK_CHUNK_SLICES - quarter) & chunk->whole;
    closed_chunk = chunk;
    hak_os_forbid((char *)chunk + quarter * HAK_SLICE, HAK_CHUNK - quarter * HAK_SLICE);
}

/* Makes closed slices accessible, by one call for those that are adjacent. What the system refuses is not for use any more: then
 * all that is closed is lost to the pool. */
static HAK_NOINLINE bool open_closed(hak_slices_t set) HAK_REQUIRES(pool_lock)
{
    bool opened = true;
    for (hak_slices_t mask, rest = set; rest != 0 && opened; rest &= ~mask) {
        mask = hak_slices_lowest_run(rest);
        opened = hak_os_make_writable((char *)closed_chunk + hak_set_first(mask) * HAK_SLICE,
                                      hak_set_count(mask) * HAK_SLICE);
    }
    if (!opened) {
        closed_chunk->whole &= ~closed;
        closed_chunk->free &= ~closed;
    }
    closed = opened ? closed & ~set : 0;
    if (closed == 0)
        closed_chunk = NULL;
    return opened;
}

/* Makes slices accessible that are about to be taken: of one of the first single blocks, and in hardened, just these, else all that
 * are closed. */
HAK_INLINE bool open_for(const chunk_t *chunk, hak_slices_t mask, bool single) HAK_REQUIRES(pool_lock)
{
    if (hak_likely(chunk != closed_chunk) || (mask & closed) == 0)
        return true;
    bool just_these = HAK_HARDEN || (single && beside_closed < BESIDE_CLOSED);
    return open_closed(just_these ? mask & closed : closed);
}

/* For one of the first single blocks, until one finds no place: between slices that stay closed, so that what lies right beside
 * it faults. */
static HAK_NOINLINE bool find_between_closed(unsigned slices, chunk_t **chunk, unsigned *first)
    HAK_REQUIRES(pool_lock)
{
    hak_slices_t runs = slices + 2 <= HAK_CHUNK_SLICES ? hak_slices_runs(closed, slices + 2) : 0;
    beside_closed = runs != 0 ? beside_closed + 1 : BESIDE_CLOSED;
    if (runs == 0)
        return false;
    *chunk = closed_chunk;
    *first = hak_set_first(runs) + 1;
    return true;
}

/* A new chunk, of which these slices are for use. */
static void begin_chunk(chunk_t *chunk, hak_slices_t whole, bool thp) HAK_REQUIRES(pool_lock)
{
    chunk->free = whole;
    chunk->thp = thp;
    LIST_INSERT_HEAD(&all, chunk, in_all);
    link_chunk(chunk, HAK_RUN_MOST);
}

/* A chunk that is cut from a free range of huge blocks, a dirty one or a clean one. False if there is none. */
static bool add_range_chunk(bool dirty) HAK_REQUIRES(pool_lock)
{
    chunk_t *chunk = (chunk_t *)(void *)hak_extent_take_chunk(dirty, &pool_retain);
    if (chunk == NULL)
        return false;
    bool thp = hak_policy()->thp == HAK_THP_ON;
    if (!thp)
        hak_os_thp(chunk, HAK_CHUNK, false);
    *chunk = (chunk_t){.whole = ALL_FREE, .dirty = dirty ? ALL_FREE : 0};
    pool_totals.reserved += HAK_CHUNK;
    begin_chunk(chunk, ALL_FREE, thp);
    note_dirty(chunk, 0);
    hak_retain_freed(&pool_retain, hak_set_count(chunk->dirty) * HAK_SLICE);
    return true;
}

/* Bytes of runs in use, but for those of which a heap touched little: a thread that holds a block of each class has a slab of
 * each, and a page of each slab. */
static uint64_t dense_bytes(void) HAK_REQUIRES(pool_lock)
{
    uint64_t used = used_slices * HAK_SLICE, heaps = hak_heap_count();
    return heaps <= HAK_SHARES ? used : used - hak_min(used, heaps * SPARSE);
}

/* A fresh chunk for a run of so many slices, a single block or a slab, and others. The system must know of the huge page before the
 * first byte is touched. */
static bool add_fresh_chunk(unsigned slices, bool single) HAK_REQUIRES(pool_lock)
{
    if (region == region_end && !reserve_region())
        return false;
    chunk_t *chunk = (chunk_t *)(void *)region;
    if (HAK_HARDEN && !hak_os_make_writable(chunk, HAK_CHUNK))
        return false;
    region += HAK_CHUNK;
    bool thp = hak_thp_is_due(&thp_cost, slices * HAK_SLICE, single, dense_bytes());
    if (thp != region_thp)
        hak_os_thp(chunk, HAK_CHUNK, thp);
    hak_slices_t whole = HAK_HARDEN ? guard_chunk((char *)chunk) : ALL_FREE;
    uint64_t before = thp ? hak_os_now_ns() : 0;
    *(volatile hak_slices_t *)&chunk->whole = whole; /* the first touch */
    if (thp)
        hak_thp_touched(&thp_cost, hak_os_now_ns() - before);
    bool first = LIST_EMPTY(&all);
    begin_chunk(chunk, whole, thp);
    if (HAK_LINK_CHECKS && first && !thp && hak_policy()->populate_kb == 0)
        close_most(chunk); /* last: a child that is forked meanwhile knows the chunk */
    return true;
}

/* Dirty ranges come before fresh memory. If a chunk is `needed`, that is next, and where the system refuses it any range. */
static HAK_NOINLINE bool add_chunk(unsigned slices, bool single, bool needed) HAK_REQUIRES(pool_lock)
{
    bool shares = hak_extent_shares();
    if (shares && add_range_chunk(true))
        return true;
    if (!needed)
        return false;
    return add_fresh_chunk(slices, single) ||
           (!HAK_HARDEN && ((!shares && add_range_chunk(true)) || add_range_chunk(false)));
}

/* A run there would be the first, and touch fresh memory. */
static bool is_clean(const chunk_t *chunk) HAK_REQUIRES(pool_lock)
{
    return chunk->dirty == 0 && chunk->free == chunk->whole;
}

static chunk_t *chunk_of(const hak_slab_t *run)
{
    return (chunk_t *)((uintptr_t)run & ~(HAK_CHUNK - 1)); /* NOLINT(performance-no-int-to-ptr) */
}

static unsigned run_index(const hak_slab_t *run)
{
    return (unsigned)(run - (hak_slab_t *)(void *)chunk_of(run));
}

/* How many of the slices of a mask are dirty. */
static unsigned dirty_of(const chunk_t *chunk, hak_slices_t mask, unsigned slices) HAK_REQUIRES(pool_lock)
{
    hak_slices_t dirty = chunk->dirty & mask;
    return hak_likely(dirty == mask) ? slices : hak_set_count(dirty);
}

/* Takes free slices, so many. True if they are known to be zero. */
HAK_INLINE bool take_slices(chunk_t *chunk, hak_slices_t mask, unsigned slices) HAK_REQUIRES(pool_lock)
{
    hak_slices_t to_purge = chunk->free & chunk->dirty;
    chunk->free &= ~mask;
    note_dirty(chunk, to_purge);
    unsigned dirty = dirty_of(chunk, mask, slices);
    used_slices += slices;
    hak_retain_reused(&pool_retain, dirty * HAK_SLICE);
    if (hak_unlikely(dirty != slices))
        hak_retain_fresh(&pool_retain, (slices - dirty) * HAK_SLICE);
    return dirty == 0;
}

/* The descriptors of a run from `from` on say where it begins; the first one says how long it is. */
static void set_slices(hak_slab_t *run, unsigned from, unsigned slices)
{
    for (unsigned i = from; i < slices; i++)
        run[i].back = (uint8_t)i;
    run->slices = (uint8_t)slices;
}

bool hak_chunk_has_room(unsigned slices, unsigned align)
{
    return hak_round_up(SURELY_FREE, align) + slices <= SURELY_FREE + HAK_RUN_MOST;
}

/* Slices of a chunk were taken that are zero, from `first` to `end`: these, unless they have pages, and some behind them get
 * pages now. Those that go back to the system later get none ahead of their use. */
static HAK_NOINLINE void populate_slices(chunk_t *chunk, size_t first, size_t end, uint32_t kib)
{
    end = hak_min(end + (kib >> (HAK_SLICE_SHIFT - 10)), HAK_CHUNK_SLICES - HAK_CHUNK_TAIL);
    hak_os_lock(&pool_lock);
    first = hak_max(first, chunk->backed);
    chunk->backed = (uint8_t)hak_max(end, chunk->backed);
    hak_os_unlock(&pool_lock);
    if (first < end)
        hak_os_populate((char *)chunk + first * HAK_SLICE, (end - first) * HAK_SLICE);
}

/* Of slices that were just taken. */
HAK_INLINE hak_slab_t *begin_run(chunk_t *chunk, unsigned first, unsigned slices, bool clean)
{
    if (clean && hak_unlikely(hak_policy()->populate_kb != 0))
        populate_slices(chunk, first, first + slices, hak_policy()->populate_kb);
    hak_slab_t *run = (hak_slab_t *)(void *)chunk + first;
    run->back = 0;
    run->slices = (uint8_t)slices;
    run->clean = clean;
    hak_trace("run taken", hak_slab_base(run), slices);
    return run;
}

/* A free run of so many slices that begins at a multiple of `align` of them; beside others of the heap with that number, unless it
 * is 0. */
HAK_INLINE bool find_free_run(unsigned slices, unsigned align, hak_run_t what, uint16_t owner,
                              chunk_t **chunk, unsigned *first) HAK_REQUIRES(pool_lock)
{
    if (owner != 0 && find_beside(slices, what, owner, chunk, first))
        return true;
    if (owner == 0 && align == 1)
        return (what == HAK_RUN_SINGLE && hak_unlikely(closed_chunk != NULL) &&
                beside_closed < BESIDE_CLOSED && find_between_closed(slices, chunk, first)) ||
               find_run(slices, what, chunk, first);
    return find_aligned(slices, align, chunk, first);
}

/* Only the first descriptor is written. What is closed is opened once it is sure that it is taken; should the system refuse that,
 * it is not free any more, and another place is looked for. */
HAK_INLINE hak_slab_t *place_run(unsigned slices, unsigned align, hak_run_t what, uint16_t owner)
{
    chunk_t *chunk = NULL;
    unsigned first = 0;
    if (!hak_chunk_has_room(slices, align))
        return NULL;
    hak_os_lock(&pool_lock);
    for (bool asked = false;; asked = true) {
        bool found = find_free_run(slices, align, what, owner, &chunk, &first);
        bool good = found && (asked || hak_likely(!is_clean(chunk)));
        if (!good && add_chunk(slices, what == HAK_RUN_SINGLE, !found))
            continue;
        if (!found) {
            hak_os_unlock(&pool_lock);
            return NULL;
        }
        if (open_for(chunk, hak_slices_mask(first, slices), what == HAK_RUN_SINGLE))
            break;
    }
    if (owner != 0 && (vacant_groups(chunk) >> first & 1) != 0)
        chunk->taker[first / HAK_GROUP] = owner;
    bool clean = take_slices(chunk, hak_slices_mask(first, slices), slices);
    hak_os_unlock(&pool_lock);
    return begin_run(chunk, first, slices, clean);
}

/* With all of its descriptors. Not copied into its two callers: 3 KiB. */
static HAK_NOINLINE hak_slab_t *place_whole_run(unsigned slices, hak_run_t what, uint16_t owner)
{
    hak_slab_t *run = place_run(slices, 1, what, owner);
    if (run != NULL)
        set_slices(run, 1, slices);
    return run;
}

hak_slab_t *hak_chunk_take_block(unsigned slices, unsigned align)
{
    return place_run(slices, align, HAK_RUN_SINGLE, 0);
}

hak_slab_t *hak_chunk_take_run(unsigned slices, hak_run_t what)
{
    return place_whole_run(slices, what, 0);
}

hak_slab_t *hak_chunk_take_beside(unsigned slices, hak_run_t what, uint32_t heap)
{
    return place_whole_run(slices, what, (uint16_t)heap);
}

bool hak_chunk_grow_run(hak_slab_t *run, unsigned slices)
{
    if (slices <= run->slices)
        return true;
    if (run_index(run) + slices > HAK_CHUNK_SLICES)
        return false;
    chunk_t *chunk = chunk_of(run);
    hak_slices_t more = hak_slices_mask(run_index(run) + run->slices, slices - run->slices);
    hak_os_lock(&pool_lock);
    bool fits = (chunk->free & more) == more && open_for(chunk, more, true);
    if (fits)
        take_slices(chunk, more, slices - run->slices);
    hak_os_unlock(&pool_lock);
    if (!fits)
        return false;
    set_slices(run, run->slices, slices);
    hak_trace("run grown", hak_slab_base(run), slices);
    return true;
}

/* So many slices are free again, of which those of `touched` may be other than zero. */
static void release_slices(chunk_t *chunk, hak_slices_t mask, unsigned slices, hak_slices_t touched)
    HAK_REQUIRES(pool_lock)
{
    hak_assert((chunk->free & mask) == 0);
    hak_slices_t to_purge = chunk->free & chunk->dirty;
    chunk->dirty |= touched;
    set_free(chunk, mask);
    note_dirty(chunk, to_purge);
    /* Its slices are in use, on the whole: the queue goes by the last time, not by the first. */
    if (to_purge != 0) {
        hak_age_remove(&chunk->age);
        hak_age_add(&chunk_queue, &chunk->age);
    }
    used_slices -= slices;
    hak_retain_freed(&pool_retain, dirty_of(chunk, mask, slices) * HAK_SLICE);
}

void hak_chunk_shrink_run(hak_slab_t *run, unsigned slices)
{
    if (slices == run->slices)
        return;
    unsigned less = run->slices - slices;
    hak_slices_t rest = hak_slices_mask(run_index(run) + slices, less);
    hak_trace("run shrunk", hak_slab_base(run), slices);
    run->slices = (uint8_t)slices;
    hak_os_lock(&pool_lock);
    release_slices(chunk_of(run), rest, less, rest);
    hak_os_unlock(&pool_lock);
}

/* Of the members those whose blocks' states (harden.h) have pages of their own. */
static hak_slices_t whole_groups(hak_slices_t set)
{
    return (hak_slices_runs(set, STATE_GROUP) & hak_slices_every(STATE_GROUP)) *
           (hak_set_bit(STATE_GROUP) - 1);
}

/* Gives back the pages with the states of the blocks of these slices: there are none. */
static void forget_states(chunk_t *chunk, hak_slices_t groups)
{
    for (hak_slices_t mask, rest = groups; rest != 0; rest &= ~mask) {
        mask = hak_slices_lowest_run(rest);
        hak_os_discard((char *)chunk + hak_set_first(mask) * (HAK_SLICE >> 4),
                       hak_set_count(mask) * (HAK_SLICE >> 4));
    }
}

/* No huge page from here on, or the system would soon fill the gaps again. It has backed what lies unused behind the descriptors,
 * too: 24 KiB of each chunk, which have no place among the slices. */
static void end_thp(chunk_t *chunk)
{
    hak_os_thp(chunk, HAK_CHUNK, false);
    if (!HAK_HARDEN)
        hak_os_discard((char *)chunk + HAK_STATES, HAK_CHUNK_HEAD * HAK_SLICE - HAK_STATES);
}

/* Purges one chunk, without the lock meanwhile. False if the system refuses. A huge page has backed what nobody touched, too. */
static HAK_COLD bool purge_chunk(chunk_t *chunk) HAK_REQUIRES(pool_lock)
{
    bool thp = chunk->thp;
    hak_slices_t used = chunk->free & chunk->dirty;
    hak_slices_t todo = thp ? chunk->free : used;
    hak_slices_t bars = ALL_FREE & ~chunk->whole; /* have no blocks either */
    hak_slices_t taken = HAK_HARDEN ? todo | (whole_groups(chunk->free | bars) & chunk->free) : todo;
    chunk->free &= ~taken;
    note_dirty(chunk, used);
    chunk->thp = false;
    hak_retain_released(&pool_retain, hak_set_count(used) * HAK_SLICE);
    hak_os_unlock(&pool_lock);
    uint64_t since_ns = hak_time_begin();
    if (HAK_HARDEN)
        forget_states(chunk, whole_groups(taken | bars));

    hak_slices_t done = 0;
    size_t calls = 0;
    if (thp)
        end_thp(chunk);
    for (hak_slices_t mask, rest = todo; rest != 0; rest &= ~mask, calls++) { /* at most 64 times */
        mask = hak_slices_lowest_run(rest);
        char *at = (char *)chunk + ((size_t)hak_set_first(mask) << HAK_SLICE_SHIFT);
        if (!hak_os_discard(at, hak_set_count(mask) * HAK_SLICE))
            break;
        done |= mask;
    }
    hak_trace("purged", chunk, hak_set_count(done));
    hak_time_end(HAK_TIME_purge, since_ns);

    hak_os_lock(&pool_lock);
    chunk->dirty &= ~done;
    pool_totals.purged += hak_set_count(done & used) * HAK_SLICE;
    pool_totals.purges += calls;
    hak_retain_kept(&pool_retain, hak_set_count(used & ~done) * HAK_SLICE);
    hak_slices_t before = chunk->free & chunk->dirty;
    for (hak_slices_t mask, rest = taken; rest != 0; rest &= ~mask) {
        mask = hak_slices_lowest_run(rest);
        set_free(chunk, mask);
    }
    note_dirty(chunk, before);
    return done == todo;
}

/* Free beyond it goes back at once. */
static uint64_t chunk_floor(void)
{
    return (uint64_t)hak_policy()->pool_floor_mb << 20;
}

/* A chunk without runs is no longer part of the pool. Returns the bytes of it that were dirty. */
static uint64_t remove_chunk(chunk_t *chunk) HAK_REQUIRES(pool_lock)
{
    open_for(chunk, closed, false); /* it would not be known any more, should the system not unmap it */
    hak_slices_t to_purge = chunk->free & chunk->dirty;
    LIST_REMOVE(chunk, in_all);
    unlink_chunk(chunk);
    if (to_purge != 0)
        hak_age_remove(&chunk->age);
    pool_totals.reserved -= HAK_CHUNK;
    return hak_set_count(to_purge) * HAK_SLICE;
}

/* Lists a chunk that is in no list but that of all, and counts it. */
static void restore_sums(chunk_t *chunk, unsigned longest) HAK_REQUIRES(pool_lock)
{
    link_chunk(chunk, longest);
    note_dirty(chunk, 0);
    hak_retain_freed(&pool_retain, hak_set_count(chunk->free & chunk->dirty) * HAK_SLICE);
    pool_totals.reserved += HAK_CHUNK;
}

/* Undoes it for a chunk that the system does not unmap: it would have to cut a mapping, and has no more of them. */
static void restore_chunk(chunk_t *chunk, unsigned longest) HAK_REQUIRES(pool_lock)
{
    LIST_INSERT_HEAD(&all, chunk, in_all);
    restore_sums(chunk, longest);
}

/* Adds chunks without runs, at most so many of all, to a list of such. The pool has them no more. */
static void remove_empty_chunks(removed_t *removed, unsigned longest, size_t *most) HAK_REQUIRES(pool_lock)
{
    chunk_t *chunk = LIST_FIRST(&by_longest[longest]);
    for (chunk_t *next; chunk != NULL && *most != 0; chunk = next, --*most) {
        next = LIST_NEXT(chunk, as_long);
        if (chunk->free != chunk->whole)
            continue;
        hak_retain_released(&pool_retain, remove_chunk(chunk));
        SLIST_INSERT_HEAD(removed, chunk, in_removed);
    }
}

/* Unmaps at most so many chunks without runs, without the lock meanwhile. They are in the list of the longest runs; in hardened in
 * several, since bars are at random places. */
static HAK_COLD void unmap_empty_chunks(size_t most) HAK_REQUIRES(pool_lock)
{
    removed_t removed = SLIST_HEAD_INITIALIZER(removed), refused = SLIST_HEAD_INITIALIZER(refused);
    for (unsigned longest = HAK_RUN_MOST; longest < HAK_CHUNK_SLICES; longest++)
        remove_empty_chunks(&removed, longest, &most);
    hak_os_unlock(&pool_lock);
    for (chunk_t *chunk; (chunk = SLIST_FIRST(&removed)) != NULL;) {
        SLIST_REMOVE_HEAD(&removed, in_removed);
        if (!hak_os_release(chunk, HAK_CHUNK))
            SLIST_INSERT_HEAD(&refused, chunk, in_removed);
    }
    hak_os_lock(&pool_lock);
    chunk_t *chunk;
    SLIST_FOREACH (chunk, &refused, in_removed)
        restore_chunk(chunk, HAK_RUN_MOST);
}

/* A chunk without runs becomes a free range. False if that has no memory for its record. */
static HAK_COLD bool move_to_extents(chunk_t *chunk) HAK_REQUIRES(pool_lock)
{
    if (chunk->thp && hak_policy()->thp != HAK_THP_ON)
        hak_os_thp(chunk, HAK_CHUNK, false);
    hak_retain_reused(&pool_retain, remove_chunk(chunk));
    bool given = hak_extent_receive_chunk((char *)chunk, &pool_retain);
    if (!given)
        restore_chunk(chunk, EMPTY_RUN);
    return given;
}

/* They are in the list of the longest runs, beside others that have some by now: these go where they belong, as in find_run. Clean
 * ones lie behind, mostly. Not where there are very many chunks: each may leave a gap between two mappings. */
bool hak_chunk_move_to_extents(void)
{
    bool given = false;
    unsigned clean = 0;
    hak_os_lock(&pool_lock);
    chunk_t *chunk =
        pool_totals.reserved <= MAPPINGS_MOST * HAK_CHUNK ? LIST_FIRST(&by_longest[EMPTY_RUN]) : NULL;
    for (chunk_t *next; chunk != NULL && clean < CHUNKS_AT_A_TIME; chunk = next) {
        next = LIST_NEXT(chunk, as_long);
        if (chunk->free != ALL_FREE) /* or some of it is not accessible: open_closed */
            relink_chunk(chunk, hak_slices_longest_run(chunk->free));
        else if (is_clean(chunk))
            clean++;
        else if (open_for(chunk, closed, false))
            given |= move_to_extents(chunk);
    }
    hak_os_unlock(&pool_lock);
    return given;
}

uint64_t hak_chunk_missed(uint64_t bytes)
{
    hak_os_lock(&pool_lock);
    uint64_t missed = hak_retain_missed(&pool_retain, bytes);
    hak_os_unlock(&pool_lock);
    return missed;
}

bool hak_chunk_unmap_run(hak_slab_t *run)
{
    chunk_t *chunk = chunk_of(run);
    unsigned slices = run->slices;
    hak_slices_t mask = hak_slices_mask(run_index(run), slices);
    hak_os_lock(&pool_lock);
    bool alone = (chunk->free | mask) == chunk->whole;
    if (alone) {
        hak_retain_released(&pool_retain, remove_chunk(chunk));
        used_slices -= slices;
    }
    hak_os_unlock(&pool_lock);
    if (!alone || hak_os_release(chunk, HAK_CHUNK))
        return alone;
    hak_os_lock(&pool_lock);
    restore_chunk(chunk, hak_slices_longest_run(chunk->free));
    used_slices += slices;
    hak_os_unlock(&pool_lock);
    return false;
}

void hak_chunk_release_run(hak_slab_t *run, unsigned touched)
{
    chunk_t *chunk = chunk_of(run);
    unsigned first = run_index(run);
    unsigned slices = run->slices;
    hak_trace("run released", hak_slab_base(run), slices);
    hak_slices_t mask = hak_slices_mask(first, slices);
    hak_os_lock(&pool_lock);
    release_slices(chunk, mask, slices,
                   touched == slices ? mask : mask & ~(~(hak_slices_t)0 << (first + touched)));
    bool due = HAK_PURGE && hak_retain_is_due(&pool_retain, chunk_floor());
    due |= hak_is_scarce() && chunk->free == chunk->whole &&
           pool_totals.reserved - used_slices * HAK_SLICE > HAK_IDLE_WHEN_SCARCE + HAK_CHUNK;
    hak_os_unlock(&pool_lock);
    if (hak_unlikely(due) && hak_thread.heap != NULL)
        hak_thread.heap->ticks = 1;
}

bool hak_chunk_release_due(uint32_t now_ms)
{
    if (!HAK_PURGE && !hak_is_scarce())
        return false;
    hak_os_lock(&pool_lock);
    size_t idle = pool_totals.reserved - used_slices * HAK_SLICE;
    if (hak_is_scarce() && idle > HAK_IDLE_WHEN_SCARCE)
        unmap_empty_chunks((idle - HAK_IDLE_WHEN_SCARCE) / HAK_CHUNK);
    hak_retain_tick(&pool_retain, now_ms, hak_policy()->purge_delay_ms);
    uint64_t due = HAK_PURGE ? hak_retain_due(&pool_retain, chunk_floor()) : 0;
    for (unsigned i = 0; due != 0 && oldest_chunk() != NULL && i < CHUNKS_AT_A_TIME; i++) {
        if (!purge_chunk(oldest_chunk())) {
            /* Under mlockall, say: then what has no runs goes as a whole. */
            unmap_empty_chunks((size_t)(due / HAK_CHUNK));
            hak_retain_refused(&pool_retain, now_ms);
        }
        due = hak_retain_due(&pool_retain, chunk_floor());
    }
    hak_os_unlock(&pool_lock);
    return due != 0;
}

/* How many chunks have runs: there may be as many mappings once the others are gone. */
static size_t chunks_with_runs(void) HAK_REQUIRES(pool_lock)
{
    size_t n = 0;
    const chunk_t *chunk;
    LIST_FOREACH (chunk, &all, in_all)
        n += chunk->free != chunk->whole;
    return n;
}

size_t hak_chunk_in_use(void)
{
    hak_os_lock(&pool_lock);
    size_t bytes = chunks_with_runs() * HAK_CHUNK;
    hak_os_unlock(&pool_lock);
    return bytes;
}

size_t hak_chunk_trim(void)
{
    hak_os_lock(&pool_lock);
    uint64_t before = pool_retain.free;
    if (chunks_with_runs() <= MAPPINGS_MOST)
        unmap_empty_chunks(SIZE_MAX);
    /* Each round takes a chunk out of the queue, or to its end if the system refuses; as many as there are chunks, should others go
     * on filling it. */
    unsigned refused = 0;
    for (size_t rounds = pool_totals.reserved / HAK_CHUNK;
         oldest_chunk() != NULL && rounds != 0 && refused < HAK_REFUSED_MOST; rounds--)
        refused = purge_chunk(oldest_chunk()) ? 0 : refused + 1;
    uint64_t after = pool_retain.free;
    hak_os_unlock(&pool_lock);
    return before > after ? before - after : 0;
}

size_t hak_chunk_unmap_free(void)
{
    hak_os_lock(&pool_lock);
    size_t before = pool_totals.reserved;
    if (region != region_end && hak_os_unmap(region, (size_t)(region_end - region))) {
        pool_totals.reserved -= (size_t)(region_end - region);
        region = region_end;
    }
    unmap_empty_chunks(SIZE_MAX);
    size_t unmapped = before > pool_totals.reserved ? before - pool_totals.reserved : 0;
    hak_os_unlock(&pool_lock);
    return unmapped;
}

/* Unchecked: nobody else is at work yet. */
HAK_COLD void hak_chunk_after_fork(void) HAK_LOCKS_UNCHECKED
{
    if (!hak_os_lock_reset(&pool_lock))
        return;
    /* Another thread was at work. What each chunk has free is always true (one store); lists and sums are derived
     * from it. A run that was on its way in or out is lost to the child, which is all the harm; and so is what is reserved:
     * its ends are two stores, and it may be unmapped already. */
    region = region_end = NULL;
    chunk_lists = 0;
    hak_age_clear(&chunk_queue);
    pool_retain = (hak_retain_t){0};
    used_slices = pool_totals.reserved = 0;
    for (unsigned i = 0; i < HAK_CHUNK_SLICES; i++)
        LIST_INIT(&by_longest[i]);
    chunk_t *chunk, **link = &LIST_FIRST(&all);
    LIST_FOREACH (chunk, &all, in_all) {
        chunk->in_all.le_prev = link;
        link = &LIST_NEXT(chunk, in_all);
        restore_sums(chunk, hak_slices_longest_run(chunk->free));
        used_slices += hak_set_count(chunk->whole & ~chunk->free);
    }
}

bool hak_chunk_holds(const void *p)
{
    hak_os_lock(&pool_lock);
    const chunk_t *chunk;
    LIST_FOREACH (chunk, &all, in_all)
        if ((uintptr_t)p - (uintptr_t)chunk < HAK_CHUNK)
            break;
    bool holds = chunk != NULL;
    hak_os_unlock(&pool_lock);
    return holds;
}

#if HAK_HARDEN
/* With the lock held nobody takes the slice, and so nobody makes it inaccessible. */
char hak_chunk_free_byte(const char *p)
{
    const hak_slab_t *descriptor = hak_slab_descriptor(p);
    const chunk_t *chunk = chunk_of(descriptor);
    hak_slices_t slice = hak_set_bit(run_index(descriptor));
    hak_os_lock(&pool_lock);
    bool readable = (chunk->free & slice) != 0 && (chunk != closed_chunk || (closed & slice) == 0);
    char byte = readable ? *p : 0;
    hak_os_unlock(&pool_lock);
    return byte;
}
#endif

hak_chunk_view_t hak_chunk_view(void)
{
    hak_os_lock(&pool_lock);
    hak_chunk_view_t view = pool_totals;
    view.used = used_slices * HAK_SLICE;
    view.dirty = pool_retain.free;
    hak_os_unlock(&pool_lock);
    return view;
}
