/* SPDX-License-Identifier: MIT */
/* The model: what the family has handed out and not yet got back, with the checks at both moments. */
#ifndef TESTS_FUZZ_MODEL_H
#define TESTS_FUZZ_MODEL_H

#include "family.h"
#include "promise.h"
#include "system.h"

#define VAST                                                                                                 \
    ((size_t)64 << 20) /* bytes; of what is larger only the ends are filled, and the rest never touched */

enum {
    SLOTS = 2048,
    EDGE = 256, /* bytes at both ends of a block that are all filled; between them one here and there */
    UNTOUCHED = 12345, /* errno before each call */
};

/* Loops over contents: each of their comparisons would be told to the fuzzer, which is more than half of its time, and say
 * nothing of the allocator. */
#define UNTRACED __attribute__((no_sanitize("coverage")))

typedef struct live {
    unsigned char *block; /* NULL in a free slot */
    size_t size;          /* as requested */
    size_t usable;        /* as malloc_usable_size said; all of it is filled */
    unsigned seed;
} live_t;

static live_t slots[SLOTS];
static live_t *by_address[SLOTS]; /* those in use, ascending */
static size_t in_use, live_bytes, vast_bytes;
static unsigned next_seed;

UNTRACED static unsigned char byte_at(unsigned seed, size_t at)
{
    return (unsigned char)(seed + at * 131 + (at >> 8) * 7);
}

/* The filled position after `at` in a block of `size` bytes. */
UNTRACED static size_t next_filled(size_t at, size_t size)
{
    if (at + 1 < EDGE || at + EDGE >= size)
        return at + 1;
    const size_t step = size > VAST ? size : size > HAK_CLASS_MAX ? 65521 : 1021;
    return at + step < size - EDGE ? at + step : size - EDGE;
}

UNTRACED static void fill(const live_t *live)
{
    for (size_t at = 0; at < live->usable; at = next_filled(at, live->usable))
        live->block[at] = byte_at(live->seed, at);
}

/* What was filled into `live` is at `block`, as far as `size`. */
UNTRACED static void expect_filled(const live_t *live, const unsigned char *block, size_t size)
{
    for (size_t at = 0; at < size; at = next_filled(at, live->usable))
        PROMISE(block[at] == byte_at(live->seed, at), "byte %zu of a block of %zu", at, live->size);
}

UNTRACED static void expect_zero(const unsigned char *block, size_t size)
{
    size_t at = 0;
    for (uint64_t word; at + sizeof word <= size; at += sizeof word) {
        __builtin_memcpy(&word, block + at, sizeof word);
        PROMISE(word == 0, "near byte %zu of %zu", at, size);
    }
    for (; at < size; at++)
        PROMISE(block[at] == 0, "byte %zu of %zu", at, size);
}

/* How many blocks in use begin below the address. */
static size_t place_of(const unsigned char *address)
{
    size_t low = 0;
    for (size_t high = in_use; low < high;) {
        const size_t middle = (low + high) / 2;
        if (by_address[middle]->block < address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void forget(live_t *live)
{
    const size_t place = place_of(live->block);
    PROMISE(place < in_use && by_address[place] == live, "the model lost a block");
    memmove(&by_address[place], &by_address[place + 1], (--in_use - place) * sizeof by_address[0]);
    *(live->usable > VAST ? &vast_bytes : &live_bytes) -= live->usable;
    live->block = NULL;
}

/* A request succeeded: the block obeys the model and becomes part of it. */
static void note(live_t *live, void *block, size_t size, size_t align)
{
    PROMISE(errno == UNTOUCHED, "a success set errno %d", errno);
    PROMISE(((uintptr_t)block & (align - 1)) == 0, "%p is not aligned to %zu", block, align);
    *live = (live_t){.block = block, .size = size, .usable = malloc_usable_size(block), .seed = next_seed++};
    PROMISE(live->usable >= size, "%zu usable bytes of %zu", live->usable, size);
    const size_t place = place_of(live->block);
    PROMISE(place == in_use || live->block + live->usable <= by_address[place]->block,
            "%p of %zu bytes overlaps the block behind it", block, live->usable);
    PROMISE(place == 0 || by_address[place - 1]->block + by_address[place - 1]->usable <= live->block,
            "%p overlaps the block before it", block);
    memmove(&by_address[place + 1], &by_address[place], (in_use++ - place) * sizeof by_address[0]);
    by_address[place] = live;
    *(live->usable > VAST ? &vast_bytes : &live_bytes) += live->usable;
    fill(live);
}

/* The same for a plain request, where only so much of the block may be waste: an eighth, or twice that in a block that
 * was at hand. */
static void note_plain(live_t *live, void *block, size_t size)
{
    note(live, block, size, HAK_ALIGN);
    const size_t slack = size > HAK_CLASS_MAX / 2 ? (size_t)128 << 10 : 2 * HAK_ALIGN;
    PROMISE(live->usable <= size + size / 4 + slack, "%zu usable bytes for %zu", live->usable, size);
}

/* A request failed. */
static void excuse(const char *what, size_t size)
{
    PROMISE(errno == ENOMEM, "%s(%zu) failed with errno %d", what, size, errno);
    PROMISE(system_refused, "%s(%zu) failed, though the system gives", what, size);
}

static void give(live_t *live)
{
    if (live->block == NULL)
        return;
    expect_filled(live, live->block, live->usable);
    PROMISE(malloc_usable_size(live->block) == live->usable, "the size of a block changed");
    unsigned char *block = live->block;
    const size_t size = live->size;
    const unsigned way = live->seed % 8;
    forget(live);
    errno = UNTOUCHED;
    if (way == 0)
        free_sized(block, size);
    else if (way == 1)
        free_aligned_sized(block, 1, size);
    else if (way == 2)
        cfree(block);
    else if (way == 3)
        hakmem_free(block);
    else if (way == 4)
        PROMISE(realloc(block, 0) == NULL, "realloc to nothing");
    else if (way == 5)
        hakmem_free_at(block, size);
    else
        free(block);
    PROMISE(errno == UNTOUCHED, "free set errno %d", errno);
}

/* A block was resized, or not. */
static void note_resized(live_t *live, unsigned char *moved, size_t size)
{
    if (moved == NULL) {
        excuse("realloc", size);
        PROMISE(HAK_CHECKS || size > live->size, "a block cannot be shrunk"); /* checks move every block */
        expect_filled(live, live->block, live->usable);
        return;
    }
    expect_filled(live, moved, hak_min(live->size, size));
    forget(live);
    note(live, moved, size, HAK_ALIGN);
}

#endif
