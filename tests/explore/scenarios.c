// SPDX-License-Identifier: MIT
// The scenarios. Small ones: two or three threads, a few operations each, since every order of their steps is run.
// Blocks of BLOCK bytes go to their owner's inbox one by one, without waiting for a batch.
#include "explore.h"

#include "hakmem.h"
#include "mem/bin.h"
#include "mem/chunk.h"
#include "mem/extent.h"
#include "mem/harden_fast.h"
#include "mem/oversize.h"
#include "mem/remote.h"

enum {
    BLOCK = 20000,
    BLOCKS = 8
};

static void *given[BLOCKS]; // by thread 0, before the act
static void *taken[BLOCKS]; // in the act
static hak_heap_t *owner;   // of what is given
static size_t used_before;

static void *new_block(size_t size)
{
    unsigned char *block = hakmem_alloc(size);
    CHECK(block != NULL, "no memory");
    block[0] = block[size - 1] = 1;
    return block;
}

static void note_use(void)
{
    used_before = hak_chunk_view().used;
}

// The thread has a heap of its own from now on: the first few blocks of a thread may come from others' heaps.
static void have_heap(void)
{
    for (unsigned i = 0; i < 100 && hak_thread.heap == NULL; i++) {
        hakmem_free(new_block(100));
    }
    CHECK(hak_thread.heap != NULL, "the thread got no heap");
}

static void give_blocks(unsigned many)
{
    have_heap();
    for (unsigned i = 0; i < many; i++) {
        given[i] = new_block(BLOCK);
    }
    owner = hak_thread.heap;
}

static void give_one(void)
{
    give_blocks(1);
}

static void give_two(void)
{
    give_blocks(2);
}

static void free_first(void)
{
    hakmem_free(given[0]);
}

static void free_second(void)
{
    hakmem_free(given[1]);
}

static void free_both(void)
{
    free_first();
    free_second();
}

static void expect_different(void)
{
    for (unsigned i = 0; i < BLOCKS; i++) {
        for (unsigned j = 0; j < i; j++) {
            CHECK(taken[i] == NULL || taken[i] != taken[j], "a block was handed out twice");
        }
    }
}

// What waits in the hardened variants goes back, the block freed last included.
static void flush_quarantine(void)
{
#if HAK_HARDEN
    hak_thread.last = NULL;
    hak_quarantine_flush_other(true);
    hak_quarantine_flush_oversize(true);
#endif
}

static void empty_out(void)
{
    flush_quarantine();
    hak_heap_trim();
}

static void free_taken(void)
{
    expect_different();
    for (unsigned i = 0; i < BLOCKS; i++) {
        hakmem_free(taken[i]);
        taken[i] = NULL;
    }
    empty_out();
}

// Twice, since the first round may send blocks to a heap that was looked at before.
static void expect_nothing_lost(void)
{
    empty_out();
    empty_out();
    CHECK(hak_chunk_view().used == used_before, "%zu bytes of slices are in use, not %zu: a block was lost",
          hak_chunk_view().used, used_before);
}

// Nobody will come for it.
static void expect_no_block_waits(void)
{
    CHECK(atomic_load(&owner->state) == HAK_HEAP_ORPHAN, "the thread's end was not noticed");
    CHECK(atomic_load(&owner->inbox) == NULL, "a block was left in the inbox of an orphan");
}

// --- the inbox ------------------------------------------------------------------------------------------------------

static void take_two(void)
{
    taken[0] = new_block(BLOCK);
    taken[1] = new_block(BLOCK);
}

static const scenario_t inbox = {
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

static const scenario_t senders = {
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

// A thread that has not come for a while: who frees then puts the blocks into its slabs.
static void give_and_wait(void)
{
    give_two();
    atomic_store(&owner->waiting, 1000);
}

static const scenario_t waiting = {
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

// --- heaps that are given up and taken over -------------------------------------------------------------------------

static void just_end(void) {}

// Before anybody trims, which would find it.
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

static const scenario_t ending = {
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

static const scenario_t ending_two = {
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

// A thread that has ended before the act, and left a heap behind with a slab that is partly used.
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

static const scenario_t orphan = {
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

// The handshake of hak_remote_flush_unattended where stores are seen late.
static const scenario_t late_orphan = {
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

static const scenario_t late_ending = {
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

static const scenario_t adoption = {
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

// The first malloc of a thread: it takes over the heap of one that is about to end, or makes one.
static const scenario_t takeover = {
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

static void trim(void)
{
    hak_heap_trim();
}

static void free_second_and_trim_after_a_look(void)
{
    expect_no_block_waits();
    free_second_and_trim();
}

static const scenario_t trimming = {
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

// --- the map --------------------------------------------------------------------------------------------------------

// Nothing of anybody's is there: two windows of the map in one word of its bits.
static char *const nowhere = (char *)((uintptr_t)0x1234 << 32);
#define WINDOW ((size_t)1 << 32)

static void use_window(char *at)
{
    CHECK(hak_map_cover(at, HAK_SLICE), "no room for the map");
    hak_map_set(at, 77);
    CHECK(hak_map_get(at) == 77, "an entry of the map was lost");
}

static void use_first_slice(void)
{
    use_window(nowhere);
}

static void use_second_slice(void)
{
    use_window(nowhere + HAK_SLICE);
}

static void use_next_window(void)
{
    use_window(nowhere + WINDOW);
}

static void expect_entries(void)
{
    CHECK(hak_map_find(nowhere) == 77 && hak_map_find(nowhere + HAK_SLICE) == 77 &&
              hak_map_find(nowhere + WINDOW) == 77,
          "an entry of the map was lost");
}

static const scenario_t map = {
    .name = "map",
    .preemptions = 2,
    .sentence = "Three threads cover windows of the map, two of them the same one.",
    .threads = 3,
    .least = 700,
    .prepare = {have_heap, have_heap, have_heap},
    .act = {use_first_slice, use_second_slice, use_next_window},
    .after = expect_entries,
};

// --- addresses of big blocks ----------------------------------------------------------------------------------------

enum {
    BIG = 2 << 20,
    BIGGER = 4 << 20
};

static void *foreign;

// Below and above it something else: to grow, it has to move. Nothing is cached.
static void give_big(void)
{
    given[0] = new_block(BIG);
    map_foreign((char *)given[0] + BIG, HAK_OS_PAGE);
    wanted_address = given[0];
    wanted_size = BIG;
}

static void grow_big(void)
{
    unsigned char *grown = hakmem_resize(given[0], BIGGER);
    CHECK(grown != NULL && grown[0] == 1 && grown[BIG - 1] == 1, "realloc lost something");
    CHECK(hakmem_usable_size(grown) >= BIGGER, "the allocator does not know a block that it has moved");
    given[0] = grown;
}

static void take_huge(void)
{
    taken[0] = new_block(BIG);
    CHECK(hakmem_usable_size(taken[0]) >= BIG, "the allocator does not know a block that it has handed out");
}

static void check_bigs(void)
{
    CHECK(taken[0] == NULL || hakmem_usable_size(taken[0]) >= BIG, "the allocator forgot a block in use");
    CHECK(hakmem_usable_size(given[0]) >= BIGGER, "the allocator forgot a block that it has moved");
    hakmem_free(given[0]);
    hakmem_free(taken[0]);
    flush_quarantine();
    hakmem_trim();
    CHECK(hak_extent_view().live == 0, "%zu bytes of big blocks are left", hak_extent_view().live);
}

static const scenario_t big_move = {
    .name = "big_move",
    .preemptions = 2,
    .sentence = "A thread moves a big block, another gets one at the address that was vacated.",
    .threads = 2,
    .least = 10,
    .prepare = {give_big, have_heap},
    .act = {grow_big, take_huge},
    .finish = {check_bigs},
};

// The program's own memory, where a block was.
static void map_vacated(void)
{
    foreign = map_foreign(wanted_address, BIG);
    if (foreign != NULL) {
        CHECK(hakmem_usable_size(foreign) == 0, "the allocator takes memory of the program for a block");
        memset(foreign, 2, 100);
    }
}

static void expect_foreign_whole(void)
{
    if (foreign != NULL) {
        CHECK(hakmem_usable_size(foreign) == 0, "the allocator takes memory of the program for a block");
        CHECK(*(char *)foreign == 2, "the allocator wrote into memory of the program");
    }
}

static const scenario_t big_move_foreign = {
    .name = "big_move_foreign",
    .sentence = "A thread moves a big block, another maps memory of its own at the address that was vacated.",
    .threads = 2,
    .least = 3,
    .prepare = {give_big, have_heap},
    .act = {grow_big, map_vacated},
    .finish = {check_bigs, expect_foreign_whole},
};

static void free_big(void)
{
    hakmem_free(given[0]);
    hakmem_trim();
}

static const scenario_t big_free_foreign = {
    .name = "big_free_foreign",
    .sentence = "A thread gives a big block back, another maps memory of its own at that address.",
    .threads = 2,
    .least = 2,
    .prepare = {give_big, have_heap},
    .act = {free_big, map_vacated},
    .finish = {NULL, expect_foreign_whole},
};

static void churn_big(void)
{
    void *mine = new_block(BIG);
    void *other = new_block(BIG + BIG / 2);
    CHECK(hakmem_usable_size(mine) >= BIG && hakmem_usable_size(other) >= BIG + BIG / 2,
          "the allocator forgot a block");
    hakmem_free(other);
    hakmem_free(mine);
}

static void expect_no_big(void)
{
    flush_quarantine();
    hakmem_trim();
    CHECK(hak_extent_view().live == 0 && hak_extent_view().dirty == 0, "%zu bytes of big blocks are left",
          hak_extent_view().live + hak_extent_view().dirty);
}

static void free_big_to_cache(void)
{
    hakmem_free(given[0]);
    hak_oversize_flush_cache(hak_thread.heap);
}

static const scenario_t big_cache = {
    .name = "big_cache",
    .preemptions = 1,
    .sentence = "A thread frees a big block, another cuts its own out of it.",
    .threads = 2,
    .least = 40,
    .prepare = {give_big, have_heap},
    .act = {free_big_to_cache, churn_big},
    .finish = {trim, expect_no_big},
};

// --- stashes --------------------------------------------------------------------------------------------------------

// Three blocks of this size fill a bin.
static void set_one_aside(void)
{
    give_blocks(6);
    for (unsigned i = 0; i < 3; i++) {
        hakmem_free(given[i]);
    }
}

static void set_another_aside(void)
{
    for (unsigned i = 3; i < 6; i++) {
        hakmem_free(given[i]);
    }
    take_two();
}

static void visit_all(void)
{
    hak_heaps_flush_unattended((uint32_t)hak_os_now_ms() + 10000);
}

static const scenario_t stash = {
    .name = "stash",
    .sentence = "A thread sets blocks aside and takes them back, another puts them into their slabs.",
    .threads = 2,
    .least = 20,
    .before = note_use,
    .prepare = {set_one_aside},
    .act = {set_another_aside, visit_all},
    .finish = {free_taken},
    .after = expect_nothing_lost,
};

// --- forked children ------------------------------------------------------------------------------------------------

static unsigned char *mine;

static void use_in_child(void)
{
    static const size_t sizes[] = {16, 100, 1000, BLOCK, 100000, 300000, 1000000, BIG, BIGGER};
    unsigned char *blocks[sizeof sizes / sizeof *sizes];
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            blocks[i] = new_block(sizes[i]);
            CHECK(hakmem_usable_size(blocks[i]) >= sizes[i], "a child's block is not known");
            fill(blocks[i], sizes[i] < 200 ? sizes[i] : 200, i);
        }
        for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            CHECK(is_filled(blocks[i], sizes[i] < 200 ? sizes[i] : 200, i), "a child's block was changed");
            hakmem_free(blocks[i]);
        }
    }
    CHECK(is_filled(mine, 1000, 5), "a block of the thread that forked was changed");
    hakmem_free(mine);
    hakmem_free(given[0]);
    hakmem_free(given[1]);
    hakmem_trim();
}

static void *use_in_thread(void *unused)
{
    have_heap();
    void *blocks[BLOCKS];
    for (unsigned i = 0; i < BLOCKS; i++) {
        blocks[i] = new_block(BLOCK);
        for (unsigned j = 0; j < i; j++) {
            CHECK(blocks[i] != blocks[j], "a block was handed out twice in a child");
        }
    }
    for (unsigned i = 0; i < BLOCKS; i++) {
        hakmem_free(blocks[i]);
    }
    hakmem_free(new_block(BIG));
    return unused;
}

static void fork_and_use_child(bool raw)
{
    const int child = fork_here(raw);
    if (child == 0) {
        use_in_child();
        run_threads(2, use_in_thread);
        _exit(0);
    }
    expect_child_succeeds(child, "a forked child");
}

static void fork_and_use(void)
{
    fork_and_use_child(false);
}

static void fork_raw_and_use(void)
{
    fork_and_use_child(true);
}

static void prepare_fork(void)
{
    mine = new_block(1000);
    fill(mine, 1000, 5);
}

static void take_blocks(void)
{
    taken[0] = new_block(40);
    taken[1] = new_block(BLOCK);
    taken[2] = new_block(300000);
    hakmem_free(taken[2]);
    hak_oversize_flush_cache(hak_thread.heap);
}

static const scenario_t fork_small = {
    .name = "fork_small",
    .forks = true,
    .sentence = "A thread forks while another is anywhere in malloc and free: the child can use all.",
    .threads = 2,
    .least = 10,
    .prepare = {prepare_fork, give_two},
    .act = {fork_and_use, take_blocks},
};

// Of eight blocks two are the child's, three are set aside already, and three more fill the bin.
static void keep_two(void)
{
    give_blocks(8);
    for (unsigned i = 2; i < 5; i++) {
        hakmem_free(given[i]);
    }
}

static void fill_bin(void)
{
    for (unsigned i = 5; i < 8; i++) {
        hakmem_free(given[i]);
    }
}

static const scenario_t fork_stash = {
    .name = "fork_stash",
    .forks = true,
    .sentence = "A thread forks while another sets blocks aside: the child finds each of them once.",
    .threads = 2,
    .least = 10,
    .prepare = {prepare_fork, keep_two},
    .act = {fork_and_use, fill_bin},
};

static void take_and_free_big(void)
{
    void *first = new_block(BIG);
    void *second = new_block(BIGGER);
    hakmem_free(first);
    second = hakmem_resize(second, 2 * BIGGER);
    CHECK(second != NULL, "no memory");
    hakmem_free(second);
    hakmem_trim();
}

static const scenario_t fork_big = {
    .name = "fork_big",
    .forks = true,
    .sentence = "A thread forks while another takes, resizes and frees big blocks: the child can use all.",
    .threads = 2,
    .least = 30,
    .prepare = {prepare_fork, give_two},
    .act = {fork_and_use, take_and_free_big},
};

static const scenario_t fork_ending = {
    .name = "fork_ending",
    .forks = true,
    .sentence = "A thread forks while another one ends: the child can use all.",
    .threads = 2,
    .least = 6,
    .prepare = {prepare_fork, give_two},
    .act = {fork_and_use, just_end},
    .ends = {false, true},
};

static const scenario_t fork_starting = {
    .name = "fork_starting",
    .forks = true,
    .sentence = "A thread forks while another makes its first blocks: the child can use all.",
    .threads = 3,
    .least = 8,
    .prepare = {prepare_fork, NULL, give_two},
    .act = {fork_and_use, have_heap, NULL},
};

static const scenario_t fork_raw = {
    .name = "fork_raw",
    .forks = true,
    .sentence = "The same where no fork handler is called.",
    .threads = 2,
    .least = 30,
    .prepare = {prepare_fork, give_two},
    .act = {fork_raw_and_use, take_blocks},
};

static const scenario_t fork_raw_big = {
    .name = "fork_raw_big",
    .forks = true,
    .sentence = "The same with big blocks.",
    .threads = 2,
    .least = 30,
    .prepare = {prepare_fork, give_two},
    .act = {fork_raw_and_use, take_and_free_big},
};

// --- locks, and the repair that waits for one -----------------------------------------------------------------------

// The pool's lock; one slice each.
static void take_run(void)
{
    hak_slab_t *run = hak_chunk_take_run(1, 1);
    CHECK(run != NULL, "no memory");
    taken[acting()] = run;
    hak_chunk_release_run(run, 1);
}

static const scenario_t locks = {
    .name = "locks",
    .preemptions = 3,
    .sentence =
        "Two threads wait for one lock, asleep if need be: nobody is left asleep, none enters with the other.",
    .real_locks = true,
    .threads = 2,
    .least = 20,
    .prepare = {have_heap, have_heap},
    .act = {take_run, take_run},
};

static const scenario_t locks_of_three = {
    .name = "locks_of_three",
    .sentence = "The same with three threads.",
    .real_locks = true,
    .preemptions = 2,
    .threads = 3,
    .least = 20,
    .prepare = {have_heap, have_heap, have_heap},
    .act = {take_run, take_run, take_run},
};

static void *have_heap_in_thread(void *unused)
{
    have_heap();
    return unused;
}

static void become_raw_child(void)
{
    have_heap();
    run_threads(1,
                have_heap_in_thread); // one alone: of two, the second may find the heap of the first or not
    go_on_in_raw_child();             // whose first lock is taken by the threads that follow
}

// Nobody has told the allocator that this is a child: the first who waits for a lock finds out, while another holds it.
static const scenario_t late_repair = {
    .name = "late_repair",
    .preemptions = 2,
    .sentence = "Two threads of a child that no fork handler was called in wait for one lock.",
    .real_locks = true,
    .threads = 2,
    .least = 20,
    .before = become_raw_child,
    .act = {take_run, take_run},
};

static void end_early(void)
{
    taken[2] = new_block(BLOCK);
}

static const scenario_t late_repair_heaps = {
    .name = "late_repair_heaps",
    .sentence = "Threads of such a child take their first blocks and end: each keeps its own heap.",
    .real_locks = true,
    .preemptions = 1,
    .threads = 2,
    .least = 20,
    .before = become_raw_child,
    .act = {take_two, end_early},
};

const scenario_t *const scenarios[] = {&inbox,       &senders,          &waiting,          &ending,
                                       &ending_two,  &orphan,           &late_orphan,      &late_ending,
                                       &adoption,    &takeover,         &trimming,         &map,
                                       &big_move,    &big_move_foreign, &big_free_foreign, &big_cache,
                                       &stash,       &fork_small,       &fork_stash,       &fork_big,
                                       &fork_ending, &fork_starting,    &fork_raw,         &fork_raw_big,
                                       &locks,       &locks_of_three,   &late_repair,      &late_repair_heaps,
                                       NULL};
