/* SPDX-License-Identifier: MIT */
/* Scenarios of heaps: their inboxes, how they are given up and taken over, and what is set aside. */
#include "scenarios.h"

/* --- the inbox ---------------------------------------------------------------------------------------------------- */

const scenario_t inbox = {
    .name = "inbox",
    .sentence = "One thread frees blocks of another, which takes blocks meanwhile.",
    .threads = 2,
    .least = 40,
    .before = note_use,
    .prepare = {give_two, have_heap},
    .act = {take_two, free_both},
    .finish = {free_taken, empty_out},
    .after = expect_nothing_lost,
};

static void take_one(void)
{
    taken[0] = new_block(BLOCK);
}

const scenario_t senders = {
    .name = "senders",
    .sentence = "Two threads free blocks of a third, which takes one meanwhile.",
    .threads = 3,
    .least = 500,
    .before = note_use,
    .prepare = {give_two, have_heap, have_heap},
    .act = {take_one, free_first, free_second},
    .finish = {free_taken, empty_out, empty_out},
    .after = expect_nothing_lost,
};

/* A thread that has not come for a while: who frees then puts the blocks into its slabs. */
static void give_and_wait(void)
{
    give_two();
    atomic_store(&owner->waiting, 1000);
}

const scenario_t waiting = {
    .name = "waiting",
    .preemptions = 2,
    .sentence = "Two threads put blocks into the slabs of a third, which takes one meanwhile.",
    .threads = 3,
    .least = 2000,
    .before = note_use,
    .prepare = {give_and_wait, have_heap, have_heap},
    .act = {take_one, free_first, free_second},
    .finish = {free_taken, empty_out, empty_out},
    .after = expect_nothing_lost,
};

/* --- heaps that are given up and taken over ----------------------------------------------------------------------- */

/* Before anybody trims, which would find it. */
static void look_and_trim(void)
{
    expect_no_block_waits();
    empty_out();
}

static void expect_all_came_back(void)
{
    CHECK(hak_chunk_view().used == used_before, "%zu bytes of slices are in use, not %zu: a block was lost",
          hak_chunk_view().used, used_before);
}

const scenario_t ending = {
    .name = "ending",
    .sentence = "A thread ends while another frees its last block: the block is back in the pool.",
    .threads = 2,
    .least = 100,
    .before = note_use,
    .prepare = {give_one, have_heap},
    .act = {just_end, free_first},
    .ends = {true, false},
    .finish = {NULL, look_and_trim},
    .after = expect_all_came_back,
};

const scenario_t ending_two = {
    .name = "ending_two",
    .preemptions = 1,
    .sentence = "A thread ends while two others free its last blocks: both are back in the pool.",
    .threads = 3,
    .least = 100,
    .before = note_use,
    .prepare = {give_two, have_heap, have_heap},
    .act = {just_end, free_first, free_second},
    .ends = {true, false, false},
    .finish = {NULL, look_and_trim, look_and_trim},
    .after = expect_all_came_back,
};

/* A thread that has ended before the act, and left a heap behind with a slab that is partly used. */
static void *leave_blocks(void *unused)
{
    give_two();
    return unused;
}

static void have_heap_beside_an_orphan(void)
{
    have_heap();
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, leave_blocks, NULL) == 0, "pthread_create");
    pthread_join(thread, NULL);
    CHECK(atomic_load(&owner->state) == HAK_HEAP_ORPHAN, "the thread's end was not noticed");
}

const scenario_t orphan = {
    .name = "orphan",
    .preemptions = 2,
    .sentence = "Two threads free the last blocks of a thread that has ended.",
    .threads = 2,
    .least = 200,
    .before = note_use,
    .prepare = {have_heap, have_heap_beside_an_orphan},
    .act = {free_first, free_second},
    .finish = {look_and_trim, look_and_trim},
    .after = expect_all_came_back,
};

static void free_second_and_trim(void)
{
    free_second();
    empty_out();
}

/* The handshake of hak_remote_flush_unattended where stores are seen late. */
const scenario_t late_orphan = {
    .name = "late_orphan",
    .sentence = "As orphan, with stores that are seen late.",
    .buffers = true,
    .preemptions = 2,
    .threads = 2,
    .least = 500,
    .before = note_use,
    .prepare = {have_heap, have_heap_beside_an_orphan},
    .act = {free_first, free_second},
    .finish = {look_and_trim, look_and_trim},
    .after = expect_all_came_back,
};

const scenario_t late_ending = {
    .name = "late_ending",
    .sentence = "As ending, with stores that are seen late.",
    .buffers = true,
    .preemptions = 1,
    .threads = 2,
    .least = 60,
    .before = note_use,
    .prepare = {give_one, have_heap},
    .act = {just_end, free_first},
    .ends = {true, false},
    .finish = {NULL, look_and_trim},
    .after = expect_all_came_back,
};

const scenario_t adoption = {
    .name = "adoption",
    .sentence = "A thread takes a slab over from one that has ended, whose block another thread frees.",
    .threads = 2,
    .least = 30,
    .before = note_use,
    .prepare = {have_heap, have_heap_beside_an_orphan},
    .act = {take_one, free_first},
    .finish = {free_taken, free_second_and_trim},
    .after = expect_nothing_lost,
};

/* The first malloc of a thread: it takes over the heap of one that is about to end, or makes one. */
const scenario_t takeover = {
    .name = "takeover",
    .preemptions = 1,
    .sentence = "A thread ends, another one begins, a third frees a block of the first.",
    .threads = 3,
    .least = 150,
    .before = note_use,
    .prepare = {give_one, NULL, have_heap},
    .act = {just_end, take_one, free_first},
    .ends = {true, false, false},
    .finish = {NULL, free_taken, empty_out},
    .after = expect_nothing_lost,
};

static void free_second_and_trim_after_a_look(void)
{
    expect_no_block_waits();
    free_second_and_trim();
}

const scenario_t trimming = {
    .name = "trimming",
    .preemptions = 1,
    .sentence = "A thread trims all heaps while another frees a block of one that has ended.",
    .threads = 2,
    .least = 20,
    .before = note_use,
    .prepare = {have_heap, have_heap_beside_an_orphan},
    .act = {trim, free_first},
    .finish = {free_second_and_trim_after_a_look, trim},
    .after = expect_nothing_lost,
};

/* --- previous lists ----------------------------------------------------------------------------------------------- */

/* Three blocks of this size fill a bin. */
static void set_one_aside(void)
{
    give_blocks(6);
    for (unsigned i = 0; i < 3; i++)
        hakmem_free(given[i]);
}

static void set_another_aside(void)
{
    for (unsigned i = 3; i < 6; i++)
        hakmem_free(given[i]);
    take_two();
}

/* Purging has a scenario of its own: to visit is to purge as well, and every order of both is too many. */
static bool purges_not;

bool __real_hak_slab_purge_free(hak_heap_t *heap, hak_purging_t *place, uint32_t most);
bool __wrap_hak_slab_purge_free(hak_heap_t *heap, hak_purging_t *place, uint32_t most);
bool __wrap_hak_slab_purge_free(hak_heap_t *heap, hak_purging_t *place, uint32_t most)
{
    return purges_not || __real_hak_slab_purge_free(heap, place, most);
}

static void note_use_and_purge_not(void)
{
    purges_not = true;
    note_use();
}

static void visit_all(void)
{
    hak_heaps_flush_unattended((uint32_t)hak_os_now_ms() + 10000);
}

const scenario_t previous = {
    .name = "previous",
    .sentence = "A thread sets blocks aside and takes them back, another puts them into their slabs.",
    .threads = 2,
    .least = 20,
    .before = note_use_and_purge_not,
    .prepare = {set_one_aside},
    .act = {set_another_aside, visit_all},
    .finish = {free_taken},
    .after = expect_nothing_lost,
};

/* Three of six blocks are free, in their slab. */
static void put_three_back(void)
{
    set_one_aside();
    hak_os_lock(&owner->lock);
    hak_bins_flush_previous(owner);
    hak_bins_empty(&hak_thread, owner);
    hak_os_unlock(&owner->lock);
    hak_bins_reset(&hak_thread);
}

static void take_two_and_free_three(void)
{
    take_two();
    for (unsigned i = 3; i < 6; i++)
        hakmem_free(given[i]);
}

static void purge_owner(void)
{
    hak_purging_t place = {0};
    hak_slab_purge_free(owner, &place, UINT32_MAX);
}

static void purge_owner_and_take_one(void)
{
    purge_owner();
    taken[0] = new_block(BLOCK);
}

/* As safe_free does, and who makes a slab, of what lies in bins. */
static void look_at_one(void)
{
    hak_free_check_start(given[3]);
}

static void free_three_and_one(void)
{
    for (unsigned i = 3; i < 6; i++)
        hakmem_free(given[i]);
    hakmem_free(taken[0]);
    empty_out();
}

const scenario_t looked_at = {
    .name = "looked_at",
    .sentence =
        "A thread looks whether a block is in use while another gives pages beside it back, and takes them.",
    .threads = 2,
    .least = 20,
    .before = note_use,
    .prepare = {put_three_back, have_heap},
    .act = {purge_owner_and_take_one, look_at_one},
    .finish = {free_three_and_one, empty_out},
    .after = expect_nothing_lost,
};

const scenario_t purging = {
    .name = "purging",
    .sentence = "A thread takes blocks and frees some while another gives pages of its slabs back.",
    .threads = 2,
    .least = 20,
    .before = note_use,
    .prepare = {put_three_back},
    .act = {take_two_and_free_three, purge_owner},
    .finish = {free_taken},
    .after = expect_nothing_lost,
};
