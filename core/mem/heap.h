/* SPDX-License-Identifier: MIT */
/* heap.h: heaps, their threads, and the bins between them.
 *
 * A thread works on its bins, which lie in thread-local storage; a heap owns slabs and outlives its thread. A heap is
 *   LIVE    one thread has it in hak_thread.heap, or had it and ended without telling us: then it is found again;
 *   ORPHAN  its thread has finished; the next new thread takes it over with all its slabs;
 *   LOST    in a forked child: a thread that does not exist there was at its slabs. Nobody touches these again.
 * Its slabs are touched only with its lock held: by its thread on the slow paths, and by whoever has sent it blocks that
 * nobody collects, because it is an orphan or its thread has been elsewhere for long.
 *
 * A bin counts only frees (`frees_left`), because malloc has no instruction to spare for counting. When the count runs out
 * the bin's list is set aside as the heap's previous list of that class (the previous magazine, in Bonwick's terms), and the one
 * from last time, which malloc has not asked for since, is put back into its slabs. A list that malloc has asked for grows by
 * up to a cap until it is set aside again, so it is counted once in a while (take_back in bin.c). So a bin and its previous
 * list hold twice the bin's cap and a refill where as many are allocated as freed, and more than that not for long. Anybody may
 * take a previous list away: a bin is out of reach while its thread sleeps, a previous list is not. */
#ifndef HAK_MEM_HEAP_H
#define HAK_MEM_HEAP_H

#include "base/bits.h"
#include "mem/thread.h"
#include "obs/countdown.h"
#include "obs/counters.h"
#include "os/os.h"

#include <sys/queue.h>

typedef struct hak_slab hak_slab_t;
typedef LIST_HEAD(hak_slabs, hak_slab) hak_slabs_t;

#define HAK_EMPTY_SLABS 16u /* places for them; the policy says how many are used */
#define HAK_CACHED      4u
#define HAK_UNCOUNTED   8u /* previous lists that come back before one is counted, at first */

extern hak_os_lock_t hak_heaps_lock HAK_HIDDEN;

typedef enum hak_heap_state {
    HAK_HEAP_LIVE,
    HAK_HEAP_ORPHAN,
    HAK_HEAP_LOST
} hak_heap_state_t;

/* What a heap has beside what is in the bins and in full slabs: previous lists, empty slabs that it keeps, or blocks that others
 * have put into its slabs. */
typedef enum hak_holds {
    HAK_HOLDS_NOTHING,
    HAK_HOLDS_LITTLE, /* no more than threads that ended have left: lists of HAK_LEFT_BLOCKS */
    HAK_HOLDS_MUCH
} hak_holds_t;

/* How far the purging of a heap's free blocks is. All zero: at its beginning. */
typedef struct hak_purging {
    uint32_t classes; /* that are through, of those that are purged */
    uint32_t slabs;   /* of the next one that were looked at: the first ones of its list */
    uint32_t seen_ms; /* as the heap's when it began */
} hak_purging_t;

/* Fields are the thread's own, but for those that a lock guards, and the atomic ones. */
struct hak_heap {
    struct {
        /* Blocks of an earlier bin, linked; NULL if none. release in set_aside, pairs with acquire in take_previous: the links. */
        _Atomic(void *) previous;
        hak_slabs_t guarded_slabs; /* by the lock: hak_heap_slabs */
        void *remote;              /* blocks of other heaps that the thread freed, linked; NULL if none */
        uint64_t remote_last;      /* the last of them, beside it their owner (batch.h); 0: several */
        uint16_t remote_left;      /* frees until they are sent to their owners */
        uint16_t remote_keep;      /* the next so many go into the bin instead; there is no list then */
        bool ran_out : 1;          /* malloc has found the bin empty since a batch of them was full */
        uint8_t grown : 2;         /* how far its bin has grown (bin.c) */
        uint8_t put_back : 4;   /* lists that went back into slabs since malloc last took some from there */
        uint8_t uncounted;      /* previous lists that may come back into the bin before one is counted */
        uint8_t uncounted_most; /* how many that is after one was */
        uint8_t may_borrow;     /* blocks of the next class, or refusals, until it gets its next own */
#if HAK_SAMPLING
        hak_countdown_t countdown; /* of calls of malloc, until one is sampled */
#endif
    } class[HAK_CLASSES];
    /* Freed oversize blocks (oversize.c); 0 in an empty place; anybody may empty one. release in put_in_cache, pairs with
     * acquire in take_place: the block's entry. */
    _Atomic(uintptr_t) cached[HAK_CACHED];
    hak_slab_t *empty_slabs[HAK_EMPTY_SLABS] HAK_BESIDE(lock); /* for any class of the same end */
    uint32_t empty_count HAK_BESIDE(lock);
    uint32_t empty_slices HAK_BESIDE(lock); /* in all of them */
    uint32_t runs_taken HAK_BESIDE(lock);   /* from the pool, since it was emptied */
    hak_set_words_t remote_classes; /* bit i: class i + 1 may have remote blocks; all that have some */
    bool grew;                      /* a bin has grown since a thread began here */
    hak_purging_t purging HAK_BESIDE(lock); /* by those who visit it while its thread sleeps */
    uint32_t swept;                         /* the class where the sweep of the bins is */
    uint32_t looks HAK_BESIDE(lock);        /* that were taken at what they hand out next */
    uint32_t cache_left;  /* slices that it may still keep there; less, if somebody else emptied a place */
    uint32_t cache_most;  /* in all, by the policy when `ticks` ran out last */
    uint32_t ticks;       /* slow paths until one looks at the clock (tick.h) */
    uint32_t short_ticks; /* the same of short ones */
    uint32_t owner;
    uint32_t generation; /* hak_os_generation when a thread got it last */
    uint32_t swept_ms;   /* when its thread looked at all of its bins last; the low bits of the clock */
    /* How bins begin (0: not known yet), by the policy of that version and so many heaps. */
    uint16_t first_caps[HAK_CLASSES];
    uint32_t caps_version;
    uint32_t caps_heaps;
#if !HAK_TLS_BINS
    hak_bin_t bins[HAK_CLASSES];
#endif
#if HAK_SAMPLING
    uint64_t draws; /* the state of chance; 0: it has not begun */
    /* Calls that the bins met, and that found them empty. relaxed: one writer, figures for others. */
    _Atomic uint64_t met, missed;
    bool unowned; /* it is the heap of nobody (sample.h), for ever */
#endif
    hak_counters_t counters;
    hak_heap_t *next_orphan HAK_GUARDED_BY(hak_heaps_lock); /* in a ring */
    /* hak_os_thread_name of whose it is; 0: not to be looked for. relaxed: is_abandoned asks again under the lock. */
    _Atomic uint64_t thread;
    /* hak_heap_state_t; changed under hak_heaps_lock. seq_cst: ORPHAN is written before `inbox` is read in make_orphan, and `inbox`
     * before this is read in hak_remote_push; so one of the two sees the other. */
    _Atomic uint32_t state;
    /* When its thread looked at the clock last; the low bits of the clock. relaxed: orders nothing. */
    _Atomic uint32_t seen_ms;
    /* hak_holds_t. Cleared by whoever gives all of it back. release in set_aside and hak_bins_end, pairs with acquire in
     * hak_bins_flush_previous: the lists are seen. */
    _Atomic uint8_t holds;
    hak_os_lock_t lock;
#if HAK_HARDEN
    /* An address of others' memory that its thread is reading; 0: none (guard.c). seq_cst: this is written before the map is
     * read, and the map before this is read in hak_guard_forbid; so one of the two sees the other. */
    _Atomic(uintptr_t) looks_at;
#endif
    /* Blocks that others have freed, linked. seq_cst in hak_remote_push, because of `state` and the lock; pairs with acquire in
     * take_inbox: the links. */
    alignas(HAK_CACHE_LINE) _Atomic(void *) inbox;
    /* Lists pushed since it was emptied, about. relaxed: orders nothing. */
    _Atomic uint32_t waiting;
};

/* What a process has once: options (once they are read, they are never read again), keys, the way to be told of a thread's
 * end. Any number of times; the constructor does it, unless somebody allocates before that. */
void hak_heaps_start(void);
/* The map, for whoever calls free before malloc. False when the system refuses. */
bool hak_heaps_prepare(void);
/* The calling thread's heap, made or taken over at need; NULL when memory is out or the thread is past its end. */
hak_heap_t *hak_heap_attach(void);
/* The same for a block that has a class. NULL, too, for the first few: libc frees blocks in threads that never allocated and are
 * about to end, and destructors allocate when all others have run. What nobody would give back is not begun. */
hak_heap_t *hak_heap_attach_at_need(void);
/* A heap whose lock the caller holds (hak_os_is_locked), for one operation on its slabs by a thread that can have none: an orphan,
 * a new one, or one of another thread, once one is free. NULL when there is none at all. */
hak_heap_t *hak_heap_lock_one(void);
void hak_heap_unlock_one(hak_heap_t *heap) HAK_RELEASES(heap->lock);
/* A heap that no thread will ever have (sample.h); NULL when memory is out. No lock may be held. */
hak_heap_t *hak_heap_make_unowned(void);
HAK_INLINE bool hak_heap_is_unowned(const hak_heap_t *heap)
{
#if HAK_SAMPLING
    return heap->unowned;
#else
    (void)heap;
    return false;
#endif
}

/* A slab of the class that an orphan has: it belongs to `heap` afterwards. NULL if a few orphans have none; others are asked the
 * next time. */
hak_slab_t *hak_heap_adopt_slab(hak_heap_t *heap, unsigned c) HAK_REQUIRES(heap->lock);
/* The calling thread ends: what it has free goes back, but for a little (hak_bins_end); the heap becomes an orphan. */
void hak_heap_detach(void);
/* What the calling thread has free goes back: blocks into their slabs, what is empty to the pool. No lock may be held. */
void hak_heap_give_up(void);
/* Puts the calling thread's bins back into their slabs, and of every heap whose lock is free the previous lists and what is in
 * the inbox. Gives back what heaps and call sites keep of oversize blocks, every empty slab, and pages that lie in free blocks
 * alone. */
void hak_heap_trim(void);
/* Looks at a few heaps: what threads hold that have not looked at the clock for a window goes back, but for what is in their
 * bins. Another round begins each window. True while the round is not over. No lock may be held. */
bool hak_heaps_flush_unattended(uint32_t now_ms);
/* In a forked child, alone: which heaps were being changed by threads that are not there, and the lock of the list. */
void hak_heaps_find_lost(void);
/* In a forked child, by the thread that forked: its own heap is whole, those of the others are orphans. False when the list is
 * not free just now. */
bool hak_heaps_after_fork(void);
/* Every heap ever made, by owner 1..n. The heap of an owner that stands in the map is always there. */
uint32_t hak_heap_count(void);

#define HAK_SHARES 8u /* heaps of which each may keep as much as one alone; more of them share that */

/* Heaps among which is shared what threads may keep, at least HAK_SHARES. */
HAK_INLINE uint32_t hak_heaps_sharing(void)
{
    return (uint32_t)hak_max(hak_heap_count(), HAK_SHARES);
}

hak_heap_t *hak_heap_by_owner(uint32_t owner);

/* The list of its slabs of a class that have free or never carved blocks; the first is in use. */
HAK_INLINE hak_slabs_t *hak_heap_slabs(hak_heap_t *heap, unsigned c) HAK_REQUIRES(heap->lock)
{
    return &heap->class[c].guarded_slabs;
}

static inline uint32_t hak_heap_entry(const hak_heap_t *heap, unsigned c)
{
    return hak_entry(heap->owner, c * HAK_BIN_BYTES);
}

#endif
