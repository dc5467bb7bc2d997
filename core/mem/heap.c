/* heap.c: the table of heaps, and the life of a heap: made or taken over, given up.
 *
 * `heaps_lock` guards the table's growth and the list of orphans. Locks are taken in this order: a heap's own, heaps_lock,
 * the pool's; other heaps' locks are only tried. */
#include "mem/heap.h"

#include "base/message.h"
#include "base/options.h"
#include "mem/bin.h"
#include "mem/front.h"
#include "mem/huge.h"
#include "mem/remote.h"
#include "mem/slab.h"
#include "mem/tend.h"
#include "obs/trace.h"
#include "os/os.h"

#include <errno.h>
#include <pthread.h>

#define META_BYTES ((size_t)256 << 10) /* heaps are cut from pieces of so many bytes */
#define ADOPT_FROM 4u                  /* orphans that are asked for a slab */

_Thread_local hak_thread_t hak_thread = {
    .self = HAK_NO_OWNER,
#if HAK_HARDEN
    .window = UINTPTR_MAX,
#endif
};

static hak_os_lock_t heaps_lock;
static hak_heap_t
    *heaps[HAK_OWNERS]; /* by owner; written once, before the owner's number is in any map entry */
static _Atomic uint32_t heap_count;   /* the highest owner so far */
static _Atomic(hak_heap_t *) orphans; /* changed under the lock */
static char *meta, *meta_end;
static pthread_key_t thread_key;
static bool ready;

static void thread_ends(void *unused)
{
    (void)unused;
    hak_thread.ended = true;
    if (hak_thread.heap != NULL)
        hak_heap_detach();
}

/* Once per process, before the first block. Under the lock. */
static bool prepare_process(void)
{
    if (!hak_map_init())
        return false;
    if (HAK_HARDEN)
        hak_guard_init();
    if (HAK_OPTIONS)
        hak_options_read(hak_os_environment);
    ready = pthread_key_create(&thread_key, thread_ends) == 0;
    return ready;
}

static hak_heap_t *new_heap_locked(void)
{
    uint32_t owner = atomic_load_explicit(&heap_count, memory_order_relaxed) + 1;
    if (owner == HAK_OWNERS)
        return NULL;
    if ((size_t)(meta_end - meta) < sizeof(hak_heap_t)) {
        char *piece = hak_os_map(META_BYTES, HAK_OS_PAGE);
        if (piece == NULL)
            return NULL;
        meta = piece;
        meta_end = piece + META_BYTES;
    }
    hak_heap_t *heap = (hak_heap_t *)(void *)meta;
    meta += hak_round_up(sizeof(hak_heap_t), HAK_CACHE_LINE);
    if (owner == 2)
        hak_os_mark_process();
    heap->owner = owner;
    heap->ticks = HAK_TICKS;
    hak_remote_init(heap);
    heaps[owner] = heap;
    atomic_store_explicit(&heap_count, owner, memory_order_release);
    return heap;
}

hak_heap_t *hak_heap_borrow(void)
{
    hak_os_lock(&heaps_lock);
    hak_heap_t *heap = NULL;
    if (ready || prepare_process()) {
        heap = orphans;
        if (heap == NULL) {
            heap = new_heap_locked();
        } else {
            orphans = heap->next_orphan;
            atomic_store(&heap->state, HAK_HEAP_LIVE);
        }
    }
    hak_os_unlock(&heaps_lock);
    return heap;
}

void hak_heap_give_back(hak_heap_t *heap)
{
    hak_os_lock(&heaps_lock);
    heap->next_orphan = orphans;
    orphans = heap;
    atomic_store(&heap->state, HAK_HEAP_ORPHAN); /* seq_cst: see hak_remote_tend */
    hak_os_unlock(&heaps_lock);
    hak_remote_tend(heap);
}

hak_heap_t *hak_heap_attach(void)
{
    hak_thread_t *thread = &hak_thread;
    if (thread->ended) /* nobody would tell of another end: libc frees after all destructors */
        return NULL;
    hak_heap_t *heap = hak_heap_borrow();
    if (heap == NULL)
        return NULL;
    thread->heap = heap;
    thread->self = hak_check_frees() ? HAK_NO_OWNER : hak_entry(heap->owner, 0);
    hak_bins_init(thread);
    /* May call calloc, which by now finds the heap. If it fails, the heap is lost with the thread, not corrupted. */
    int saved = errno;
    pthread_setspecific(thread_key, heap);
    errno = saved;
    return heap;
}

/* What others have freed goes into the slabs, and those that are empty back to the pool. */
static void trim_and_unlock(hak_heap_t *heap)
{
    hak_remote_put_inbox(heap);
    hak_slab_release_empty(heap);
    hak_os_unlock(&heap->lock);
}

/* What a thread holds goes where it belongs, and what is empty then goes back to the pool. */
static void empty_heap(hak_thread_t *thread, hak_heap_t *heap)
{
    hak_huge_release_kept(heap);
    hak_os_lock(&heap->lock);
    hak_bins_empty(thread, heap);
    trim_and_unlock(heap);
}

static void forget_heap(void)
{
    hak_thread.heap = NULL;
    hak_thread.self = HAK_NO_OWNER;
}

void hak_heap_detach(void)
{
    hak_heap_t *heap = hak_thread.heap;
    empty_heap(&hak_thread, heap);
    forget_heap();
    hak_trace("heap orphaned", heap, heap->owner);
    hak_heap_give_back(heap);
}

void hak_heap_trim(void)
{
    hak_heap_t *heap = hak_thread.heap;
    if (heap != NULL) {
        empty_heap(&hak_thread, heap);
        if (HAK_CHECKS)
            hak_slab_check(heap);
    }
    uint32_t count = hak_heap_count();
    for (uint32_t owner = 1; owner <= count; owner++) {
        heap = heaps[owner];
        hak_huge_release_kept(heap);
        if (!hak_os_try_lock(&heap->lock))
            continue;
        trim_and_unlock(heap);
        hak_slab_purge_free(heap);
        hak_remote_tend(heap);
    }
}

static HAK_NOINLINE hak_slab_t *adopt_slab(hak_heap_t *heap, unsigned cls)
{
    hak_slab_t *slab = NULL;
    hak_os_lock(&heaps_lock);
    hak_heap_t *from = orphans;
    for (unsigned i = 0; i < ADOPT_FROM && from != NULL && slab == NULL; i++, from = from->next_orphan) {
        if (!hak_os_try_lock(&from->lock))
            continue;
        slab = hak_slab_adopt(from, heap, cls);
        hak_os_unlock(&from->lock);
        hak_remote_tend(from); /* somebody may have found the lock taken */
    }
    hak_os_unlock(&heaps_lock);
    return slab;
}

hak_slab_t *hak_heap_adopt_slab(hak_heap_t *heap, unsigned cls)
{
    return hak_likely(atomic_load_explicit(&orphans, memory_order_relaxed) == NULL) ? NULL
                                                                                    : adopt_slab(heap, cls);
}

/* Nobody else's thread exists here. A heap whose lock is free is whole, whatever its thread was about to do: it is an orphan
 * now. One whose lock is taken may be in any state: its blocks stay readable, what is freed to them waits in the inbox
 * for ever, and if it is the caller's own, the caller needs another one. */
void hak_heaps_after_fork(void)
{
    uint32_t heap_number = hak_heap_count();
    hak_os_lock_reset(&heaps_lock);
    orphans = NULL;
    for (uint32_t owner = 1; owner <= heap_number; owner++) {
        hak_heap_t *heap = heaps[owner];
        bool own = heap == hak_thread.heap;
        bool whole = hak_os_try_lock(&heap->lock);
        if (whole)
            hak_os_unlock(&heap->lock);
        if (own && !whole)
            forget_heap();
        if (own || !whole)
            continue;
        for (unsigned i = 0; i < HAK_KEPT; i++)
            atomic_store_explicit(&heap->kept[i], 0, memory_order_relaxed);
        heap->next_orphan = orphans;
        orphans = heap;
        atomic_store(&heap->state, HAK_HEAP_ORPHAN);
    }
}

uint32_t hak_heap_count(void)
{
    return atomic_load_explicit(&heap_count, memory_order_acquire);
}

hak_heap_t *hak_heap_by_owner(uint32_t owner)
{
    return heaps[owner];
}
