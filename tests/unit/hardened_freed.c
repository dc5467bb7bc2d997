/* SPDX-License-Identifier: MIT */
/* What `hardened` makes of freed blocks: they cannot be touched, are empty, and come again in an order that nobody guesses. */
#include "hardened.h"

enum {
    ORDERS = 300, /* processes whose order is looked at */
    FIRST = 16,   /* blocks that each of them takes */
    IN_PAGE = 36, /* blocks of ORDERED bytes that are carved together */
    ORDERED = 100,
};

/* --- after free --------------------------------------------------------------------------------------------------- */

static void read_freed(char *block, size_t at)
{
    hakmem_free(block);
    read_at((char *)escape(block), at);
}

static void write_freed(char *block, size_t at)
{
    hakmem_free(block);
    write_at((char *)escape(block), at);
}

void test_freed_large_blocks_cannot_be_touched(void **state)
{
    (void)state;
    for (size_t size = 66000; size <= 70 << 20; size *= 2) {
        char *block = hakmem_alloc(size);
        memset(block, 1, size);
        assert_int_equal(end_of(read_freed, block, 0), SIGSEGV);
        assert_int_equal(end_of(write_freed, block, size / 2), SIGSEGV);
        assert_int_equal(end_of(write_freed, block, size - 1), SIGSEGV);
        assert_int_equal(end_of(free_twice, block, 0), SIGABRT);
        assert_non_null(strstr(said, "double free"));
        hakmem_free(block);
    }
}

/* Where it is accessible again, since it does not wait any more. */
void test_what_is_written_into_a_free_block_is_gone(void **state)
{
    (void)state;
    for (size_t size = 66000; size <= 500000; size = size * 3 / 2) {
        for (int zeroed = 0; zeroed < 2; zeroed++) {
            hakmem_trim();
            hak_chunk_unmap_free();
            char *block = hakmem_alloc(size); /* of slices that were clean */
            hakmem_free(block);
            hak_quarantine_flush_oversize(true);
            memset(escape(block), 0xee, size);
            char *next = zeroed ? hakmem_alloc_zeroed(1, size) : hakmem_alloc(size);
            assert_ptr_equal(next, block);
            assert_true(is_zero(next, size));
            hakmem_free(next);
            hak_quarantine_flush_oversize(true);
        }
    }
}

static const size_t every_class[] = {0,    1,     16,    40,    100,    500,    1000,   1016,   1100,   5000,
                                     4096, 20000, 32000, 50000, 100000, 250000, 270000, 900000, 3 << 20};

/* Takes and frees, and whether what was freed comes at once. */
static void expect_another_block(void *block, size_t size, bool trimming)
{
    hakmem_free(block);
    if (trimming)
        hakmem_trim();
    void *next = hakmem_alloc(size);
    if (next == escape(block))
        fail_msg("of %zu bytes%s", size, trimming ? " after trimming" : "");
    hakmem_free(next);
}

static void *try_every_class(void *unused)
{
    for (size_t i = 0; i < sizeof every_class / sizeof *every_class; i++) {
        for (int round = 0; round < 40; round++)
            expect_another_block(hakmem_alloc(every_class[i]), every_class[i], false);
        for (int round = 0; round < 4; round++)
            expect_another_block(hakmem_alloc(every_class[i]), every_class[i], true);
    }
    return unused;
}

typedef struct gift {
    void *block;
    size_t size;
} gift_t;

/* A thread's first deed is to free another one's block, or its own only one. */
static void *free_a_gift(void *gift)
{
    const gift_t *given = (const gift_t *)gift;
    expect_another_block(given->block, given->size, false);
    return NULL;
}

static void *free_first(void *gift)
{
    const size_t size = ((const gift_t *)gift)->size;
    expect_another_block(hakmem_alloc(size), size, false);
    return NULL;
}

static void run_thread(void *(*work)(void *), void *argument)
{
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, work, argument), 0);
    pthread_join(thread, NULL);
}

void test_the_block_freed_last_is_not_the_next(void **state)
{
    (void)state;
    try_every_class(NULL);
    run_thread(try_every_class, NULL);
    for (size_t i = 0; i < sizeof every_class / sizeof *every_class; i++) {
        gift_t gift = {hakmem_alloc(every_class[i]), every_class[i]};
        run_thread(free_a_gift, &gift);
        run_thread(free_first, &gift);
    }
}

/* --- order -------------------------------------------------------------------------------------------------------- */

int print_order(void)
{
    char *blocks[FIRST];
    uintptr_t least = UINTPTR_MAX;
    for (int i = 0; i < FIRST; i++) {
        blocks[i] = hakmem_alloc(ORDERED);
        least = (uintptr_t)blocks[i] < least ? (uintptr_t)blocks[i] : least;
    }
    least = least / HAK_SLICE * HAK_SLICE;
    for (int i = 0; i < FIRST; i++)
        printf("%d ", (int)(((uintptr_t)blocks[i] - least) / 112));
    return 0;
}

void test_the_order_is_random(void **state)
{
    (void)state;
    static int begins[64];
    int in_order = 0, longest = 0;
    for (int n = 0; n < ORDERS; n++) {
        char command[512];
        snprintf(command, sizeof command, "'%s' order", own_program);
        FILE *child = popen(command, "r");
        assert_non_null(child);
        int last = -2, run = 0;
        for (int i = 0, at; i < FIRST && fscanf(child, "%d", &at) == 1; i++) {
            assert_in_range(at, 0, 63);
            begins[at] += i == 0;
            run = at == last + 1 || at == last - 1 ? run + 1 : 0;
            in_order += run != 0;
            longest = run > longest ? run : longest;
            last = at;
        }
        assert_int_equal(pclose(child), 0);
    }
    /* Two in a row are neighbours once in 18 times: 250 of 4500, give or take 15. Six in a row, which would be a run of five, are
     * there once in 7,000 times, eight of them once in eight million. */
    assert_in_range(in_order, 150, 350);
    assert_in_range(longest, 1, 6);
    double chi = 0;
    for (int at = 0; at < IN_PAGE; at++) {
        const double expected = (double)ORDERS / IN_PAGE;
        chi += (begins[at] - expected) * (begins[at] - expected) / expected;
    }
    assert_true(chi < 120); /* of 35 degrees of freedom: 105 is reached once in 20 million times */
}

/* Writes where the blocks lie that it is given. */
static void write_order(char *unused, size_t unused_too)
{
    (void)unused, (void)unused_too;
    uint64_t sum = 0;
    for (int i = 0; i < 200; i++) {
        char *block = hakmem_alloc(ORDERED);
        sum = sum * 31 + (uintptr_t)block;
        hakmem_free(block);
    }
    dprintf(2, "%llx", (unsigned long long)sum);
}

/* What two children say that do this. */
static void expect_orders_differ(deed_t *deed, size_t size)
{
    char first[sizeof said];
    assert_int_equal(end_of(deed, NULL, size), 0);
    memcpy(first, said, sizeof said);
    assert_int_equal(end_of(deed, NULL, size), 0);
    assert_string_not_equal(first, said);
}

void test_forked_children_have_orders_of_their_own(void **state)
{
    (void)state;
    expect_orders_differ(write_order, 0);
}

/* Where fresh blocks lie that stay in use. */
static void write_places(char *unused, size_t size)
{
    (void)unused;
    uint64_t sum = 0;
    for (int i = 0; i < 24; i++)
        sum = sum * 31 + (uintptr_t)hakmem_alloc(size);
    dprintf(2, "%llx", (unsigned long long)sum);
}

void test_blocks_that_are_carved_alone_come_at_random(void **state)
{
    (void)state;
    for (size_t size = 2500; size < 32000; size *= 2)
        expect_orders_differ(write_places, size);
}

static void *write_order_of_thread(void *unused)
{
    write_order(unused, 0);
    return NULL;
}

static void write_order_by_thread(char *unused, size_t unused_too)
{
    (void)unused_too;
    run_thread(write_order_of_thread, unused);
}

/* Of a server's workers each is told nothing by what another one does. */
void test_threads_of_children_have_orders_of_their_own(void **state)
{
    (void)state;
    expect_orders_differ(write_order_by_thread, 0);
}
