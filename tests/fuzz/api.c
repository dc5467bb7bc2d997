/* SPDX-License-Identifier: MIT */
/* The malloc family against a model of what it has handed out. An input is a list of records of six bytes, each an
 * operation of operations.def; any bytes are a valid input. Checked at each step: blocks do not overlap, are aligned, as
 * large as they say, zero when they must be, whole when they are freed or moved, and errno is touched by failures only.
 * After each input all is freed and trimmed: the pool then holds nothing.
 *
 * Three threads take turns, one running at a time, so that a run repeats; so does the system, which system.h replaces. */
#include "model.h"
#include "neighbours.h"

#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mem/harden_fast.h"

#define THREADS   3
#define FORKS     2  /* of an input, at most */
#define IN_CHILD  40 /* records that a child goes on for */
#define VAST_MOST ((size_t)20 << 30)
#define LIVE_MOST ((size_t)64 << 20) /* bytes; a request that would exceed it is left out */

typedef struct record {
    uint8_t operation, slot, number, kind, low, high;
} record_t;

static const record_t *record, *records_end;

/* --- operations --------------------------------------------------------------------------------------------------- */

static live_t *slot_of(const record_t *from)
{
    return &slots[(size_t)from->slot * (SLOTS / 256)];
}

static size_t size_of_record(const record_t *from)
{
    static const size_t edges[] = {HAK_TINY_MAX,     HAK_MID_MAX,   HAK_CLASS_MAX,     HAK_SLICE, HAK_OS_PAGE,
                                   2 * HAK_TINY_MAX, HAK_LARGE_MAX, 2 * HAK_LARGE_MAX, HAK_CHUNK, 64};
    const size_t value = from->low | (size_t)from->high << 8;
    switch (from->kind % 8) {
    case 0 ... 3: return value % 1025;
    case 4:
    case 5: return value;
    case 6: return value * 64 + from->kind / 8;
    default: return edges[from->low % (sizeof edges / sizeof *edges)] + from->high % 65 - 32;
    }
}

/* The slot of a request, emptied; NULL if the request would be too much. */
static live_t *slot_for(const record_t *from, size_t size)
{
    live_t *live = slot_of(from);
    note_vacated(live);
    give(live);
    errno = UNTOUCHED;
    return live_bytes + size <= LIVE_MOST ? live : NULL;
}

static void do_malloc(const record_t *from)
{
    const size_t size = size_of_record(from);
    live_t *live = slot_for(from, size);
    if (live == NULL)
        return;
    void *block = malloc(size);
    if (block == NULL) {
        excuse("malloc", size);
        return;
    }
    note_plain(live, block, size);
}

static void do_calloc(const record_t *from)
{
    const size_t count = from->number % 8 + 1;
    const size_t each = size_of_record(from) / count;
    live_t *live = slot_for(from, count * each);
    if (live == NULL)
        return;
    void *block = calloc(count, each);
    if (block == NULL) {
        excuse("calloc", count * each);
        return;
    }
    expect_zero(block, count * each);
    note_plain(live, block, count * each);
}

static void resize(live_t *live, size_t size, unsigned way)
{
    errno = UNTOUCHED;
    if (live_bytes + size > LIVE_MOST)
        return;
    if (live->block == NULL) {
        void *block = realloc(NULL, size);
        if (block == NULL)
            excuse("realloc", size);
        else
            note_plain(live, block, size);
    } else if (size == 0) {
        give(live);
    } else {
        expect_filled(live, live->block, live->usable);
        note_vacated(live);
        note_resized(live,
                     way == 0   ? realloc(live->block, size)
                     : way == 1 ? hakmem_resize(live->block, size)
                                : reallocarray(live->block, 1, size),
                     size);
    }
}

static void do_realloc(const record_t *from)
{
    resize(slot_of(from), size_of_record(from), from->number % 2);
}

/* Grows or shrinks by little, as a string or vector does. */
static void do_reallocarray(const record_t *from)
{
    live_t *live = slot_of(from);
    const size_t by = live->block != NULL ? size_of_record(from) % (live->size + 1) : 0;
    resize(live, from->number % 2 ? live->size + by : live->size - by, 2);
}

static void note_aligned(live_t *live, void *block, size_t size, size_t align)
{
    if (block == NULL) {
        excuse("aligned_alloc", size);
        return;
    }
    note(live, block, size, hak_max(align, HAK_ALIGN));
}

static void do_aligned_alloc(const record_t *from)
{
    const size_t align = (size_t)1 << from->number % 23;
    const size_t size = size_of_record(from);
    live_t *live = slot_for(from, size + align);
    if (live != NULL)
        note_aligned(live, aligned_alloc(align, size), size, align);
}

static void do_memalign(const record_t *from)
{
    const size_t power = (size_t)1 << (4 + from->number % 14);
    const size_t align = power - from->kind % (power / 2); /* rounded up to the next power of two */
    const size_t size = size_of_record(from);
    live_t *live = slot_for(from, size + power);
    if (live != NULL)
        note_aligned(live, memalign(align, size), size, power);
}

static void do_posix_memalign(const record_t *from)
{
    const size_t align = sizeof(void *) << from->number % 16;
    const size_t size = size_of_record(from);
    live_t *live = slot_for(from, size + align);
    if (live == NULL)
        return;
    void *block = live;
    const int error = posix_memalign(&block, align, size);
    PROMISE(errno == UNTOUCHED, "posix_memalign set errno %d", errno);
    PROMISE(error == 0 || block == live, "a failed posix_memalign wrote its result");
    errno = error == 0 ? UNTOUCHED : error;
    note_aligned(live, error == 0 ? block : NULL, size, align);
}

static void do_page(const record_t *from)
{
    const size_t size = size_of_record(from);
    live_t *live = slot_for(from, size + HAK_OS_PAGE);
    if (live == NULL)
        return;
    if (from->number % 2)
        note_aligned(live, valloc(size), size, HAK_OS_PAGE);
    else
        note_aligned(live, pvalloc(size), hak_round_up(size, HAK_OS_PAGE), HAK_OS_PAGE);
}

static void do_own(const record_t *from)
{
    const size_t size = size_of_record(from);
    live_t *live = slot_for(from, size);
    if (live == NULL)
        return;
    void *block = from->number % 2 ? hakmem_alloc(size) : hakmem_alloc_zeroed(size, 1);
    if (block == NULL) {
        excuse("hakmem_alloc", size);
        return;
    }
    if (from->number % 2 == 0)
        expect_zero(block, size);
    note_plain(live, block, size);
}

/* Places that ask for one kind of block each, so that each gets a policy; and a few that ask for any, or are none. */
static void do_site(const record_t *from)
{
    static const char places[8];
    static const size_t kinds[] = {100, 20000, 600000, 1 << 20, 3 << 20};
    const unsigned place = from->number % 9;
    const size_t size = place < 5 ? kinds[place] + from->low % 2 : size_of_record(from);
    live_t *live = slot_for(from, size);
    if (live == NULL)
        return;
    void *block = hakmem_alloc_at(size, place < 8 ? &places[place] : NULL);
    if (block == NULL) {
        excuse("hakmem_alloc_at", size);
        return;
    }
    note_plain(live, block, size);
}

static void do_free(const record_t *from)
{
    live_t *live = slot_of(from) + from->number % (SLOTS / 256);
    note_vacated(live);
    give(live);
}

static void do_burst(const record_t *from)
{
    const size_t size = size_of_record(from);
    const size_t first = (size_t)(slot_of(from) - slots);
    const size_t many = hak_min(SLOTS - first, (size_t)from->number * 4);
    for (size_t i = 0; i < many && live_bytes + size <= LIVE_MOST; i++) {
        if (slots[first + i].block != NULL)
            continue;
        errno = UNTOUCHED;
        void *block = malloc(size);
        if (block == NULL) {
            excuse("malloc", size);
            return;
        }
        note_plain(&slots[first + i], block, size);
    }
}

/* Upwards or downwards, each or every second to eighth. */
static void do_sweep(const record_t *from)
{
    const size_t first = (size_t)(slot_of(from) - slots);
    const size_t many = hak_min(SLOTS - first, (size_t)from->number * 4);
    const size_t step = from->kind % 4 == 0 ? 1 + from->kind / 4 % 8 : 1;
    for (size_t i = 0; i < many; i += step)
        give(&slots[from->low % 2 ? first + many - 1 - i : first + i]);
}

static void do_look(const record_t *from)
{
    const live_t *live = slot_of(from) + from->number % (SLOTS / 256);
    if (live->block != NULL) {
        expect_filled(live, live->block, live->usable);
        PROMISE(hakmem_usable_size(live->block) == live->usable, "the size of a block changed");
    }
}

/* Of all heaps but those that are lost to a child. */
static void check_slabs(void)
{
    for (uint32_t owner = 1; owner <= hak_heap_count(); owner++) {
        hak_heap_t *heap = hak_heap_by_owner(owner);
        if (hak_os_try_lock(&heap->lock)) {
            hak_slab_check(heap);
            hak_os_unlock(&heap->lock);
        }
    }
}

static void do_trim(const record_t *from)
{
    (void)from;
    errno = UNTOUCHED;
    malloc_trim(0);
    PROMISE(errno == UNTOUCHED, "malloc_trim set errno %d", errno);
    check_slabs();
}

static void expect_error(const void *block, int error)
{
    PROMISE(block == NULL && errno == error, "errno %d, not %d", errno, error);
    errno = UNTOUCHED;
}

static void do_refused(const record_t *from)
{
    const size_t too_much = HAK_REQUEST_MAX + 1 + ((size_t)from->low << from->high % 54);
    void *out = &slots;
    errno = UNTOUCHED;
    expect_error(malloc(too_much), ENOMEM);
    expect_error(malloc(SIZE_MAX - from->low), ENOMEM); /* where rounding up wraps around */
    expect_error(calloc(1, too_much), ENOMEM);
    expect_error(calloc(SIZE_MAX / 2, 3 + from->number), ENOMEM);
    expect_error(aligned_alloc(64, too_much), ENOMEM);
    expect_error(aligned_alloc(3 << from->number % 16, 64), EINVAL);
    expect_error(hakmem_alloc_aligned(0, 64), EINVAL);
    expect_error(memalign(4096, SIZE_MAX - from->low), ENOMEM);
    expect_error(pvalloc(SIZE_MAX - from->low), ENOMEM);
    PROMISE(posix_memalign(&out, 4, 64) == EINVAL && posix_memalign(&out, 24, 64) == EINVAL, "alignment");
    PROMISE(posix_memalign(&out, 4096, too_much) == ENOMEM, "posix_memalign of too much");
    PROMISE(out == &slots && errno == UNTOUCHED, "a failed posix_memalign wrote something");
    live_t *live = slot_of(from);
    if (live->block != NULL) {
        expect_error(realloc(live->block, too_much), ENOMEM);
        expect_error(realloc(live->block, SIZE_MAX - from->low), ENOMEM);
        expect_error(reallocarray(live->block, SIZE_MAX / 2, 3 + from->number), ENOMEM);
        expect_filled(live, live->block, live->usable);
    }
}

static void do_nothing(const record_t *from)
{
    (void)from;
    errno = UNTOUCHED;
    free(NULL);
    cfree(NULL);
    free_sized(NULL, 24);
    PROMISE(malloc_usable_size(NULL) == 0 && errno == UNTOUCHED, "NULL is no block");
}

/* --- beside the allocator ----------------------------------------------------------------------------------------- */

static void do_vast(const record_t *from)
{
    const size_t size = ((size_t)from->number % 12 + 1)
                        << (HAK_CHECKS ? 22 : 30); /* checks fill all of a block */
    live_t *live = slot_of(from);
    if (size > VAST ? vast_bytes + size > VAST_MOST : live_bytes + size > LIVE_MOST)
        return;
    if (live->block != NULL && live->usable > HAK_LARGE_MAX && from->kind % 2) {
        resize(live, size, 0);
        return;
    }
    note_vacated(live);
    give(live);
    errno = UNTOUCHED;
    void *block = malloc(size);
    if (block == NULL)
        excuse("malloc", size);
    else
        note_plain(live, block, size);
}

static void do_neighbour(const record_t *from)
{
    neighbour_t *neighbour = &neighbours[from->low % NEIGHBOURS];
    const live_t *live = slot_of(from);
    const size_t size = ((size_t)from->number + 1) << 16;
    unsigned char *end =
        live->block != NULL && live->usable > HAK_LARGE_MAX ? live->block + live->usable : NULL;
    switch (from->kind % 5) {
    case 0: put_neighbour(neighbour, vacated[from->high % VACATED], size); break;
    case 1: put_neighbour(neighbour, end, size); break;
    case 2: put_neighbour(neighbour, end != NULL ? live->block - size : NULL, size); break;
    case 3: put_neighbour(neighbour, NULL, size << from->high % 8); break;
    default: drop_neighbour(neighbour); break;
    }
    check_neighbours();
}

static void do_clock(const record_t *from)
{
    now_ms += (uint64_t)from->number * 10;
}

static void do_starve(const record_t *from)
{
    to_refuse = from->number % 16;
}

/* --- threads ------------------------------------------------------------------------------------------------------ */

static struct {
    pthread_t thread;
    sem_t turn;
    bool runs, ends;
} threads[THREADS];

static unsigned whose;     /* turn it is */
static void (*task)(void); /* what a thread does in its turn */

static void do_turn(const record_t *from)
{
    whose = from->number % THREADS;
}

static void do_end(const record_t *from)
{
    (void)from;
    threads[whose].ends = whose != 0;
    whose = 0;
}

static void do_fork(const record_t *from);

static void perform_record(void)
{
    static void (*const operations[])(const record_t *) = {
#define OPERATION(name) do_##name,
#include "operations.def"
#undef OPERATION
    };
    const record_t *now = record++;
    system_refused = false;
    operations[now->operation % (sizeof operations / sizeof *operations)](now);
}

static void perform_records(void)
{
    for (const unsigned mine = whose; record < records_end && whose == mine;)
        perform_record();
}

static unsigned forks; /* of this input so far; a child makes none */

static pid_t fork_in_some_way(unsigned way)
{
    return way % 3 == 0 ? fork() : way % 3 == 1 ? _Fork() : (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
}

/* The child has no other thread: it goes on with the records that follow, checks all and frees it. */
static _Noreturn void go_on_in_child(void)
{
    forks = FORKS;
    check_neighbours();
    for (unsigned i = 0; i < IN_CHILD && record < records_end; i++) {
        const unsigned mine = whose;
        perform_record();
        whose = mine;
        threads[whose].ends = false;
    }
    to_refuse = 0;
    for (size_t i = 0; i < SLOTS; i++)
        give(&slots[i]);
    malloc_trim(0);
    _exit(0);
}

static void do_fork(const record_t *from)
{
    if (forks == FORKS)
        return;
    forks++;
    const pid_t child = fork_in_some_way(from->number);
    if (child == 0)
        go_on_in_child();
    int status = 0;
    PROMISE(child > 0, "fork");
    while (waitpid(child, &status, 0) != child) { /* the fuzzer's alarm interrupts it */
    }
    PROMISE(status == 0, "a child ended with status %#x", (unsigned)status);
}

/* Trims, and lets go of what waits in the hardened variants, the block freed last included. */
static void release_all(void)
{
#if HAK_HARDEN
    hak_thread.last = NULL;
    hak_quarantine_flush_other(true);
    hak_quarantine_flush_oversize(true);
#endif
    malloc_trim(0);
}

static void *wait_for_turns(void *argument)
{
    const unsigned mine = (unsigned)(uintptr_t)argument;
    while (!threads[mine].ends) {
        while (sem_wait(&threads[mine].turn) != 0) {
        }
        task();
        sem_post(&threads[0].turn);
    }
    return NULL;
}

/* Called by thread 0. The turn of a thread that does not run begins with its start, one that ends is waited for. */
static void give_turn(unsigned to)
{
    if (to == 0) {
        task();
        return;
    }
    if (!threads[to].runs) {
        threads[to].runs = true;
        threads[to].ends = false;
        PROMISE(pthread_create(&threads[to].thread, NULL, wait_for_turns, (void *)(uintptr_t)to) == 0,
                "thread");
    }
    sem_post(&threads[to].turn);
    while (sem_wait(&threads[0].turn) != 0) {
    }
    if (threads[to].ends) {
        pthread_join(threads[to].thread, NULL);
        threads[to].runs = false;
    }
}

/* --- inputs ------------------------------------------------------------------------------------------------------- */

static size_t figure(const char *page, const char *name)
{
    const char *at = strstr(page, name);
    PROMISE(at != NULL, "the statistics have no %s", name);
    return strtoul(at + strlen(name), NULL, 10);
}

/* All is free: whatever the threads still keep goes back. Twice, since the first round sends blocks to others. */
static void expect_nothing_used(void)
{
    to_refuse = 0;
    task = release_all;
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < THREADS; i++)
            if (i == 0 || threads[i].runs)
                give_turn(i);
    }
    static int ends[2];
    static char page[1 << 16]; /* as much as the pipe holds: the statistics have a part for each place */
    PROMISE(ends[0] != 0 || pipe(ends) == 0, "pipe");
    hakmem_stats_print(ends[1], 1);
    const ssize_t length = read(ends[0], page, sizeof page - 1);
    page[length > 0 ? length : 0] = 0;
    /* `hardened` has slices for blocks of no bytes, once one was asked for; and if the system does not let it make a block that
     * waited accessible again, its addresses are lost. */
    const size_t lost_most = refused_ever ? SIZE_MAX : 8 * HAK_SLICE;
    (void)lost_most;
    PROMISE(figure(page, "\"used\": ") <= (HAK_HARDEN ? lost_most : 0), "slices are lost: %s", page);
    PROMISE(figure(page, "\"big_live\": ") <= (HAK_HARDEN && refused_ever ? SIZE_MAX : 0),
            "big blocks are lost: %s", page);
    PROMISE(in_use == 0 && live_bytes == 0 && vast_bytes == 0, "the model lost a block");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    next_seed = forks = 0;
    record = (const record_t *)data;
    records_end = record + size / sizeof(record_t);
    for (whose = 0; record < records_end;) {
        task = perform_records;
        give_turn(whose);
    }
    system_refused = false;
    for (size_t i = 0; i < SLOTS; i++)
        give(&slots[i]);
    expect_nothing_used();
    drop_neighbours();
    return 0;
}
