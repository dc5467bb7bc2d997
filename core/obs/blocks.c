/* SPDX-License-Identifier: MIT */
/* blocks.c: see blocks.h. No state. */
#include "obs/blocks.h"

#include "os/os.h"

#include <string.h>

#define FIRST_CAPACITY ((size_t)1024) /* places */

static size_t home_of(const hak_blocks_t *blocks, uintptr_t address)
{
    return (size_t)((address >> 4) * 0x9e3779b97f4a7c15ull >> 20) & (blocks->capacity - 1);
}

/* Ends: a quarter of the places is empty. */
static size_t place_of(const hak_blocks_t *blocks, uintptr_t address)
{
    size_t at = home_of(blocks, address);
    while (blocks->places[at].address != 0 && blocks->places[at].address != address)
        at = (at + 1) & (blocks->capacity - 1);
    return at;
}

static bool grow_places(hak_blocks_t *blocks)
{
    hak_blocks_t next = *blocks;
    next.capacity = hak_max(2 * blocks->capacity, FIRST_CAPACITY);
    next.places = hak_os_map(hak_round_up(next.capacity * sizeof *next.places, HAK_OS_PAGE), HAK_OS_PAGE);
    if (next.places == NULL)
        return false;
    for (size_t i = 0; i < blocks->capacity; i++)
        if (blocks->places[i].address != 0)
            next.places[place_of(&next, blocks->places[i].address)] = blocks->places[i];
    if (blocks->places != NULL)
        hak_os_unmap(blocks->places, hak_round_up(blocks->capacity * sizeof *blocks->places, HAK_OS_PAGE));
    *blocks = next;
    return true;
}

/* There is room for each number that may be released. */
static bool grow_released(hak_blocks_t *blocks)
{
    size_t capacity = hak_max(2 * blocks->released_capacity, FIRST_CAPACITY);
    uint32_t *numbers = hak_os_map(capacity * sizeof *numbers, HAK_OS_PAGE);
    if (numbers == NULL)
        return false;
    if (blocks->released != NULL) {
        memcpy(numbers, blocks->released, blocks->released_count * sizeof *numbers);
        hak_os_unmap(blocks->released, blocks->released_capacity * sizeof *numbers);
    }
    blocks->released = numbers;
    blocks->released_capacity = capacity;
    return true;
}

bool hak_blocks_prepare(hak_blocks_t *blocks)
{
    if (4 * (blocks->count + 1) > 3 * blocks->capacity && !grow_places(blocks))
        return false;
    return blocks->fresh < blocks->released_capacity || grow_released(blocks);
}

void hak_blocks_put(hak_blocks_t *blocks, hak_blocks_entry_t entry)
{
    blocks->places[place_of(blocks, entry.address)] = entry;
    blocks->count++;
}

/* Closes the gap: what lies behind it, up to the next empty place, moves forward when it may. */
static void close_gap(hak_blocks_t *blocks, size_t gap)
{
    size_t mask = blocks->capacity - 1;
    for (size_t at = (gap + 1) & mask; blocks->places[at].address != 0; at = (at + 1) & mask) {
        size_t home = home_of(blocks, blocks->places[at].address);
        if (((at - home) & mask) < ((at - gap) & mask))
            continue; /* its home lies between the gap and it */
        blocks->places[gap] = blocks->places[at];
        gap = at;
    }
    blocks->places[gap].address = 0;
}

bool hak_blocks_take(hak_blocks_t *blocks, uintptr_t address, hak_blocks_entry_t *out)
{
    if (blocks->capacity == 0)
        return false;
    size_t at = place_of(blocks, address);
    if (blocks->places[at].address == 0)
        return false;
    *out = blocks->places[at];
    close_gap(blocks, at);
    blocks->count--;
    return true;
}

uint32_t hak_blocks_number(hak_blocks_t *blocks)
{
    return blocks->released_count != 0 ? blocks->released[--blocks->released_count] : blocks->fresh++;
}

void hak_blocks_release(hak_blocks_t *blocks, uint32_t number)
{
    blocks->released[blocks->released_count++] = number;
}

void hak_blocks_clear(hak_blocks_t *blocks)
{
    if (blocks->places != NULL)
        hak_os_unmap(blocks->places, hak_round_up(blocks->capacity * sizeof *blocks->places, HAK_OS_PAGE));
    if (blocks->released != NULL)
        hak_os_unmap(blocks->released, blocks->released_capacity * sizeof *blocks->released);
    *blocks = (hak_blocks_t){.places = NULL};
}
