/* SPDX-License-Identifier: MIT */
/* sample.c: see sample.h. */
#include "mem/sample.h"

#if HAK_SAMPLING

#include "base/call.h"
#include "base/message.h"
#include "learn/real.h"
#include "mem/fast.h"
#include "mem/oversize.h"
#include "mem/realloc.h"
#include "mem/remote.h"
#include "mem/slab.h"
#include "obs/profile_file.h"
#include "obs/site_table.h"

#include <sys/syscall.h>

#define SAMPLE_SPINS 64u                        /* looks at a lock before others get the processor */
#define TO_UNIT      (1.0 / 9007199254740992.0) /* 2^53: of as many bits a double has */

enum {
    ON_BYTES = 1, /* one block in so many bytes */
    ON_CALLS = 2, /* one call in so many */
    ON_FRONT = 4  /* all are counted, none is sampled */
};

uint32_t hak_sample_on;

static double mean_bytes; /* between two samples; written before the first block */
/* The heap of nobody; NULL until the first sample. relaxed: whoever finds it has hak_heap_by_owner's acquire, or waits for its
 * lock. */
static _Atomic(hak_heap_t *) nobody;
/* Of draws that are no heap's; relaxed: each gets its own by one addition. */
static _Atomic uint64_t draws;

/* The thread is at a sample: what it takes meanwhile is not one. */
static _Thread_local bool busy;

/* --- chance ------------------------------------------------------------------------------------------------------- */

static uint64_t next_random(uint64_t *state)
{
    *state += 0x9e3779b97f4a7c15ull; /* odd: every state comes */
    return hak_mix(*state, *state ^ 0xd1342543de82ef95ull);
}

static uint64_t shared_random(void)
{
    uint64_t state = atomic_fetch_add_explicit(&draws, 0x9e3779b97f4a7c15ull, memory_order_relaxed);
    return next_random(&state);
}

/* Above 0, at most 1. */
static double unit_of(uint64_t random)
{
    return (double)((random >> 11) + 1) * TO_UNIT;
}

/* Bytes until the next sample, exponential: that more than n blocks of s bytes fit has the chance exp(-n s / mean), so that each
 * block is the sampled one with 1 - exp(-s / mean), whatever came before. */
static uint32_t draw_bytes(uint64_t *state, size_t size)
{
    double blocks = -hak_real_ln(unit_of(next_random(state))) * mean_bytes / (double)size;
    return blocks < HAK_GAP_NONE - 1 ? (uint32_t)blocks : HAK_GAP_NONE - 1;
}

/* The same of calls, each with the same chance. */
static uint32_t draw_calls(uint64_t *state)
{
    double chance = 1.0 / (double)((uint64_t)1 << hak_options()->prof_sample);
    double calls = hak_real_ln(unit_of(next_random(state))) / hak_real_ln(1 - chance);
    return calls < HAK_GAP_NONE - 1 ? (uint32_t)calls : HAK_GAP_NONE - 1;
}

static double chance_of(size_t size)
{
    return 1 - hak_real_exp(-(double)size / mean_bytes);
}

/* Blocks of the size that a sample stands for; the fraction by chance, so that sums are right. */
static size_t weight_of(size_t size)
{
    return (size_t)(1 / chance_of(size) + 1 - unit_of(shared_random()));
}

/* --- the process -------------------------------------------------------------------------------------------------- */

static bool begin_profile(const char *path)
{
    uint64_t interval = (uint64_t)hak_options()->heap_profile_interval << 10;
    if (!hak_profile_file_set(path, interval))
        return false;
    mean_bytes = (double)interval;
    if (hak_profile_begin())
        return true;
    hak_warn("HAKMEM_HEAP_PROFILE=%s: no memory for the profile; nothing is sampled", path);
    return false;
}

void hak_sample_start(void)
{
    const char *path = hak_options()->heap_profile;
    if (path != NULL && *path != 0 && begin_profile(path))
        hak_sample_on |= ON_BYTES;
    if (hak_options()->front_stats)
        hak_sample_on |= ON_FRONT;
    hak_times_on = hak_options()->prof;
    if (hak_times_on)
        hak_sample_on |= ON_CALLS;
    uint64_t seed;
    if (hak_sample_on != 0)
        hak_os_random(&seed, 1);
    if (hak_sample_on != 0)
        atomic_store_explicit(&draws, seed, memory_order_relaxed);
}

/* A parent and its child must not sample the same calls. */
void hak_sample_after_fork(void)
{
    if (!hak_sample_is_on())
        return;
    atomic_fetch_xor_explicit(&draws, hak_os_thread_name(), memory_order_relaxed);
    hak_profile_after_fork();
}

/* --- the countdowns ----------------------------------------------------------------------------------------------- */

static void add_relaxed(_Atomic uint64_t *figure, uint64_t n)
{
    atomic_store_explicit(figure, atomic_load_explicit(figure, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

static void add_front(hak_heap_t *heap, uint64_t met, uint64_t missed)
{
    add_relaxed(&heap->met, met);
    add_relaxed(&heap->missed, missed);
}

static hak_countdown_t *countdown_of(hak_heap_t *heap, unsigned c)
{
    return &heap->class[c].countdown;
}

static uint32_t draw_gap(hak_heap_t *heap, unsigned c, unsigned gap)
{
    if (gap == HAK_GAP_BYTES)
        return (hak_sample_on & ON_BYTES) != 0 ? draw_bytes(&heap->draws, hak_class_size(c)) : HAK_GAP_NONE;
    return (hak_sample_on & ON_CALLS) != 0 ? draw_calls(&heap->draws) : HAK_GAP_NONE;
}

/* Draws anew what has come to its end; true if that was so. Others have a call less. */
static bool draw_if_due(hak_heap_t *heap, unsigned c, unsigned gap)
{
    uint32_t *left = &countdown_of(heap, c)->gap[gap];
    bool due = *left == 0;
    if (due)
        *left = draw_gap(heap, c, gap);
    else if (*left != HAK_GAP_NONE)
        --*left;
    return due;
}

void hak_sample_begin_heap(hak_heap_t *heap)
{
    if (heap->draws != 0)
        return;
    heap->draws = shared_random() | 1;
    for (unsigned c = 1; c < HAK_CLASSES; c++)
        for (unsigned gap = 0; gap < HAK_GAPS; gap++)
            countdown_of(heap, c)->gap[gap] = draw_gap(heap, c, gap);
}

uint32_t hak_sample_left(const hak_heap_t *heap, unsigned c)
{
    return hak_countdown_left(&heap->class[c].countdown);
}

void hak_sample_book(hak_heap_t *heap, unsigned c, uint32_t blocks, uint32_t frees_left)
{
    hak_countdown_t *countdown = countdown_of(heap, c);
    uint32_t met = hak_countdown_met(countdown, blocks, frees_left);
    countdown->booked -= met;
    hak_countdown_pass(countdown, met);
    add_front(heap, met, 0);
}

uint32_t hak_sample_frees(hak_heap_t *heap, unsigned c, uint32_t blocks, uint32_t cap)
{
    return hak_countdown_set(countdown_of(heap, c), blocks, cap);
}

void hak_sample_front(uint64_t *met, uint64_t *missed)
{
    *met = *missed = 0;
    for (uint32_t owner = 1; owner <= hak_heap_count(); owner++) {
        hak_heap_t *heap = hak_heap_by_owner(owner);
        *met += atomic_load_explicit(&heap->met, memory_order_relaxed);
        *missed += atomic_load_explicit(&heap->missed, memory_order_relaxed);
    }
}

/* --- what is done with a sample ----------------------------------------------------------------------------------- */

static bool is_lost(const hak_heap_t *heap)
{
    return atomic_load_explicit(&heap->state, memory_order_seq_cst) == HAK_HEAP_LOST;
}

/* In a forked child the one of its parent may be lost. */
static hak_heap_t *heap_of_nobody(void)
{
    hak_heap_t *heap = atomic_load_explicit(&nobody, memory_order_relaxed);
    if (heap != NULL && !is_lost(heap))
        return heap;
    heap = hak_heap_make_unowned();
    if (heap != NULL) /* of two that are made at once one stays empty */
        atomic_store_explicit(&nobody, heap, memory_order_relaxed);
    return heap;
}

/* Unlike other heaps' locks this one is waited for by all threads. In a forked child whoever held it may not exist, and then the
 * heap is lost: so the wait is one that looks around. False if a handler has come in between, or the heap is lost. */
static bool lock_heap(hak_heap_t *heap) HAK_TRIES(heap->lock)
{
    /* Ends: the holder is quick, or the heap is lost. */
    for (unsigned i = 1; !hak_os_lock_is_mine(&heap->lock); i++) {
        if (hak_os_try_lock(&heap->lock))
            return true;
        if (is_lost(heap))
            return false;
        if (i % SAMPLE_SPINS == 0)
            hak_call(SYS_sched_yield, 0, 0, 0, 0, 0, 0);
        hak_pause();
    }
    return false;
}

/* A block of the class from there; NULL if there is none. */
static void *take_from_nobody(unsigned c)
{
    hak_heap_t *heap = heap_of_nobody();
    if (heap == NULL || !lock_heap(heap))
        return NULL;
    void *block = hak_slab_take_one(heap, c);
    hak_os_unlock(&heap->lock);
    hak_remote_flush_unattended(heap); /* somebody may have found the lock taken */
    return block;
}

/* Tells those who want to know of it. No lock is held: unwinding may meet the loader's. */
static void tell_of_sample(const void *p, size_t size)
{
    hak_frames_t frames;
    hak_frames_walk(&frames);
    if (frames.depth == 0)
        return;
    hak_profile_enter(p, size, &frames);
    if (HAK_CALL_SITES)
        hak_site_sampled((const void *)frames.at[0], size, weight_of(size)); /* NOLINT(*-no-int-to-ptr) */
}

static void *take_sampled(unsigned c)
{
    if (busy)
        return NULL;
    busy = true;
    void *block = take_from_nobody(c);
    if (block != NULL)
        tell_of_sample(block, hak_class_size(c));
    busy = false;
    return block;
}

void *hak_sample_call(hak_heap_t *heap, unsigned c, bool *timed)
{
    *timed = draw_if_due(heap, c, HAK_GAP_CALLS);
    bool sampled = draw_if_due(heap, c, HAK_GAP_BYTES);
    bool left_empty = sampled || *timed; /* which is no miss of the program's */
    add_front(heap, left_empty, !left_empty);
    return sampled ? take_sampled(c) : NULL;
}

void *hak_sample_timed(hak_heap_t *heap, unsigned c)
{
    uint64_t since_ns = hak_time_begin();
    void *block = hak_fast_malloc(hak_class_size(c));
    hak_time_end(c <= HAK_TINY_CLASSES ? HAK_TIME_tiny : HAK_TIME_mid, since_ns);
    countdown_of(heap, c)->booked--; /* the draws have had this call */
    return block;
}

void *hak_sample_stray(unsigned c)
{
    bool wanted = (hak_sample_on & ON_BYTES) != 0 && unit_of(shared_random()) <= chance_of(hak_class_size(c));
    return wanted ? take_sampled(c) : NULL;
}

bool hak_sample_freed(void *p, uint32_t entry)
{
    hak_heap_t *heap = hak_heap_by_owner(hak_entry_owner(entry));
    if (!hak_heap_is_unowned(heap))
        return false;
    hak_link_check_begins(p);
    hak_profile_leave(p); /* before its address can be another block's */
    hak_remote_push(heap, p);
    hak_remote_flush_unattended(heap);
    return true;
}

/* --- blocks above HAK_CLASS_MAX ----------------------------------------------------------------------------------- */

void *hak_sample_oversize(void *p)
{
    if (p == NULL || busy || (hak_sample_on & ON_BYTES) == 0)
        return p;
    size_t size = hak_block_size(p);
    if (unit_of(shared_random()) > chance_of(size))
        return p;
    busy = true;
    tell_of_sample(p, size);
    busy = false;
    return p;
}

void hak_sample_oversize_freed(const void *p)
{
    if ((hak_sample_on & ON_BYTES) != 0)
        hak_profile_leave(p);
}

void hak_sample_resized(const void *before, uint32_t stack, void *p)
{
    if (p == NULL && stack != HAK_PROFILE_NONE)
        hak_profile_return(before, stack);
    hak_sample_oversize(p);
}

#endif
