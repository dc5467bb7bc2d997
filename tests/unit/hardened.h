/* SPDX-License-Identifier: MIT */
/* What the files of unit_hardened share. */
#ifndef TESTS_UNIT_HARDENED_H
#define TESTS_UNIT_HARDENED_H

#include "deaths.h"

#include <pthread.h>
#include <sys/mman.h>

#include "hakmem.h"
#include "mem/chunk.h"
#include "mem/extent.h"
#include "map/map.h"
#include "mem/guard.h"
#include "mem/harden.h"
#include "mem/harden_fast.h"
#include "mem/quarantine.h"
#include "mem/view.h"
#include "os/os.h"

typedef void deed_t(char *block, size_t argument);

/* The signal that ends a child that does this, 0 if none does. */
int end_of(deed_t *deed, char *block, size_t argument);
void run_over(char *from, size_t bytes);
void free_it(char *block, size_t unused);
void free_twice(char *block, size_t unused);
void read_at(char *block, size_t at);
void write_at(char *block, size_t at);

enum {
    SAID = 1024 /* bytes */
};

extern char said[SAID]; /* by the last child */
void expect_said(const char *text);
extern const char *own_program; /* as it was called */
/* In a process of its own: where the first blocks lie within what is carved at a time. */
int print_order(void);
/* The same: writes a megabyte behind its first block, which has so many bytes. */
int write_far_behind(size_t size);

/* hardened_ends.c */
void test_a_canary_tells_nothing(void **state);
void test_realloc_grants_nothing_but_zeroes(void **state);
void test_memory_is_zero_when_handed_out(void **state);
void test_no_line_has_a_secret(void **state);
void test_growing_by_little_makes_no_calls(void **state);
void test_overruns_of_every_size(void **state);
void test_whole_pages_end_with_their_last_byte(void **state);
void test_ends_of_what_is_resized(void **state);
void test_a_byte_behind_the_canary(void **state);
void test_a_write_into_the_block_freed_last(void **state);
void test_overruns_of_aligned_blocks(void **state);
void test_underruns(void **state);
void test_underruns_of_which_the_front_goes_first(void **state);
void test_underruns_into_free_memory(void **state);
void test_runs_from_large_blocks_fault(void **state);

/* hardened_freed.c */
void test_freed_large_blocks_cannot_be_touched(void **state);
void test_what_is_written_into_a_free_block_is_gone(void **state);
void test_the_block_freed_last_is_not_the_next(void **state);
void test_the_order_is_random(void **state);
void test_forked_children_have_orders_of_their_own(void **state);
void test_blocks_that_are_carved_alone_come_at_random(void **state);
void test_threads_of_children_have_orders_of_their_own(void **state);

/* hardened_guards.c */
void test_untouched_memory_stays_untouched(void **state);
void test_mappings_stay_few(void **state);
void test_empty_chunks_are_unmapped(void **state);
void test_refused_blocks_are_not_lost(void **state);
void test_refused_blocks_go_with_their_chunks(void **state);
void test_who_looks_in_front_does_not_fault(void **state);
void test_chunks_with_an_inaccessible_end(void **state);
void test_a_megabyte_behind_the_first_block(void **state);
void test_a_run_from_any_block_faults(void **state);
void test_nothing_beside_huge_blocks(void **state);
void test_nothing_of_others_right_in_front(void **state);
void test_what_is_mapped_ahead_is_closed(void **state);
void test_huge_blocks_stay_closed(void **state);
void test_mappings_of_free_ranges_stay_few(void **state);
void test_closed_again_after_many_free_ranges(void **state);
void test_closed_with_the_one_beside(void **state);

#endif
