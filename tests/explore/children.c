/* SPDX-License-Identifier: MIT */
/* Scenarios of forked children, of locks, and of the repair that waits for one. */
#include "scenarios.h"

/* --- forked children ---------------------------------------------------------------------------------------------- */

static unsigned char *mine;

static void use_in_child(void)
{
    static const size_t sizes[] = {16, 100, 1000, BLOCK, 100000, 300000, 1000000, HUGE, HUGER};
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
        for (unsigned j = 0; j < i; j++)
            CHECK(blocks[i] != blocks[j], "a block was handed out twice in a child");
    }
    for (unsigned i = 0; i < BLOCKS; i++)
        hakmem_free(blocks[i]);
    hakmem_free(new_block(HUGE));
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

const scenario_t fork_small = {
    .name = "fork_small",
    .forks = true,
    .sentence = "A thread forks while another is anywhere in malloc and free: the child can use all.",
    .threads = 2,
    .least = 10,
    .prepare = {prepare_fork, give_two},
    .act = {fork_and_use, take_blocks},
};

/* Of eight blocks two are the child's, three are set aside already, and three more fill the bin. */
static void keep_two(void)
{
    give_blocks(8);
    for (unsigned i = 2; i < 5; i++)
        hakmem_free(given[i]);
}

static void fill_bin(void)
{
    for (unsigned i = 5; i < 8; i++)
        hakmem_free(given[i]);
}

const scenario_t fork_previous = {
    .name = "fork_previous",
    .forks = true,
    .sentence = "A thread forks while another sets blocks aside: the child finds each of them once.",
    .threads = 2,
    .least = 10,
    .prepare = {prepare_fork, keep_two},
    .act = {fork_and_use, fill_bin},
};

static void take_and_free_huge(void)
{
    void *first = new_block(HUGE);
    void *second = new_block(HUGER);
    hakmem_free(first);
    second = hakmem_resize(second, 2 * HUGER);
    CHECK(second != NULL, "no memory");
    hakmem_free(second);
    hakmem_trim();
}

const scenario_t fork_huge = {
    .name = "fork_huge",
    .forks = true,
    .sentence = "A thread forks while another takes, resizes and frees huge blocks: the child can use all.",
    .threads = 2,
    .least = 30,
    .prepare = {prepare_fork, give_two},
    .act = {fork_and_use, take_and_free_huge},
};

const scenario_t fork_ending = {
    .name = "fork_ending",
    .forks = true,
    .sentence = "A thread forks while another one ends: the child can use all.",
    .threads = 2,
    .least = 6,
    .prepare = {prepare_fork, give_two},
    .act = {fork_and_use, just_end},
    .ends = {false, true},
};

const scenario_t fork_starting = {
    .name = "fork_starting",
    .forks = true,
    .sentence = "A thread forks while another makes its first blocks: the child can use all.",
    .threads = 3,
    .least = 8,
    .prepare = {prepare_fork, NULL, give_two},
    .act = {fork_and_use, have_heap, NULL},
};

const scenario_t fork_raw = {
    .name = "fork_raw",
    .forks = true,
    .sentence = "The same where no fork handler is called.",
    .threads = 2,
    .least = 30,
    .prepare = {prepare_fork, give_two},
    .act = {fork_raw_and_use, take_blocks},
};

const scenario_t fork_raw_huge = {
    .name = "fork_raw_huge",
    .forks = true,
    .sentence = "The same with huge blocks.",
    .threads = 2,
    .least = 30,
    .prepare = {prepare_fork, give_two},
    .act = {fork_raw_and_use, take_and_free_huge},
};

/* --- locks, and the repair that waits for one --------------------------------------------------------------------- */

/* The pool's lock; one slice each. */
static void take_run(void)
{
    hak_slab_t *run = hak_chunk_take_run(1, HAK_RUN_FRONT);
    CHECK(run != NULL, "no memory");
    taken[acting()] = run;
    hak_chunk_release_run(run, 1);
}

const scenario_t locks = {
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

const scenario_t locks_of_three = {
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
    run_threads(
        1, have_heap_in_thread); /* one alone: of two, the second may find the heap of the first or not */
    go_on_in_raw_child();        /* whose first lock is taken by the threads that follow */
}

/* Nobody has told the allocator that this is a child: the first who waits for a lock finds out, while another holds it. */
const scenario_t late_repair = {
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

const scenario_t late_repair_heaps = {
    .name = "late_repair_heaps",
    .sentence = "Threads of such a child take their first blocks and end: each keeps its own heap.",
    .real_locks = true,
    .preemptions = 1,
    .threads = 2,
    .least = 20,
    .before = become_raw_child,
    .act = {take_two, end_early},
};
