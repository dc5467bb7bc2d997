/* SPDX-License-Identifier: MIT */
/* heap.c: the table of heaps, and the life of a heap: made or taken over, given up, found again.
 *
 * hak_heaps_lock guards the table's growth, the list of orphans and the states. No function of libc is called under a lock. */
#include "mem/heap.h"

#include "base/message.h"
#include "base/names.h"
#include "base/options.h"
#include "mem/bin.h"
#include "mem/free_slow.h"
#include "mem/learner.h"
#include "mem/oversize.h"
#include "mem/quarantine.h"
#include "mem/remote.h"
#include "mem/sample.h"
#include "mem/site_cache.h"
#include "mem/slab.h"
#include "mem/tick.h"
#include "obs/record.h"
#include "obs/trace.h"
#include "os/futex.h"
#include "os/os.h"

#include <errno.h>
#include <pthread.h>

#define PIECE_SHIFT 6u /* heaps are mapped 64 at a time; pages come with the first use of each */
#define PIECE_HEAPS (1u << PIECE_SHIFT)
#define ADOPT_FROM  4u /* orphans that are asked for a slab, others each time */
#define UNNAMED     16u /* heaps whose threads' ends are not looked for: most programs then make no call for it */
#define HEAP_LOOKS  16u /* heaps that a new thread looks at, whether their threads have ended */
#define VISITS      8u  /* heaps that are looked at, at each look at the clock, whether their threads sleep */
#define PURGED      16u /* slabs whose pages one such visit gives back */
#define IDLE_MS     100u  /* a thread that did not look at the clock for less is not asleep */
#define LENDERS     256u  /* heaps that are tried for a block by a thread that can have none of its own */
#define LENT_LATER  1000u /* times that it sleeps for a millisecond, and tries as many again */

hak_os_lock_t hak_heaps_lock = HAK_OS_LOCK(HEAPS);
/* By owner; written once, before the owner's number is in any map entry. */
static hak_heap_t *heap_pieces[(HAK_OWNERS >> PIECE_SHIFT) + 1];
/* The highest owner so far. release in new_heap, pairs with acquire in hak_heap_count: the heap is there. */
static _Atomic uint32_t heap_count;
/* A ring, by its last; changed under hak_heaps_lock. relaxed: whoever finds some takes the lock. */
static _Atomic(hak_heap_t *) orphans;
/* Under no lock, all relaxed: where to go on, and two threads may do so at the same place. */
static _Atomic uint32_t looked;   /* the owner at which the search for ended threads is */
static _Atomic uint32_t lent;     /* the owner that lent a block last */
static _Atomic uint32_t round_ms; /* when the visits to all heaps began */
static _Atomic uint32_t visited;  /* the owner at which they are; beyond the last: the round is over */
static bool options_read HAK_GUARDED_BY(hak_heaps_lock); /* and the keys made */
static bool map_ready HAK_GUARDED_BY(hak_heaps_lock);    /* the map too */

/* --- the process -------------------------------------------------------------------------------------------------- */

static pthread_key_t thread_key;
/* release in make_key, pairs with acquire there: the key is written. */
static _Atomic uint32_t key_state;

enum {
    KEY_NONE,
    KEY_IN_MAKING,
    KEY_MADE
};

static void thread_ends(void *unused)
{
    (void)unused;
    hak_thread.ended = true;
    if (HAK_RECORD)
        hak_record_thread_ends();
    if (hak_thread.heap != NULL)
        hak_heap_detach();
}

/* libc may allocate in it, and come back here. Whoever finds the key in the making does without: if it is the same thread,
 * further up, it goes on soon; the heap of another one is found again later. */
static bool make_key(void)
{
    uint32_t none = KEY_NONE;
    if (!atomic_compare_exchange_strong_explicit(&key_state, &none, KEY_IN_MAKING, memory_order_acquire,
                                                 memory_order_acquire))
        return none == KEY_MADE;
    bool made = pthread_key_create(&thread_key, thread_ends) == 0;
    atomic_store_explicit(&key_state, made ? KEY_MADE : KEY_NONE, memory_order_release);
    return made;
}

static void start_heaps(void) HAK_REQUIRES(hak_heaps_lock)
{
    if (options_read)
        return;
    options_read = true;
    if (HAK_HARDEN || HAK_LINK_CHECKS)
        hak_harden_init();
    if (HAK_OPTIONS) {
        hak_options_read(hak_os_environment);
        hak_names_answer(hak_os_environment_list());
    }
    hak_record_start();
    if (HAK_SAMPLING)
        hak_sample_start();
}

void hak_heaps_start(void)
{
    hak_os_lock(&hak_heaps_lock);
    start_heaps();
    hak_os_unlock(&hak_heaps_lock);
    int saved = errno;
    make_key();
    errno = saved;
}

static bool prepare_heaps(void) HAK_REQUIRES(hak_heaps_lock)
{
    start_heaps();
    return map_ready || (map_ready = hak_map_init());
}

bool hak_heaps_prepare(void)
{
    hak_os_lock(&hak_heaps_lock);
    bool done = prepare_heaps();
    hak_os_unlock(&hak_heaps_lock);
    return done;
}

/* --- made, taken over, found again -------------------------------------------------------------------------------- */

static hak_heap_t *new_heap(void) HAK_REQUIRES(hak_heaps_lock)
{
    uint32_t owner = atomic_load_explicit(&heap_count, memory_order_relaxed) + 1;
    if (owner == HAK_OWNERS)
        return NULL;
    hak_heap_t **piece = &heap_pieces[owner >> PIECE_SHIFT];
    if (*piece == NULL)
        *piece = hak_os_map(hak_round_up(PIECE_HEAPS * sizeof(hak_heap_t), HAK_OS_PAGE), HAK_OS_PAGE);
    if (*piece == NULL)
        return NULL;
    hak_heap_t *heap = hak_heap_by_owner(owner);
    heap->owner = owner;
    hak_tick_begin(heap);
    heap->cache_left = hak_tick_cache_most(heap);
    for (unsigned c = 1; c < HAK_CLASSES; c++) {
        heap->class[c].may_borrow = (uint8_t)hak_policy()->borrow;
        heap->class[c].uncounted = heap->class[c].uncounted_most = HAK_UNCOUNTED;
    }
    hak_remote_init(heap);
    atomic_store_explicit(&heap_count, owner, memory_order_release);
    return heap;
}

/* The heap is the calling thread's from here on, though not yet in hak_thread.heap. */
static hak_heap_t *claim_heap(hak_heap_t *heap) HAK_REQUIRES(hak_heaps_lock)
{
    hak_thread.claimed = heap;
    if (heap->generation != hak_os_generation())
        hak_remote_init(heap);
    heap->generation = hak_os_generation();
    atomic_store_explicit(&heap->state, HAK_HEAP_LIVE, memory_order_seq_cst);
    return heap;
}

/* Becomes the first of the ring. */
static void push_orphan(hak_heap_t *heap) HAK_REQUIRES(hak_heaps_lock)
{
    hak_heap_t *last = atomic_load_explicit(&orphans, memory_order_relaxed);
    heap->next_orphan = last != NULL ? last->next_orphan : heap;
    if (last != NULL)
        last->next_orphan = heap;
    else
        atomic_store_explicit(&orphans, heap, memory_order_relaxed);
}

static hak_heap_t *take_orphan(void) HAK_REQUIRES(hak_heaps_lock)
{
    hak_heap_t *last = atomic_load_explicit(&orphans, memory_order_relaxed);
    if (last == NULL)
        return NULL;
    hak_heap_t *heap = last->next_orphan;
    last->next_orphan = heap->next_orphan;
    if (heap == last)
        atomic_store_explicit(&orphans, NULL, memory_order_relaxed);
    return claim_heap(heap);
}

/* True of a heap that nobody gives up any more: its thread has ended, by the exit system call, or after libc had made its last
 * round of destructors. In a forked child the names are of another process, and say nothing. */
static bool is_abandoned(hak_heap_t *heap, uint64_t self)
{
    uint64_t thread = atomic_load_explicit(&heap->thread, memory_order_relaxed);
    return thread != 0 && atomic_load_explicit(&heap->state, memory_order_seq_cst) == HAK_HEAP_LIVE &&
           hak_os_thread_ended(thread, self);
}

/* Looks at a few heaps, at others each time: so there are at most HEAP_LOOKS + 1 heaps to HEAP_LOOKS threads, and a constant. */
static HAK_NOINLINE hak_heap_t *find_abandoned(void)
{
    uint32_t count = hak_heap_count();
    uint64_t self = count > UNNAMED ? hak_os_thread_name() : 0;
    for (uint32_t i = 0; i < HEAP_LOOKS && count > UNNAMED; i++) {
        uint32_t at = atomic_fetch_add_explicit(&looked, 1, memory_order_relaxed);
        hak_heap_t *heap = hak_heap_by_owner(UNNAMED + 1 + at % (count - UNNAMED));
        if (!is_abandoned(heap, self) || !hak_os_try_lock(&heap->lock))
            continue;
        hak_os_unlock(&heap->lock); /* held for ever by a thread that ended in the middle: leave it */
        hak_os_lock(&hak_heaps_lock);
        bool mine = is_abandoned(heap, self); /* nobody was faster */
        if (mine) {
            atomic_store_explicit(&heap->thread, 0, memory_order_relaxed);
            claim_heap(heap);
        }
        hak_os_unlock(&hak_heaps_lock);
        if (mine)
            return heap;
    }
    return NULL;
}

/* A heap for the calling thread, claimed: an orphan, one that was abandoned, or a new one. NULL when memory is out. */
static hak_heap_t *find_heap(void)
{
    hak_os_lock(&hak_heaps_lock);
    bool prepared = prepare_heaps();
    hak_heap_t *heap = prepared ? take_orphan() : NULL;
    hak_os_unlock(&hak_heaps_lock);
    if (heap == NULL && prepared)
        heap = find_abandoned();
    if (heap != NULL || !prepared)
        return heap;
    hak_os_lock(&hak_heaps_lock);
    heap = take_orphan();
    if (heap == NULL && (heap = new_heap()) != NULL)
        claim_heap(heap);
    hak_os_unlock(&hak_heaps_lock);
    return heap;
}

/* The list may have been made anew by a fork meanwhile, but never with what is claimed. */
static void make_orphan(hak_heap_t *heap)
{
    hak_os_lock(&hak_heaps_lock);
    atomic_store_explicit(&heap->thread, 0, memory_order_relaxed);
    push_orphan(heap);
    atomic_store_explicit(&heap->state, HAK_HEAP_ORPHAN, memory_order_seq_cst);
    hak_thread.claimed = NULL;
    hak_os_unlock(&hak_heaps_lock);
    hak_remote_flush_unattended(heap);
}

static void use_heap(hak_thread_t *thread, hak_heap_t *heap)
{
#if !HAK_TLS_BINS
    thread->bins = heap->bins;
#endif
    thread->heap = heap;
    thread->self = hak_free_is_watched() ? HAK_NO_OWNER : hak_entry(heap->owner, 0);
    thread->claimed = NULL;
    if (hak_sample_is_on())
        hak_sample_begin_heap(heap);
    hak_bins_init(thread);
}

static void forget_heap(void)
{
    hak_thread.heap = NULL;
    hak_thread.self = HAK_NO_OWNER;
#if !HAK_TLS_BINS
    hak_thread.bins = (hak_bin_t *)hak_thread_no_bins;
#endif
}

hak_heap_t *hak_heap_attach(void)
{
    hak_thread_t *thread = &hak_thread;
    if (thread->ended) /* nobody would tell of another end: libc frees after all destructors */
        return NULL;
    hak_heap_t *heap = find_heap();
    if (heap == NULL)
        return NULL;
    use_heap(thread, heap);
    if (heap->owner > UNNAMED)
        atomic_store_explicit(&heap->thread, hak_os_thread_name(), memory_order_relaxed);
    /* May call calloc, which by now finds the heap. If it fails, or there is no key, the heap is found again later. */
    int saved = errno;
    if (make_key())
        pthread_setspecific(thread_key, heap);
    errno = saved;
    return heap;
}

hak_heap_t *hak_heap_make_unowned(void)
{
    hak_heap_t *heap = NULL;
#if HAK_SAMPLING
    hak_os_lock(&hak_heaps_lock);
    heap = prepare_heaps() ? new_heap() : NULL;
    if (heap != NULL)
        heap->unowned = true;
    hak_os_unlock(&hak_heaps_lock);
#endif
    return heap;
}

hak_heap_t *hak_heap_attach_at_need(void)
{
    /* Not in the first thread, which is the only one of most programs. A recording wants to be told of each thread's end. */
    if (hak_thread.strays >= HAK_STRAYS || hak_heap_count() == 0 || hak_record_is_on())
        return hak_heap_attach();
    hak_thread.strays++;
    return NULL;
}

/* Any heap whose lock is free; NULL if it is of none that is tried. Unchecked: as hak_heap_lock_one. */
static hak_heap_t *try_lenders(void) HAK_LOCKS_UNCHECKED
{
    uint32_t count = hak_heap_count();
    for (uint32_t i = 0; i < LENDERS && count != 0; i++) {
        uint32_t at = atomic_fetch_add_explicit(&lent, 1, memory_order_relaxed);
        hak_heap_t *heap = hak_heap_by_owner(1 + at % count);
        if (hak_os_try_lock(&heap->lock))
            return heap;
    }
    return NULL;
}

static void sleep_shortly(void)
{
    uint32_t word = 0; /* nobody changes it */
    hak_os_futex_wait_for(&word, 0, 1);
}

/* With more threads than heaps, every heap may be in use at once: each holder waits for the pool, and its holder is off its core.
 * That is not for long, and no reason to refuse a block. No lock is waited for: its holder may have ended, or be LOST.
 * Unchecked: no attribute can name the lock of the heap that it returns. */
hak_heap_t *hak_heap_lock_one(void) HAK_LOCKS_UNCHECKED
{
    hak_heap_t *heap = find_heap();
    if (heap != NULL) {
        hak_os_lock(&heap->lock);
        return heap;
    }
    heap = try_lenders();
    for (unsigned i = 0; heap == NULL && i < LENT_LATER && hak_heap_count() != 0; i++) {
        sleep_shortly();
        heap = try_lenders();
    }
    return heap;
}

void hak_heap_unlock_one(hak_heap_t *heap)
{
    hak_os_unlock(&heap->lock);
    if (hak_thread.claimed == heap)
        make_orphan(heap);
    else
        hak_remote_flush_unattended(heap); /* somebody may have found the lock taken */
}

/* --- given up ----------------------------------------------------------------------------------------------------- */

/* What others have freed goes into the slabs, and those that are empty back to the pool. */
static void settle_and_unlock(hak_heap_t *heap) HAK_RELEASES(heap->lock)
{
    hak_remote_put_inbox(heap);
    hak_slab_release_empty(heap);
    if (HAK_CHECKS)
        hak_slab_check(heap);
    hak_os_unlock(&heap->lock);
}

/* The same, and what was set aside goes there first. */
static void trim_and_unlock(hak_heap_t *heap) HAK_RELEASES(heap->lock)
{
    hak_bins_flush_previous(heap);
    settle_and_unlock(heap);
}

/* What a thread holds goes where it belongs, and what is empty then goes back to the pool. If it ends, a little stays for the
 * heap's next thread. */
static void empty_heap(hak_thread_t *thread, hak_heap_t *heap)
{
    if (HAK_HARDEN)
        hak_quarantine_flush_other(thread->ended);
    hak_oversize_flush_cache(heap);
    hak_os_lock(&heap->lock);
    if (thread->ended)
        hak_bins_end(thread, heap);
    else
        hak_bins_empty(thread, heap);
    settle_and_unlock(heap);
}

void hak_heap_give_up(void)
{
    if (hak_thread.heap != NULL)
        empty_heap(&hak_thread, hak_thread.heap);
}

void hak_heap_detach(void)
{
    hak_heap_t *heap = hak_thread.heap;
    empty_heap(&hak_thread, heap);
    hak_thread.claimed = heap;
    forget_heap();
    hak_trace("heap orphaned", heap, heap->owner);
    make_orphan(heap);
    if (HAK_LEARNER)
        hak_learner_thread_ended();
}

void hak_heap_trim(void)
{
    if (HAK_CALL_SITES)
        hak_site_cache_flush();
    hak_heap_give_up();
    if (hak_thread.heap != NULL)
        hak_bins_reset(&hak_thread);
    uint32_t count = hak_heap_count();
    for (uint32_t owner = 1; owner <= count; owner++) {
        hak_heap_t *heap = hak_heap_by_owner(owner);
        hak_oversize_flush_cache(heap);
        if (!hak_os_try_lock(&heap->lock))
            continue;
        trim_and_unlock(heap);
        hak_purging_t place = {0};
        hak_slab_purge_free(heap, &place, UINT32_MAX);
        hak_remote_flush_unattended(heap);
    }
}

/* A thread that has not looked at the clock for so long is asleep; all heaps are visited as often. */
static size_t idle_after_ms(void)
{
    return hak_max(hak_policy()->purge_delay_ms, IDLE_MS);
}

static bool heap_sleeps(hak_heap_t *heap, uint32_t now_ms)
{
    uint32_t seen_ms = atomic_load_explicit(&heap->seen_ms, memory_order_relaxed);
    uint32_t idle_ms = hak_tick_since(seen_ms, now_ms);
    return heap != hak_thread.heap && idle_ms >= idle_after_ms();
}

/* A heap whose thread sleeps, or has ended. Large blocks go back with what was set aside, and pages of blocks that are free in its
 * slabs: those in its bins, which nobody reaches, may be in any of them. Of a few slabs, as the visitor wants to go on with its own
 * work; false if it has to come again. */
static bool visit_heap(hak_heap_t *heap)
{
    hak_oversize_flush_cache(heap);
    bool holds = atomic_load_explicit(&heap->holds, memory_order_relaxed) != HAK_HOLDS_NOTHING ||
                 atomic_load_explicit(&heap->inbox, memory_order_relaxed) != NULL;
    if (!holds || !hak_os_try_lock(&heap->lock))
        return true;
    uint32_t seen_ms = atomic_load_explicit(&heap->seen_ms, memory_order_relaxed);
    if (heap->purging.seen_ms != seen_ms) /* its thread was awake meanwhile */
        heap->purging = (hak_purging_t){.seen_ms = seen_ms};
    trim_and_unlock(heap);
    bool through = !HAK_PURGE || hak_slab_purge_free(heap, &heap->purging, PURGED);
    if (!through)
        atomic_store_explicit(&heap->holds, HAK_HOLDS_MUCH, memory_order_relaxed);
    hak_remote_flush_unattended(heap);
    return through;
}

bool hak_heaps_flush_unattended(uint32_t now_ms)
{
    uint32_t count = hak_heap_count();
    uint32_t began = atomic_load_explicit(&round_ms, memory_order_relaxed);
    if (hak_tick_since(began, now_ms) >= idle_after_ms() &&
        atomic_compare_exchange_strong_explicit(&round_ms, &began, now_ms, memory_order_relaxed,
                                                memory_order_relaxed))
        atomic_store_explicit(&visited, 0, memory_order_relaxed);
    for (unsigned i = 0; i < VISITS && atomic_load_explicit(&visited, memory_order_relaxed) < count; i++) {
        uint32_t owner = atomic_fetch_add_explicit(&visited, 1, memory_order_relaxed) + 1;
        if (owner > count || !heap_sleeps(hak_heap_by_owner(owner), now_ms) ||
            visit_heap(hak_heap_by_owner(owner)))
            continue;
        atomic_store_explicit(&visited, owner - 1, memory_order_relaxed);
        break;
    }
    return atomic_load_explicit(&visited, memory_order_relaxed) < count;
}

static hak_slab_t *adopt_from(hak_heap_t *from, hak_heap_t *heap, unsigned c) HAK_REQUIRES(heap->lock)
{
    if (!hak_os_try_lock(&from->lock))
        return NULL;
    hak_slab_t *slab = hak_slab_adopt(from, heap, c);
    hak_os_unlock(&from->lock);
    hak_remote_flush_unattended(from); /* somebody may have found the lock taken */
    return slab;
}

/* An orphan that has none goes to the end of the ring, or those behind the first few would never be asked. */
static HAK_NOINLINE hak_slab_t *adopt_slab(hak_heap_t *heap, unsigned c) HAK_REQUIRES(heap->lock)
{
    hak_slab_t *slab = NULL;
    hak_os_lock(&hak_heaps_lock);
    hak_heap_t *last = atomic_load_explicit(&orphans, memory_order_relaxed);
    hak_heap_t *from = last;
    for (unsigned i = 0; i < ADOPT_FROM && from != NULL; i++) {
        from = from->next_orphan;
        slab = adopt_from(from, heap, c);
        if (slab != NULL)
            break;
        atomic_store_explicit(&orphans, from, memory_order_relaxed);
        if (from == last)
            break;
    }
    hak_os_unlock(&hak_heaps_lock);
    return slab;
}

hak_slab_t *hak_heap_adopt_slab(hak_heap_t *heap, unsigned c)
{
    return hak_likely(atomic_load_explicit(&orphans, memory_order_relaxed) == NULL) ? NULL
                                                                                    : adopt_slab(heap, c);
}

/* --- in a forked child -------------------------------------------------------------------------------------------- */

static bool list_is_broken; /* of orphans; from hak_heaps_find_lost to hak_heaps_after_fork */

void hak_heaps_find_lost(void)
{
    uint32_t count = hak_heap_count();
    list_is_broken = hak_os_lock_reset(&hak_heaps_lock);
    for (uint32_t owner = 1; owner <= count; owner++) {
        hak_heap_t *heap = hak_heap_by_owner(owner);
        if (atomic_load_explicit(&heap->lock.word, memory_order_relaxed) == 0 ||
            hak_os_lock_came_along(&heap->lock))
            continue;
        list_is_broken |= atomic_load_explicit(&heap->state, memory_order_seq_cst) == HAK_HEAP_ORPHAN;
        atomic_store_explicit(&heap->state, HAK_HEAP_LOST, memory_order_seq_cst);
    }
}

/* Forgets which blocks of the slab are free: those in use may be freed, and are then the only free ones. */
static void salvage_slab(const void *first, uint32_t owner)
{
    hak_slab_t *slab = hak_slab_of(first);
    if (hak_slab_base(slab) != first ||
        atomic_load_explicit(&slab->heap, memory_order_relaxed) != hak_heap_by_owner(owner))
        return;
    slab->free = NULL;
    slab->free_count = 0;
    slab->carved = (uint32_t)hak_min(hak_slab_edge(slab), slab->capacity); /* see add_purged in slab.c */
    slab->purged = 0;
    slab->listed = false;
}

/* Somebody who does not exist here was at the slabs of the calling thread's heap, with its lock: the lists that lead to them may
 * be in any state. What is in the bins, and in use, is sound: the heap goes on with that, and with slabs to come.
 * Unchecked: the holder of the lock does not exist. */
static void salvage_heap(hak_heap_t *heap) HAK_LOCKS_UNCHECKED
{
    if (heap == NULL || atomic_load_explicit(&heap->state, memory_order_seq_cst) != HAK_HEAP_LOST)
        return;
    for (unsigned c = 0; c < HAK_CLASSES; c++)
        LIST_INIT(hak_heap_slabs(heap, c));
    heap->empty_count = heap->empty_slices = 0;
    hak_map_each(heap->owner, salvage_slab);
    hak_os_lock_reset(&heap->lock);
    heap->generation = hak_os_generation();
    atomic_store_explicit(&heap->state, HAK_HEAP_LIVE, memory_order_seq_cst);
}

/* The thread of a heap that was LIVE when the process was forked does not exist, unless it is the caller. Orphans are not written
 * to without need: each would cost the child a page. */
static void orphan_if_left(hak_heap_t *heap) HAK_REQUIRES(hak_heaps_lock)
{
    uint32_t state = atomic_load_explicit(&heap->state, memory_order_seq_cst);
    bool left =
        state == HAK_HEAP_LIVE && heap->generation != hak_os_generation() && !hak_heap_is_unowned(heap);
    if (left) {
        atomic_store_explicit(&heap->thread, 0, memory_order_relaxed);
        atomic_store_explicit(&heap->state, HAK_HEAP_ORPHAN, memory_order_seq_cst);
    }
    if (!left && !(list_is_broken && state == HAK_HEAP_ORPHAN))
        return;
    push_orphan(heap);
}

/* The number of the thread that forked has changed with the process. */
static void keep_own(hak_heap_t *heap)
{
    if (heap == NULL)
        return;
    heap->generation = hak_os_generation();
    if (atomic_load_explicit(&heap->thread, memory_order_relaxed) != 0)
        atomic_store_explicit(&heap->thread, hak_os_thread_name(), memory_order_relaxed);
}

/* Or the child would hand out in the order in which its parent goes on. */
static void begin_another_order(void)
{
#if HAK_HARDEN
    hak_harden_part(hak_os_thread_name());
    hak_thread.random = hak_harden_seed();
    hak_thread.places = 0;
#endif
}

HAK_COLD bool hak_heaps_after_fork(void)
{
    begin_another_order();
    salvage_heap(hak_thread.heap);
    salvage_heap(hak_thread.claimed);
    keep_own(hak_thread.heap);
    keep_own(hak_thread.claimed);
    /* Tried, because a thread that was made since may hold it and wait for this repair; or the caller itself holds it. */
    if (!hak_os_try_lock(&hak_heaps_lock))
        return false;
    if (list_is_broken)
        atomic_store_explicit(&orphans, NULL, memory_order_relaxed);
    for (uint32_t owner = 1; owner <= hak_heap_count(); owner++)
        orphan_if_left(hak_heap_by_owner(owner));
    list_is_broken = false;
    hak_os_unlock(&hak_heaps_lock);
    return true;
}

uint32_t hak_heap_count(void)
{
    return atomic_load_explicit(&heap_count, memory_order_acquire);
}

hak_heap_t *hak_heap_by_owner(uint32_t owner)
{
    /* acquire: pairs with the release in hak_slab_adopt; the caller has the owner from an entry that an adopter may have
     * written just now */
    atomic_thread_fence(memory_order_acquire);
    return &heap_pieces[owner >> PIECE_SHIFT][owner & (PIECE_HEAPS - 1)];
}
