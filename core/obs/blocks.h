/* SPDX-License-Identifier: MIT */
/* blocks.h: the blocks that a recording or a profile knows: address -> number, size, alignment. A table with open addressing in a
 * mapping of its own, which doubles; the holder of the lock of that recording or profile touches it.
 *
 * In a recording a number is taken again after its block is freed, the one freed last first: so numbers stay small, and whoever
 * reads the trace knows them without being told. In a profile the number is the stack's. */
#ifndef HAK_OBS_BLOCKS_H
#define HAK_OBS_BLOCKS_H

#include "base/types.h"

typedef struct hak_blocks_entry {
    uintptr_t address; /* 0: an empty place */
    uint64_t size;     /* bytes asked for */
    uint32_t number;
    uint32_t align; /* log2; 0: not asked for */
} hak_blocks_entry_t;

/* All zero: empty. */
typedef struct hak_blocks {
    hak_blocks_entry_t *places;
    uint32_t *released;       /* numbers to be taken again, the last one first */
    size_t capacity;          /* places, a power of two */
    size_t count;             /* of them in use */
    size_t released_capacity; /* numbers */
    size_t released_count;
    uint32_t fresh; /* numbers ever given */
} hak_blocks_t;

/* Sees to it that one more block fits; false when memory is out. */
bool hak_blocks_prepare(hak_blocks_t *blocks);
/* Enters a block that is not there; prepared. */
void hak_blocks_put(hak_blocks_t *blocks, hak_blocks_entry_t entry);
/* Takes the block at an address out; false if there is none. Its number is not released. */
bool hak_blocks_take(hak_blocks_t *blocks, uintptr_t address, hak_blocks_entry_t *out);
/* A number for a new block; prepared. */
uint32_t hak_blocks_number(hak_blocks_t *blocks);
/* The number of a block that is gone. */
void hak_blocks_release(hak_blocks_t *blocks, uint32_t number);
/* Gives the memory back: empty again. */
void hak_blocks_clear(hak_blocks_t *blocks);

#endif
