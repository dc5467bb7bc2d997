/* SPDX-License-Identifier: MIT */
/* profile.c: see profile.h. */
#include "obs/profile.h"

#include "obs/blocks.h"
#include "os/lock.h"
#include "os/os.h"

#include <string.h>

#define PLACES (2 * HAK_PROFILE_STACKS) /* a power of two */

/* The tables, in one mapping. */
typedef struct tables {
    hak_profile_stack_t stacks[HAK_PROFILE_STACKS];
    uint32_t places[PLACES]; /* stacks by what they are; 0: empty */
} tables_t;

static hak_os_lock_t profile_lock = HAK_OS_LOCK(PROFILE);
static tables_t *tables;                               /* written before the first block, and in a child */
static hak_blocks_t live HAK_GUARDED_BY(profile_lock); /* the number is the stack's */
/* Of stacks. release when one is whole, pairs with acquire in hak_profile_count. */
static _Atomic uint32_t count;

bool hak_profile_begin(void)
{
    tables = hak_os_map(hak_round_up(sizeof *tables, HAK_OS_PAGE), HAK_OS_PAGE);
    if (tables == NULL)
        return false;
    tables->stacks[0].depth = 1; /* of all that find no place */
    tables->stacks[0].at[0] = (uintptr_t)hak_profile_enter;
    atomic_store_explicit(&count, 1, memory_order_release);
    return true;
}

/* What a thread that does not exist here was in the middle of may be in any state: the child begins anew. Its parent's memory is
 * left alone. Unchecked: nobody else is at work yet. */
void hak_profile_after_fork(void) HAK_LOCKS_UNCHECKED
{
    if (tables == NULL || !hak_os_lock_reset(&profile_lock))
        return;
    live = (hak_blocks_t){.places = NULL};
    tables_t *before = tables;
    if (!hak_profile_begin())
        tables = before;
}

/* True: the caller holds the lock. */
static bool enter_profile(void) HAK_TRIES(profile_lock)
{
    if (hak_os_lock_is_mine(&profile_lock))
        return false;
    hak_os_lock(&profile_lock);
    return true;
}

static size_t hash_of_stack(const hak_frames_t *frames, size_t size)
{
    uint64_t hash = size;
    for (uint32_t i = 0; i < frames->depth; i++)
        hash = (hash ^ frames->at[i]) * 0x9e3779b97f4a7c15ull ^ hash >> 29;
    return (size_t)(hash >> 32);
}

static bool is_stack(const hak_profile_stack_t *stack, const hak_frames_t *frames, size_t size)
{
    return stack->size == size && stack->depth == frames->depth &&
           memcmp(stack->at, frames->at, frames->depth * sizeof *frames->at) == 0;
}

/* The number of a stack, which gets one if there is room; 0 if not. */
static uint32_t stack_of(const hak_frames_t *frames, size_t size) HAK_REQUIRES(profile_lock)
{
    size_t at = hash_of_stack(frames, size) & (PLACES - 1);
    for (; tables->places[at] != 0; at = (at + 1) & (PLACES - 1)) /* ends: half of the places are empty */
        if (is_stack(&tables->stacks[tables->places[at]], frames, size))
            return tables->places[at];
    uint32_t next = atomic_load_explicit(&count, memory_order_relaxed);
    if (next == HAK_PROFILE_STACKS)
        return 0;
    hak_profile_stack_t *stack = &tables->stacks[next];
    stack->size = size;
    stack->depth = frames->depth;
    memcpy(stack->at, frames->at, frames->depth * sizeof *frames->at);
    tables->places[at] = next;
    atomic_store_explicit(&count, next + 1, memory_order_release);
    return next;
}

static void add_live(uint32_t stack, uint64_t n) HAK_REQUIRES(profile_lock)
{
    atomic_fetch_add_explicit(&tables->stacks[stack].live, n, memory_order_relaxed);
}

/* A block that a handler freed unseen is still there when its address comes again. */
static uint32_t take_live(const void *p) HAK_REQUIRES(profile_lock)
{
    hak_blocks_entry_t entry;
    if (live.count == 0 || !hak_blocks_take(&live, (uintptr_t)p, &entry))
        return HAK_PROFILE_NONE;
    add_live(entry.number, UINT64_MAX); /* one less */
    return entry.number;
}

static void put_live(const void *p, uint32_t stack) HAK_REQUIRES(profile_lock)
{
    take_live(p);
    if (live.count >= HAK_PROFILE_LIVE || !hak_blocks_prepare(&live))
        return;
    hak_blocks_put(&live, (hak_blocks_entry_t){.address = (uintptr_t)p, .number = stack});
    add_live(stack, 1);
}

void hak_profile_enter(const void *p, size_t size, const hak_frames_t *frames)
{
    if (!enter_profile())
        return;
    uint32_t stack = stack_of(frames, size);
    if (stack == 0) /* of blocks of all sizes: the last one is shown */
        tables->stacks[0].size = size;
    atomic_fetch_add_explicit(&tables->stacks[stack].total, 1, memory_order_relaxed);
    put_live(p, stack);
    hak_os_unlock(&profile_lock);
}

uint32_t hak_profile_leave(const void *p)
{
    if (!enter_profile())
        return HAK_PROFILE_NONE;
    uint32_t stack = take_live(p);
    hak_os_unlock(&profile_lock);
    return stack;
}

void hak_profile_return(const void *p, uint32_t stack)
{
    if (!enter_profile())
        return;
    put_live(p, stack);
    hak_os_unlock(&profile_lock);
}

uint32_t hak_profile_count(void)
{
    return atomic_load_explicit(&count, memory_order_acquire);
}

const hak_profile_stack_t *hak_profile_stack(uint32_t i)
{
    return &tables->stacks[i];
}
