/* SPDX-License-Identifier: MIT */
/* The scenarios. Small ones: two or three threads, a few operations each, since every order of their steps is run.
 * Blocks of BLOCK bytes go to their owner's inbox one by one, without waiting for a batch. */
#ifndef TESTS_EXPLORE_SCENARIOS_H
#define TESTS_EXPLORE_SCENARIOS_H

#include "explore.h"

#include "hakmem.h"
#include "mem/bin.h"
#include "mem/chunk.h"
#include "mem/extent.h"
#include "mem/free_slow.h"
#include "mem/harden_fast.h"
#include "mem/oversize.h"
#include "mem/remote.h"
#include "mem/slab.h"

enum {
    BLOCK = 20000,
    BLOCKS = 8,
    HUGE = 2 << 20,
    HUGER = 4 << 20
};

extern void *given[BLOCKS]; /* by thread 0, before the act */
extern void *taken[BLOCKS]; /* in the act */
extern hak_heap_t *owner;   /* of what is given */
extern size_t used_before;

void *new_block(size_t size);
void note_use(void);
/* The thread has a heap of its own from now on: the first few blocks of a thread may come from others' heaps. */
void have_heap(void);
void give_blocks(unsigned many);
void give_one(void);
void give_two(void);
void free_first(void);
void free_second(void);
void free_both(void);
void expect_different(void);
/* What waits in the hardened variants goes back, the block freed last included. */
void flush_quarantine(void);
void empty_out(void);
void free_taken(void);
/* Twice, since the first round may send blocks to a heap that was looked at before. */
void expect_nothing_lost(void);
/* Nobody will come for it. */
void expect_no_block_waits(void);
void take_two(void);
void just_end(void);
void trim(void);

/* heaps.c */
extern const scenario_t inbox, senders, waiting, ending, ending_two, orphan, late_orphan, late_ending,
    adoption, takeover, trimming, previous, purging, looked_at;
/* addresses.c */
extern const scenario_t map, huge_move, huge_move_foreign, huge_free_foreign, huge_cache;
/* children.c */
extern const scenario_t fork_small, fork_previous, fork_huge, fork_ending, fork_starting, fork_raw,
    fork_raw_huge, locks, locks_of_three, late_repair, late_repair_heaps;

#endif
