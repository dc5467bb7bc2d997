/* heap.h: heaps, their threads, and the bins between them.
 *
 * A thread works on its bins, which lie in thread-local storage; a heap owns slabs and outlives its thread. A heap is
 *   LIVE    one thread has it in hak_thread.heap;
 *   ORPHAN  its thread has finished; the next new thread takes it over with all its slabs, and until then whoever
 *           sends it blocks puts them into their slabs itself;
 *   BUSY    somebody is doing that just now.
 * The step into BUSY or LIVE is an acquire, the step out of it a release: one thread at a time sees the slabs.
 *
 * A bin counts only frees (`room`), because malloc has no instruction to spare for counting. When the count runs out
 * the bin's list is set aside as the heap's stash of that class, and the stash from last time, which malloc has not
 * asked for since, is put back into its slabs. So a bin and its stash never hold more than two rooms and a refill. */
#ifndef HAK_MEM_HEAP_H
#define HAK_MEM_HEAP_H

#include "base/classes.h"
#include "mem/chunk.h"
#include "obs/counters.h"

/* The fast path's list of one class. 16 bytes: a class times 16 is its bin's offset. */
typedef struct hak_bin {
    void *head;    /* first free block, linked through their first words; NULL when empty */
    uint32_t room; /* frees until hak_bin_full; at least 1 */
    uint32_t cap;  /* what room is set to when the bin is filled or emptied */
} hak_bin_t;

/* What a thread has; zero but for `self` until the thread's first slow path. Only its thread touches it. */
typedef struct hak_thread {
    hak_bin_t bins[HAK_CLASSES]; /* [0] stays empty: malloc(0) goes to the slow path */
    uint32_t self;    /* the heap's owner number, shifted as in the map; HAK_NO_OWNER without a heap */
    uint32_t endings; /* how often the thread has been told that it ends */
    hak_heap_t *heap;
} hak_thread_t;

extern _Thread_local hak_thread_t hak_thread HAK_HIDDEN;

/* Blocks on their way to another heap. */
typedef struct hak_parcel {
    uint32_t owner; /* of all blocks in it; 0 when empty */
    uint32_t count;
    void *first, *last;
} hak_parcel_t;

#define HAK_PARCELS       8u  /* a power of two; owners share them by their low bits */
#define HAK_PARCEL_BLOCKS 64u /* that fit; it is sent when one more comes */

#define HAK_LARGES 4u /* large blocks that a heap keeps; more than that would be other threads' loss */

typedef enum hak_heap_state {
    HAK_HEAP_LIVE,
    HAK_HEAP_ORPHAN,
    HAK_HEAP_BUSY
} hak_heap_state_t;

struct hak_heap {
    struct {
        void *stash;       /* blocks of an earlier bin, linked; NULL if none */
        hak_slab_t *slabs; /* those with free or never carved blocks; the first is in use */
    } cls[HAK_CLASSES];
    hak_slab_t *larges[HAK_LARGES]; /* freed large blocks; NULL where there is none */
    hak_parcel_t parcels[HAK_PARCELS];
    hak_counters_t counters;
    uint32_t next_large; /* the slot that gives way when all are taken, modulo HAK_LARGES */
    uint32_t owner;
    _Atomic uint32_t state;  /* hak_heap_state_t */
    hak_heap_t *next_orphan; /* under the list's lock */
    alignas(HAK_CACHE_LINE) _Atomic(void *)
        inbox; /* blocks freed by other threads, linked: they push, the owner takes */
};

/* A block of the class for the calling thread, after its bin was found empty. NULL when memory is out (errno is the
 * caller's business). */
void *hak_heap_refill(unsigned cls);
/* The bin at this offset has no room left. */
void hak_bin_full(size_t offset);
/* Frees a block of another owner's slab: entry is its map entry. */
void hak_heap_send(void *p, uint32_t entry);
/* A large block that the calling thread has freed, of exactly so many slices, or NULL. */
hak_slab_t *hak_heap_take_large(unsigned slices);
/* Keeps a freed large block for the calling thread, its map entry cleared. */
void hak_heap_keep_large(hak_slab_t *run);
/* The calling thread's heap, made or taken over at need; NULL when memory is out or the thread is past its end. */
hak_heap_t *hak_heap_attach(void);
/* The calling thread ends: everything goes back into the slabs, the heap becomes an orphan. */
void hak_heap_detach(void);
/* Puts the calling thread's bins and stashes back into their slabs, also what is in the inbox of its heap and of
 * orphans, and gives every empty slab back to the pool. */
void hak_heap_trim(void);
/* In a forked child. */
void hak_heaps_after_fork(void);
/* Every heap ever made, by owner 1..n; for printing. */
uint32_t hak_heap_count(void);
const hak_heap_t *hak_heap_by_owner(uint32_t owner);
/* Walks all slabs of a heap that belongs to the caller and aborts at the first broken invariant. */
void hak_heap_check(const hak_heap_t *heap);

#endif
