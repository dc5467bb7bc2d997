/* SPDX-License-Identifier: MIT */
/* Scenarios of addresses: windows of the map, and big blocks whose addresses others get. */
#include "scenarios.h"

/* --- the map ------------------------------------------------------------------------------------------------------ */

/* Nothing of anybody's is there: two windows of the map in one word of its bits. */
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

const scenario_t map = {
    .name = "map",
    .preemptions = 2,
    .sentence = "Three threads cover windows of the map, two of them the same one.",
    .threads = 3,
    .least = 700,
    .prepare = {have_heap, have_heap, have_heap},
    .act = {use_first_slice, use_second_slice, use_next_window},
    .after = expect_entries,
};

/* --- addresses of big blocks -------------------------------------------------------------------------------------- */

static void *foreign;

/* Below and above it something else: to grow, it has to move. Nothing is cached. */
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

const scenario_t big_move = {
    .name = "big_move",
    .preemptions = 2,
    .sentence = "A thread moves a big block, another gets one at the address that was vacated.",
    .threads = 2,
    .least = 10,
    .prepare = {give_big, have_heap},
    .act = {grow_big, take_huge},
    .finish = {check_bigs},
};

/* The program's own memory, where a block was. */
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

const scenario_t big_move_foreign = {
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

const scenario_t big_free_foreign = {
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

const scenario_t big_cache = {
    .name = "big_cache",
    .preemptions = 1,
    .sentence = "A thread frees a big block, another cuts its own out of it.",
    .threads = 2,
    .least = 40,
    .prepare = {give_big, have_heap},
    .act = {free_big_to_cache, churn_big},
    .finish = {trim, expect_no_big},
};
