/* SPDX-License-Identifier: MIT */
/* quarantine.h: freed blocks that are not for use yet, in the variants with HAK_HARDEN. A freed block changes places with a random
 * one of the last few, so that the block freed last is never the one handed out next. Tiny ones wait by class, others (and
 * another heap's) together, large and huge ones for all threads together, and inaccessible. */
#ifndef HAK_MEM_QUARANTINE_H
#define HAK_MEM_QUARANTINE_H

#include "mem/thread.h"

/* Large and huge blocks that wait become free: the memory is wanted. All of them, or but for the one freed last. True if there
 * was any. */
bool hak_quarantine_flush_oversize(bool all);
/* A block of this map entry that another thread freed, on its way into a bin of the calling thread's. */
void hak_quarantine_receive(void *p, uint32_t entry);
/* Tiny and mid blocks that wait go where they belong, but for the one freed last unless the thread `ends`. */
void hak_quarantine_flush_other(bool ends);
/* A filled block of a slab that was just freed waits. */
void hak_quarantine_small(void *p, uint32_t entry);
/* An oversize block of so many bytes that was just freed, and is empty, waits. */
void hak_quarantine_oversize(void *p, size_t size);

/* p is the block that the thread freed last. */
HAK_INLINE void hak_quarantine_note_last(const void *p)
{
#if HAK_HARDEN
    hak_thread.last = p;
#endif
    (void)p;
}

HAK_INLINE bool hak_quarantine_was_last(const void *p)
{
#if HAK_HARDEN
    return hak_thread.last == p;
#else
    return p == NULL;
#endif
}

#define HAK_QUARANTINE_PLACES ((uint64_t)1 << 62) /* bits behind it: a multiple of HAK_QUARANTINE_BITS */

/* Puts p into a quarantine and takes another one out; NULL if the place was empty. */
HAK_INLINE void *hak_quarantine_swap(void **quarantine, void *p)
{
#if HAK_HARDEN
    uint64_t places = hak_thread.places;
    if (hak_unlikely(places <= 1))
        places = hak_thread_random() >> 1 | HAK_QUARANTINE_PLACES;
    hak_thread.places = places >> HAK_QUARANTINE_BITS;
    hak_quarantine_note_last(p);
    void **place = &quarantine[places % HAK_QUARANTINE];
    void *other = *place;
    *place = p;
    return other;
#else
    (void)quarantine;
    return p;
#endif
}

/* The same for a tiny block of the thread's own; `offset` is its bin's. */
HAK_INLINE void *hak_quarantine_tiny(void *p, size_t offset)
{
#if HAK_HARDEN
    return hak_quarantine_swap(hak_thread.quarantine[offset / HAK_BIN_BYTES], p);
#else
    (void)offset;
    return p;
#endif
}

#endif
