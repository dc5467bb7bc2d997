/* SPDX-License-Identifier: MIT */
/* bin.c: see bin.h. No state. */
#include "mem/bin.h"

#include "base/policy.h"
#include "mem/caps.h"
#include "mem/free_slow.h"
#include "mem/learner.h"
#include "mem/remote.h"
#include "mem/sample.h"
#include "mem/slab.h"
#include "mem/tick.h"
#include "obs/trace.h"

/* Classes that a refill looks at: with 1 sh6 needs 1.5 times the memory, with 4 1.15 times the instructions. */
#define SWEEP_CLASSES ((unsigned)HAK_BUILT_sweep_classes)
#define SWEEP_FIRST   9u  /* blocks of 144 bytes */
#define LOOKS_AT_ALL  4u  /* looks at what all bins hand out next; */
#define LOOK_BINS     8u  /* afterwards so many at a time */
#define GROUPED_FROM  8u  /* the class from which on tiny ones begin together */
#define TO_AND_FRO    4u  /* lists that were put back, at most, where a bin is to grow */
#define PUT_BACK_MOST 15u /* as far as they are counted */
/* Frees that fill a bin once PUT_BACK_MOST lists went back: bursts of 64 B take 1.6 % more instructions, with 32 3.8 %. */
#define FULL_SOONER 64u
/* The number of previous lists that come back before one is counted doubles each time that it turns out to be short, as far as
 * these. */
#define UNCOUNTED_TINY 64u
#define UNCOUNTED_MID  16u

enum {
    GROWN_NOT, /* a bin is as large as it begins */
    GROWN_ONCE,
    GROWN_FULLY /* as far as the policy allows */
};

/* Previous lists are short: nobody has set one aside since a thread left them. Its own thread's to ask. */
static bool holds_little(hak_heap_t *heap)
{
    return atomic_load_explicit(&heap->holds, memory_order_relaxed) != HAK_HOLDS_MUCH;
}

/* What had left the bin is asked for again: it is too small for what goes to and fro. Not so if that was much: of a program that
 * takes all and frees all in turns, no bin is large enough. Nor if it is asked for, but never used up: a thread that frees more
 * than it allocates takes each list back. So that makes a bin grow once, and then only if slabs are asked, too. Returns the
 * block, so that callers end with it: nothing is saved across a call. */
static HAK_NOINLINE void *grow_bin(hak_heap_t *heap, unsigned c, void *block)
{
    if (heap->class[c].put_back > TO_AND_FRO)
        return block;
    if (holds_little(heap)) /* what came back is not this thread's */
        return block;
    hak_bin_t *bin = &hak_thread.bins[c];
    const hak_policy_t *policy = hak_policy();
    uint16_t last = hak_caps_last(policy, c, hak_heaps_sharing());
    bin->cap = (uint16_t)hak_min(policy->bin_growth * bin->cap, last);
    heap->class[c].grown = bin->cap == last ? GROWN_FULLY : GROWN_ONCE;
    heap->grew = true;
    return block;
}

/* frees_left of a bin that is empty. */
HAK_INLINE uint32_t frees_of_empty(hak_heap_t *heap, const hak_bin_t *bin, unsigned c)
{
    return hak_sample_is_on() ? hak_sample_frees(heap, c, 0, bin->cap) : bin->cap;
}

static void forget_growth(hak_heap_t *heap)
{
    heap->grew = false;
    for (unsigned c = 1; c < HAK_CLASSES; c++)
        heap->class[c].grown = GROWN_NOT;
}

/* Records of classes are not touched without need, nor in hak_bins_end: of threads that come and go each is on another core. */
void hak_bins_reset(hak_thread_t *thread)
{
    hak_heap_t *heap = thread->heap;
    hak_caps_learn(heap);
    for (unsigned c = 1; c < HAK_CLASSES; c++) {
        thread->bins[c].cap = heap->first_caps[c];
        thread->bins[c].frees_left = frees_of_empty(heap, &thread->bins[c], c);
    }
    if (heap->grew)
        forget_growth(heap);
}

void hak_bins_init(hak_thread_t *thread)
{
    hak_bins_reset(thread);
#if HAK_HARDEN
    thread->random = hak_harden_seed();
    thread->places = 0;
#endif
}

static HAK_NOINLINE void put_back(hak_heap_t *heap, void *list)
{
    hak_os_lock(&heap->lock);
    hak_slab_put_list(heap, list);
    hak_os_unlock(&heap->lock);
    hak_tick(heap);
}

static bool has_previous(const hak_heap_t *heap, unsigned c)
{
    return atomic_load_explicit(&heap->class[c].previous, memory_order_relaxed) != NULL;
}

/* What was there is the caller's. acquire: pairs with the release in set_aside, for whoever is not the heap's thread. */
static void *take_previous(hak_heap_t *heap, unsigned c)
{
    return atomic_exchange_explicit(&heap->class[c].previous, NULL, memory_order_acquire);
}

/* The bin has been empty without a previous list: what it has now is short. */
HAK_INLINE void begin_uncounted(hak_heap_t *heap, size_t c)
{
    heap->class[c].uncounted = heap->class[c].uncounted_most;
}

/* When PUT_BACK_MOST lists have gone back, and malloc asked for none, what comes now will not be asked for soon, and each block
 * that is kept may hold a slab by itself: the bin is full sooner, until it is filled again. (When redis had freed 2.7 million
 * keys, bins held 1,025 slabs.) */
static HAK_NOINLINE void flush_previous(hak_heap_t *heap, size_t c, void *list)
{
    hak_bin_t *bin = &hak_thread.bins[c];
    if (heap->class[c].put_back < PUT_BACK_MOST)
        heap->class[c].put_back++;
    else if (!hak_sample_is_on())
        bin->frees_left = (uint32_t)hak_min(bin->frees_left, FULL_SOONER);
    begin_uncounted(heap, c); /* the list that came after this one was an empty bin's */
    put_back(heap, list);
}

/* Makes a list the previous one; returns the one that was it before. */
static void *set_aside(hak_heap_t *heap, size_t c, void *list)
{
    void *before = atomic_exchange_explicit(&heap->class[c].previous, list, memory_order_acq_rel);
    /* release: who finds it set finds the previous list, too */
    atomic_store_explicit(&heap->holds, HAK_HOLDS_MUCH, memory_order_release);
    return before;
}

void hak_bins_flush_previous(hak_heap_t *heap)
{
    if (atomic_exchange_explicit(&heap->holds, HAK_HOLDS_NOTHING, memory_order_acq_rel) == HAK_HOLDS_NOTHING)
        return;
    for (unsigned c = 1; c <= HAK_MID_CLASSES; c++)
        if (has_previous(heap, c))
            hak_slab_put_list(heap, take_previous(heap, c));
}

/* Cuts a list behind its first `most` blocks; *length becomes what is left of it. Returns the rest. */
static void *cut_list(void *list, uint32_t most, uint32_t *length)
{
    void *last = NULL;
    for (*length = 0; list != NULL && *length < most; list = hak_link_next(list), ++*length)
        last = list;
    if (list != NULL && last != NULL)
        hak_link_set(last, NULL);
    return list;
}

/* A list that comes back is as long as it was, and grows by up to a cap before it is set aside again: where a thread frees
 * more than it allocates, and allocates now and then, each time. Nobody has counted, so it is counted here, once in a while. */
static HAK_NOINLINE void *shorten_returned(hak_heap_t *heap, unsigned c, void *list)
{
    uint32_t length;
    uint32_t caps = heap->class[c].uncounted_most > 1 ? 2 : 1; /* what was too long before will be so again */
    void *rest = cut_list(list, caps * hak_thread.bins[c].cap, &length);
    uint8_t most = c <= HAK_TINY_CLASSES ? UNCOUNTED_TINY : UNCOUNTED_MID;
    uint8_t next = rest != NULL ? 1 : (uint8_t)hak_min(2u * heap->class[c].uncounted_most, most);
    heap->class[c].uncounted = heap->class[c].uncounted_most = next;
    if (rest != NULL)
        put_back(heap, rest);
    return list;
}

/* The previous list came back to the bin since a slab filled that. */
static bool was_taken_back(const hak_heap_t *heap, unsigned c)
{
    return heap->class[c].uncounted != heap->class[c].uncounted_most;
}

/* The previous list, for the bin, which is empty. NULL if there is none. */
HAK_INLINE void *take_back(hak_heap_t *heap, unsigned c)
{
    void *list = take_previous(heap, c);
    if (list != NULL && hak_unlikely(--heap->class[c].uncounted == 0))
        return shorten_returned(heap, c, list);
    return list;
}

/* Of a bin with a cap of one. */
static HAK_COLD void keep_none(hak_heap_t *heap, hak_bin_t *bin)
{
    void *list = bin->head;
    bin->head = NULL;
    bin->frees_left = bin->cap;
    put_back(heap, list);
}

/* Of blocks that are runs by themselves a bin keeps half of what it may hold, and there is no previous list: each is memory that
 * others could use. Cut by itself: cut_list, which may be given nothing, takes 1 to 8 instructions more in a pair of 64 to 256
 * KiB. */
static HAK_NOINLINE void bin_full_of_runs(hak_heap_t *heap, hak_bin_t *bin)
{
    void *last = bin->head;
    uint32_t kept = 1;
    for (; kept < bin->cap / 2 && hak_link_next(last) != NULL; kept++)
        last = hak_link_next(last);
    void *rest = hak_link_next(last);
    bin->frees_left = bin->cap - kept;
    if (hak_unlikely(bin->frees_left == 0)) {
        keep_none(heap, bin);
    } else if (rest == NULL) {
        hak_tick_short(heap);
    } else {
        hak_link_set(last, NULL);
        put_back(heap, rest);
    }
}

/* --- while calls are sampled (obs/countdown.h) ---------------------------------------------------------------------- */

/* The bin has this list, but no more than `most` of it, and than calls are left before one is sampled. The rest is laid aside. */
static void begin_counted(hak_heap_t *heap, unsigned c, void *list, uint32_t most)
{
    hak_bin_t *bin = &hak_thread.bins[c];
    uint32_t length;
    void *rest = cut_list(list, (uint32_t)hak_min(most, hak_sample_left(heap, c)), &length);
    bin->head = length != 0 ? list : NULL;
    bin->frees_left = hak_sample_frees(heap, c, length, bin->cap);
    if (rest != NULL && c <= HAK_MID_CLASSES)
        rest = set_aside(heap, c, rest);
    if (rest != NULL)
        flush_previous(heap, c, rest);
}

/* Calls that the bin has met are counted. */
static void book_calls(hak_heap_t *heap, const hak_bin_t *bin, unsigned c)
{
    uint32_t length;
    cut_list(bin->head, UINT32_MAX, &length);
    hak_sample_book(heap, c, length, bin->frees_left);
}

/* Half of what is left may stay in the bin as blocks, so that as many frees fit, too, before this is done again. */
static HAK_COLD void full_counted(hak_heap_t *heap, hak_bin_t *bin, unsigned c)
{
    book_calls(heap, bin, c);
    begin_counted(heap, c, bin->head, (uint32_t)hak_min(bin->cap / 2, hak_sample_left(heap, c) / 2));
    hak_tick(heap);
}

/* --- full --------------------------------------------------------------------------------------------------------- */

void hak_bin_full(size_t offset)
{
    hak_heap_t *heap = hak_thread.heap;
    hak_bin_t *bin = (hak_bin_t *)(void *)((char *)hak_thread.bins + offset);
    size_t c = offset / HAK_BIN_BYTES;
    if (hak_sample_is_on()) {
        full_counted(heap, bin, (unsigned)c);
        return;
    }
    if (c > HAK_MID_CLASSES) {
        bin_full_of_runs(heap, bin);
        return;
    }
    void *list = bin->head;
    bin->head = NULL; /* first: with the bins in the heap, a forked child would find the list in both */
    bin->frees_left = bin->cap;
    void *stale = set_aside(heap, c, list);
    if (stale != NULL)
        flush_previous(heap, c, stale);
    else
        hak_tick(heap);
}

/* The class's bin begins anew with this list, of which the first block is the caller's. */
static void *begin_bin(hak_heap_t *heap, unsigned c, void *list)
{
    hak_bin_t *bin = &hak_thread.bins[c];
    heap->class[c].ran_out = true;
    bin->frees_left = bin->cap;
    bin->head = hak_link_next(list);
    hak_link_unseal(list);
    return list;
}

/* For a thread that has no heap: one block by way of another. */
static void *take_by_borrowing(unsigned c)
{
    hak_heap_t *heap = hak_heap_lock_one();
    if (heap == NULL)
        return NULL;
    hak_os_is_locked(&heap->lock);
    void *block = hak_slab_take_one(heap, c);
    hak_heap_unlock_one(heap);
    return block;
}

/* What the class holds back goes into the bin; the block freed last only when the thread ends. */
static void flush_quarantine(hak_bin_t *bin, unsigned c)
{
#if HAK_HARDEN
    for (unsigned i = 0; c <= HAK_TINY_CLASSES && i < HAK_QUARANTINE; i++) {
        void *block = hak_thread.quarantine[c][i];
        if (block == NULL || (block == hak_thread.last && !hak_thread.ended))
            continue;
        if (!hak_harden_is_unlinked(block))
            hak_harden_corrupted(block);
        hak_thread.quarantine[c][i] = NULL;
        hak_link_set(block, bin->head);
        bin->head = block;
    }
#else
    (void)bin, (void)c;
#endif
}

static void send_remote(hak_heap_t *heap, unsigned c) HAK_REQUIRES(heap->lock)
{
    if (heap->class[c].remote != NULL)
        hak_remote_send(heap, c);
}

static void empty_bin(hak_heap_t *heap, hak_bin_t *bin, unsigned c) HAK_REQUIRES(heap->lock)
{
    flush_quarantine(bin, c);
    if (hak_sample_is_on())
        book_calls(heap, bin, c);
    if (bin->head != NULL)
        hak_slab_put_list(heap, bin->head);
    if (has_previous(heap, c))
        hak_slab_put_list(heap, take_previous(heap, c));
    send_remote(heap, c);
    bin->head = NULL;
    bin->frees_left = frees_of_empty(heap, bin, c);
}

/* Changes with each malloc and free, but for one in 65,536. */
static uint16_t state_of(const hak_bin_t *bin)
{
    return (uint16_t)((uintptr_t)bin->head / HAK_ALIGN ^ bin->frees_left);
}

static bool holds_blocks(const hak_heap_t *heap, const hak_bin_t *bin, unsigned c)
{
    return HAK_HARDEN || bin->head != NULL || has_previous(heap, c) || heap->class[c].remote != NULL;
}

/* It was not used since the sweep came by last, and has something. */
HAK_INLINE bool is_idle(const hak_heap_t *heap, const hak_bin_t *bin, unsigned c)
{
    return bin->seen == state_of(bin) && holds_blocks(heap, bin, c);
}

/* Empties bins that were not used since the sweep came by last: their slabs may serve other classes. A few
 * classes at each refill; a bin of tinier ones is too little memory for the work. */
HAK_INLINE void sweep_idle_bins(hak_heap_t *heap) HAK_REQUIRES(heap->lock)
{
    unsigned c = heap->swept;
    for (unsigned i = 0; i < SWEEP_CLASSES; i++) {
        c = c < HAK_MID_CLASSES ? c + 1 : SWEEP_FIRST;
        hak_bin_t *bin = &hak_thread.bins[c];
        if (is_idle(heap, bin, c))
            empty_bin(heap, bin, c);
        bin->seen = state_of(bin);
    }
    heap->swept = c;
}

void hak_bins_sweep(hak_heap_t *heap)
{
    hak_os_lock(&heap->lock);
    for (unsigned c = 1; c < HAK_CLASSES; c++) {
        hak_bin_t *bin = &hak_thread.bins[c];
        if (is_idle(heap, bin, c)) {
            bin->cap = heap->first_caps[c];
            heap->class[c].grown = GROWN_NOT;
            empty_bin(heap, bin, c);
        }
        bin->seen = state_of(bin);
    }
    hak_os_unlock(&heap->lock);
}

/* Of classes that begin together the one whose blocks serve all: four to a doubling, so at most a quarter larger than need be. */
static unsigned group_of(unsigned c)
{
    unsigned classes = c <= GROUPED_FROM ? 1 : 1u << (29u - (unsigned)__builtin_clz(c - 1));
    return (unsigned)hak_round_up(c, classes);
}

/* A tiny class that has no slab, where many threads share: each of them would touch a page for each size of which it has a block
 * or two. So the first ones come from a class that several begin with. NULL: it gets a slab. */
static HAK_NOINLINE void *take_of_group(hak_heap_t *heap, unsigned c) HAK_REQUIRES(heap->lock)
{
    unsigned group = group_of(c);
    if (group == c || heap->class[c].may_borrow == 0 || hak_heap_count() <= HAK_SHARES)
        return NULL;
    heap->class[c].may_borrow--;
    hak_bin_ref_t bin = hak_bin_at(group * HAK_BIN_BYTES);
    void *block = bin->head;
    return block != NULL ? hak_bin_pop(bin, block) : hak_slab_take_one(heap, group);
}

/* A block of the next class, instead of the first touch of more memory. Of mid sizes few blocks of a class are live, so
 * their number varies much, and what one class lacks the next one has. Example: malloc(5000) finds no block of 5,120 bytes in
 * slabs, and gets one of 5,632 that was freed before; but each 17th time (`borrow` of the policy is 16) a class gets its own all
 * the same, as one must that is never freed to. NULL if there is none to spare. */
HAK_INLINE void *borrow_block(hak_heap_t *heap, unsigned c)
{
    if (heap->class[c].may_borrow-- == 0) {
        heap->class[c].may_borrow = (uint8_t)hak_policy()->borrow;
        return NULL;
    }
    hak_bin_t *next = &hak_thread.bins[c + 1];
    if (next->head == NULL && has_previous(heap, c + 1) && heap->class[c + 1].uncounted > 1) {
        next->head = take_previous(heap, c + 1);
        heap->class[c + 1].uncounted--; /* to count it the lock would have to be free */
    }
    void *block = next->head;
    if (block == NULL)
        return NULL;
    next->head = hak_link_next(block);
    hak_link_unseal(block);
    return block;
}

/* A block of a higher class; NULL if the class is to have one of its own. */
HAK_INLINE void *take_higher(hak_heap_t *heap, unsigned c, bool exact) HAK_REQUIRES(heap->lock)
{
    if (c > HAK_TINY_CLASSES && c < HAK_MID_CLASSES)
        return exact || hak_slab_has_free(heap, c) ? NULL : borrow_block(heap, c);
    bool begins = c <= HAK_TINY_CLASSES && LIST_EMPTY(hak_heap_slabs(heap, c));
    return hak_unlikely(begins) && !exact ? take_of_group(heap, c) : NULL;
}

/* Fills the bin from the slabs; or borrows a block and returns it. `zero`: NULL, or as in hak_bin_refill_zero. */
HAK_INLINE void *fill_from_slabs(hak_heap_t *heap, hak_bin_t *bin, unsigned c, bool exact, bool *zero)
{
    hak_os_lock(&heap->lock);
    sweep_idle_bins(heap);
    void *block = take_higher(heap, c, exact);
    if (block == NULL)
        bin->head = zero == NULL ? hak_slab_take_blocks(heap, c) : hak_slab_take_zero(heap, c, zero);
    if (heap->class[c].put_back != 0 || (was_taken_back(heap, c) && heap->class[c].grown != GROWN_FULLY))
        grow_bin(heap, c, NULL);
    heap->class[c].put_back = 0;
    begin_uncounted(heap, c);
    hak_os_unlock(&heap->lock);
    hak_trace_frequent("bin refilled", block != NULL ? block : bin->head, hak_class_size(c));
    return block;
}

/* The bin is empty and has no previous list. Compiled twice: calloc's question would cost each other refill six instructions. */
HAK_INLINE void *refill_bin(unsigned c, bool exact, bool *zero)
{
    hak_heap_t *heap = hak_thread.heap != NULL ? hak_thread.heap : hak_heap_attach_at_need();
    if (heap == NULL)
        return take_by_borrowing(c);
    hak_bin_t *bin = &hak_thread.bins[c];
    hak_count_add(&heap->counters, HAK_COUNTER_refills, 1);
    if (bin->head == NULL && atomic_load_explicit(&heap->inbox, memory_order_relaxed) != NULL)
        hak_remote_drain(heap);
    void *borrowed = bin->head != NULL ? NULL : fill_from_slabs(heap, bin, c, exact, zero);
    if (borrowed != NULL || bin->head == NULL)
        return borrowed;
    void *block = begin_bin(heap, c, bin->head);
    hak_tick(heap); /* a thread that never frees comes by nowhere else */
    return block;
}

/* While the learner looks. A bin of runs does not grow by itself: it is told here what it may hold by now. It is empty. */
static uint64_t watched_begins(hak_heap_t *heap, unsigned c)
{
    if (c > HAK_MID_CLASSES && heap != NULL)
        hak_thread.bins[c].cap = hak_caps_last(hak_policy(), c, hak_heaps_sharing());
    return hak_learner_refill_begins(heap, c);
}

/* Compiled once more, so that no other refill pays for it. */
static HAK_NOINLINE void *refill_watched(unsigned c, bool exact)
{
    uint64_t since_ns = watched_begins(hak_thread.heap, c);
    void *block = refill_bin(c, exact, NULL);
    hak_learner_refill_ended(since_ns);
    return block;
}

static HAK_NOINLINE void *refill_any(unsigned c, bool exact)
{
    if (hak_learner_is_watching())
        return refill_watched(c, exact);
    return refill_bin(c, exact, NULL);
}

/* Of what malloc finds when its bin is empty: what is laid aside, what others sent, what is in the slabs. */
static void *list_for(hak_heap_t *heap, hak_bin_t *bin, unsigned c, bool *zero)
{
    if (bin->head != NULL) /* when the heap was attached, somebody else took a block of the class */
        return bin->head;
    void *list = take_back(heap, c);
    hak_count_add(&heap->counters, list != NULL ? HAK_COUNTER_previous_refills : HAK_COUNTER_refills, 1);
    if (list != NULL)
        return heap->class[c].grown != GROWN_NOT ? list : grow_bin(heap, c, list);
    if (atomic_load_explicit(&heap->inbox, memory_order_relaxed) != NULL)
        hak_remote_drain(heap);
    if (bin->head == NULL)
        fill_from_slabs(heap, bin, c, true, zero);
    return bin->head;
}

/* Nothing is borrowed from the next class: its bin would not know of it. */
static void *refill_counted(unsigned c, bool *zero)
{
    hak_heap_t *heap = hak_thread.heap != NULL ? hak_thread.heap : hak_heap_attach_at_need();
    void *block = heap == NULL ? hak_sample_stray(c) : NULL;
    if (heap == NULL)
        return block != NULL ? block : take_by_borrowing(c);
    hak_bin_t *bin = &hak_thread.bins[c];
    book_calls(heap, bin, c);
    bool timed;
    block = hak_sample_call(heap, c, &timed);
    begin_counted(heap, c, bin->head, UINT32_MAX);
    if (block != NULL)
        return block;
    uint64_t since_ns = hak_time_begin();
    block = list_for(heap, bin, c, zero);
    hak_time_end(HAK_TIME_refill, since_ns);
    if (block == NULL)
        return NULL;
    heap->class[c].ran_out = true;
    if (timed && hak_sample_left(heap, c) != 0) {
        begin_counted(heap, c, block, UINT32_MAX);
        return hak_sample_timed(heap, c);
    }
    begin_counted(heap, c, hak_link_next(block), UINT32_MAX);
    hak_link_unseal(block);
    return block;
}

static HAK_COLD void *refill_sampling(unsigned c, bool *zero)
{
    if (!hak_learner_is_watching())
        return refill_counted(c, zero);
    uint64_t since_ns = hak_learner_refill_begins(hak_thread.heap, c);
    void *block = refill_counted(c, zero);
    hak_learner_refill_ended(since_ns);
    return block;
}

void *hak_bin_refill(unsigned c, bool exact)
{
    if (hak_sample_is_on())
        return refill_sampling(c, NULL);
    hak_heap_t *heap = hak_thread.heap;
    void *list = heap != NULL ? take_back(heap, c) : NULL;
    if (list == NULL)
        return refill_any(c, exact);
    hak_count_add(&heap->counters, HAK_COUNTER_previous_refills, 1);
    void *block = begin_bin(heap, c, list);
    return hak_likely(heap->class[c].grown != GROWN_NOT) ? block : grow_bin(heap, c, block);
}

void *hak_bin_refill_zero(unsigned c, bool *zero)
{
    if (hak_sample_is_on())
        return refill_sampling(c, zero);
    hak_heap_t *heap = hak_thread.heap;
    if (heap == NULL || !has_previous(heap, c)) {
        if (hak_learner_is_watching())
            watched_begins(heap, c);
        return refill_bin(c, false, zero);
    }
    return hak_bin_refill(c, false);
}

void hak_bins_book(void)
{
    if (!hak_sample_is_on() || hak_thread.heap == NULL)
        return;
    for (unsigned c = 1; c < HAK_CLASSES; c++)
        book_calls(hak_thread.heap, &hak_thread.bins[c], c);
}

/* At all of a heap that is new: what is wrong with a small program is seen at the next size that it asks for. Of a pointer into a
 * block that its own thread freed nobody knows before. */
void hak_bins_check(hak_heap_t *heap)
{
    unsigned c = heap->looks * LOOK_BINS % (HAK_CLASSES - 1) + 1;
    for (unsigned n = heap->looks++ < LOOKS_AT_ALL ? HAK_CLASSES - 1 : LOOK_BINS; n != 0; n--) {
        const void *block = hak_thread.bins[c].head;
        if (block != NULL) {
            hak_free_check_start(block);
            hak_link_next(block);
        }
        c = c < HAK_CLASSES - 1 ? c + 1 : 1;
    }
}

void hak_bins_empty(hak_thread_t *thread, hak_heap_t *heap)
{
    heap->runs_taken = 0;
    for (unsigned c = 1; c < HAK_CLASSES; c++)
        if (hak_sample_is_on() || holds_blocks(heap, &thread->bins[c], c))
            empty_bin(heap, &thread->bins[c], c);
}

/* A thread that took few runs: what it leaves cannot be in many slabs. Not in hardened, where states lie with the slabs. */
static bool may_leave(const hak_heap_t *heap) HAK_REQUIRES(heap->lock)
{
    return !HAK_HARDEN && !hak_sample_is_on() &&
           heap->runs_taken <= HAK_LEFT_RUNS * HAK_SHARES / hak_heaps_sharing();
}

/* A previous list of more blocks than may be left; NULL if there is none. With the lock held nobody else takes it. */
static void *take_long(hak_heap_t *heap, unsigned c) HAK_REQUIRES(heap->lock)
{
    const void *block = atomic_load_explicit(&heap->class[c].previous, memory_order_relaxed);
    for (uint32_t i = 0; i < HAK_LEFT_BLOCKS && block != NULL; i++)
        block = hak_link_next(block);
    return block != NULL ? take_previous(heap, c) : NULL;
}

/* The first blocks of the bin, or of what was set aside before, stay for the heap's next thread; the others go into the slabs. */
static void leave_bin(hak_heap_t *heap, hak_bin_t *bin, unsigned c) HAK_REQUIRES(heap->lock)
{
    void *list = bin->head != NULL ? bin->head : take_long(heap, c);
    bin->head = NULL;
    if (list != NULL) {
        uint32_t length;
        void *rest = cut_list(list, HAK_LEFT_BLOCKS, &length);
        void *before = set_aside(heap, c, list);
        if (rest != NULL)
            hak_slab_put_list(heap, rest);
        if (before != NULL)
            hak_slab_put_list(heap, before);
    }
}

static void send_all(hak_heap_t *heap) HAK_REQUIRES(heap->lock)
{
    for (hak_set_t rest = hak_set_of(heap->remote_classes); rest != 0; rest &= rest - 1)
        send_remote(heap, hak_set_first(rest) + 1);
    heap->remote_classes = (hak_set_words_t){{0, 0}};
}

/* Where the thread has set nothing aside, previous lists are what those before it left: short, and not touched again. */
void hak_bins_end(hak_thread_t *thread, hak_heap_t *heap)
{
    if (!may_leave(heap)) {
        hak_bins_empty(thread, heap);
        return;
    }
    bool little = holds_little(heap);
    for (unsigned c = 1; c <= HAK_MID_CLASSES; c++)
        if (!little || thread->bins[c].head != NULL)
            leave_bin(heap, &thread->bins[c], c);
    for (unsigned c = HAK_MID_CLASSES + 1; c < HAK_CLASSES; c++)
        if (thread->bins[c].head != NULL || (!little && has_previous(heap, c)))
            empty_bin(heap, &thread->bins[c], c);
    atomic_store_explicit(&heap->holds, HAK_HOLDS_LITTLE, memory_order_release); /* as in set_aside */
    send_all(heap);
}
