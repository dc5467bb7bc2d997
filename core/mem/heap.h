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
 * from last time, which malloc has not asked for since, is put back into its slabs. So a bin and its previous list never hold
 * more than twice the bin's cap and a refill. Anybody may take a previous list away: a bin is out of reach while its thread
 * sleeps, a previous list is not. */
#ifndef HAK_MEM_HEAP_H
#define HAK_MEM_HEAP_H

#include "map/map.h"
#include "mem/chunk.h"
#include "mem/guard.h"
#include "obs/counters.h"
#include "os/os.h"

/* The fast path's list of one class. 16 bytes: a class times 16 is its bin's offset. */
typedef struct hak_bin {
    void *head;          /* first free block, linked through their first words; NULL when empty */
    uint32_t frees_left; /* frees until hak_bin_full; at least 1 */
    uint16_t cap;        /* what frees_left is set to when the bin is filled or emptied */
    uint16_t seen;       /* what the sweep of the bins saw when it last came by */
} hak_bin_t;

#define HAK_QUARANTINE_BITS 2
#define HAK_QUARANTINE      (1u << HAK_QUARANTINE_BITS)

/* What a thread has; zero but for `self` and `window` until the thread's first slow path. Only its thread touches it. */
typedef struct hak_thread {
#if HAK_TLS_BINS
    hak_bin_t bins[HAK_CLASSES]; /* [0] stays empty: malloc(0) goes to the slow path */
#else
    hak_bin_t
        *bins; /* those in its heap; without a heap, bins that are always empty and that nobody may write */
#endif
    uint32_t self;  /* the heap's owner number, shifted as in the map; HAK_NO_OWNER without a heap */
    bool ended;     /* the thread has been told that it ends */
    uint8_t strays; /* blocks that it took or freed without a heap; counted as far as HAK_STRAYS */
    hak_heap_t *heap;
    hak_heap_t *claimed; /* on its way to or from the thread: nobody else's, in a forked child either */
#if HAK_HARDEN
    uintptr_t window; /* the 4 GiB of addresses of the last pointer that turned out to be ours */
    uint64_t random;
    uint64_t places;  /* random bits to be used, and a one in front of them; 0 at first */
    const void *last; /* the block freed last */
    void *quarantine[HAK_TINY_CLASSES + 1][HAK_QUARANTINE]; /* freed blocks that wait (hard.h) */
    void *quarantine_other[HAK_QUARANTINE];                 /* those that are not tiny, or another heap's */
#endif
} hak_thread_t;

extern _Thread_local hak_thread_t hak_thread HAK_HIDDEN;

#define HAK_STRAYS      8u /* a thread that takes and frees more blocks than that gets a heap of its own */
#define HAK_EMPTY_SLABS 16u
#define HAK_CACHED      4u

typedef enum hak_heap_state {
    HAK_HEAP_LIVE,
    HAK_HEAP_ORPHAN,
    HAK_HEAP_LOST
} hak_heap_state_t;

/* Fields are the thread's own, but for those under the lock, marked *, and the atomic ones. */
struct hak_heap {
    struct {
        _Atomic(void *) previous; /* blocks of an earlier bin, linked; NULL if none; taken by exchange */
        hak_slab_t *slabs;        /* * those with free or never carved blocks; the first is in use */
        void *remote;             /* blocks of other heaps that the thread freed, linked; NULL if none */
        uint16_t remote_left;     /* frees until they are sent to their owners */
        uint16_t remote_keep;     /* of them, those that go into the bin instead */
        bool ran_out;             /* malloc has found the bin empty since a batch of them was full */
        uint8_t put_back; /* lists of it that went back into slabs since malloc last took some from there */
        bool grown;       /* its bin is as large as it gets */
        uint8_t borrowed; /* blocks of the next class, or refusals, since it got its last own */
    } class[HAK_CLASSES];
    _Atomic(uintptr_t)
        cached[HAK_CACHED]; /* freed oversize blocks (oversize.c); 0 in an empty place; anybody may empty one */
    hak_slab_t *empty_slabs[HAK_EMPTY_SLABS]; /* * empty slabs, for any class */
    uint32_t empty_count;                     /* * */
    uint32_t swept;                           /* the class where the sweep of the bins is */
    uint32_t cached_slices;                   /* their sum; more, if somebody else emptied a place */
    uint32_t ticks;                           /* slow paths until one looks at the clock (tick.h) */
    uint32_t owner;
    uint32_t generation; /* hak_os_generation when a thread got it last */
#if !HAK_TLS_BINS
    hak_bin_t bins[HAK_CLASSES];
#endif
    hak_counters_t counters;
    hak_heap_t *next_orphan;   /* in a ring; under its lock */
    _Atomic uint64_t thread;   /* hak_os_thread_name of whose it is; 0: not to be looked for */
    _Atomic uint32_t state;    /* hak_heap_state_t; changed under heaps_lock */
    _Atomic uint32_t seen_ms;  /* when its thread looked at the clock last; the low bits of the clock */
    _Atomic bool has_previous; /* there may be a previous list: cleared by whoever puts all of them back */
    hak_os_lock_t lock;
#if HAK_HARDEN
    _Atomic(uintptr_t)
        looks_at; /* an address of others' memory that its thread is reading; 0: none (guard.c) */
#endif
    alignas(HAK_CACHE_LINE) _Atomic(void *) inbox; /* blocks that others have freed, linked */
    _Atomic uint32_t waiting;                      /* lists pushed since it was emptied, about */
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
/* A heap whose lock the caller holds, for one operation on its slabs by a thread that can have none: an orphan, a new one, or one
 * of another thread. NULL when there is none at all. */
hak_heap_t *hak_heap_lock_one(void);
void hak_heap_unlock_one(hak_heap_t *heap);
/* A slab of the class that an orphan has: it belongs to `heap` afterwards. NULL if a few orphans have none; others are asked the
 * next time. */
hak_slab_t *hak_heap_adopt_slab(hak_heap_t *heap, unsigned c);
/* The calling thread ends: everything goes back into the slabs, the heap becomes an orphan. */
void hak_heap_detach(void);
/* Puts the calling thread's bins and previous lists back into their slabs, also what is in the inbox of its heap and of
 * orphans, and gives every empty slab back to the pool. */
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
hak_heap_t *hak_heap_by_owner(uint32_t owner);

static inline uint32_t hak_heap_entry(const hak_heap_t *heap, unsigned c)
{
    return hak_entry(heap->owner, c * 16);
}

/* The link of a free block is not what the allocator wrote. */
HAK_COLD _Noreturn void hak_bad_link(const void *block);
/* The block is on some list of free ones already. */
HAK_COLD _Noreturn void hak_freed_twice(const void *p);

/* The link in a free block. */
HAK_INLINE void *hak_next(const void *block)
{
    if (HAK_CHECK_LINKS && hak_unlikely(!hak_is_sealed(block)))
        hak_bad_link(block);
    return HAK_HARDEN ? hak_harden_next(block) : *(void *const *)block;
}

HAK_INLINE void hak_set_next(void *block, void *next)
{
    if (HAK_HARDEN)
        hak_harden_link(block, next);
    else if (HAK_CHECK_LINKS)
        hak_seal(block, next);
    else
        *(void **)block = next;
}

/* Not for keys: where a block goes, and in which order new ones are handed out. */
HAK_INLINE uint64_t hak_random(void)
{
#if HAK_HARDEN
    hak_thread.random += 0x9e3779b97f4a7c15ull; /* odd: every state comes */
    return hak_mix(hak_thread.random, hak_thread.random ^ hak_harden_keys.mirror_factor);
#else
    return 0;
#endif
}

/* The 4 GiB of addresses for which the map need not be asked. */
HAK_INLINE uintptr_t hak_window(void)
{
#if HAK_HARDEN
    return hak_thread.window;
#else
    return 0;
#endif
}

#endif
