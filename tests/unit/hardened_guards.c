/* SPDX-License-Identifier: MIT */
/* Inaccessible memory of `hardened`: how much of it there is, what it costs, and what becomes of it when the system refuses. */
#include "hardened.h"
/* What free ranges are joined with, and so how many there are, depends on which of them went back to the system meanwhile. */
#include "still.h"

void test_untouched_memory_stays_untouched(void **state)
{
    (void)state;
    enum {
        LIVE = 200,
        STEPS = 4000
    };
    static char *blocks[LIVE];
    uint64_t random = 1;
    struct rusage before, after;
    const long resident = resident_kib();
    getrusage(RUSAGE_SELF, &before);
    for (int i = 0; i < STEPS; i++) {
        char **block = &blocks[next_random(&random) % LIVE];
        hakmem_free(*block);
        *block = hakmem_alloc(70000 + next_random(&random) % 900000);
        (*block)[1000] = 1;
    }
    getrusage(RUSAGE_SELF, &after);
    assert_in_range(after.ru_minflt - before.ru_minflt, 0, STEPS * 4);
    assert_in_range(resident_kib() - resident, 0, 16 << 10);
    for (int i = 0; i < LIVE; i++)
        hakmem_free(blocks[i]);
}

static int mappings(void)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    assert_non_null(maps);
    int lines = 0;
    for (int byte; (byte = getc(maps)) != EOF;)
        lines += byte == '\n';
    fclose(maps);
    return lines;
}

void test_mappings_stay_few(void **state)
{
    (void)state;
    enum {
        MANY = 10000
    };
    static void *blocks[MANY];
    for (int i = 0; i < MANY; i++) {
        blocks[i] = hakmem_alloc(300000);
        assert_non_null(blocks[i]);
    }
    assert_in_range(mappings(), 1000, 30000);
    for (int i = 0; i < MANY; i++)
        hakmem_free(blocks[i]);
    hakmem_trim();
    assert_in_range(mappings(), 1, 8000);
}

static bool refusing; /* to make memory accessible */

bool __real_hak_os_make_writable(void *address, size_t size);

bool __wrap_hak_os_make_writable(void *address, size_t size)
{
    return !refusing && __real_hak_os_make_writable(address, size);
}

static size_t bytes_in_use(void)
{
    hak_memory_view_t view;
    hak_memory_view(&view);
    return view.used + view.huge_bytes;
}

/* Blocks that the system does not make accessible wait on, and are freed when it does; also more than there are places for. */
void test_refused_blocks_are_not_lost(void **state)
{
    (void)state;
    enum {
        MANY = 200
    };
    for (size_t size = 300000; size <= 900000; size += 300000) {
        void *blocks[MANY];
        hakmem_trim();
        const size_t before = bytes_in_use();
        for (int i = 0; i < MANY; i++) {
            blocks[i] = hakmem_alloc(size);
            assert_non_null(blocks[i]);
        }
        refusing = true;
        for (int i = 0; i < MANY; i++)
            hakmem_free(blocks[i]);
        hakmem_trim();
        refusing = false;
        hakmem_trim();
        assert_in_range(bytes_in_use(), 0, before + 2 * size);
    }
}

/* Of many blocks a few wait, in chunks that are empty else: where one is alone, the chunk is unmapped with it. */
void test_refused_blocks_go_with_their_chunks(void **state)
{
    (void)state;
    enum {
        WAITING = 32,
        MANY = 320
    };
    void *blocks[MANY];
    for (int i = 0; i < MANY; i++) {
        blocks[i] = hakmem_alloc(500000);
        assert_non_null(blocks[i]);
    }
    for (int i = 0; i < MANY; i++)
        hakmem_free(blocks[i]);
    hak_chunk_unmap_free(); /* or that makes room first */
    const hak_chunk_view_t before = hak_chunk_view();
    refusing = true;
    const bool any = hak_quarantine_flush_oversize(true);
    refusing = false;
    const hak_chunk_view_t after = hak_chunk_view();
    assert_true(any);
    assert_in_range(before.reserved - after.reserved, HAK_CHUNK, WAITING * HAK_CHUNK);
    assert_in_range(before.used - after.used, 500000, WAITING * HAK_CHUNK);
}

/* Whatever their bars leave as the longest run. */
void test_empty_chunks_are_unmapped(void **state)
{
    (void)state;
    enum {
        MANY = 800
    };
    static void *blocks[MANY];
    hak_quarantine_flush_oversize(true);
    hakmem_trim();
    hak_chunk_unmap_free();
    const size_t before = hak_chunk_view().reserved;
    for (int i = 0; i < MANY; i++) {
        blocks[i] = hakmem_alloc(300000);
        assert_non_null(blocks[i]);
    }
    for (int i = 0; i < MANY; i++)
        hakmem_free(blocks[i]);
    hak_quarantine_flush_oversize(true);
    hakmem_trim();
    hak_chunk_unmap_free();
    assert_in_range(hak_chunk_view().reserved, 0, before + 4 * HAK_CHUNK);
}

static const char *front; /* of a block that is being freed */
static bool seen_looking;

uint32_t __real_hak_map_find(const void *p);

/* Where another thread would come by: it makes what lies in front of the block inaccessible, just then. */
uint32_t __wrap_hak_map_find(const void *p)
{
    uint32_t entry = __real_hak_map_find(p);
    if (p == front && front != NULL) {
        seen_looking = true;
        hak_guard_forbid((void *)((uintptr_t)front & ~(uintptr_t)4095), 4096);
    }
    return entry;
}

/* Blocks that begin a slice, each right behind another one. */
void test_who_looks_in_front_does_not_fault(void **state)
{
    (void)state;
    static char *blocks[200];
    for (int i = 0; i < 200; i++) {
        blocks[i] = hakmem_alloc(40000);
        assert_non_null(blocks[i]);
    }
    for (int i = 0; i < 200 && !seen_looking; i++) {
        front = blocks[i] - 1;
        if (hak_entry_in_slab(__real_hak_map_find(front))) {
            hakmem_free(blocks[i]);
            blocks[i] = NULL;
        }
    }
    front = NULL;
    assert_true(seen_looking);
    for (int i = 0; i < 200; i++)
        hakmem_free(blocks[i]);
}

void test_chunks_with_an_inaccessible_end(void **state)
{
    (void)state;
    enum {
        CHUNKS = 4000000 /* 8 TiB */
    };
    int barred = 0, ends = 0;
    for (int i = 0; i < CHUNKS; i++) {
        const hak_guard_extent_t extent = hak_guard_next_chunk();
        barred += extent == HAK_GUARD_BARS;
        ends += extent != HAK_GUARD_NOTHING;
    }
    assert_in_range(barred, 0, 1024);
    assert_in_range(ends, 6144, 16384);
    assert_int_equal(hak_guard_next_chunk(), HAK_GUARD_NOTHING);
    assert_in_range(barred * 8 + ends * 2, 0, 50000); /* mappings, of 65,530 */
}

/* What a fresh process's first block of `size` has a megabyte behind its last byte. */
int write_far_behind(size_t size)
{
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    char *block = hakmem_alloc(size);
    write_at(block, size - 1 + (1 << 20));
    return 0;
}

void test_a_megabyte_behind_the_first_block(void **state)
{
    (void)state;
    for (size_t size = 8; size <= 8 << 20; size *= 8) {
        for (int i = 0; i < 12; i++) { /* slices that stay closed lie at random */
            char command[300];
            snprintf(command, sizeof command, "exec '%s' far %zu", own_program, size);
            const int status = system(command);
            assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
        }
    }
}

void test_a_run_from_any_block_faults(void **state)
{
    (void)state;
    static const size_t sizes[] = {8, 100, 1000, 4096, 20000, 60000, 200000};
    for (size_t i = 0; i < 7 * 20; i++) {
        const size_t size = sizes[i % 7];
        char *block = hakmem_alloc(size);
        assert_int_equal(end_of(run_over, block + size, 1 << 20), SIGSEGV);
        assert_int_equal(end_of(run_over, block - (1 << 20), 1 << 20), SIGSEGV);
    }
}

static void write_byte(char *at, size_t unused)
{
    (void)unused;
    *(volatile char *)at = 1;
}

static void read_byte(char *at, size_t unused)
{
    (void)unused;
    volatile char byte = *(volatile char *)at;
    (void)byte;
}

/* In front of a huge block is the inaccessible end of another one, or a free range: of what the system gave ahead, or a block
 * left. (Or a mapping of somebody else's, of which the map knows nothing.) */
void test_nothing_beside_huge_blocks(void **state)
{
    (void)state;
    int looked = 0;
    for (size_t size = 600000; size <= 3000000; size *= 5) {
        char *blocks[40];
        for (int i = 0; i < 40; i++) {
            blocks[i] = hakmem_alloc(size + (size_t)i % 7 * 100000);
            assert_non_null(blocks[i]);
        }
        for (int i = 0; i < 40; i += 3)
            hakmem_free(blocks[i]);
        hak_quarantine_flush_oversize(true);
        for (int i = 0; i < 40; i++) {
            if (i % 3 == 0)
                continue;
            if (__real_hak_map_find(blocks[i] - 1) != 0) {
                assert_int_equal(end_of(write_byte, blocks[i] - 1, 0), SIGSEGV);
                assert_int_equal(end_of(read_byte, blocks[i] - 4096, 0), SIGSEGV);
                looked++;
            }
            hakmem_free(blocks[i]);
        }
    }
    assert_in_range(looked, 20, 80);
}

/* Maps memory of the program's right in front of a block, if there is room, and writes it all. */
static void expect_room_in_front(char *block)
{
    char *mine = mmap(block - HAK_SLICE, HAK_SLICE, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    assert_int_equal(end_of(write_byte, block - 1, 0), SIGSEGV);
    assert_int_equal(end_of(read_byte, block - HAK_SLICE, 0), SIGSEGV);
    if (mine != MAP_FAILED)
        munmap(mine, HAK_SLICE);
}

void test_nothing_of_others_right_in_front(void **state)
{
    (void)state;
    enum {
        MANY = 24
    };
    char *blocks[MANY];
    for (size_t i = 0; i < MANY; i++) {
        blocks[i] = hakmem_alloc((40u << 20) + i * 700000); /* more than is mapped ahead */
        assert_non_null(blocks[i]);
        expect_room_in_front(blocks[i]);
    }
    for (size_t i = 0; i < MANY; i += 2) { /* moved by the system, then where it was is free */
        blocks[i] = hakmem_resize(blocks[i], 90u << 20);
        assert_non_null(blocks[i]);
        expect_room_in_front(blocks[i]);
        expect_room_in_front(blocks[i + 1]);
    }
    for (size_t i = 0; i < MANY; i += 2) {
        hakmem_free(blocks[i]);
        hak_quarantine_flush_oversize(true);
        hak_extent_trim(false);
        expect_room_in_front(blocks[i + 1]);
    }
    for (size_t i = 1; i < MANY; i += 2)
        hakmem_free(blocks[i]);
    hak_quarantine_flush_oversize(true);
    const int most = mappings();
    for (int i = 0; i < 2000; i++) { /* what was in front goes with the block */
        char *block = hakmem_alloc(100u << 20);
        block = hakmem_resize(block, 300u << 20);
        hakmem_free(block);
    }
    hakmem_trim();
    assert_in_range(mappings(), 1, most + 20);
}

/* The free range that begins right behind a block, or NULL if another block does. */
static char *range_behind(char *block, size_t size)
{
    char *from = block + size / HAK_SLICE * HAK_SLICE;
    for (char *at = from; at < from + 2 * HAK_UNIT; at += HAK_SLICE)
        if (hak_entry_kind(__real_hak_map_find(at)) == HAK_ENTRY_FREE)
            return at;
    return NULL;
}

/* The more is live, the more the system gives at a time: 64 MiB here, of which a block is the beginning. */
void test_what_is_mapped_ahead_is_closed(void **state)
{
    (void)state;
    enum {
        LIVE = 8,
        MANY = 10
    };
    char *live[LIVE], *blocks[MANY];
    int looked = 0;
    for (int i = 0; i < LIVE; i++) {
        live[i] = hakmem_alloc(64u << 20);
        assert_non_null(live[i]);
    }
    for (int i = 0; i < MANY; i++) {
        blocks[i] = hakmem_alloc(600000);
        assert_non_null(blocks[i]);
        char *behind = range_behind(blocks[i], 600000);
        if (behind != NULL) {
            assert_int_equal(end_of(read_byte, behind, 0), SIGSEGV);
            looked++;
        }
    }
    assert_in_range(looked, 1, MANY);
    for (int i = 0; i < MANY; i++)
        hakmem_free(blocks[i]);
    for (int i = 0; i < LIVE; i++)
        hakmem_free(live[i]);
}

/* Also when it does not wait any more, and its range is cut and joined. */
void test_huge_blocks_stay_closed(void **state)
{
    (void)state;
    const size_t size = 3000000;
    char *block = hakmem_alloc(size);
    assert_non_null(block);
    hakmem_free(block);
    hak_quarantine_flush_oversize(true);
    assert_int_equal(end_of(write_byte, block, 0), SIGSEGV);
    char *half = hakmem_alloc(size / 2);
    assert_non_null(half);
    memset(half, 1, size / 2);
    half = hakmem_resize(half, size);
    assert_non_null(half);
    memset(half, 1, size);
    half = hakmem_resize(half, size / 3);
    assert_int_equal(end_of(write_byte, half + size / 2, 0), SIGSEGV);
    hakmem_free(half);
}

static void take_many(char **blocks, int count, size_t size)
{
    for (int i = 0; i < count; i++) {
        blocks[i] = hakmem_alloc(size);
        assert_non_null(blocks[i]);
    }
}

void test_mappings_of_free_ranges_stay_few(void **state)
{
    (void)state;
    enum {
        MANY = 40000
    };
    static char *blocks[MANY];
    const int before = mappings();
    take_many(blocks, MANY, 700000);
    for (int i = 0; i < MANY; i += 2)
        hakmem_free(blocks[i]);
    assert_in_range(mappings(), 1000, 30000);
    for (int i = 1; i < MANY; i += 2)
        hakmem_free(blocks[i]);
    hakmem_trim();
    assert_in_range(mappings() - before, 0, 4000);
}

/* The system has so many mappings: beside too many free ranges, what is freed can be touched. It is not handed out then as it is;
 * and once they are fewer, it is closed, and so is what it is joined with. */
void test_closed_again_after_many_free_ranges(void **state)
{
    (void)state;
    enum {
        SIZE = 600000,
        MANY = 9000,
        APART = 900
    };
    static char *blocks[MANY];
    take_many(blocks, MANY, SIZE);
    for (int i = 0; i < MANY - 2; i += 2)
        hakmem_free(blocks[i]);
    hak_quarantine_flush_oversize(true);
    char *open = blocks[MANY - 2]; /* between two in use */
    hakmem_free(open);
    hak_quarantine_flush_oversize(true);
    assert_int_equal(end_of(write_byte, open, 0), 0);
    memset(escape(open), 0xee, SIZE);
    for (int i = 0; i < 100; i++) {
        char *next = hakmem_alloc_zeroed(1, SIZE);
        assert_true(is_zero(next, SIZE));
    }
    for (int i = 1; i < MANY; i += 2)
        if (i % APART != 1) /* nothing is ever joined with the first ranges once there are few */
            hakmem_free(blocks[i]);
    hak_quarantine_flush_oversize(true);
    for (int i = 0; i < MANY - 1000; i += APART / 2) { /* of each range that was joined */
        assert_int_equal(end_of(write_byte, blocks[i], 0), SIGSEGV);
        assert_int_equal(end_of(write_byte, blocks[i + 3], 0), SIGSEGV); /* freed while there were too many */
    }
    for (int i = 1; i < MANY; i += APART)
        hakmem_free(blocks[i]);
}

/* They become few since many are in use again, not since they are joined: the next one that is freed is closed, and so is the one
 * beside it that was left open. */
void test_closed_with_the_one_beside(void **state)
{
    (void)state;
    enum {
        SIZE = 600000,
        MANY = 9000,
        AGAIN = 4400
    };
    static char *blocks[MANY], *again[AGAIN];
    take_many(blocks, MANY, SIZE);
    char *beside = hakmem_alloc(SIZE),
         *open = hakmem_alloc(3 * SIZE); /* of another size: nobody has it again */
    for (int i = 0; i < MANY; i += 2)
        hakmem_free(blocks[i]);
    hak_quarantine_flush_oversize(true);
    hakmem_free(open);
    hak_quarantine_flush_oversize(true);
    take_many(again, AGAIN, SIZE);
    assert_int_equal(end_of(write_byte, open, 0), 0);
    hakmem_free(beside);
    hak_quarantine_flush_oversize(true);
    assert_int_equal(end_of(write_byte, open, 0), SIGSEGV);
    assert_int_equal(end_of(write_byte, beside, 0), SIGSEGV);
    for (int i = 0; i < AGAIN; i++)
        hakmem_free(again[i]);
    for (int i = 1; i < MANY; i += 2)
        hakmem_free(blocks[i]);
}
