/* SPDX-License-Identifier: MIT */
/* extent.c: see extent.h. Memory is mapped and goes back to the system without the lock: what is about to go has no map entries
 * by then and is in no list. (With it are mapped pieces for records; and in hardened, what was joined is closed.) Of all that is
 * mapped the map is covered first. */
#include "mem/extent.h"

#include "base/bits.h"
#include "base/options.h"
#include "mem/age.h"
#include "mem/chunk.h"
#include "mem/eager.h"
#include "mem/retain.h"
#include "mem/scarce.h"
#include "obs/trace.h"
#include "os/os.h"

#include <sys/queue.h>

#define PIECE_RECORDS 1024u /* records are mapped so many at a time */
#define PIECES        1024u
#define BINS          128u /* of any size */
#define SCAN          32u  /* ranges of one bin that are looked at for the best fit */
#define AT_A_TIME     16u  /* ranges that one call gives back */
#define ROOM_LEARNS   8u   /* one in so many bytes that went back in vain stays the next time */
#define SPLITS_MOST   1024u
#define BULK_MOST     ((size_t)64 << 20) /* bytes mapped ahead, at most */
#define BULK_PART     8u                 /* of what is live: as much is mapped ahead */
#define FLOOR_BY_LIVE ((size_t)64 << 20) /* bytes, at most, that stay beside much that lives */
#define CLOSED_MOST   4096u /* free ranges up to which hardened closes them: each may be two mappings more */

static hak_os_lock_t extents_lock = HAK_OS_LOCK(EXTENTS);

/* A free range. */
typedef struct extent {
    /* Among the dirty ones: when it was given; first: no address is computed for it. */
    hak_age_t age HAK_GUARDED_BY(extents_lock);
    char *base HAK_GUARDED_BY(extents_lock);
    size_t size HAK_GUARDED_BY(extents_lock);
    LIST_ENTRY(extent) in_list HAK_GUARDED_BY(extents_lock);
    SLIST_ENTRY(extent) in_unused HAK_GUARDED_BY(extents_lock);
    uint32_t index HAK_GUARDED_BY(extents_lock); /* of this record */
    uint8_t list HAK_GUARDED_BY(extents_lock);
    bool dirty HAK_GUARDED_BY(extents_lock);
    bool open HAK_GUARDED_BY(extents_lock); /* in hardened: some of it may be accessible */
} extent_t;

typedef LIST_HEAD(extents, extent) extents_t;

static extent_t *record_pieces[PIECES] HAK_GUARDED_BY(extents_lock);
/* Records that ever were in use. */
static uint32_t records_used HAK_GUARDED_BY(extents_lock);
/* Records before it belong to what a forked child gave up. */
static uint32_t valid HAK_GUARDED_BY(extents_lock);
/* Records. */
static SLIST_HEAD(, extent) unused HAK_GUARDED_BY(extents_lock);
/* By size, the clean ones and behind them the dirty ones. */
static extents_t extent_lists[2 * BINS] HAK_GUARDED_BY(extents_lock);
/* Those that are not empty: of clean ones, of dirty ones. */
static hak_set_words_t filled[2] HAK_GUARDED_BY(extents_lock);
/* The dirty ones; what was given first is first. */
static hak_age_t extent_queue HAK_GUARDED_BY(extents_lock) = HAK_AGE_EMPTY(extent_queue);
static hak_retain_t extent_retain HAK_GUARDED_BY(extents_lock);
/* Mappings that our unmapping made, about. */
static uint32_t splits HAK_GUARDED_BY(extents_lock);
/* Free ranges that there are. */
static uint32_t ranges HAK_GUARDED_BY(extents_lock);
/* They were too many, and are not yet half as many. relaxed: a hint to whoever is about to free one. */
static _Atomic bool too_many;
/* They were, and what was left open then is not yet closed. */
static bool left_open HAK_GUARDED_BY(extents_lock);
/* `dirty` is extent_retain.free. */
static hak_extent_view_t extent_totals HAK_GUARDED_BY(extents_lock);
/* Bytes: the most that was in use; how many may be dirty beside that; what went back for it, and was not asked for again. */
static uint64_t most_live HAK_GUARDED_BY(extents_lock), room_spared HAK_GUARDED_BY(extents_lock);
static uint64_t room_made HAK_GUARDED_BY(extents_lock);

/* --- records ------------------------------------------------------------------------------------------------------ */

static extent_t *record_at(uint32_t index) HAK_REQUIRES(extents_lock)
{
    return &record_pieces[index / PIECE_RECORDS][index % PIECE_RECORDS];
}

/* NULL when there is no memory for more of them. */
static extent_t *new_record(void) HAK_REQUIRES(extents_lock)
{
    extent_t *extent = SLIST_FIRST(&unused);
    if (extent != NULL) {
        SLIST_REMOVE_HEAD(&unused, in_unused);
        return extent;
    }
    if (records_used == PIECES * PIECE_RECORDS)
        return NULL;
    extent_t **piece = &record_pieces[records_used / PIECE_RECORDS];
    if (*piece == NULL && (*piece = hak_os_map(PIECE_RECORDS * sizeof(extent_t), HAK_OS_PAGE)) == NULL)
        return NULL;
    extent = record_at(records_used);
    extent->index = records_used++;
    return extent;
}

static void drop_record(extent_t *extent) HAK_REQUIRES(extents_lock)
{
    SLIST_INSERT_HEAD(&unused, extent, in_unused);
}

static void count_ranges(uint32_t change) HAK_REQUIRES(extents_lock)
{
    ranges += change;
    if (ranges < CLOSED_MOST && ranges >= CLOSED_MOST / 2)
        return;
    left_open |= ranges >= CLOSED_MOST;
    atomic_store_explicit(&too_many, ranges >= CLOSED_MOST, memory_order_relaxed);
}

/* --- access ------------------------------------------------------------------------------------------------------- *
 *
 * In hardened nobody can touch what is free: the freed block that was there, and the block behind it whose program writes in
 * front of it. A range is closed before it is on a list, and opened when it was taken off. While there are too many it is opened
 * instead: the quarantine has closed the block, if it waited there. When the system refuses that, it stays closed. Once there are
 * few, all are closed. */

/* True if it is accessible afterwards. */
static bool close_range(char *base, size_t size)
{
    if (!HAK_HARDEN)
        return false;
    bool open = atomic_load_explicit(&too_many, memory_order_relaxed);
    if (open)
        hak_os_make_writable(base, size);
    else
        hak_os_forbid(base, size);
    return open;
}

/* To a range was added what is open, or not. What is closed, joined with what may be open, is closed as a whole: each piece would
 * be a mapping. */
static void note_joined(extent_t *extent, bool open) HAK_REQUIRES(extents_lock)
{
    if (extent->open && !open)
        hak_os_forbid(extent->base, extent->size);
    extent->open = open;
}

/* What was left open while ranges were too many. */
static HAK_NOINLINE void close_all(void) HAK_REQUIRES(extents_lock)
{
    left_open = false;
    for (unsigned list = 0; list < 2 * BINS; list++) {
        extent_t *extent;
        LIST_FOREACH (extent, &extent_lists[list], in_list) {
            if (extent->open)
                hak_os_forbid(extent->base, extent->size);
            extent->open = false;
        }
    }
}

/* False if the system refuses. Under RLIMIT_DATA what is accessible again counts like new memory. What was written into an open
 * range since its block was freed is not handed out. */
HAK_INLINE bool open_range(char *base, size_t size, bool was_open)
{
    if (!HAK_HARDEN)
        return true;
    if (was_open)
        hak_os_discard(base, size);
    return hak_os_make_writable(base, size);
}

/* --- lists -------------------------------------------------------------------------------------------------------- */

/* Four bins for each power of two of slices, of which a unit has four. */
static unsigned bin_of(size_t size)
{
    size_t slices = size >> HAK_SLICE_SHIFT;
    unsigned shift = (63u ^ (unsigned)__builtin_clzl(slices)) - 2;
    return 4 * (shift - 1) + (unsigned)(slices >> shift);
}

static uint8_t list_index(size_t size, bool dirty)
{
    return (uint8_t)(bin_of(size) + dirty * BINS);
}

static void list_extent(extent_t *extent) HAK_REQUIRES(extents_lock)
{
    LIST_INSERT_HEAD(&extent_lists[extent->list], extent, in_list);
    if (LIST_NEXT(extent, in_list) == NULL)
        hak_set_add(&filled[extent->list / BINS], extent->list % BINS);
}

static void unlist_extent(extent_t *extent) HAK_REQUIRES(extents_lock)
{
    LIST_REMOVE(extent, in_list);
    if (LIST_NEXT(extent, in_list) == NULL && LIST_EMPTY(&extent_lists[extent->list]))
        hak_set_remove(&filled[extent->list / BINS], extent->list % BINS);
}

/* NULL if there is none. */
static extent_t *oldest_extent(void) HAK_REQUIRES(extents_lock)
{
    char *place = (char *)hak_age_oldest(&extent_queue);
    return place != NULL ? (extent_t *)(void *)(place - offsetof(extent_t, age)) : NULL;
}

/* --- the map ------------------------------------------------------------------------------------------------------ */

static char *last_slice(const extent_t *extent) HAK_REQUIRES(extents_lock)
{
    return extent->base + extent->size - HAK_SLICE;
}

static bool is_ours(const char *p)
{
    return hak_map_find(p) != 0;
}

/* The free range of which p lies in the first or the last slice, or NULL. `covered` is p or right beside it, and in the map. */
static extent_t *extent_at(const char *p, const char *covered) HAK_REQUIRES(extents_lock)
{
    bool same_window = hak_map_window(p) == hak_map_window(covered);
    uint32_t entry = hak_likely(same_window) ? hak_map_get(p) : hak_map_find(p);
    if (hak_entry_kind(entry) != HAK_ENTRY_FREE || hak_entry_payload(entry) < valid)
        return NULL;
    return record_at(hak_entry_payload(entry));
}

/* The same, if it is of this kind. */
static extent_t *neighbour_of_kind(const char *p, const char *covered, bool dirty) HAK_REQUIRES(extents_lock)
{
    extent_t *extent = extent_at(p, covered);
    return extent != NULL && extent->dirty == dirty ? extent : NULL;
}

static uint32_t entry_of(const extent_t *extent) HAK_REQUIRES(extents_lock)
{
    return hak_entry(extent->index, HAK_ENTRY_FREE);
}

static void set_end_entries(const extent_t *extent, uint32_t entry) HAK_REQUIRES(extents_lock)
{
    hak_map_set(extent->base, entry);
    hak_map_set(last_slice(extent), entry);
}

/* Makes a range free. False if there is no memory for its record. */
static bool add_free_range(char *base, size_t size, bool dirty, bool open) HAK_REQUIRES(extents_lock)
{
    extent_t *extent = new_record();
    if (extent == NULL)
        return false;
    extent->base = base;
    extent->size = size;
    extent->dirty = dirty;
    if (HAK_HARDEN)
        extent->open = open;
    extent->list = list_index(size, dirty);
    set_end_entries(extent, entry_of(extent));
    list_extent(extent);
    if (HAK_HARDEN)
        count_ranges(1);
    if (dirty)
        hak_age_add(&extent_queue, &extent->age);
    extent_totals.clean += dirty ? 0 : size;
    return true;
}

/* The range is not free any more: nothing leads to it. */
static void take_away(extent_t *extent) HAK_REQUIRES(extents_lock)
{
    unlist_extent(extent);
    if (HAK_HARDEN)
        count_ranges(-1u);
    if (extent->dirty)
        hak_age_remove(&extent->age);
    set_end_entries(extent, 0);
    extent_totals.clean -= extent->dirty ? 0 : extent->size;
    drop_record(extent);
}

/* A free range gets longer or shorter. It is used, on the whole: its age begins anew. */
static void resize_extent(extent_t *extent, size_t size) HAK_REQUIRES(extents_lock)
{
    if (extent->dirty) {
        hak_age_remove(&extent->age);
        hak_age_add(&extent_queue, &extent->age);
    } else {
        extent_totals.clean += size - extent->size;
    }
    extent->size = size;
    uint8_t list = list_index(size, extent->dirty);
    if (list == extent->list)
        return;
    unlist_extent(extent);
    extent->list = list;
    list_extent(extent);
}

static void move_begin(extent_t *extent, char *base) HAK_REQUIRES(extents_lock)
{
    size_t size = extent->size + (size_t)(extent->base - base);
    hak_map_set(extent->base, 0);
    hak_map_set(base, entry_of(extent));
    extent->base = base;
    resize_extent(extent, size);
}

static void move_end(extent_t *extent, size_t size) HAK_REQUIRES(extents_lock)
{
    hak_map_set(last_slice(extent), 0);
    hak_map_set(extent->base + size - HAK_SLICE, entry_of(extent));
    resize_extent(extent, size);
}

/* Makes a range free, joined with free neighbours of its kind. False if there is no memory for a record. */
HAK_INLINE bool add_joined(char *base, size_t size, bool dirty, bool open) HAK_REQUIRES(extents_lock)
{
    extent_t *below = neighbour_of_kind(base - 1, base, dirty);
    extent_t *above = neighbour_of_kind(base + size, base, dirty);
    if (HAK_HARDEN && below != NULL)
        below->open |= above != NULL && above->open;
    if (below != NULL && above != NULL) {
        size += above->size;
        take_away(above);
    }
    if (below != NULL)
        move_end(below, below->size + size);
    else if (above != NULL)
        move_begin(above, base);
    else
        return add_free_range(base, size, dirty, open);
    if (HAK_HARDEN)
        note_joined(below != NULL ? below : above, open);
    return true;
}

/* Takes [at, at + size) out of a free range; what is left before and behind stays free. */
HAK_INLINE void cut_free_range(extent_t *extent, char *at, size_t size) HAK_REQUIRES(extents_lock)
{
    size_t before = (size_t)(at - extent->base);
    size_t behind = extent->size - before - size;
    bool dirty = extent->dirty;
    if (dirty)
        hak_retain_reused(&extent_retain, size);
    else
        hak_retain_fresh(&extent_retain, size);
    if (before == 0 && behind == 0)
        take_away(extent);
    else if (before == 0)
        move_begin(extent, at + size);
    else
        move_end(extent, before);
    if (before != 0 && behind != 0) /* without a record what is behind is lost to us, not to the system */
        add_free_range(at + size, behind, dirty, extent->open);
}

/* --- in front ----------------------------------------------------------------------------------------------------- *
 *
 * In front of a block is the inaccessible end of another one, or a free range. But in front of what is lowest in its mapping the
 * program may map memory of its own, or the system what it maps next. So in hardened a unit lies there that nobody can touch: a
 * clean free range, too short for a block by itself, which goes when what it is in front of goes. */

/* Puts a unit in front of what is at `at`, unless something is there. Optional: not when memory is scarce. */
static void put_front(char *at)
{
    char *front = at - HAK_UNIT;
    if (!HAK_HARDEN || hak_is_scarce() || is_ours(at - 1) || !hak_map_cover(front, HAK_UNIT) ||
        hak_os_map_at(front, HAK_UNIT, false) == NULL)
        return;
    hak_os_forbid(front, HAK_UNIT);
    hak_os_lock(&extents_lock);
    bool added = add_joined(front, HAK_UNIT, false, false);
    hak_os_unlock(&extents_lock);
    if (!added)
        hak_os_unmap(front, HAK_UNIT);
}

/* What is at `base` is about to go: takes the unit in front of it away, if there is one. Returns where that begins, or `base`. */
static char *take_front(char *base) HAK_REQUIRES(extents_lock)
{
    extent_t *front = HAK_HARDEN ? neighbour_of_kind(base - 1, base, false) : NULL;
    if (front == NULL || front->size != HAK_UNIT)
        return base;
    take_away(front);
    return base - HAK_UNIT;
}

void hak_extent_vacated(char *base, size_t size)
{
    if (!HAK_HARDEN)
        return;
    hak_os_lock(&extents_lock);
    char *from = take_front(base);
    hak_os_unlock(&extents_lock);
    if (from != base)
        hak_os_release(from, HAK_UNIT);
    if (is_ours(base + size))
        put_front(base + size);
}

/* --- taking ------------------------------------------------------------------------------------------------------- */

static char *aligned_in(const extent_t *extent, size_t align) HAK_REQUIRES(extents_lock)
{
    return extent->base + (hak_round_up((uintptr_t)extent->base, align) - (uintptr_t)extent->base);
}

/* Where a block goes in a range that it fits. What is lowest in a mapping stays in front of it, if it need not be. */
HAK_INLINE char *place_in(const extent_t *extent, size_t size, size_t align) HAK_REQUIRES(extents_lock)
{
    if (HAK_HARDEN && align == HAK_UNIT && extent->size - size >= HAK_UNIT && !is_ours(extent->base - 1))
        return extent->base + HAK_UNIT;
    return aligned_in(extent, align);
}

HAK_INLINE bool extent_fits(const extent_t *extent, size_t size, size_t align) HAK_REQUIRES(extents_lock)
{
    if (extent->size < size)
        return false;
    return align == HAK_UNIT || extent->size - size >= (size_t)(aligned_in(extent, align) - extent->base);
}

/* The smallest range that fits, of the first few of a list; NULL if none does. */
HAK_INLINE extent_t *best_of(extent_t *extent, size_t size, size_t align) HAK_REQUIRES(extents_lock)
{
    extent_t *best = NULL;
    for (unsigned i = 0; i < SCAN && extent != NULL; i++, extent = LIST_NEXT(extent, in_list))
        if (extent_fits(extent, size, align) && (best == NULL || extent->size < best->size)) {
            best = extent;
            if (best->size == size)
                break;
        }
    return best;
}

/* The best of the first bin that has one. */
HAK_INLINE extent_t *find_in(bool dirty, size_t size, size_t align) HAK_REQUIRES(extents_lock)
{
    unsigned bin = bin_of(size);
    const extents_t *fitting = &extent_lists[bin + dirty * BINS];
    for (hak_set_t rest = hak_set_of(filled[dirty]) >> bin; rest != 0; rest &= rest - 1) {
        extent_t *best = best_of(LIST_FIRST(&fitting[hak_set_first(rest)]), size, align);
        if (best != NULL)
            return best;
    }
    return NULL;
}

/* Twice, since hardly anything is aligned to more than a unit. */
static extent_t *find_extent(bool dirty, size_t size, size_t align) HAK_REQUIRES(extents_lock)
{
    return hak_likely(align == HAK_UNIT) ? find_in(dirty, size, HAK_UNIT) : find_in(dirty, size, align);
}

static void note_taken(size_t size) HAK_REQUIRES(extents_lock)
{
    extent_totals.live += size;
    extent_totals.taken++;
}

/* So much of what the pool has given back would have been of use here: it is learned as if it had gone from here. */
static void learn_from_pool(uint64_t bytes)
{
    uint64_t missed = hak_chunk_missed(bytes);
    hak_os_lock(&extents_lock);
    extent_retain.rise += missed;
    hak_os_unlock(&extents_lock);
}

/* When no range of the better kind fits: one of the other kind, or NULL. Before a clean one come the pool's dirty chunks without
 * runs. */
static HAK_NOINLINE extent_t *find_other(bool clean_was_better, size_t size, size_t align)
    HAK_REQUIRES(extents_lock)
{
    extent_t *extent = NULL;
    if (!clean_was_better && hak_extent_shares()) {
        uint64_t beyond =
            find_extent(false, size, align) != NULL ? hak_retain_beyond(&extent_retain, size) : 0;
        hak_os_unlock(&extents_lock);
        bool given = hak_chunk_move_to_extents();
        if (!given)
            learn_from_pool(beyond);
        hak_os_lock(&extents_lock);
        extent = given ? find_extent(true, size, align) : NULL;
    }
    return extent != NULL ? extent : find_extent(clean_was_better, size, align);
}

/* Where zeroes are wanted, and many of them. */
HAK_INLINE bool is_clean_better(size_t size, bool zeroed)
{
    return zeroed && size >= HAK_ZERO_BY_PAGE;
}

/* Out of what is free already; NULL if nothing fits. */
static char *take_free(size_t size, size_t align, bool clean_first, bool *zero, bool *open)
    HAK_REQUIRES(extents_lock)
{
    extent_t *extent = find_extent(!clean_first, size, align);
    if (hak_unlikely(extent == NULL))
        extent = find_other(clean_first, size, align);
    if (extent == NULL)
        return NULL;
    char *at = place_in(extent, size, align);
    *zero = !extent->dirty;
    if (HAK_HARDEN)
        *open = extent->open;
    extent_totals.from_cache += extent->dirty;
    cut_free_range(extent, at, size);
    note_taken(size);
    return at;
}

/* How many mappings more, or fewer, there are once [base, base + size) is unmapped. */
static int split_by(const char *base, size_t size)
{
    return is_ours(base - 1) + is_ours(base + size) - 1;
}

static void count_split(int change) HAK_REQUIRES(extents_lock)
{
    if (change > 0 || splits != 0)
        splits += (uint32_t)change;
}

/* Tells the system of huge pages for a fresh range, of which a block of `size` bytes is the beginning. */
static void advise_huge_pages(char *base, size_t bytes, size_t size)
{
    const hak_policy_t *policy = hak_policy();
    if (policy->thp != HAK_THP_AUTO)
        hak_os_thp(base, bytes, policy->thp == HAK_THP_ON);
    else if (policy->thp_block_kb != 0 && size >= (size_t)policy->thp_block_kb << 10)
        hak_os_thp(base, size, true);
}

/* What was mapped ahead would be locked: true if it is gone again. */
static bool lies_ahead_in_vain(char *base, size_t size)
{
    hak_eager_look(base);
    return hak_eager_is_on() && hak_os_unmap(base, size);
}

/* From the system; what is mapped ahead becomes a free range. `live` are the bytes that are taken without it. */
static char *map_fresh(size_t size, size_t align, size_t live)
{
    size_t ahead = hak_min(live / BULK_PART, BULK_MOST) / HAK_UNIT * HAK_UNIT;
    bool plenty = !hak_is_scarce() && !hak_eager_is_on();
    size_t bytes = align <= HAK_UNIT && ahead > size && plenty ? ahead : size;
    char *base = hak_os_map_seen(bytes, align);
    if (base == NULL && bytes != size) {
        bytes = size;
        base = hak_os_map_seen(bytes, align);
    }
    if (base == NULL)
        return NULL;
    if (bytes != size && lies_ahead_in_vain(base + size, bytes - size))
        bytes = size;
    if (!hak_map_cover(base, bytes)) {
        hak_os_unmap(base, bytes);
        return NULL;
    }
    advise_huge_pages(base, bytes, size);
    bool open = bytes != size && close_range(base + size, bytes - size);
    hak_os_lock(&extents_lock);
    count_split(-split_by(base, bytes));
    hak_retain_fresh(&extent_retain, size);
    note_taken(size);
    bool added = bytes == size || add_joined(base + size, bytes - size, false, open);
    hak_os_unlock(&extents_lock);
    if (!added)
        hak_os_unmap(base + size, bytes - size);
    put_front(base);
    return base;
}

/* Fresh memory is next, and the pool has as much free beside half of what it keeps anyhow: perhaps in chunks that a few blocks in
 * the thread's bins hold. True if these became free ranges. */
static HAK_COLD bool heap_gives_up(size_t size)
{
    size_t keeps = (size_t)hak_policy()->pool_floor_mb << 20;
    if (!hak_extent_shares() || hak_chunk_view().dirty <= size + keeps / 2)
        return false;
    hak_heap_give_up();
    return hak_chunk_move_to_extents();
}

static bool return_oldest(uint64_t due) HAK_REQUIRES(extents_lock);

/* `size` bytes that were not dirty have been taken: how many dirty ones are to go back for them. What did, and is asked for again,
 * was too much: an eighth of it may stay the next time, until that is half of what lived at most. */
static uint64_t room_to_make(size_t size) HAK_REQUIRES(extents_lock)
{
    uint64_t missed = hak_min(size, room_made);
    room_made -= missed;
    most_live = hak_max(most_live, extent_totals.live);
    room_spared = hak_min(room_spared + missed / ROOM_LEARNS, most_live / 2);
    uint64_t sum = extent_totals.live + extent_retain.free, most = most_live + room_spared;
    return hak_min(sum - hak_min(sum, most), hak_min(extent_retain.free, size));
}

/* Before memory that was not dirty is touched. What a dirty range has left behind a smaller block, or beside a clean one, is of no
 * use to a larger block, and would make the peak as much higher. */
static HAK_NOINLINE void make_room(size_t size)
{
    hak_os_lock(&extents_lock);
    uint64_t above = room_to_make(size);
    for (unsigned i = 0; above != 0 && !extent_retain.refused && oldest_extent() != NULL && i < AT_A_TIME;
         i++) {
        uint64_t before = extent_retain.free;
        if (!return_oldest(above))
            break;
        uint64_t gone = before - hak_min(before, extent_retain.free);
        room_made += gone;
        above -= hak_min(above, gone);
    }
    hak_os_unlock(&extents_lock);
}

/* Nothing that is free fits. A request that the system refuses teaches nothing: a program that asked for 5 GiB in vain after each
 * burst of 64 MiB touched these anew every time. */
static HAK_NOINLINE char *take_fresh(size_t size, size_t align, bool zeroed, bool *zero, size_t live)
{
    if (heap_gives_up(size))
        return hak_extent_take(size, align, zeroed, zero);
    *zero = true;
    hak_os_lock(&extents_lock);
    uint64_t beyond = hak_retain_beyond(&extent_retain, size);
    hak_os_unlock(&extents_lock);
    char *at = map_fresh(size, align, live);
    if (at != NULL)
        make_room(size);
    if (at != NULL && !is_clean_better(size, zeroed) && hak_extent_shares())
        learn_from_pool(beyond);
    return at;
}

char *hak_extent_take(size_t size, size_t align, bool zeroed, bool *zero)
{
    bool open = false;
    hak_os_lock(&extents_lock);
    char *at = take_free(size, align, is_clean_better(size, zeroed), zero, &open);
    size_t live = extent_totals.live;
    hak_os_unlock(&extents_lock);
    if (hak_likely(at != NULL && open_range(at, size, open))) {
        if (*zero)
            make_room(size);
        return at;
    }
    if (at != NULL) {
        hak_extent_release(at, size, !*zero);
        return NULL;
    }
    return take_fresh(size, align, zeroed, zero, live);
}

bool hak_extent_take_at(char *at, size_t size)
{
    hak_os_lock(&extents_lock);
    extent_t *extent = extent_at(at, at - 1);
    bool there = extent != NULL && extent->base == at && extent->size >= size;
    bool dirty = there && extent->dirty;
    bool open = there && extent->open;
    if (there) {
        cut_free_range(extent, at, size);
        extent_totals.live += size;
    }
    hak_os_unlock(&extents_lock);
    if (!there || open_range(at, size, open))
        return there;
    hak_extent_release(at, size, dirty);
    return false;
}

/* From the upper end of a range: the block in front of it may still grow into the rest. */
HAK_COLD char *hak_extent_take_chunk(bool dirty, hak_retain_t *pool)
{
    char *at = NULL;
    hak_os_lock(&extents_lock);
    extent_t *extent = find_extent(dirty, HAK_CHUNK, HAK_CHUNK);
    if (extent != NULL) {
        at = extent->base + extent->size - HAK_CHUNK;
        at -= (uintptr_t)at & (HAK_CHUNK - 1);
        cut_free_range(extent, at, HAK_CHUNK);
        hak_retain_move_rise(&extent_retain, pool, dirty ? HAK_CHUNK : 0);
        count_split(-1);
    } else if (dirty) { /* asked for first */
        pool->rise += hak_retain_missed(&extent_retain, hak_retain_beyond(pool, HAK_CHUNK));
    }
    hak_os_unlock(&extents_lock);
    return at;
}

void hak_extent_moved(size_t before, size_t after)
{
    hak_os_lock(&extents_lock);
    extent_totals.live += after - before;
    hak_os_unlock(&extents_lock);
}

/* --- giving ------------------------------------------------------------------------------------------------------- */

/* Free beyond it goes back at once. It is in proportion to what lives: a program that keeps its large tables and then goes on
 * elsewhere takes no slow path of ours, so nothing would look at the clock for the rest. */
static uint64_t extent_floor(void) HAK_REQUIRES(extents_lock)
{
    const hak_policy_t *policy = hak_policy();
    size_t floor = (size_t)policy->huge_floor_mb << 20;
    if (!HAK_BIGCACHE || floor == 0)
        return 0;
    if (policy->bigcache_part != 0)
        floor = hak_max(floor, hak_min(extent_totals.live / policy->bigcache_part, FLOOR_BY_LIVE));
    return hak_is_scarce() ? hak_min(floor, HAK_IDLE_WHEN_SCARCE) : floor;
}

bool hak_extent_release(char *base, size_t size, bool dirty)
{
    bool open = close_range(base, size);
    hak_os_lock(&extents_lock);
    extent_totals.live -= size;
    bool added = add_joined(base, size, dirty, open);
    if (added && dirty)
        hak_retain_freed(&extent_retain, size);
    bool due = hak_retain_is_due(&extent_retain, extent_floor());
    if (HAK_HARDEN && left_open && !atomic_load_explicit(&too_many, memory_order_relaxed))
        close_all();
    hak_os_unlock(&extents_lock);
    if (!added)
        hak_os_release(base, size);
    return due;
}

/* Its neighbours, chunks mostly, have no entries there: counted as a mapping of its own. */
HAK_COLD bool hak_extent_receive_chunk(char *chunk, hak_retain_t *pool)
{
    hak_os_lock(&extents_lock);
    bool added = add_joined(chunk, HAK_CHUNK, true, false);
    if (added) {
        hak_retain_freed(&extent_retain, HAK_CHUNK);
        hak_retain_move_rise(pool, &extent_retain, HAK_CHUNK);
        count_split(1);
    }
    hak_os_unlock(&extents_lock);
    return added;
}

/* Cuts at most `most` bytes, the end of the range, out of it. */
static char *take_end(extent_t *extent, size_t *most) HAK_REQUIRES(extents_lock)
{
    char *base = extent->base;
    size_t size = extent->size;
    size_t rest = size > *most ? size - *most : 0;
    if (rest != 0)
        move_end(extent, rest);
    else
        take_away(extent);
    *most = size - rest;
    return base + rest;
}

/* Gives one range back, `size` bytes that nothing leads to any more, without the lock meanwhile. False if the system refuses: to
 * take the pages of a dirty one, to unmap a clean one. */
static HAK_COLD bool return_range(char *base, size_t size, bool dirty, bool unmap) HAK_REQUIRES(extents_lock)
{
    int change = split_by(base, size);
    bool all = unmap; /* whatever can be done without */
    unmap = unmap || change <= 0 || splits < SPLITS_MOST;
    char *from = unmap ? take_front(base) : base;
    if (dirty)
        hak_retain_released(&extent_retain, size);
    hak_os_unlock(&extents_lock);
    bool unmapped = unmap && hak_os_release(from, size + (size_t)(base - from));
    bool emptied = unmapped || !dirty || hak_os_discard(base, size);
    bool open = !unmapped && close_range(base, size);
    if (unmapped && !all && is_ours(base + size))
        put_front(base + size);
    hak_trace("extent given back", base, size);
    hak_os_lock(&extents_lock);
    if (unmapped)
        count_split(change);
    else if (from != base)
        add_joined(from, HAK_UNIT, false, false);
    if (!unmapped && !add_joined(base, size, !emptied, open))
        return false; /* lost, for want of a record */
    if (!emptied)
        hak_retain_kept(&extent_retain, size);
    return dirty ? emptied : unmapped;
}

/* The oldest dirty range, or as much of it as is due. */
static bool return_oldest(uint64_t due) HAK_REQUIRES(extents_lock)
{
    size_t size = hak_round_up((size_t)due, HAK_UNIT);
    char *base = take_end(oldest_extent(), &size);
    return return_range(base, size, true, false);
}

bool hak_extent_release_due(uint32_t now_ms)
{
    if (!HAK_PURGE && HAK_BIGCACHE && !hak_is_scarce())
        return false;
    hak_os_lock(&extents_lock);
    hak_retain_tick(&extent_retain, now_ms, hak_policy()->purge_delay_ms);
    uint64_t due = hak_retain_due(&extent_retain, extent_floor());
    for (unsigned i = 0; due != 0 && oldest_extent() != NULL && i < AT_A_TIME; i++) {
        if (!return_oldest(due))
            hak_retain_refused(&extent_retain, now_ms);
        due = hak_retain_due(&extent_retain, extent_floor());
    }
    hak_os_unlock(&extents_lock);
    return due != 0;
}

/* The first clean range, or NULL. */
static extent_t *any_clean(void) HAK_REQUIRES(extents_lock)
{
    hak_set_t clean = hak_set_of(filled[false]);
    return clean != 0 ? LIST_FIRST(&extent_lists[hak_set_first(clean)]) : NULL;
}

size_t hak_extent_trim(bool unmap)
{
    size_t bytes = 0;
    hak_os_lock(&extents_lock);
    /* Each step leaves a dirty range less, then a clean one, or the system refuses and it ends; should others go on adding,
     * after as many as there were records. */
    uint32_t rounds = records_used + 1;
    for (extent_t *extent; rounds != 0 && (extent = oldest_extent()) != NULL; rounds--) {
        size_t size = SIZE_MAX;
        char *base = take_end(extent, &size);
        if (!return_range(base, size, true, unmap))
            break;
        bytes += size;
    }
    rounds = records_used + 1;
    for (extent_t *extent; unmap && rounds != 0 && (extent = any_clean()) != NULL; rounds--) {
        size_t size = SIZE_MAX;
        char *base = take_end(extent, &size);
        if (!return_range(base, size, false, true))
            break;
        bytes += size;
    }
    hak_os_unlock(&extents_lock);
    return bytes;
}

bool hak_extent_holds(const char *end, const void *p)
{
    hak_os_lock(&extents_lock);
    const extent_t *extent = extent_at(end, end);
    bool holds = extent != NULL && (uintptr_t)p - (uintptr_t)extent->base < extent->size;
    hak_os_unlock(&extents_lock);
    return holds;
}

/* Unchecked: nobody else is at work yet. */
void hak_extent_after_fork(void) HAK_LOCKS_UNCHECKED
{
    if (!hak_os_lock_reset(&extents_lock))
        return;
    /* Another thread was moving ranges about: what was free is given up rather than trusted. */
    valid = records_used;
    SLIST_INIT(&unused);
    filled[0] = filled[1] = (hak_set_words_t){{0, 0}};
    for (unsigned list = 0; list < 2 * BINS; list++)
        LIST_INIT(&extent_lists[list]);
    hak_age_clear(&extent_queue);
    extent_retain = (hak_retain_t){0};
    extent_totals.clean = 0;
    ranges = 0;
}

hak_extent_view_t hak_extent_view(void)
{
    hak_os_lock(&extents_lock);
    hak_extent_view_t view = extent_totals;
    view.dirty = extent_retain.free;
    hak_os_unlock(&extents_lock);
    return view;
}
