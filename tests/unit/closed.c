/* SPDX-License-Identifier: MIT */
/* Where links are checked, most of the first chunk is inaccessible until it is needed, and what the bins hand out next is looked at
 * when a slab is made. Whatever is about a process's first blocks is done in a forked child: none of them was taken before. */
#include "deaths.h"

#include "hakmem.h"
#include "mem/chunk.h"
#include "mem/heap.h"
#include "os/os.h"

enum {
    MEGABYTE = 1 << 20,
    PAGE = 4096,
    SINGLE = 256 << 10, /* a block that is a run by itself */
    SMALL = 48,
    FEW = 20,   /* blocks after which a thread has a heap */
    MANY = 900, /* pages: more than a chunk has */
};

#define MAP_BYTES (((size_t)1 << (HAK_ADDRESS_BITS - HAK_SLICE_SHIFT)) * sizeof(uint32_t))

bool __wrap_hak_os_make_writable(void *address, size_t size);
bool __real_hak_os_make_writable(void *address, size_t size);
bool __wrap_hak_os_release(void *address, size_t size);
bool __real_hak_os_release(void *address, size_t size);

static bool refuses; /* to make memory accessible */
static bool keeps;   /* what is to be unmapped */
static int openings;

/* Windows of the map, too, are made writable: these are neither counted nor refused. */
bool __wrap_hak_os_make_writable(void *address, size_t size)
{
    if ((uintptr_t)address - (uintptr_t)hak_map < MAP_BYTES)
        return __real_hak_os_make_writable(address, size);
    openings++;
    return !refuses && __real_hak_os_make_writable(address, size);
}

bool __wrap_hak_os_release(void *address, size_t size)
{
    return !keeps && __real_hak_os_release(address, size);
}

static char said[1024]; /* by the last child */

static int end_of(void (*deed)(void *), size_t argument)
{
    const int end = death_by(deed, &argument, said, sizeof said);
    if (end < 0)
        fputs(said, stderr);
    return end;
}

static size_t number(const void *argument)
{
    return *(const size_t *)argument;
}

static char *take(size_t size)
{
    char *block = hakmem_alloc(size);
    CHECK(block != NULL, "no block of %zu bytes", size);
    return block;
}

static void write_at(char *at)
{
    *(volatile char *)escape(at) = 1;
}

/* --- closed slices ------------------------------------------------------------------------------------------------ */

static void run_a_megabyte(void *size)
{
    write_at(take(number(size)) + number(size) - 1 + MEGABYTE);
}

static void write_in_front(void *size)
{
    write_at(take(number(size)) - 1);
}

static void write_behind(void *size)
{
    write_at(take(number(size)) + number(size));
}

static void test_a_megabyte_beyond_the_first_blocks_faults(void **state)
{
    (void)state;
    static const size_t sizes[] = {8, PAGE, SINGLE};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        assert_int_equal(end_of(run_a_megabyte, sizes[i]), SIGSEGV);
}

static void test_beside_the_first_single_blocks_it_faults(void **state)
{
    (void)state;
    assert_int_equal(end_of(write_in_front, SINGLE), SIGSEGV);
    assert_int_equal(end_of(write_behind, SINGLE), SIGSEGV);
}

static void fill_many(size_t size, size_t count)
{
    static char *blocks[MANY];
    for (size_t i = 0; i < count; i++) {
        blocks[i] = take(size);
        fill(blocks[i], size, i);
    }
    for (size_t i = 0; i < count; i++)
        CHECK(is_filled(blocks[i], size, i), "block %zu of %zu bytes changed", i, size);
    for (size_t i = 0; i < count; i++)
        hakmem_free(blocks[i]);
}

static void use_all(void *first)
{
    char *block = take(number(first));
    fill(block, number(first), 1);
    fill_many(PAGE, MANY);
    fill_many(SINGLE, 40);
    fill_many(8, MANY);
    CHECK(is_filled(block, number(first), 1), "the first block changed");
}

static void use_pages_with_few_calls(void *unused)
{
    (void)unused;
    const size_t before = hak_chunk_view().reserved;
    fill_many(PAGE, 440); /* 110 slices */
    CHECK(openings == 1, "%d calls", openings);
    const hak_chunk_view_t now = hak_chunk_view();
    CHECK(before == 0 && now.used + now.dirty > 100 * HAK_SLICE, "the pages lie elsewhere");
}

static void use_single_blocks_with_few_calls(void *unused)
{
    (void)unused;
    fill_many(70000, 40);
    /* seven, and the pieces that these have left */
    CHECK(openings >= 2 && openings <= 7 + 8, "%d calls", openings);
}

static void test_what_is_closed_is_opened_at_need(void **state)
{
    (void)state;
    static const size_t firsts[] = {8, PAGE, SINGLE, MEGABYTE, 3 * MEGABYTE};
    for (size_t i = 0; i < sizeof firsts / sizeof *firsts; i++)
        assert_int_equal(end_of(use_all, firsts[i]), 0);
    assert_int_equal(end_of(use_pages_with_few_calls, 0), 0);
    assert_int_equal(end_of(use_single_blocks_with_few_calls, 0), 0);
}

static void use_what_cannot_be_opened(void *first)
{
    refuses = true;
    use_all(first);
}

static void give_up_what_is_closed(void *system_keeps)
{
    hakmem_free(take(SINGLE));
    keeps = number(system_keeps) != 0;
    hakmem_trim();
    hak_chunk_unmap_free();
    keeps = false;
    use_all(&(size_t){SINGLE});
}

/* Small blocks, and then huge ones, which get chunks that are empty and dirty. Of the first chunk some cannot be opened: when it is
 * to be given; or before, when it was to be unmapped, which is refused as well. */
static void use_huge_after(void *trimmed)
{
    if (number(trimmed) != 0) {
        hakmem_free(take(PAGE));
        refuses = keeps = true;
        hakmem_trim();
        refuses = keeps = false;
    }
    fill_many(PAGE, FEW);
    hak_heap_give_up();
    CHECK(hak_chunk_view().dirty != 0, "the pool has nothing to give");
    refuses = number(trimmed) == 0;
    for (int i = 0; i < FEW; i++) {
        char *block = take(2 * MEGABYTE);
        fill(block, 2 * MEGABYTE, 1);
    }
    use_all(&(size_t){SINGLE});
}

static void test_what_cannot_be_opened_is_done_without(void **state)
{
    (void)state;
    assert_int_equal(end_of(use_what_cannot_be_opened, 8), 0);
    assert_int_equal(end_of(use_what_cannot_be_opened, SINGLE), 0);
    assert_int_equal(end_of(give_up_what_is_closed, 0), 0);
    assert_int_equal(end_of(give_up_what_is_closed, 1), 0);
    assert_int_equal(end_of(use_huge_after, 0), 0);
    assert_int_equal(end_of(use_huge_after, 1), 0);
}

/* The first chunk is purged as time passes, but for its closed slices; then a huge block leaves memory that is not clean. */
static void open_once(void *unused)
{
    (void)unused;
    static const uint32_t moments[] = {1000, 3000, 5000};
    fill_many(PAGE, FEW);
    hak_heap_give_up();
    for (size_t i = 0; i < sizeof moments / sizeof *moments; i++)
        hak_chunk_release_due(moments[i]);
    CHECK(hak_chunk_view().dirty == 0 && openings == 0, "%zu bytes are dirty", hak_chunk_view().dirty);
    char *huge = take(4 * MEGABYTE);
    fill(huge, 4 * MEGABYTE, 1);
    hakmem_free(huge);
    hak_heap_give_up();
    openings = 0;
    take(SINGLE);
    CHECK(openings == 1, "one block was taken, and slices were opened %d times", openings);
}

static void test_what_is_opened_is_taken(void **state)
{
    (void)state;
    assert_int_equal(end_of(open_once, 0), 0);
}

/* --- what the bins hand out next ---------------------------------------------------------------------------------- */

/* A block of a thread that has a heap. */
static char *begin(size_t size)
{
    for (int i = 0; i < FEW; i++)
        take(8);
    return take(size);
}

/* No start of a block, and aligned as one. */
static char *inside(char *block, size_t size)
{
    return (char *)escape(block) + size / 3 / 16 * 16;
}

static void free_inside(void *argument)
{
    const size_t size = number(argument);
    hakmem_free(inside(begin(size), size));
    take(2000);
}

static void free_by_a_byte(void *size)
{
    hakmem_free((char *)escape(begin(number(size))) + 1);
    take(2000);
}

static void free_what_was_never_handed_out(void *size)
{
    hakmem_free((char *)escape(begin(number(size))) + PAGE / number(size) * number(size));
    take(2000);
}

static void write_into_freed(void *size)
{
    char *block = begin(number(size));
    hakmem_free(block);
    write_at(block);
    take(2000);
}

/* Others lie in the bin before it, and all go back to their slabs. */
static void free_inside_below_others(void *argument)
{
    const size_t size = number(argument);
    char *others[] = {begin(size), take(size), take(size)};
    hakmem_free(inside(take(size), size));
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        hakmem_free(others[i]);
    hak_heap_give_up();
}

static void free_inside_alone(void *size)
{
    hakmem_free(inside(begin(number(size)), number(size)));
    hak_heap_give_up();
}

static void free_inside_late(void *size)
{
    fill_many(PAGE, MANY);
    free_inside(size);
    fill_many(2000, MANY);
}

/* The same where the classes are looked at in turn, all of them in a dozen slabs; later on the bin is emptied, and that sees it. */
static void free_inside_later(void *size)
{
    fill_many(PAGE, MANY);
    free_inside(size);
    for (int i = 0; i < 13 * 8; i++)
        take(2000);
}

static void test_what_a_bin_would_hand_out_is_looked_at(void **state)
{
    (void)state;
    static const size_t sizes[] = {SMALL, SINGLE};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        assert_int_equal(end_of(free_inside, sizes[i]), SIGABRT);
        assert_non_null(strstr(said, "not the start of a block"));
        assert_int_equal(end_of(free_by_a_byte, sizes[i]), SIGABRT);
        assert_non_null(strstr(said, "not the start of a block"));
        assert_int_equal(end_of(write_into_freed, sizes[i]), SIGABRT);
        assert_non_null(strstr(said, "write after free"));
    }
    assert_int_equal(end_of(free_what_was_never_handed_out, SMALL), SIGABRT);
    assert_non_null(strstr(said, "not the start of a block"));
    assert_int_equal(end_of(free_inside_alone, SMALL), SIGABRT);
    assert_non_null(strstr(said, "not the start of a block"));
    assert_int_equal(end_of(free_inside_below_others, SMALL), SIGABRT);
    assert_non_null(strstr(said, "not the start of a block"));
    assert_int_equal(end_of(free_inside_late, SMALL), SIGABRT);
    assert_int_equal(end_of(free_inside_later, 600), SIGABRT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_megabyte_beyond_the_first_blocks_faults),
        cmocka_unit_test(test_beside_the_first_single_blocks_it_faults),
        cmocka_unit_test(test_what_is_closed_is_opened_at_need),
        cmocka_unit_test(test_what_cannot_be_opened_is_done_without),
        cmocka_unit_test(test_what_is_opened_is_taken),
        cmocka_unit_test(test_what_a_bin_would_hand_out_is_looked_at),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
