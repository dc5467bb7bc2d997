/* SPDX-License-Identifier: MIT */
/* harden_fast.h: the fast paths of the variants with HAK_HARDEN: those of fast.h and the checks of harden.h in one. Whatever is
 * unusual, misuse above all, is one branch to a _slow function, which looks at everything again and says what it is.
 * A freed block is not for use at once (quarantine.h). */
#ifndef HAK_MEM_HARDEN_FAST_H
#define HAK_MEM_HARDEN_FAST_H

#include "mem/bin.h"
#include "mem/quarantine.h"

HAK_INLINE void *hak_harden_malloc(size_t size, unsigned kind)
{
    if (hak_unlikely(size - 1 >= HAK_TINY_MAX - HAK_CANARY_BYTES)) /* or none at all */
        return hak_harden_malloc_slow(size, kind);
    size_t bytes = hak_tiny_size(size + HAK_CANARY_BYTES);
    hak_bin_ref_t bin = hak_bin_at(bytes);
    void *block = bin->head;
    if (hak_unlikely(block == NULL))
        return hak_harden_malloc_slow(size, kind);
    hak_bin_pop(bin, block);
    hak_harden_hand_out(block, bytes, bytes - HAK_CANARY_BYTES - size, kind);
    return block;
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
    /* The bin's offset, which of a tiny class is the size, too. */
    size_t bytes = hak_map_get(p) ^ hak_thread_self();
    if (hak_unlikely(bytes > HAK_TINY_MAX)) {
        hak_harden_free_slow(p, asked, kind, site);
        return;
    }
    uint8_t *state = hak_harden_state(p);
    size_t end = bytes - HAK_CANARY_BYTES - (*state & HAK_SLACK_MOST);
    if (hak_unlikely(*state < HAK_BLOCK_USED || hak_harden_is_underrun(p) ||
                     !hak_harden_is_left(((const volatile unsigned char *)p)[bytes - 1]) ||
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
