/* SPDX-License-Identifier: MIT */
/* Reads and writes of memory that is not, or no longer, or not yet the program's own. */
#include "misuse.h"

static void put(char *at, uint64_t value)
{
    touching = 1;
    *(word_t *)escape(at) = value;
    touching = 0;
}

static void write_freed(size_t at, uint64_t value)
{
    char *block = get_among_others();
    free(block);
    put((char *)escape(block) + at, value);
    for (int i = 0; i < 8; i++) /* it waits for others */
        free(get());
}

/* Something else of the class is free as well, so that the block's link is not the end of its list. */
static void write_link(uint64_t value)
{
    char *first = get();
    char *block = get();
    free(first);
    free(block);
    put((char *)escape(block), value);
}

static void look_for_secret(const char *block, const char *where)
{
    for (size_t at = 0; at + 8 <= size; at += 8)
        if (*(const word_t *)((const char *)escape((void *)block) + at) == SECRET)
            harmed(where);
}

static char *get_with_secret(void)
{
    char *block = get();
    for (size_t at = 0; at + 8 <= size; at += 8)
        *(word_t *)(block + at) = SECRET;
    return block;
}

void read_after_free(void)
{
    char *block = get_with_secret();
    free(block);
    touching = 1;
    look_for_secret(block, "a free block shows what was in it");
    touching = 0;
}

void read_before_write(void)
{
    for (int i = 0; i < (size > FAR ? 8 : 100); i++) {
        free(get_with_secret());
        char *block = (char *)escape(malloc(size));
        look_for_secret(block, "a new block shows what another one had");
        if (i % 2 == 0)
            free(block);
    }
}

/* One of many blocks, of which the others must stay as they are. The first byte behind it changes for certain: a canary is
 * random, and one that is the byte by chance is not overrun. */
static void overrun(size_t by, int byte)
{
    static char *blocks[64];
    for (size_t i = 0; i < many(); i++) {
        blocks[i] = get();
        fill(blocks[i], size, i);
    }
    char *block = blocks[many() / 2];
    char *end = (char *)escape(block) + size;
    touching = 1;
    const char before = *end;
    memset(end, byte, by);
    if (*end == before && byte != 0)
        *end = (char)(before + 1);
    touching = 0;
    for (size_t i = 0; i < many(); i++) {
        if (!is_filled(blocks[i], size, i)) {
            free(block);
            harmed("another block changed");
        }
    }
    free(block);
}

void write_after_free(void)
{
    write_link(0x4141414141414141);
}

void forged_link(void)
{
    write_link((uintptr_t)target);
}

void forged_link_own(void)
{
    write_link((uintptr_t)keep());
}

void write_after_free_second(void)
{
    write_freed(8, SECRET);
}

void write_after_free_middle(void)
{
    write_freed(size / 2 & ~(size_t)7, SECRET);
}

void write_after_free_end(void)
{
    write_freed(size - 8, SECRET);
}

void overrun_by_one(void)
{
    overrun(1, 9);
}

void overrun_by_zero(void)
{
    overrun(1, 0);
}

void overrun_by_eight(void)
{
    overrun(8, 9);
}

void overrun_by_many(void)
{
    overrun(76, 9);
}

void run_forward(void)
{
    const volatile char *block = get_among_others();
    touching = 1;
    for (size_t at = 0; at < FAR; at += 64)
        (void)block[size + at];
    harmed("a megabyte behind a block was read");
}

void run_forward_writing(void)
{
    char *block = get_among_others();
    touching = 1;
    memset((char *)escape(block) + size, 1, FAR);
    touching = 0;
    free(block);
}

void run_backward(void)
{
    const volatile char *block = get_among_others();
    touching = 1;
    for (size_t at = 64; at < FAR; at += 64)
        (void)*(block - at);
    harmed("a megabyte before a block was read");
}

/* The blocks of a class and what is behind each; the one in front of a free one is overrun. */
void overrun_into_free(void)
{
    static char *blocks[64];
    for (size_t i = 0; i < many(); i++)
        blocks[i] = get();
    for (size_t i = 1; i < many(); i += 2)
        free(blocks[i]);
    touching = 1;
    for (size_t i = size > MID ? 2 : 0; i < many();
         i += 2) /* the first large ones may have nobody behind them */
        memset((char *)escape(blocks[i]) + size, 9, 48);
    touching = 0;
}

/* A block with another one right in front of it, or so near that there is no room for a page between. */
static char *get_behind_another(void)
{
    char *blocks[64];
    for (;;) { /* ends: blocks of one size lie side by side */
        for (size_t i = 0; i < many(); i++)
            blocks[i] = get();
        for (size_t i = 0; i < many() * many(); i++) {
            const uintptr_t block = (uintptr_t)blocks[i / many()], other = (uintptr_t)blocks[i % many()];
            if (other < block && block - other <= 2 * size + 64 && (size >= 4096 || block % 4096 != 0))
                return blocks[i / many()];
        }
    }
}

/* What lies in front of the first block of a page, or of more pages for blocks of a size, may be accessible or not. */
static void underrun(size_t by)
{
    char *block = size > MID ? get_among_others() : get_behind_another();
    touching = 1;
    memset((char *)escape(block) - by, 9, by);
    touching = 0;
    free(block);
}

void underrun_by_one(void)
{
    underrun(1);
}

void underrun_by_many(void)
{
    underrun(16);
}

void none_read(void)
{
    const volatile char *block = escape(malloc(opaque(0)));
    touching = 1;
    (void)*block;
    harmed("a block of no bytes was read");
}

static void write_none(volatile char *block)
{
    touching = 1;
    *block = 1;
    harmed("a block of no bytes was written");
}

void none_written(void)
{
    write_none((volatile char *)escape(malloc(opaque(0))));
}

void none_aligned(void)
{
    write_none((volatile char *)escape(aligned_alloc(64, opaque(0))));
}
