/* SPDX-License-Identifier: MIT */
/* What `hardened` keeps of each block: canaries and links that tell nothing, and ends that are seen. */
#include "hardened.h"

/* --- canaries ----------------------------------------------------------------------------------------------------- */

static uint64_t word_at(const void *p)
{
    uint64_t word;
    memcpy(&word, p, sizeof word);
    return word;
}

void test_a_canary_tells_nothing(void **state)
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

void test_realloc_grants_nothing_but_zeroes(void **state)
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

void test_memory_is_zero_when_handed_out(void **state)
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

void test_no_line_has_a_secret(void **state)
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
        /* Behind a large block, and behind a slab whose last block this is, may be what nobody can touch. */
        const bool leaves = !hak_entry_in_slab(hak_map_find(block + size + by[i] - 1));
        if (signal != SIGABRT && !(signal == SIGSEGV && leaves))
            fail_msg("%zu bytes behind %zu: signal %d", by[i], size, signal);
    }
    hakmem_free(block);
}

/* The pages stay the same: nothing is opened and closed. */
void test_growing_by_little_makes_no_calls(void **state)
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

void test_overruns_of_every_size(void **state)
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

static void expect_bare_end(char *block, size_t size)
{
    assert_int_equal(hakmem_usable_size(block), size);
    block[size - 1] = 7;
    assert_int_equal(end_of(read_at, block, size - 1), 0);
    assert_int_equal(end_of(read_at, block, size), SIGSEGV);
    assert_int_equal(end_of(write_at, block, size), SIGSEGV);
    assert_int_equal(end_of(free_twice, block, 0), SIGABRT);
    expect_said("double free");
}

/* What ends with a page has no canary behind it, but memory that nobody can read. */
void test_whole_pages_end_with_their_last_byte(void **state)
{
    (void)state;
    for (size_t size = 81920; size <= 16 << 20; size *= 4) {
        char *block = hakmem_alloc(size);
        expect_bare_end(block, size);
        hakmem_free(block);
        block = hakmem_alloc_zeroed(1, size - 4096);
        expect_bare_end(block, size - 4096);
        hakmem_free(block);
        block = hakmem_alloc_aligned(8192, size + 4096);
        expect_bare_end(block, size + 4096);
        hakmem_free(block);
    }
}

/* From one kind of end to the other, by a little and by much, in place and elsewhere. */
void test_ends_of_what_is_resized(void **state)
{
    (void)state;
    enum {
        PAGES_32 = 131072
    };
    static const size_t sizes[] = {PAGES_32 - 100, PAGES_32, PAGES_32 + 100,    PAGES_32,
                                   PAGES_32 - 3,   PAGES_32, PAGES_32 + 4096,   PAGES_32,
                                   PAGES_32 - 8,   PAGES_32, 3 << 20,           2 << 20,
                                   (2 << 20) - 3,  2 << 20,  (2 << 20) + 70000, 4 << 20,
                                   PAGES_32,       32768,    PAGES_32,          PAGES_32 - 4096};
    size_t before = 1;
    char *block = hakmem_alloc(before);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; before = sizes[i++]) {
        block = hakmem_resize(block, sizes[i]);
        assert_int_equal(hakmem_usable_size(block), sizes[i]);
        const size_t kept = hak_min(before, sizes[i]);
        assert_true(before == 1 || block[kept - 1] != 0);
        assert_true(is_zero(block + kept, sizes[i] - kept));
        memset(block, 1, sizes[i]);
        /* What has the page for a canary already gets one. */
        const size_t had = before % 4096 == 0 ? before : hak_round_up(before + 8, 4096);
        if (sizes[i] % 4096 == 0 && sizes[i] > 65536 && had != sizes[i] + 4096)
            expect_bare_end(block, sizes[i]);
        for (size_t by = 0; by < 3; by++) {
            over = block;
            const int signal = end_of(overrun, block + sizes[i], (size_t[]){1, 8, 32}[by]);
            assert_true(signal == SIGABRT || (signal == SIGSEGV && sizes[i] > 65536));
        }
    }
    hakmem_free(block);
}

/* The canary is whole, and a byte behind it is not as it was. */
void test_a_byte_behind_the_canary(void **state)
{
    (void)state;
    static const size_t sizes[] = {4096, 20000, 70000, (256 << 10) + 9, 600000};
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
void test_a_write_into_the_block_freed_last(void **state)
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

void test_overruns_of_aligned_blocks(void **state)
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

void test_underruns(void **state)
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
void test_underruns_of_which_the_front_goes_first(void **state)
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

/* Of an open byte that has no map entry: whether it is free memory, not the slack of somebody's large block (whose free sees what
 * is written there). */
static bool is_free_memory(char *p)
{
    const char was = *p;
    *p = 1;
    const bool is_free = hak_chunk_free_byte(p) == 1;
    *p = was;
    return is_free;
}

/* The first block of a slab, with memory in front that nobody has. */
void test_underruns_into_free_memory(void **state)
{
    (void)state;
    for (int i = 0; i < 2000; i++) {
        char *block = hakmem_alloc(5000), *before = block - 1;
        if (block == hak_slab_base(hak_slab_of(block)) && hak_map_find(before) == 0 && is_open(before) &&
            is_free_memory(before)) {
            assert_int_equal(end_of(underrun, block, 1), SIGABRT);
            assert_non_null(strstr(said, "underrun of"));
            return;
        }
    }
    fail_msg("no block of 2,000 has free memory in front");
}

void test_runs_from_large_blocks_fault(void **state)
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
