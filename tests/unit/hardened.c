/* SPDX-License-Identifier: MIT */
/* What `hardened` keeps of each block: canaries and links that tell nothing, ends that are seen, memory that is zero or cannot
 * be touched, and an order that nobody guesses. Whatever ends the process does so in a forked child. */
#include "hardened.h"

enum {
    ORDERS = 300, /* processes whose order is looked at */
    FIRST = 16,   /* blocks that each of them takes */
    IN_PAGE = 36, /* blocks of ORDERED bytes that are carved together */
    ORDERED = 100,
};

static const char *own_program;

/* --- children ----------------------------------------------------------------------------------------------------- */

static char said[1024]; /* by the last child */

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

static void free_it(char *block, size_t unused)
{
    (void)unused;
    hakmem_free(block);
}

static void free_twice(char *block, size_t unused)
{
    (void)unused;
    hakmem_free(block);
    hakmem_free(escape(block));
}

static void read_at(char *block, size_t at)
{
    const volatile char *byte = block + at;
    (void)*byte;
}

static void write_at(char *block, size_t at)
{
    *(volatile char *)(block + at) = 1;
}

void run_over(char *from, size_t bytes)
{
    for (size_t at = 0; at < bytes; at += 512)
        read_at(from, at);
}

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

static void expect_said(const char *text)
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

/* --- canaries ----------------------------------------------------------------------------------------------------- */

static uint64_t word_at(const void *p)
{
    uint64_t word;
    memcpy(&word, p, sizeof word);
    return word;
}

static void test_a_canary_tells_nothing(void **state)
{
    (void)state;
    enum {
        MANY = 64
    };
    char *blocks[MANY];
    uint64_t canaries[MANY];
    for (int i = 0; i < MANY; i++) {
        blocks[i] = hakmem_alloc(40);
        canaries[i] = word_at(blocks[i] + 40);
        assert_int_equal(canaries[i] & 0x83, 0x81); /* no zero, no character, no byte of ones */
        assert_int_equal(canaries[i] >> 56, 0);
    }
    int bits = 0;
    for (int i = 1; i < MANY; i++) {
        const uint64_t differ = canaries[i] ^ canaries[i - 1];
        assert_true(differ != ((uintptr_t)blocks[i] ^ (uintptr_t)blocks[i - 1]));
        bits += __builtin_popcountll(differ);
        hakmem_free(blocks[i]);
    }
    /* Of 53 bits half. Blocks share the factor, so the sum spreads with the keys. */
    assert_in_range(bits, 63 * 15, 63 * 38);
}

static void grow_in_place(size_t before, size_t after)
{
    char *block = hakmem_alloc(before);
    memset(block, 0xff, before);
    block = hakmem_resize(block, after);
    assert_non_null(block);
    assert_true(is_zero(block + before, after - before));
    hakmem_free(block);
}

static void test_realloc_grants_nothing_but_zeroes(void **state)
{
    (void)state;
    static const size_t sizes[][2] = {
        {1, 5},           {24, 33},         {2000, 2040},     {40000, 45000},     {40000, 70000},
        {200000, 400000}, {300000, 310000}, {300000, 500000}, {3 << 20, 4 << 20}, {3 << 20, 40 << 20}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        grow_in_place(sizes[i][0], sizes[i][1]);
        char *block = hakmem_alloc(sizes[i][1]);
        memset(block, 0xff, sizes[i][1]);
        block = hakmem_resize(block, sizes[i][1] - sizes[i][1] / 8 - 1);
        block = hakmem_resize(block, sizes[i][1]);
        const size_t kept = sizes[i][1] - sizes[i][1] / 8 - 1;
        assert_true(is_zero(block + kept, sizes[i][1] - kept));
        hakmem_free(block);
    }
}

static void test_memory_is_zero_when_handed_out(void **state)
{
    (void)state;
    static const size_t sizes[] = {8, 100, 1000, 5000, 30000, 64000, 100000, 250000, 300000, 900000, 3 << 20};
    static char *blocks[20];
    for (int round = 0; round < 200; round++) {
        const size_t size = sizes[(size_t)round * 7 % 11];
        for (size_t i = 0; i < 20; i++) {
            blocks[i] = hakmem_alloc(size);
            assert_true(is_zero(blocks[i], size));
            memset(blocks[i], 0xee, size);
        }
        for (size_t i = 0; i < 20; i++)
            hakmem_free(blocks[i]);
        if (round % 50 == 0)
            hakmem_trim();
    }
}

/* What is printed is seen by whoever may have caused it. */
static void expect_silence_of(const uint64_t *secrets, size_t count)
{
    assert_non_null(strstr(said, "hakmem: fatal: "));
    for (size_t i = 0; i < count; i++) {
        char text[32];
        snprintf(text, sizeof text, "%llx", (unsigned long long)secrets[i]);
        assert_null(strstr(said, text));
        snprintf(text, sizeof text, "%llu", (unsigned long long)secrets[i]);
        assert_null(strstr(said, text));
    }
}

static void spoil_freed(char *block, size_t at)
{
    hakmem_free(block);
    *(volatile uint64_t *)(block + at) ^= (uint64_t)1 << 60;
    for (int i = 0; i < 100000; i++) {
        hakmem_free(hakmem_alloc(40));
        hakmem_alloc(40);
    }
}

static void test_no_line_has_a_secret(void **state)
{
    (void)state;
    char *block = hakmem_alloc(40);
    uint64_t secrets[6] = {hak_harden_keys.link,          hak_harden_keys.mirror,
                           hak_harden_keys.mirror_factor, hak_harden_keys.canary,
                           hak_harden_keys.canary_factor, word_at(block + 40)};
    for (size_t i = 0; i < 8; i++) {
        block[40 + i]++;
        assert_int_equal(end_of(free_it, block, 0), SIGABRT);
        expect_silence_of(secrets, 6);
        block[40 + i]--;
    }
    for (size_t at = 0; at < 48; at += 8) {
        assert_int_equal(end_of(spoil_freed, block, at), SIGABRT);
        expect_silence_of(secrets, 5);
    }
    hakmem_free(block);
}

/* --- ends --------------------------------------------------------------------------------------------------------- */

/* Writes `by` bytes behind the block, the first of them another one than there was. */
static void overrun_and_free(char *end, size_t by)
{
    const char before = *end;
    memset(end, before == 'A' ? 'B' : 'A', by);
}

static char *over;

static void overrun(char *end, size_t by)
{
    overrun_and_free(end, by);
    hakmem_free(over);
}

static void expect_overruns_seen(char *block, size_t size)
{
    static const size_t by[] = {1, 8, 32};
    over = block;
    for (size_t i = 0; i < 3; i++) {
        const int signal = end_of(overrun, block + size, by[i]);
        if (signal != SIGABRT && !(signal == SIGSEGV && size > 200000)) /* the page behind it */
            fail_msg("%zu bytes behind %zu: signal %d", by[i], size, signal);
    }
    hakmem_free(block);
}

/* The pages stay the same: nothing is opened and closed. */
static void test_growing_by_little_makes_no_calls(void **state)
{
    (void)state;
    for (size_t begin = 200001; begin < 4 << 20; begin *= 3) {
        char *block = hakmem_alloc(begin);
        const uint64_t calls = hak_os_memory_calls();
        for (size_t size = begin + 1; size < begin + 2000; size++) {
            block = hakmem_resize(block, size);
            assert_int_equal(block[size - 1], 0);
            block[size - 1] = 1;
        }
        assert_in_range(hak_os_memory_calls() - calls, 0, 20); /* a page's border may lie between */
        assert_int_equal(hakmem_usable_size(block), begin + 1999);
        expect_overruns_seen(block, begin + 1999);
    }
}

static void test_overruns_of_every_size(void **state)
{
    (void)state;
    for (size_t size = 1; size <= 1 << 20; size += size < 40 ? 1 : size / 9)
        expect_overruns_seen(hakmem_alloc(size), size);
    for (size_t size = 256; size <= 1 << 20; size *= 2) {
        expect_overruns_seen(hakmem_alloc(size), size);
        expect_overruns_seen(hakmem_alloc(size - 1), size - 1);
    }
}

static void spoil_byte(char *block, size_t at)
{
    block[at] ^= 'A';
    hakmem_free(block);
}

/* The canary is whole, and a byte behind it is not as it was. */
static void test_a_byte_behind_the_canary(void **state)
{
    (void)state;
    static const size_t sizes[] = {4096, 20000, 70000, 256 << 10, 600000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        char *block = hakmem_alloc(sizes[i]);
        const bool in_slab = hak_entry_in_slab(hak_map_find(block));
        const size_t end = in_slab ? hak_slab_of(block)->size : hak_round_up(sizes[i] + 64, HAK_OS_PAGE);
        for (size_t at = sizes[i] + HAK_CANARY_BYTES; at < end; at += at + 50 < end ? 49 : 1) {
            assert_int_equal(end_of(spoil_byte, block, at), SIGABRT);
            assert_non_null(strstr(said, "overrun of"));
        }
        hakmem_free(block);
    }
}

static void write_into_last(char *block, size_t at)
{
    hakmem_free(block);
    write_at((char *)escape(block), at);
    hakmem_alloc(5000);
}

/* Seen at the next request off the fast path, not when the block is handed out again. */
static void test_a_write_into_the_block_freed_last(void **state)
{
    (void)state;
    static const size_t sizes[] = {8, 100, 4096, 30000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        char *block = hakmem_alloc(sizes[i]);
        assert_int_equal(end_of(write_into_last, block, 0), SIGABRT);
        assert_non_null(strstr(said, "write after free"));
        assert_int_equal(end_of(write_into_last, block, hak_slab_of(block)->size - 1), SIGABRT);
        hakmem_free(block);
    }
}

static void test_overruns_of_aligned_blocks(void **state)
{
    (void)state;
    for (size_t align = 16; align <= 1 << 17; align *= 2) {
        expect_overruns_seen(hakmem_alloc_aligned(align, 8), 8);
        expect_overruns_seen(hakmem_alloc_aligned(align, 100), 100);
        expect_overruns_seen(hakmem_alloc_aligned(align, 4096), 4096);
    }
}

static void underrun(char *block, size_t by)
{
    block[-(ptrdiff_t)by] = 1;
    hakmem_free(block);
}

static void test_underruns(void **state)
{
    (void)state;
    for (size_t size = 1; size < 32000; size += size / 4 + 1) {
        char *block = hakmem_alloc(size);
        /* Not a slab's first, and of the tiny ones not a slice's: there the fast path does not look. */
        while (!hak_entry_in_slab(hak_map_find(block - 1)) ||
               (size <= HAK_TINY_MAX && (uintptr_t)block % HAK_SLICE == 0))
            block = hakmem_alloc(size);
        if (end_of(underrun, block, 1) != SIGABRT)
            fail_msg("a byte in front of %zu", size);
    }
}

/* A block with another one of the same size right in front of it. */
static char *behind_another(size_t size)
{
    for (;;) {
        char *block = hakmem_alloc(size), *front = block - hak_slab_of(block)->size;
        if (hak_map_find(front) == hak_map_find(block) && hak_slab_of(front) == hak_slab_of(block) &&
            *hak_harden_state(front) >= HAK_BLOCK_USED && hakmem_usable_size(front) == size)
            return block;
    }
}

static void underrun_and_free_front(char *block, size_t size)
{
    block[-1] = 1;
    hakmem_free(block - size);
    hakmem_free(block);
}

/* What the block in front is filled with is not to hide what was written at its end. */
static void test_underruns_of_which_the_front_goes_first(void **state)
{
    (void)state;
    for (size_t size = 1; size < 32000; size += size / 4 + 1) {
        char *block = behind_another(size);
        if (end_of(underrun_and_free_front, block, hak_slab_of(block)->size) != SIGABRT)
            fail_msg("a byte in front of %zu, the block there freed first", size);
    }
}

static bool is_open(const char *p)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    const bool open = write(ends[1], p, 1) == 1;
    close(ends[0]);
    close(ends[1]);
    return open;
}

/* The first block of a slab, with memory in front that nobody has. */
static void test_underruns_into_free_memory(void **state)
{
    (void)state;
    for (int i = 0; i < 2000; i++) {
        char *block = hakmem_alloc(5000), *before = block - 1;
        if (block == hak_slab_base(hak_slab_of(block)) && hak_map_find(before) == 0 && is_open(before)) {
            assert_int_equal(end_of(underrun, block, 1), SIGABRT);
            assert_non_null(strstr(said, "underrun of"));
            return;
        }
    }
    skip();
}

static void test_runs_from_large_blocks_fault(void **state)
{
    (void)state;
    for (size_t size = 256 << 10; size <= 8 << 20; size *= 2) {
        char *block = hakmem_alloc(size);
        assert_int_equal(end_of(read_at, block, size + 4096 + HAK_CANARY_BYTES), SIGSEGV);
        assert_int_equal(end_of(write_at, block, size + 4096 + HAK_CANARY_BYTES), SIGSEGV);
        block = hakmem_resize(block, size + size / 3);
        assert_int_equal(end_of(read_at, block, size + size / 3 + 4096 + HAK_CANARY_BYTES), SIGSEGV);
        block[size + size / 3 - 1] = 1;
        hakmem_free(block);
    }
}

/* --- after free --------------------------------------------------------------------------------------------------- */

static void test_freed_large_blocks_cannot_be_touched(void **state)
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
static void test_what_is_written_into_a_free_block_is_gone(void **state)
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

static void test_the_block_freed_last_is_not_the_next(void **state)
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

/* In the child: where the first blocks lie within what is carved at a time. */
static int print_order(void)
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

static void test_the_order_is_random(void **state)
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
    /* Two in a row are neighbours once in 18 times: 250 of 4500, give or take 15; four in a row in no more than a few of 300. */
    assert_in_range(in_order, 150, 350);
    assert_in_range(longest, 1, 4);
    double chi = 0;
    for (int at = 0; at < IN_PAGE; at++) {
        const double expected = (double)ORDERS / IN_PAGE;
        chi += (begins[at] - expected) * (begins[at] - expected) / expected;
    }
    assert_true(chi < 95); /* of 35 degrees of freedom: once in ten million */
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

static void test_forked_children_have_orders_of_their_own(void **state)
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

static void test_blocks_that_are_carved_alone_come_at_random(void **state)
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
static void test_threads_of_children_have_orders_of_their_own(void **state)
{
    (void)state;
    expect_orders_differ(write_order_by_thread, 0);
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

int main(int argc, char **argv)
{
    own_program = argv[0];
    if (argc > 1)
        return print_order();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty_chunks_are_unmapped), /* first: no other has left chunks */
        cmocka_unit_test(test_what_is_said_names_the_call),
        cmocka_unit_test(test_a_canary_tells_nothing),
        cmocka_unit_test(test_realloc_grants_nothing_but_zeroes),
        cmocka_unit_test(test_growing_by_little_makes_no_calls),
        cmocka_unit_test(test_memory_is_zero_when_handed_out),
        cmocka_unit_test(test_no_line_has_a_secret),
        cmocka_unit_test(test_overruns_of_every_size),
        cmocka_unit_test(test_overruns_of_aligned_blocks),
        cmocka_unit_test(test_underruns),
        cmocka_unit_test(test_underruns_of_which_the_front_goes_first),
        cmocka_unit_test(test_underruns_into_free_memory),
        cmocka_unit_test(test_runs_from_large_blocks_fault),
        cmocka_unit_test(test_freed_large_blocks_cannot_be_touched),
        cmocka_unit_test(test_the_block_freed_last_is_not_the_next),
        cmocka_unit_test(test_the_order_is_random),
        cmocka_unit_test(test_forked_children_have_orders_of_their_own),
        cmocka_unit_test(test_blocks_that_are_carved_alone_come_at_random),
        cmocka_unit_test(test_threads_of_children_have_orders_of_their_own),
        cmocka_unit_test(test_the_largest_request_is_refused),
        cmocka_unit_test(test_any_other_size_is_wrong),
        cmocka_unit_test(test_what_is_written_into_a_free_block_is_gone),
        /* Forks a thousand times: before those that leave 50 MB of page tables, which each fork copies. */
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
        cmocka_unit_test(test_a_byte_behind_the_canary),
        cmocka_unit_test(test_a_write_into_the_block_freed_last),
        /* Last: no chunk gets an inaccessible end after it. */
        cmocka_unit_test(test_chunks_with_an_inaccessible_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
