/* SPDX-License-Identifier: MIT */
/* What the scenarios have in common, and the list of them. */
#include "scenarios.h"

void *given[BLOCKS]; /* by thread 0, before the act */
void *taken[BLOCKS]; /* in the act */
hak_heap_t *owner;   /* of what is given */
size_t used_before;

void *new_block(size_t size)
{
    unsigned char *block = hakmem_alloc(size);
    CHECK(block != NULL, "no memory");
    block[0] = block[size - 1] = 1;
    return block;
}

void note_use(void)
{
    used_before = hak_chunk_view().used;
}

void have_heap(void)
{
    for (unsigned i = 0; i < 100 && hak_thread.heap == NULL; i++)
        hakmem_free(new_block(100));
    CHECK(hak_thread.heap != NULL, "the thread got no heap");
}

void give_blocks(unsigned many)
{
    have_heap();
    for (unsigned i = 0; i < many; i++)
        given[i] = new_block(BLOCK);
    owner = hak_thread.heap;
}

void give_one(void)
{
    give_blocks(1);
}

void give_two(void)
{
    give_blocks(2);
}

void free_first(void)
{
    hakmem_free(given[0]);
}

void free_second(void)
{
    hakmem_free(given[1]);
}

void free_both(void)
{
    free_first();
    free_second();
}

void expect_different(void)
{
    for (unsigned i = 0; i < BLOCKS; i++)
        for (unsigned j = 0; j < i; j++)
            CHECK(taken[i] == NULL || taken[i] != taken[j], "a block was handed out twice");
}

void flush_quarantine(void)
{
#if HAK_HARDEN
    hak_thread.last = NULL;
    hak_quarantine_flush_other(true);
    hak_quarantine_flush_oversize(true);
#endif
}

void empty_out(void)
{
    flush_quarantine();
    hak_heap_trim();
}

void free_taken(void)
{
    expect_different();
    for (unsigned i = 0; i < BLOCKS; i++) {
        hakmem_free(taken[i]);
        taken[i] = NULL;
    }
    empty_out();
}

void expect_nothing_lost(void)
{
    empty_out();
    empty_out();
    CHECK(hak_chunk_view().used == used_before, "%zu bytes of slices are in use, not %zu: a block was lost",
          hak_chunk_view().used, used_before);
}

void expect_no_block_waits(void)
{
    CHECK(atomic_load(&owner->state) == HAK_HEAP_ORPHAN, "the thread's end was not noticed");
    CHECK(atomic_load(&owner->inbox) == NULL, "a block was left in the inbox of an orphan");
}

void take_two(void)
{
    taken[0] = new_block(BLOCK);
    taken[1] = new_block(BLOCK);
}

void just_end(void) {}

void trim(void)
{
    hak_heap_trim();
}

const scenario_t *const scenarios[] = {
    &inbox,
    &senders,
    &waiting,
    &ending,
    &ending_two,
    &orphan,
    &late_orphan,
    &late_ending,
    &adoption,
    &takeover,
    &trimming,
    &map,
    &huge_move,
    &huge_move_foreign,
    &huge_free_foreign,
    &huge_cache,
    &previous,
    &purging,
    &looked_at,
    &fork_small,
    &fork_previous,
    &fork_huge,
    &fork_ending,
    &fork_starting,
    &fork_raw,
    &fork_raw_huge,
    &locks,
    &locks_of_three,
    &late_repair,
    &late_repair_heaps,
    NULL,
};
