/* SPDX-License-Identifier: MIT */
/* harden.h: what the variants with HAK_HARDEN know of each block.
 *
 * A byte for each 16 bytes of a chunk, outside all blocks, says whether a block that is in use begins there: a free of
 * anything else is seen, however late and from whichever thread. The bytes of a chunk are its first eight slices: those of
 * these slices themselves would be the first 8 KiB, which the descriptors have.
 *
 * A block in use ends in a canary of eight bytes right behind what was asked for, which also says by what kind of
 * function. What is behind that is filled, and so is a free block, all of it, which is looked at again before it is handed
 * out. A free block's link is encoded with a key, and its second word is a number that its address and its link make:
 * whoever changes a link is found out before it is followed. Filled is zero but in debug, and so is the memory of the
 * pool: what is in no slab has no links.
 *
 * The last byte of a block is thus zero at all times: it is filled, or the end of a canary or of a second word, of which both
 * end in a zero. A free looks at the byte in front of its block, and sees an underrun; and at its own last one, which it is about
 * to fill, or nobody would see what was written there by way of the block behind.
 *
 * Canaries and second words are products with secret words, folded: who has read one, or many, knows no other. The keys
 * are of the process, not of the heap: blocks are on their way between heaps with their links in them. */
#ifndef HAK_MEM_HARDEN_H
#define HAK_MEM_HARDEN_H

#include "map/map.h"

#define HAK_CANARY_BYTES (HAK_HARDEN ? sizeof(uint64_t) : (size_t)0)
#define HAK_SLACK_MOST   127u /* and what says that the state's next three bytes hold the number */
#define HAK_FILL_BYTE    (HAK_CHECKS ? 0xdb : 0) /* what a free block is filled with */
#define HAK_ANY_SIZE     SIZE_MAX                /* of a free that does not say the size */

#define HAK_BLOCK_NONE 0u    /* no block begins here, or it was never handed out */
#define HAK_BLOCK_FREE 1u    /* it is filled */
#define HAK_BLOCK_USED 0x80u /* and the number of bytes between the canary and the block's end */

/* How a block was asked for, which the way it is freed has to match: one of these, and in the bits above it the logarithm of
 * the alignment that an aligned operator new was told. */
#define HAK_KIND_MALLOC 0u /* all of C's functions */
#define HAK_KIND_NEW    1u
#define HAK_KIND_ARRAY  2u /* new[] */
#define HAK_KIND_BITS   2

typedef uint64_t hak_word_t __attribute__((may_alias));
typedef uint64_t hak_word_anywhere_t __attribute__((may_alias, aligned(1)));

typedef struct hak_harden_keys {
    uint64_t link;
    uint64_t mirror, mirror_factor;
    uint64_t canary, canary_factor;
} hak_harden_keys_t;

/* Written once, before the first block. */
extern hak_harden_keys_t hak_harden_keys HAK_HIDDEN;

void hak_harden_init(void);
/* Fills a block of any size that lies in a slab. */
void hak_harden_fill_any(void *p, size_t bytes);
/* A slab's blocks are all free, and it is given up: their links go. */
void hak_harden_forget(char *base, size_t size, size_t count);
/* True unless operators new and delete other than ours can have had a part in it: what their blocks are we do not know. `c`: malloc
 * or free was one side. Not defined in the archive, which has no operator new. */
bool hak_kinds_are_known(bool c) HAK_HIDDEN __attribute__((weak));
/* The link in a free block, or a word behind it, is not what it was. */
HAK_COLD _Noreturn void hak_harden_corrupted(const void *block);

HAK_INLINE uint8_t *hak_harden_state(const void *p)
{
    uintptr_t chunk = (uintptr_t)p & ~(HAK_CHUNK - 1);
    return (uint8_t *)(chunk +
                       (((uintptr_t)p & (HAK_CHUNK - 1)) >> 4)); /* NOLINT(performance-no-int-to-ptr) */
}

/* The two halves of a product: no sum and no shift of two results tells the factor. */
HAK_INLINE uint64_t hak_mix(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

HAK_INLINE unsigned hak_kind_aligned(unsigned kind, size_t align)
{
    return kind | (unsigned)__builtin_ctzll(align) << HAK_KIND_BITS;
}

#define HAK_KIND_AT 48 /* the bit of a canary with which the kind begins: its last byte but one */

#define HAK_CANARY_ONES  0x83u /* bits of its first byte that are one, */
#define HAK_CANARY_ZEROS 0x02u /* but for these */

/* What a program writes there most, the end of a string, a character or a byte of ones, is never its first byte: by luck it would
 * go unseen once in 128. Its last byte is zero. */
HAK_INLINE uint64_t hak_harden_canary(const void *p, unsigned kind)
{
    uint64_t secret = hak_mix((uintptr_t)p ^ hak_harden_keys.canary, hak_harden_keys.canary_factor);
    return (secret >> 8 | HAK_CANARY_ONES) ^ (HAK_CANARY_ZEROS | (uint64_t)kind << HAK_KIND_AT);
}

/* Its last byte is zero. */
HAK_INLINE uint64_t hak_harden_mirror(const void *block, uint64_t next)
{
    return hak_mix(next ^ hak_harden_keys.mirror, (uintptr_t)block ^ hak_harden_keys.mirror_factor) >> 8;
}

HAK_INLINE void hak_harden_link(void *block, const void *next)
{
    hak_word_t *word = block;
    word[0] = (uintptr_t)next ^ hak_harden_keys.link;
    word[1] = hak_harden_mirror(block, (uintptr_t)next);
}

HAK_INLINE void *hak_harden_next(const void *block)
{
    const hak_word_t *word = block;
    uint64_t next = word[0] ^ hak_harden_keys.link;
    if (hak_unlikely(word[1] != hak_harden_mirror(block, next)))
        hak_harden_corrupted(block);
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
HAK_INLINE void hak_harden_fill(void *p, size_t bytes)
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
HAK_INLINE bool hak_harden_is_filled(const void *p, size_t bytes)
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
HAK_INLINE bool hak_harden_is_unlinked(const void *p)
{
    const hak_word_t *word = p;
    return ((word[0] ^ (uint64_t)HAK_FILL_WORD) | (word[1] ^ (uint64_t)HAK_FILL_WORD)) == 0;
}

/* A block of `bytes` in a slab, just taken from its bin: checks that it is free and untouched, and hands it out with a
 * canary so many bytes, less than HAK_SLACK_MOST, before its end. */
HAK_INLINE void hak_harden_hand_out(void *p, size_t bytes, size_t slack, unsigned kind)
{
    uint8_t *state = hak_harden_state(p);
    if (hak_unlikely(*state != HAK_BLOCK_FREE || !hak_harden_is_filled(p, bytes)))
        hak_harden_corrupted(p);
    *state = (uint8_t)(HAK_BLOCK_USED | slack);
    *(hak_line_t *)p = HAK_FILL_LINE;
    *(hak_word_anywhere_t *)((char *)p + bytes - HAK_CANARY_BYTES - slack) = hak_harden_canary(p, kind);
}

/* The last byte of a block as it was left: of a fill, or the end of a canary or of a second word. */
HAK_INLINE bool hak_harden_is_left(unsigned char byte)
{
    return byte == 0 || byte == HAK_FILL_BYTE;
}

/* The byte in front of a block, which nobody may write. In front of a slice it may be inaccessible. Another thread may be
 * writing it: a zero, too. */
HAK_INLINE bool hak_harden_is_underrun(const void *p)
{
    return ((uintptr_t)p & (HAK_SLICE - 1)) != 0 &&
           !hak_harden_is_left(((const volatile unsigned char *)p)[-1]);
}

/* The start of a thread's generator, out of secret numbers that were drawn at the start: a sandbox may not know the call for random
 * ones. */
uint64_t hak_harden_seed(void);
/* In a forked child, which has this name: its threads, those to come as well, are not to begin as its parent's or a sibling's. */
void hak_harden_part(uint64_t process);

/* --- the slow side of harden_fast.h ------------------------------------------------------------------------------- */

HAK_NOINLINE void *hak_harden_malloc_slow(size_t size, unsigned kind);
/* `asked` is the size that the caller says, or HAK_ANY_SIZE; `kind` of which it takes the block to be; `site` where it was
 * called. */
HAK_NOINLINE void hak_harden_free_slow(void *p, size_t asked, unsigned kind, const void *site);
void *hak_harden_calloc_oversize(size_t size);
void *hak_harden_aligned(size_t align, size_t size, unsigned kind);
/* A block of no bytes that is one like others. */
void *hak_harden_malloc_none(size_t align, unsigned kind);
/* A block that somebody else asked for, on behalf of a function of this kind. If it is none of ours, nothing happens. */
void hak_harden_set_kind(void *p, unsigned kind);
void *hak_harden_realloc(void *p, size_t size, const void *site);
/* Bytes in the block that p begins and that its owner may use; 0 if p is not ours. */
size_t hak_harden_usable(const void *p, const void *site);
/* Aborts unless p, about to be freed, has the alignment that the caller says. */
void hak_harden_check_align(const void *p, size_t align, const void *site);

#endif
