/* SPDX-License-Identifier: MIT */
/* Scenarios of addresses: windows of the map, and huge blocks whose addresses others get. */
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

/* --- addresses of huge blocks -------------------------------------------------------------------------------------- */

static void *foreign;

/* Below and above it something else: to grow, it has to move. Nothing is cached. */
static void give_huge(void)
{
    given[0] = new_block(HUGE);
    map_foreign((char *)given[0] + HUGE, HAK_OS_PAGE);
    wanted_address = given[0];
    wanted_size = HUGE;
}

static void grow_huge(void)
{
    unsigned char *grown = hakmem_resize(given[0], HUGER);
    CHECK(grown != NULL && grown[0] == 1 && grown[HUGE - 1] == 1, "realloc lost something");
    CHECK(hakmem_usable_size(grown) >= HUGER, "the allocator does not know a block that it has moved");
    given[0] = grown;
}

static void take_huge(void)
{
    taken[0] = new_block(HUGE);
    CHECK(hakmem_usable_size(taken[0]) >= HUGE, "the allocator does not know a block that it has handed out");
}

static void check_huges(void)
{
    CHECK(taken[0] == NULL || hakmem_usable_size(taken[0]) >= HUGE, "the allocator forgot a block in use");
    CHECK(hakmem_usable_size(given[0]) >= HUGER, "the allocator forgot a block that it has moved");
    hakmem_free(given[0]);
    hakmem_free(taken[0]);
    flush_quarantine();
    hakmem_trim();
    CHECK(hak_extent_view().live == 0, "%zu bytes of huge blocks are left", hak_extent_view().live);
}

const scenario_t huge_move = {
    .name = "huge_move",
    .preemptions = 2,
    .sentence = "A thread moves a huge block, another gets one at the address that was vacated.",
    .threads = 2,
    .least = 10,
    .prepare = {give_huge, have_heap},
    .act = {grow_huge, take_huge},
    .finish = {check_huges},
};

/* The program's own memory, where a block was. */
static void map_vacated(void)
{
    foreign = map_foreign(wanted_address, HUGE);
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

const scenario_t huge_move_foreign = {
    .name = "huge_move_foreign",
    .sentence =
        "A thread moves a huge block, another maps memory of its own at the address that was vacated.",
    .threads = 2,
    .least = 3,
    .prepare = {give_huge, have_heap},
    .act = {grow_huge, map_vacated},
    .finish = {check_huges, expect_foreign_whole},
};

static void free_huge(void)
{
    hakmem_free(given[0]);
    hakmem_trim();
}

const scenario_t huge_free_foreign = {
    .name = "huge_free_foreign",
    .sentence = "A thread gives a huge block back, another maps memory of its own at that address.",
    .threads = 2,
    .least = 2,
    .prepare = {give_huge, have_heap},
    .act = {free_huge, map_vacated},
    .finish = {NULL, expect_foreign_whole},
};

static void churn_huge(void)
{
    void *mine = new_block(HUGE);
    void *other = new_block(HUGE + HUGE / 2);
    CHECK(hakmem_usable_size(mine) >= HUGE && hakmem_usable_size(other) >= HUGE + HUGE / 2,
          "the allocator forgot a block");
    hakmem_free(other);
    hakmem_free(mine);
}

static void expect_no_huge(void)
{
    flush_quarantine();
    hakmem_trim();
    CHECK(hak_extent_view().live == 0 && hak_extent_view().dirty == 0, "%zu bytes of huge blocks are left",
          hak_extent_view().live + hak_extent_view().dirty);
}

static void free_huge_to_cache(void)
{
    hakmem_free(given[0]);
    hak_oversize_flush_cache(hak_thread.heap);
}

const scenario_t huge_cache = {
    .name = "huge_cache",
    .preemptions = 1,
    .sentence = "A thread frees a huge block, another cuts its own out of it.",
    .threads = 2,
    .least = 40,
    .prepare = {give_huge, have_heap},
    .act = {free_huge_to_cache, churn_huge},
    .finish = {trim, expect_no_huge},
};
