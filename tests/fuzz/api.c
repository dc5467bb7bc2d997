// The malloc family against a model of what it has handed out. An input is a list of records of six bytes, each an
// operation of operations.def; any bytes are a valid input. Checked at each step: blocks do not overlap, are aligned, as
// large as they say, zero when they must be, whole when they are freed or moved, and errno is touched by failures only.
// After each input all is freed and trimmed: the pool then holds nothing.
//
// Three threads take turns, one running at a time, so that a run repeats. So that it does in all else, this file owns the
// clock and the system's refusals (--wrap). The family is compiled into this file under names of its own.
#undef HAK_OVERRIDE
#define HAK_OVERRIDE 1
#define _GNU_SOURCE

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/family.h"
#include "hakmem.h"

#define malloc             family_malloc
#define free               family_free
#define cfree              family_cfree
#define free_sized         family_free_sized
#define free_aligned_sized family_free_aligned_sized
#define calloc             family_calloc
#define realloc            family_realloc
#define reallocarray       family_reallocarray
#define aligned_alloc      family_aligned_alloc
#define memalign           family_memalign
#define posix_memalign     family_posix_memalign
#define valloc             family_valloc
#define pvalloc            family_pvalloc
#define malloc_usable_size family_malloc_usable_size
#define malloc_trim        family_malloc_trim
#include "../../core/api/malloc.c" // tests/ has an api/malloc.c too

// libFuzzer keeps the input of a run that aborts.
#define PROMISE(condition, ...)                                                                              \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            dprintf(2, "%s:%d: not so: %s: ", __FILE__, __LINE__, #condition);                               \
            dprintf(2, __VA_ARGS__);                                                                         \
            dprintf(2, "\n");                                                                                \
            abort();                                                                                         \
        }                                                                                                    \
    } while (0)

enum {
    SLOTS = 2048,
    THREADS = 3,
    EDGE = 256,        // bytes at both ends of a block that are all filled; between them one here and there
    UNTOUCHED = 12345, // errno before each call
};

// Requests of nothing are left out for now: hak_heap_refill takes the stash for them while the bin of 16 bytes is not
// empty, and the bin is lost. With 1 the seed churn-0 shows it.
#define ASK_FOR_NOTHING 0

#define LIVE_MOST ((size_t)64 << 20) // bytes; a request that would exceed it is left out

typedef struct record {
    uint8_t operation, slot, number, kind, low, high;
} record_t;

typedef struct live {
    unsigned char *block; // NULL in a free slot
    size_t size;          // as requested
    size_t usable;        // as malloc_usable_size said; all of it is filled
    unsigned seed;
} live_t;

static live_t slots[SLOTS];
static live_t *by_address[SLOTS]; // those in use, ascending
static size_t in_use, live_bytes;
static unsigned next_seed;

static const record_t *record, *records_end;

// --- the system -----------------------------------------------------------------------------------------------------

void *__real_hak_os_map(size_t size, size_t align);
void *__real_hak_os_map_at(void *address, size_t size, bool writable);
bool __real_hak_os_make_writable(void *address, size_t size);
bool __real_hak_os_discard(void *address, size_t size);
bool __real_hak_os_resize(void *address, size_t old_size, size_t new_size);
bool __real_hak_os_move(void *address, size_t old_size, void *target, size_t new_size);

static unsigned to_refuse;  // calls from now on
static bool system_refused; // since the operation began
static uint64_t now_ms = 1000;

static bool refuses(void)
{
    if (to_refuse == 0) {
        return false;
    }
    to_refuse--;
    system_refused = true;
    return true;
}

void *__wrap_hak_os_map(size_t size, size_t align)
{
    return refuses() ? NULL : __real_hak_os_map(size, align);
}

void *__wrap_hak_os_map_at(void *address, size_t size, bool writable)
{
    return refuses() ? NULL : __real_hak_os_map_at(address, size, writable);
}

bool __wrap_hak_os_make_writable(void *address, size_t size)
{
    return !refuses() && __real_hak_os_make_writable(address, size);
}

bool __wrap_hak_os_discard(void *address, size_t size)
{
    return !refuses() && __real_hak_os_discard(address, size);
}

bool __wrap_hak_os_resize(void *address, size_t old_size, size_t new_size)
{
    return !refuses() && __real_hak_os_resize(address, old_size, new_size);
}

bool __wrap_hak_os_move(void *address, size_t old_size, void *target, size_t new_size)
{
    return !refuses() && __real_hak_os_move(address, old_size, target, new_size);
}

uint64_t __wrap_hak_os_now_ms(void)
{
    return now_ms;
}

// --- the model ------------------------------------------------------------------------------------------------------

static unsigned char byte_at(unsigned seed, size_t at)
{
    return (unsigned char)(seed + at * 131 + (at >> 8) * 7);
}

// The filled position after `at` in a block of `size` bytes.
static size_t next_filled(size_t at, size_t size)
{
    if (at + 1 < EDGE || at + EDGE >= size) {
        return at + 1;
    }
    const size_t step = size > HAK_CLASS_MAX ? 65521 : 1021;
    return at + step < size - EDGE ? at + step : size - EDGE;
}

static void fill(const live_t *live)
{
    for (size_t at = 0; at < live->usable; at = next_filled(at, live->usable)) {
        live->block[at] = byte_at(live->seed, at);
    }
}

// What was filled into `live` is at `block`, as far as `size`.
static void expect_filled(const live_t *live, const unsigned char *block, size_t size)
{
    for (size_t at = 0; at < size; at = next_filled(at, live->usable)) {
        PROMISE(block[at] == byte_at(live->seed, at), "byte %zu of a block of %zu", at, live->size);
    }
}

static void expect_zero(const unsigned char *block, size_t size)
{
    size_t at = 0;
    for (uint64_t word; at + sizeof word <= size; at += sizeof word) {
        memcpy(&word, block + at, sizeof word);
        PROMISE(word == 0, "near byte %zu of %zu", at, size);
    }
    for (; at < size; at++) {
        PROMISE(block[at] == 0, "byte %zu of %zu", at, size);
    }
}

// How many blocks in use begin below the address.
static size_t place_of(const unsigned char *address)
{
    size_t low = 0;
    for (size_t high = in_use; low < high;) {
        const size_t middle = (low + high) / 2;
        if (by_address[middle]->block < address) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static void forget(live_t *live)
{
    const size_t place = place_of(live->block);
    PROMISE(place < in_use && by_address[place] == live, "the model lost a block");
    memmove(&by_address[place], &by_address[place + 1], (--in_use - place) * sizeof by_address[0]);
    live_bytes -= live->usable;
    live->block = NULL;
}

// A request succeeded: the block obeys the model and becomes part of it.
static void note(live_t *live, void *block, size_t size, size_t align)
{
    PROMISE(errno == UNTOUCHED, "a success set errno %d", errno);
    PROMISE(((uintptr_t)block & (align - 1)) == 0, "%p is not aligned to %zu", block, align);
    *live = (live_t){.block = block, .size = size, .usable = malloc_usable_size(block), .seed = next_seed++};
    PROMISE(live->usable >= size, "%zu usable bytes of %zu", live->usable, size);
    const size_t place = place_of(live->block);
    PROMISE(place == in_use || live->block + live->usable <= by_address[place]->block,
            "%p of %zu bytes overlaps the block behind it", block, live->usable);
    PROMISE(place == 0 || by_address[place - 1]->block + by_address[place - 1]->usable <= live->block,
            "%p overlaps the block before it", block);
    memmove(&by_address[place + 1], &by_address[place], (in_use++ - place) * sizeof by_address[0]);
    by_address[place] = live;
    live_bytes += live->usable;
    fill(live);
}

// The same for a plain request, where only so much of the block may be waste.
static void note_plain(live_t *live, void *block, size_t size)
{
    note(live, block, size, HAK_ALIGN);
    const size_t slack = size > HAK_CLASS_MAX / 2 ? 2 * HAK_SLICE : 2 * HAK_ALIGN;
    PROMISE(live->usable <= size + size / 8 + slack, "%zu usable bytes for %zu", live->usable, size);
}

// A request failed.
static void excuse(const char *what, size_t size)
{
    PROMISE(errno == ENOMEM, "%s(%zu) failed with errno %d", what, size, errno);
    PROMISE(system_refused, "%s(%zu) failed, though the system gives", what, size);
}

static void give(live_t *live)
{
    if (live->block == NULL) {
        return;
    }
    expect_filled(live, live->block, live->usable);
    PROMISE(malloc_usable_size(live->block) == live->usable, "the size of a block changed");
    unsigned char *block = live->block;
    const size_t size = live->size;
    const unsigned way = live->seed % 8;
    forget(live);
    errno = UNTOUCHED;
    if (way == 0) {
        free_sized(block, size);
    } else if (way == 1) {
        free_aligned_sized(block, 1, size);
    } else if (way == 2) {
        cfree(block);
    } else if (way == 3) {
        hak_free(block);
    } else if (way == 4) {
        PROMISE(realloc(block, 0) == NULL, "realloc to nothing");
    } else {
        free(block);
    }
    PROMISE(errno == UNTOUCHED, "free set errno %d", errno);
}

// A block was resized, or not.
static void note_resized(live_t *live, unsigned char *moved, size_t size)
{
    if (moved == NULL) {
        excuse("realloc", size);
        PROMISE(HAK_CHECKS || size > live->size, "a block cannot be shrunk"); // checks move every block
        expect_filled(live, live->block, live->usable);
        return;
    }
    expect_filled(live, moved, hak_min(live->size, size));
    forget(live);
    note(live, moved, size, HAK_ALIGN);
}

// --- operations -----------------------------------------------------------------------------------------------------

static live_t *slot_of(const record_t *from)
{
    return &slots[(size_t)from->slot * (SLOTS / 256)];
}

static size_t asked(size_t size)
{
    return size == 0 && !ASK_FOR_NOTHING ? 1 : size;
}

static size_t size_of_record(const record_t *from)
{
    static const size_t edges[] = {HAK_TINY_MAX,     HAK_MID_MAX,   HAK_CLASS_MAX,     HAK_SLICE, HAK_OS_PAGE,
                                   2 * HAK_TINY_MAX, HAK_LARGE_MAX, 2 * HAK_LARGE_MAX, HAK_CHUNK, 64};
    const size_t value = from->low | (size_t)from->high << 8;
    switch (from->kind % 8) {
    case 0 ... 3: return asked(value % 1025);
    case 4:
    case 5: return asked(value);
    case 6: return asked(value * 64 + from->kind / 8);
    default: return edges[from->low % (sizeof edges / sizeof *edges)] + from->high % 65 - 32;
    }
}

// The slot of a request, emptied; NULL if the request would be too much.
static live_t *slot_for(const record_t *from, size_t size)
{
    live_t *live = slot_of(from);
    give(live);
    errno = UNTOUCHED;
    return live_bytes + size <= LIVE_MOST ? live : NULL;
}

static void do_malloc(const record_t *from)
{
    const size_t size = size_of_record(from);
    live_t *live = slot_for(from, size);
    if (live == NULL) {
        return;
    }
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
    const size_t each = asked(size_of_record(from) / count);
    live_t *live = slot_for(from, count * each);
    if (live == NULL) {
        return;
    }
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
    if (live_bytes + size > LIVE_MOST) {
        return;
    }
    if (live->block == NULL) {
        size = asked(size);
        void *block = realloc(NULL, size);
        if (block == NULL) {
            excuse("realloc", size);
        } else {
            note_plain(live, block, size);
        }
    } else if (size == 0) {
        give(live);
    } else {
        expect_filled(live, live->block, live->usable);
        note_resized(live,
                     way == 0   ? realloc(live->block, size)
                     : way == 1 ? hak_resize(live->block, size)
                                : reallocarray(live->block, 1, size),
                     size);
    }
}

static void do_realloc(const record_t *from)
{
    resize(slot_of(from), size_of_record(from), from->number % 2);
}

// Grows or shrinks by little, as a string or vector does.
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
    if (live != NULL) {
        note_aligned(live, aligned_alloc(align, size), size, align);
    }
}

static void do_memalign(const record_t *from)
{
    const size_t power = (size_t)1 << (4 + from->number % 14);
    const size_t align = power - from->kind % (power / 2); // rounded up to the next power of two
    const size_t size = size_of_record(from);
    live_t *live = slot_for(from, size + power);
    if (live != NULL) {
        note_aligned(live, memalign(align, size), size, power);
    }
}

static void do_posix_memalign(const record_t *from)
{
    const size_t align = sizeof(void *) << from->number % 16;
    const size_t size = size_of_record(from);
    live_t *live = slot_for(from, size + align);
    if (live == NULL) {
        return;
    }
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
    if (live == NULL) {
        return;
    }
    if (from->number % 2) {
        note_aligned(live, valloc(size), size, HAK_OS_PAGE);
    } else {
        note_aligned(live, pvalloc(size), hak_round_up(size, HAK_OS_PAGE), HAK_OS_PAGE);
    }
}

static void do_own(const record_t *from)
{
    const size_t size = size_of_record(from);
    live_t *live = slot_for(from, size);
    if (live == NULL) {
        return;
    }
    void *block = from->number % 2 ? hak_alloc(size) : hak_alloc_zeroed(size, 1);
    if (block == NULL) {
        excuse("hak_alloc", size);
        return;
    }
    if (from->number % 2 == 0) {
        expect_zero(block, size);
    }
    note_plain(live, block, size);
}

static void do_free(const record_t *from)
{
    give(slot_of(from) + from->number % (SLOTS / 256));
}

static void do_burst(const record_t *from)
{
    const size_t size = size_of_record(from);
    const size_t first = (size_t)(slot_of(from) - slots);
    const size_t many = hak_min(SLOTS - first, (size_t)from->number * 4);
    for (size_t i = 0; i < many && live_bytes + size <= LIVE_MOST; i++) {
        if (slots[first + i].block != NULL) {
            continue;
        }
        errno = UNTOUCHED;
        void *block = malloc(size);
        if (block == NULL) {
            excuse("malloc", size);
            return;
        }
        note_plain(&slots[first + i], block, size);
    }
}

// Upwards or downwards, each or every second to eighth.
static void do_sweep(const record_t *from)
{
    const size_t first = (size_t)(slot_of(from) - slots);
    const size_t many = hak_min(SLOTS - first, (size_t)from->number * 4);
    const size_t step = from->kind % 4 == 0 ? 1 + from->kind / 4 % 8 : 1;
    for (size_t i = 0; i < many; i += step) {
        give(&slots[from->low % 2 ? first + many - 1 - i : first + i]);
    }
}

static void do_look(const record_t *from)
{
    const live_t *live = slot_of(from) + from->number % (SLOTS / 256);
    if (live->block != NULL) {
        expect_filled(live, live->block, live->usable);
        PROMISE(hak_usable_size(live->block) == live->usable, "the size of a block changed");
    }
}

static void do_trim(const record_t *from)
{
    (void)from;
    errno = UNTOUCHED;
    malloc_trim(0);
    PROMISE(errno == UNTOUCHED, "malloc_trim set errno %d", errno);
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
    expect_error(malloc(SIZE_MAX - from->low), ENOMEM); // where rounding up wraps around
    expect_error(calloc(1, too_much), ENOMEM);
    expect_error(calloc(SIZE_MAX / 2, 3 + from->number), ENOMEM);
    expect_error(aligned_alloc(64, too_much), ENOMEM);
    expect_error(aligned_alloc(3 << from->number % 16, 64), EINVAL);
    expect_error(hak_alloc_aligned(0, 64), EINVAL);
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

static void do_clock(const record_t *from)
{
    now_ms += (uint64_t)from->number * 10;
}

static void do_starve(const record_t *from)
{
    to_refuse = from->number % 16;
}

// --- threads --------------------------------------------------------------------------------------------------------

static struct {
    pthread_t thread;
    sem_t turn;
    bool runs, ends;
} threads[THREADS];

static unsigned whose;     // turn it is
static void (*task)(void); // what a thread does in its turn

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

static void perform_records(void)
{
    static void (*const operations[])(const record_t *) = {
#define OPERATION(name) do_##name,
#include "operations.def"
#undef OPERATION
    };
    for (const unsigned mine = whose; record < records_end && whose == mine;) {
        const record_t *now = record++;
        system_refused = false;
        operations[now->operation % (sizeof operations / sizeof *operations)](now);
    }
}

static void trim(void)
{
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

// Called by thread 0. The turn of a thread that does not run begins with its start, one that ends is waited for.
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

// --- inputs ---------------------------------------------------------------------------------------------------------

static size_t figure(const char *page, const char *name)
{
    const char *at = strstr(page, name);
    PROMISE(at != NULL, "the statistics have no %s", name);
    return strtoul(at + strlen(name), NULL, 10);
}

// All is free: whatever the threads still keep goes back. Twice, since the first round sends blocks to others.
static void expect_nothing_used(void)
{
    to_refuse = 0;
    task = trim;
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < THREADS; i++) {
            if (i == 0 || threads[i].runs) {
                give_turn(i);
            }
        }
    }
    static int ends[2];
    static char page[8192];
    PROMISE(ends[0] != 0 || pipe(ends) == 0, "pipe");
    hak_stats_print(ends[1], 1);
    const ssize_t length = read(ends[0], page, sizeof page - 1);
    page[length > 0 ? length : 0] = 0;
    PROMISE(figure(page, "\"used\": ") == 0, "slices are lost: %s", page);
    PROMISE(figure(page, "\"big_live\": ") == 0, "big blocks are lost: %s", page);
    PROMISE(in_use == 0 && live_bytes == 0, "the model lost a block");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    next_seed = 0;
    record = (const record_t *)data;
    records_end = record + size / sizeof(record_t);
    for (whose = 0; record < records_end;) {
        task = perform_records;
        give_turn(whose);
    }
    system_refused = false;
    for (size_t i = 0; i < SLOTS; i++) {
        give(&slots[i]);
    }
    expect_nothing_used();
    return 0;
}
