/* hard.h: the fast paths of the variants with HAK_HARDEN: those of fast.h and the checks of guard.h in one. Whatever is
 * unusual, misuse above all, is one branch to a _slow function, which looks at everything again and says what it is.
 *
 * A freed block is not for use at once: it changes places with a random one of the last few, so that the block freed last is
 * never the one handed out next. Tiny ones wait by class, others (and another heap's) together, large and huge ones for
 * all threads together, and inaccessible (guard.c). */
#ifndef HAK_MEM_HARD_H
#define HAK_MEM_HARD_H

#include "mem/fast.h"

HAK_NOINLINE void *hak_harden_malloc_slow(size_t size, unsigned kind);
/* `asked` is the size that the caller says, or HAK_ANY_SIZE; `kind` of which it takes the block to be; `site` where it was
 * called. */
HAK_NOINLINE void hak_harden_free_slow(void *p, size_t asked, unsigned kind, const void *site);
void *hak_harden_calloc_oversize(size_t size);
void *hak_harden_aligned(size_t align, size_t size, unsigned kind);
/* A block of no bytes that is one like others. */
void *hak_harden_malloc_none(unsigned kind);
/* A block that somebody else asked for, on behalf of a function of this kind. If it is none of ours, nothing happens. */
void hak_harden_set_kind(void *p, unsigned kind);
void *hak_harden_realloc(void *p, size_t size, const void *site);
/* Bytes in the block that p begins and that its owner may use; 0 if p is not ours. */
size_t hak_harden_usable(const void *p, const void *site);
/* Aborts unless p, about to be freed, has the alignment that the caller says. */
void hak_harden_check_align(const void *p, size_t align, const void *site);
/* Large and huge blocks that wait become free: the memory is wanted. All of them, or but for the one freed last. True if there
 * was any. */
bool hak_quarantine_flush_oversize(bool all);
/* A block of this map entry that another thread freed, on its way into a bin of the calling thread's. */
void hak_quarantine_receive(void *p, uint32_t entry);
/* Tiny and mid blocks that wait go where they belong, but for the one freed last unless the thread `ends`. */
void hak_quarantine_flush_other(bool ends);

HAK_INLINE void *hak_harden_malloc(size_t size, unsigned kind)
{
    if (hak_unlikely(size - 1 >= HAK_TINY_MAX - HAK_CANARY_BYTES)) /* or none at all */
        return hak_harden_malloc_slow(size, kind);
    size_t bytes = (size + HAK_CANARY_BYTES + 15) & ~(size_t)15;
    hak_bin_ref_t bin = hak_bin_at(bytes);
    void *block = bin->head;
    if (hak_unlikely(block == NULL))
        return hak_harden_malloc_slow(size, kind);
    hak_bin_pop(bin, block);
    hak_harden_hand_out(block, bytes, bytes - HAK_CANARY_BYTES - size, kind);
    return block;
}

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
    return hak_quarantine_swap(hak_thread.quarantine[offset / 16], p);
#else
    (void)offset;
    return p;
#endif
}

/* Puts a block that was in quarantine into its bin. */
HAK_INLINE void hak_harden_push(void *p, size_t offset)
{
    if (hak_unlikely(!hak_harden_is_unlinked(p))) /* the link is about to hide what was written there */
        hak_harden_corrupted(p);
    hak_bin_ref_t bin = hak_bin_at(offset);
    hak_link_set(p, bin->head);
    bin->head = p;
    if (hak_unlikely(--bin->frees_left == 0))
        hak_bin_full(offset);
}

HAK_INLINE void hak_harden_free(void *p, size_t asked, unsigned kind, const void *site)
{
    if (hak_unlikely((uintptr_t)p >> 32 != hak_thread_window() || ((uintptr_t)p & 15) != 0)) {
        hak_harden_free_slow(p, asked, kind, site);
        return;
    }
    size_t bytes =
        hak_map_get(p) ^ hak_thread_self(); /* the bin's offset, which of a tiny class is the size, too */
    if (hak_unlikely(bytes > HAK_TINY_MAX)) {
        hak_harden_free_slow(p, asked, kind, site);
        return;
    }
    uint8_t *state = hak_harden_state(p);
    size_t end = bytes - HAK_CANARY_BYTES - (*state & HAK_SLACK_MOST);
    if (hak_unlikely(*state < HAK_BLOCK_USED || hak_harden_is_underrun(p) ||
                     *(hak_word_anywhere_t *)((char *)p + end) != hak_harden_canary(p, kind) ||
                     (asked != HAK_ANY_SIZE && asked != end))) {
        hak_harden_free_slow(p, asked, kind, site);
        return;
    }
    *state = HAK_BLOCK_FREE;
    hak_harden_fill(p, bytes);
    p = hak_quarantine_tiny(p, bytes);
    if (hak_likely(p != NULL))
        hak_harden_push(p, bytes);
}

#endif
