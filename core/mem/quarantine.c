/* SPDX-License-Identifier: MIT */
/* quarantine.c: see quarantine.h. Static are the places of what waits for all threads together. */
#include "mem/quarantine.h"

#include "mem/chunk.h"
#include "mem/fast.h"
#include "mem/guard.h"
#include "mem/harden_fast.h"
#include "mem/oversize.h"
#include "mem/retain.h"
#include "mem/scarce.h"
#include "os/os.h"

#define QUARANTINE      32u /* freed large and huge blocks that wait, of all threads */
#define PLACES_SCARCE   4u  /* of these, while memory is scarce: each may keep a chunk that is empty else */
#define STRAYS          8u
#define QUARANTINE_SIZE ((size_t)256 << 20) /* bytes of one of them, at most */

/* Freed large and huge blocks; whoever exchanges one holds it. release when it is put there, pairs with acquire in vacate_place:
 * what was done to the block. */
static _Atomic(void *) quarantine[QUARANTINE];
/* Large ones for which there was no place when the system refused to make them accessible, linked by `in_class` of their runs.
 * release when one is put there, pairs with acquire in free_refused: the link. Taken all at once, so none is met twice. */
static _Atomic(hak_slab_t *) refused_runs;
/* The one that came last. relaxed: it is compared, not followed. */
static _Atomic(const void *) quarantine_last;
/* Blocks of slabs that were freed by threads without a heap. acq_rel: an exchange both puts and takes. */
static _Atomic(void *) strays[STRAYS];

/* Gives a large block back as it is, inaccessible, with its chunk, if that has no other. */
static bool unmap_quarantined(void *p, uint32_t entry)
{
    hak_map_set(p, 0);
    bool unmapped = hak_chunk_unmap_run(hak_slab_of(p));
    if (!unmapped)
        hak_map_set(p, entry);
    return unmapped;
}

/* What is accessible again counts like new memory under RLIMIT_DATA, the end of the block too, which was not: empty chunks make
 * room for it. */
static bool open_block(void *p, size_t size)
{
    return hak_os_make_writable(p, size) || (hak_chunk_unmap_free() != 0 && hak_os_make_writable(p, size));
}

/* Frees a block that waited. A huge one becomes a free range as it is, which nobody can touch either. False when the system
 * refuses to make a large one accessible: under RLIMIT_DATA that counts like new memory. */
static bool end_quarantine(void *p)
{
    uint32_t entry = hak_map_get(p);
    if (hak_entry_kind(entry) == HAK_ENTRY_HUGE) {
        hak_huge_release(p, entry);
        return true;
    }
    if (!open_block(p, hak_oversize_size(p, entry)))
        return unmap_quarantined(p, entry);
    hak_fast_free(p);
    return true;
}

/* For a large block that could not be made accessible: it waits until that is tried again. */
static void quarantine_anywhere(void *p)
{
    for (unsigned i = 0; i < QUARANTINE; i++) {
        void *none = NULL;
        if (atomic_compare_exchange_strong_explicit(&quarantine[i], &none, p, memory_order_release,
                                                    memory_order_relaxed))
            return;
    }
    hak_slab_t *run = hak_slab_of(p);
    LIST_NEXT(run, in_class) = atomic_load_explicit(&refused_runs, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(&refused_runs, &LIST_NEXT(run, in_class), run,
                                                  memory_order_release, memory_order_relaxed)) {
    } /* ends: each round that fails another thread has put one there, or taken all */
}

/* Takes out what waits at a place; where it was when it cannot be freed. True if a block was. */
static bool vacate_place(unsigned place)
{
    void *p = atomic_exchange_explicit(&quarantine[place], NULL, memory_order_acq_rel);
    if (p == NULL)
        return false;
    bool freed = end_quarantine(p);
    if (!freed)
        quarantine_anywhere(p);
    return freed;
}

void hak_quarantine_oversize(void *p, size_t size)
{
    unsigned place = (unsigned)(hak_thread_random() % (hak_is_scarce() ? PLACES_SCARCE : QUARANTINE));
    vacate_place(place);
    bool waits =
        size <= QUARANTINE_SIZE && atomic_load_explicit(&quarantine[place], memory_order_relaxed) == NULL;
    if (!waits && end_quarantine(p))
        return;
    hak_guard_forbid(p, size);
    atomic_store_explicit(&quarantine_last, p, memory_order_relaxed);
    void *none = NULL;
    if (!atomic_compare_exchange_strong_explicit(&quarantine[place], &none, p, memory_order_release,
                                                 memory_order_relaxed) &&
        !end_quarantine(p))
        quarantine_anywhere(p);
}

/* Puts a free block of a slab where it belongs: the thread's bin, or its owner. */
static void send_home(void *p)
{
    uint32_t entry = hak_map_get(p);
    if (hak_thread.heap != NULL && hak_entry_owner(entry) == hak_thread.heap->owner)
        hak_harden_push(p, hak_entry_bin(entry));
    else if (hak_harden_is_unlinked(p))
        hak_fast_free(p);
    else
        hak_harden_corrupted(p);
}

/* A block that waited for all threads without a heap, or NULL. */
static void send_stray(void *p)
{
    if (p != NULL)
        send_home(p);
}

/* A filled block of a slab waits, and another one need not any more. */
static void quarantine_any(void *p, uint32_t entry)
{
#if HAK_HARDEN
    bool tiny = hak_entry_bin(entry) <= HAK_TINY_MAX && hak_entry_owner(entry) == hak_thread.heap->owner;
    p = hak_quarantine_swap(
        tiny ? hak_thread.quarantine[hak_entry_class(entry)] : hak_thread.quarantine_other, p);
#endif
    (void)entry;
    if (p != NULL)
        send_home(p);
}

void hak_quarantine_small(void *p, uint32_t entry)
{
    if (hak_thread.heap != NULL || hak_heap_attach_at_need() != NULL)
        quarantine_any(p, entry);
    else
        send_stray(atomic_exchange_explicit(&strays[hak_thread_random() % STRAYS], p, memory_order_acq_rel));
}

void hak_quarantine_receive(void *p, uint32_t entry)
{
    *(hak_line_t *)p = HAK_FILL_LINE;
    quarantine_any(p, entry);
}

void hak_quarantine_flush_other(bool ends)
{
#if HAK_HARDEN
    for (unsigned i = 0; i < HAK_QUARANTINE; i++) {
        void *p = hak_thread.quarantine_other[i];
        if (p == NULL || (!ends && p == hak_thread.last))
            continue;
        hak_thread.quarantine_other[i] = NULL;
        send_home(p);
    }
#endif
    (void)ends;
}

/* Tries again what was refused, but for the block freed last: until the system refuses some in a row. True if any was freed. */
static bool free_refused(const void *last)
{
    bool any = false;
    unsigned refused = 0;
    hak_slab_t *run = atomic_exchange_explicit(&refused_runs, NULL, memory_order_acquire);
    for (hak_slab_t *next; run != NULL; run = next) { /* each once */
        next = LIST_NEXT(run, in_class);
        void *p = hak_slab_base(run);
        bool freed = p != last && refused < HAK_REFUSED_MOST && end_quarantine(p);
        refused = freed ? 0 : refused + 1;
        any |= freed;
        if (!freed)
            quarantine_anywhere(p);
    }
    return any;
}

bool hak_quarantine_flush_oversize(bool all)
{
    bool any = false;
    const void *last = all ? NULL : atomic_load_explicit(&quarantine_last, memory_order_relaxed);
    for (unsigned i = 0; i < QUARANTINE; i++) {
        void *p = atomic_load_explicit(&quarantine[i], memory_order_relaxed);
        if (p == NULL || p == last)
            continue;
        any |= vacate_place(i);
    }
    any |= free_refused(last);
    for (unsigned i = 0; i < STRAYS; i++)
        send_stray(atomic_exchange_explicit(&strays[i], NULL, memory_order_acq_rel));
    return any;
}
