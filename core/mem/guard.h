/* guard.h: what the variants with HAK_HARDEN know of each block, and nothing in the others.
 *
 * A byte for each 16 bytes of a chunk, outside all blocks, says whether a block that is in use begins there: a free of
 * anything else is seen, however late and from whichever thread. The bytes of a chunk are its second to eighth slices: those
 * of the first eight slices themselves would be the first 8 KiB, which the descriptors have.
 *
 * A block in use ends in a canary of eight bytes right behind what was asked for (at most HAK_SLACK_MOST bytes before
 * the block's end; further in front an overrun does no harm). A free block is filled, all of it, and is looked at again
 * before it is handed out. Its link is encoded with a key and written twice, the second time the other way round and with
 * the block's address in it: whoever changes a link without knowing both keys is found out before it is followed.
 *
 * The keys are of the process, not of the heap: blocks are on their way between heaps with their links in them. */
#ifndef HAK_MEM_GUARD_H
#define HAK_MEM_GUARD_H

#include "map/map.h"

#define HAK_CANARY_BYTES (HAK_HARDEN ? sizeof(uint64_t) : (size_t)0)
#define HAK_SLACK_MOST   127u
#define HAK_FILL_BYTE    (HAK_CHECKS ? 0xdb : 0) /* what a free block is filled with */
#define HAK_ANY_SIZE     SIZE_MAX                /* of a free that does not say the size */

#define HAK_BLOCK_NONE 0u    /* no block begins here, or it was never handed out */
#define HAK_BLOCK_FREE 1u    /* it is filled */
#define HAK_BLOCK_USED 0x80u /* and the number of bytes between the canary and the block's end */

typedef uint64_t hak_word_t __attribute__((may_alias));
typedef uint64_t hak_word_anywhere_t __attribute__((may_alias, aligned(1)));

typedef struct hak_guard_keys {
    uint64_t link, echo;
    uint64_t canary; /* its low byte is odd: the zero that ends a string is never the canary's first byte */
} hak_guard_keys_t;

/* Written once, before the first block. */
extern hak_guard_keys_t hak_guard_keys HAK_HIDDEN;

void hak_guard_init(void);
/* Fills a block of any size that lies in a slab. */
void hak_guard_fill_any(void *p, size_t bytes);
/* The link in a free block, or a word behind it, is not what it was. */
HAK_COLD _Noreturn void hak_guard_spoilt(const void *block);

HAK_INLINE uint8_t *hak_guard_state(const void *p)
{
    uintptr_t chunk = (uintptr_t)p & ~(HAK_CHUNK - 1);
    return (uint8_t *)(chunk +
                       (((uintptr_t)p & (HAK_CHUNK - 1)) >> 4)); /* NOLINT(performance-no-int-to-ptr) */
}

HAK_INLINE uint64_t hak_guard_canary(const void *p)
{
    return hak_guard_keys.canary ^ (uintptr_t)p;
}

HAK_INLINE uint64_t hak_guard_echo(const void *block, uint64_t next)
{
    return __builtin_bswap64(next ^ (uintptr_t)block) ^ hak_guard_keys.echo;
}

HAK_INLINE void hak_guard_link(void *block, const void *next)
{
    hak_word_t *word = block;
    word[0] = (uintptr_t)next ^ hak_guard_keys.link;
    word[1] = hak_guard_echo(block, (uintptr_t)next);
}

HAK_INLINE void *hak_guard_next(const void *block)
{
    const hak_word_t *word = block;
    uint64_t next = word[0] ^ hak_guard_keys.link;
    if (hak_unlikely(word[1] != hak_guard_echo(block, next)))
        hak_guard_spoilt(block);
    return (void *)next; /* NOLINT(performance-no-int-to-ptr) */
}

typedef long long hak_line_t __attribute__((vector_size(16), may_alias));

/* Keeps a loop over a few lines as it is written: clang would call memset, or unroll it eight times, for blocks of which
 * most have two to four (free took 15 instructions more). */
#define HAK_AS_WRITTEN(pointer) __asm__("" : "+r"(pointer))
#define HAK_FILL_WORD           ((long long)(HAK_FILL_BYTE * 0x0101010101010101ull))
#define HAK_FILL_LINE           ((hak_line_t){HAK_FILL_WORD, HAK_FILL_WORD})

HAK_INLINE void hak_fill_four(hak_line_t *line)
{
    line[0] = line[1] = line[2] = line[3] = HAK_FILL_LINE;
}

HAK_INLINE hak_line_t hak_differ_four(const hak_line_t *line)
{
    return (line[0] ^ HAK_FILL_LINE) | (line[1] ^ HAK_FILL_LINE) | (line[2] ^ HAK_FILL_LINE) |
           (line[3] ^ HAK_FILL_LINE);
}

/* Fills a tiny block of `bytes`. From 64 bytes on by four lines, of which the last may overlap. */
HAK_INLINE void hak_guard_fill(void *p, size_t bytes)
{
    hak_line_t *line = p;
    hak_line_t *end = line + bytes / sizeof(hak_line_t);
    if (bytes >= 4 * sizeof(hak_line_t)) {
        for (; line < end - 4; line += 4) {
            hak_fill_four(line);
            HAK_AS_WRITTEN(line);
        }
        hak_fill_four(end - 4);
        return;
    }
    do {
        *line++ = HAK_FILL_LINE;
        HAK_AS_WRITTEN(line);
    } while (line != end);
}

/* True if a block of `bytes` is as it was filled, but for its first line, which has the link. */
HAK_INLINE bool hak_guard_is_filled(const void *p, size_t bytes)
{
    const hak_line_t *line = (const hak_line_t *)p + 1;
    const hak_line_t *end = (const hak_line_t *)p + bytes / sizeof(hak_line_t);
    hak_line_t difference = {0, 0};
    if (bytes > 4 * sizeof(hak_line_t)) {
        for (; line < end - 4; line += 4) {
            difference |= hak_differ_four(line);
            HAK_AS_WRITTEN(line);
        }
        difference |= hak_differ_four(end - 4);
        return (difference[0] | difference[1]) == 0;
    }
    for (; line != end; line++) {
        difference |= *line ^ HAK_FILL_LINE;
        HAK_AS_WRITTEN(line);
    }
    return (difference[0] | difference[1]) == 0;
}

/* True if the first line of a free block that has no link yet is as it was filled. */
HAK_INLINE bool hak_guard_is_held(const void *p)
{
    const hak_word_t *word = p;
    return ((word[0] ^ (uint64_t)HAK_FILL_WORD) | (word[1] ^ (uint64_t)HAK_FILL_WORD)) == 0;
}

/* A block of `bytes` in a slab, just taken from its bin: checks that it is free and untouched, and hands it out with a
 * canary so many bytes before its end. */
HAK_INLINE void hak_guard_hand_out(void *p, size_t bytes, size_t slack)
{
    uint8_t *state = hak_guard_state(p);
    if (hak_unlikely(*state != HAK_BLOCK_FREE || !hak_guard_is_filled(p, bytes)))
        hak_guard_spoilt(p);
    *state = (uint8_t)(HAK_BLOCK_USED | slack);
    *(hak_line_t *)p = (hak_line_t){0, 0};
    *(hak_word_anywhere_t *)((char *)p + bytes - HAK_CANARY_BYTES - slack) = hak_guard_canary(p);
}

#endif
