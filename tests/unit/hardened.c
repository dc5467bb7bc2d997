/* SPDX-License-Identifier: MIT */
/* What `hardened` keeps of each block: what it says of misuse, which sizes it takes, blocks of no bytes; and the list of all tests.
 * Canaries and ends are in hardened_ends.c, what is freed and in which order in hardened_freed.c, what cannot be touched in
 * hardened_guards.c. Whatever ends the process does so in a forked child. */
#include "hardened.h"

const char *own_program;

/* --- children ----------------------------------------------------------------------------------------------------- */

char said[SAID];

typedef struct act {
    deed_t *deed;
    char *block;
    size_t argument;
} act_t;

static void do_it(void *act)
{
    const act_t *one = act;
    one->deed(one->block, one->argument);
}

int end_of(deed_t *deed, char *block, size_t argument)
{
    return death_by(do_it, &(act_t){deed, block, argument}, said, sizeof said);
}

void free_it(char *block, size_t unused)
{
    (void)unused;
    hakmem_free(block);
}

void free_twice(char *block, size_t unused)
{
    (void)unused;
    hakmem_free(block);
    hakmem_free(escape(block));
}

void read_at(char *block, size_t at)
{
    const volatile char *byte = block + at;
    (void)*byte;
}

void write_at(char *block, size_t at)
{
    *(volatile char *)(block + at) = 1;
}

void run_over(char *from, size_t bytes)
{
    for (size_t at = 0; at < bytes; at += 512)
        read_at(from, at);
}

static void look_at_freed(char *block, size_t unused)
{
    (void)unused;
    hakmem_free(block);
    hakmem_usable_size(escape(block));
}

static void look_inside(char *block, size_t at)
{
    hakmem_usable_size(block + at);
}

static void resize_inside(char *block, size_t at)
{
    hakmem_resize(block + at, 5);
}

void expect_said(const char *text)
{
    if (strstr(said, text) == NULL)
        fail_msg("not \"%s\": %s", text, said);
}

/* Who reads that a block was freed looks for a call of free. */
static void test_what_is_said_names_the_call(void **state)
{
    (void)state;
    for (size_t size = 40; size <= 4000000; size *= 10) {
        char *block = hakmem_alloc(size);
        assert_int_equal(end_of(look_at_freed, block, 0), SIGABRT);
        expect_said("malloc_usable_size of 0x");
        expect_said("which is free; called from 0x");
        assert_int_equal(end_of(look_inside, block, 16), SIGABRT);
        expect_said("malloc_usable_size of 0x");
        assert_int_equal(end_of(look_inside, block, size / 2 & ~(size_t)15), SIGABRT);
        expect_said("malloc_usable_size of 0x");
        assert_int_equal(end_of(resize_inside, block, 16), SIGABRT);
        expect_said("realloc of 0x");
        block[size]++;
        assert_int_equal(end_of(look_inside, block, 0), SIGABRT);
        expect_said("malloc_usable_size called from 0x");
        assert_int_equal(end_of(free_it, block, 0), SIGABRT);
        expect_said("free called from 0x");
        block[size]--;
        hakmem_free(block);
    }
}

/* --- what is asked for -------------------------------------------------------------------------------------------- */

/* There is no room for a canary behind it. */
static void test_the_largest_request_is_refused(void **state)
{
    (void)state;
    char *block = hakmem_alloc(1000);
    errno = 0;
    for (size_t less = 0; less <= 4096; less += 2048) {
        const size_t size = HAK_REQUEST_MAX - less;
        assert_null(hakmem_alloc(size));
        assert_null(hakmem_alloc_zeroed(1, size));
        assert_null(hakmem_alloc_aligned(64, size));
        assert_null(hakmem_alloc_aligned(1 << 20, size));
        assert_null(hakmem_resize(block, size));
        assert_int_equal(errno, ENOMEM);
    }
    hakmem_free(block);
}

static void free_as(char *block, size_t size)
{
    hakmem_free_at(block, size);
}

static void test_any_other_size_is_wrong(void **state)
{
    (void)state;
    for (size_t size = 1; size <= 10 << 20; size *= 7) {
        char *block = hakmem_alloc(size);
        const size_t wrong[] = {0, size - 1, size + 1, size + 8, 2 * size + 1, SIZE_MAX - 1, SIZE_MAX};
        for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
            assert_int_equal(end_of(free_as, block, wrong[i]), SIGABRT);
        hakmem_free_at(block, size);
    }
}

/* --- blocks of no bytes ------------------------------------------------------------------------------------------- */

/* Those that are aligned to no more than a slice; of others there is one. */
static void test_aligned_blocks_of_no_bytes(void **state)
{
    (void)state;
    for (size_t align = 16; align <= 65536; align *= 2) {
        for (int i = 0; i < 20; i++) {
            char *block = hakmem_alloc_aligned(align, 0);
            assert_non_null(block);
            assert_int_equal((uintptr_t)block % align, 0);
            assert_int_equal(hakmem_usable_size(block), 0);
            if (align <= 16384) {
                assert_int_equal(end_of(read_at, block, 0), SIGSEGV);
                assert_int_equal(end_of(write_at, block, 0), SIGSEGV);
            }
            assert_int_equal(end_of(free_twice, block, 0), SIGABRT);
            hakmem_free(block);
        }
    }
}

static void test_blocks_of_no_bytes(void **state)
{
    (void)state;
    enum {
        MANY = 600000 /* more than there are places */
    };
    static char *blocks[MANY];
    char *block = hakmem_alloc(0);
    assert_int_equal((uintptr_t)block % 16, 0);
    assert_int_equal(hakmem_usable_size(block), 0);
    assert_int_equal(end_of(read_at, block, 0), SIGSEGV);
    assert_int_equal(end_of(write_at, block, 0), SIGSEGV);
    assert_int_equal(end_of(free_twice, block, 0), SIGABRT);
    assert_int_equal(end_of(free_it, block + 16, 0), SIGABRT);
    block = hakmem_resize(block, 100);
    memset(block, 1, 100);
    hakmem_free(block);
    for (int i = 0; i < MANY; i++) {
        blocks[i] = hakmem_alloc_zeroed((size_t)(i % 2), 0);
        assert_non_null(blocks[i]);
        assert_true(i == 0 || blocks[i] != blocks[i - 1]);
    }
    for (int i = 0; i < MANY; i++)
        hakmem_free(blocks[i]);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_empty_chunks_are_unmapped), /* first: no other has left chunks */
    cmocka_unit_test(test_what_is_said_names_the_call),
    cmocka_unit_test(test_a_canary_tells_nothing),
    cmocka_unit_test(test_realloc_grants_nothing_but_zeroes),
    cmocka_unit_test(test_growing_by_little_makes_no_calls),
    cmocka_unit_test(test_memory_is_zero_when_handed_out),
    cmocka_unit_test(test_no_line_has_a_secret),
    cmocka_unit_test(test_overruns_of_every_size),
    cmocka_unit_test(test_overruns_of_aligned_blocks),
    cmocka_unit_test(test_whole_pages_end_with_their_last_byte),
    cmocka_unit_test(test_ends_of_what_is_resized),
    cmocka_unit_test(test_underruns),
    cmocka_unit_test(test_underruns_of_which_the_front_goes_first),
    cmocka_unit_test(test_underruns_into_free_memory),
    cmocka_unit_test(test_runs_from_large_blocks_fault),
    cmocka_unit_test(test_freed_large_blocks_cannot_be_touched),
    cmocka_unit_test(test_the_block_freed_last_is_not_the_next),
    cmocka_unit_test(test_a_megabyte_behind_the_first_block),
    cmocka_unit_test(test_the_order_is_random),
    cmocka_unit_test(test_forked_children_have_orders_of_their_own),
    cmocka_unit_test(test_blocks_that_are_carved_alone_come_at_random),
    cmocka_unit_test(test_threads_of_children_have_orders_of_their_own),
    cmocka_unit_test(test_the_largest_request_is_refused),
    cmocka_unit_test(test_any_other_size_is_wrong),
    cmocka_unit_test(test_what_is_written_into_a_free_block_is_gone),
    /* These fork a thousand times: before those that leave 50 MB of page tables, which each fork copies. */
    cmocka_unit_test(test_a_byte_behind_the_canary),
    cmocka_unit_test(test_aligned_blocks_of_no_bytes),
    cmocka_unit_test(test_nothing_of_others_right_in_front),
    cmocka_unit_test(test_what_is_mapped_ahead_is_closed),
    cmocka_unit_test(test_untouched_memory_stays_untouched),
    cmocka_unit_test(test_a_run_from_any_block_faults),
    cmocka_unit_test(test_nothing_beside_huge_blocks),
    cmocka_unit_test(test_huge_blocks_stay_closed),
    cmocka_unit_test(test_mappings_stay_few),
    cmocka_unit_test(test_mappings_of_free_ranges_stay_few),
    cmocka_unit_test(test_closed_again_after_many_free_ranges),
    cmocka_unit_test(test_closed_with_the_one_beside),
    cmocka_unit_test(test_refused_blocks_are_not_lost),
    cmocka_unit_test(test_refused_blocks_go_with_their_chunks),
    cmocka_unit_test(test_who_looks_in_front_does_not_fault),
    cmocka_unit_test(test_blocks_of_no_bytes),
    cmocka_unit_test(test_a_write_into_the_block_freed_last),
    /* Last: no chunk gets an inaccessible end after it. */
    cmocka_unit_test(test_chunks_with_an_inaccessible_end),
};

int main(int argc, char **argv)
{
    own_program = argv[0];
    if (argc > 2)
        return write_far_behind(strtoul(argv[2], NULL, 10));
    if (argc > 1)
        return print_order();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
