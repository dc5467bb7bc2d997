/* SPDX-License-Identifier: MIT */
/* batch.h: blocks of one class on their way to another thread, all at once: the first, the last, and how many they are. And the
 * inbox's stack of such batches.
 *
 * Where free blocks have words to spare, all that is said in the last block: its link leads to the first one, so that it alone
 * stands for the ring, and a word behind that has the next batch of the inbox and the number. So neither who sends a batch nor
 * who gets it touches the blocks between: a cache line each, which the freeing thread has just lost and the owner does not have
 * yet. Where links have a seal, that is behind it and sealed, too; a block of 16 bytes has no room for it, and lies in the inbox
 * by itself. With HAK_HARDEN the inbox is one list of blocks, each of which is looked at on its way. */
#ifndef HAK_MEM_BATCH_H
#define HAK_MEM_BATCH_H

#include "mem/link.h"

#define HAK_RINGS (!HAK_HARDEN)
/* The word of the last block that has the next batch and the number. */
#define HAK_BATCH_WORD (HAK_CHECK_LINKS ? 2 : 1)

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

/* True if a last block, of this class, has room for what is said of a batch. */
HAK_INLINE bool hak_batch_is_ring(unsigned c)
{
    return HAK_RINGS && (!HAK_CHECK_LINKS || hak_class_size(c) > 2 * sizeof(hak_word_t));
}

/* Puts a batch of a class, of at most HAK_BATCH_MOST blocks, in front of what an inbox holds. Returns what it holds then. */
HAK_INLINE void *hak_batch_tie(const hak_batch_t *batch, unsigned c, void *inbox)
{
    if (!hak_batch_is_ring(c)) {
        hak_link_set(batch->last, inbox);
        return batch->first;
    }
    hak_link_set(batch->last, batch->first);
    hak_word_t *word = (hak_word_t *)batch->last + HAK_BATCH_WORD;
    uint64_t said = hak_beside(inbox, batch->blocks);
    if (HAK_CHECK_LINKS)
        hak_link_seal(word, (const void *)(uintptr_t)said); /* NOLINT(performance-no-int-to-ptr) */
    else
        word[0] = said;
    return batch->last;
}

/* Takes the first batch of an inbox out, which is of this class. Returns the rest. Only with HAK_RINGS. */
HAK_INLINE void *hak_batch_untie(void *inbox, unsigned c, hak_batch_t *batch)
{
    *batch = (hak_batch_t){.first = inbox, .last = inbox, .blocks = 1};
    void *next = hak_link_next(inbox);
    if (!hak_batch_is_ring(c))
        return next;
    const hak_word_t *word = (const hak_word_t *)inbox + HAK_BATCH_WORD;
    if (HAK_CHECK_LINKS && hak_unlikely(!hak_link_is_sealed(word)))
        hak_link_corrupted(inbox);
    batch->first = next;
    batch->blocks = hak_beside_number(word[0]);
    return hak_beside_block(word[0]);
}

#endif
