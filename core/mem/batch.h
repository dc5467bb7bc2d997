/* SPDX-License-Identifier: MIT */
/* batch.h: blocks of one class on their way to another thread, all at once: the first, the last, and how many they are. And the
 * inbox's stack of such batches.
 *
 * Where free blocks have a word to spare (no seal, no mirror), all that is said in the last block: its link leads to the first
 * one, so that it alone stands for the ring, and its second word has the next batch of the inbox and the number. So neither who
 * sends a batch nor who gets it touches the blocks between: a cache line each, which the freeing thread has just lost and the
 * owner does not have yet. Elsewhere the inbox is one list of blocks, each of which is looked at on its way. */
#ifndef HAK_MEM_BATCH_H
#define HAK_MEM_BATCH_H

#include "mem/link.h"

#define HAK_RINGS (!HAK_CHECK_LINKS && !HAK_HARDEN)

typedef struct hak_batch {
    void *first, *last;
    uint32_t blocks;
} hak_batch_t;

/* An address that the map covers has 47 bits, and a block's ends in four zeroes: so one word holds a block and 21 bits more. */
#define HAK_BATCH_BITS 21u
#define HAK_BATCH_MOST ((1u << HAK_BATCH_BITS) - 1)

static_assert(HAK_OWNERS <= HAK_BATCH_MOST, "an owner fits beside a block");

HAK_INLINE uint64_t hak_beside(const void *block, uint32_t number)
{
    return (uint64_t)(uintptr_t)block << (HAK_BATCH_BITS - 4) | number;
}

HAK_INLINE uint32_t hak_beside_number(uint64_t word)
{
    return (uint32_t)word & HAK_BATCH_MOST;
}

HAK_INLINE void *hak_beside_block(uint64_t word)
{
    return (void *)(uintptr_t)(word >> HAK_BATCH_BITS << 4); /* NOLINT(performance-no-int-to-ptr) */
}

/* Puts a batch, of at most HAK_BATCH_MOST blocks, in front of what an inbox holds. Returns what it holds then. */
HAK_INLINE void *hak_batch_tie(const hak_batch_t *batch, void *inbox)
{
    if (!HAK_RINGS) {
        hak_link_set(batch->last, inbox);
        return batch->first;
    }
    hak_word_t *word = batch->last;
    word[0] = (uintptr_t)batch->first;
    word[1] = hak_beside(inbox, batch->blocks);
    return batch->last;
}

/* Takes the first batch of an inbox out, which is not empty. Returns the rest. Only with HAK_RINGS. */
HAK_INLINE void *hak_batch_untie(void *inbox, hak_batch_t *batch)
{
    const hak_word_t *word = inbox;
    *batch = (hak_batch_t){.first = *(void **)inbox, .last = inbox, .blocks = hak_beside_number(word[1])};
    return hak_beside_block(word[1]);
}

#endif
