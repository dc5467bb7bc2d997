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

/* hardened_guards.c */
void test_untouched_memory_stays_untouched(void **state);
void test_mappings_stay_few(void **state);
void test_empty_chunks_are_unmapped(void **state);
void test_refused_blocks_are_not_lost(void **state);
void test_refused_blocks_go_with_their_chunks(void **state);
void test_who_looks_in_front_does_not_fault(void **state);
void test_chunks_with_an_inaccessible_end(void **state);
void test_a_run_from_any_block_faults(void **state);
void test_nothing_beside_huge_blocks(void **state);
void test_nothing_of_others_right_in_front(void **state);
void test_what_is_mapped_ahead_is_closed(void **state);
void test_huge_blocks_stay_closed(void **state);
void test_mappings_of_free_ranges_stay_few(void **state);
void test_closed_again_after_many_free_ranges(void **state);
void test_closed_with_the_one_beside(void **state);

#endif
