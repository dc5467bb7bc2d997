/* SPDX-License-Identifier: MIT */
/* Whether plain accesses are ordered by the atomic ones, as the C standard has it: a store that releases and a load that
 * reads it and acquires order what is before the one and behind the other. Vector clocks, as in any race detector, but
 * here over every schedule. Of the threads that act; all is reset with each schedule, whose process it is. */
#include "explore.h"

#include <stdatomic.h>

enum {
    PLACES = 1 << 16, /* of plain accesses in one schedule */
    SLOTS = 2 * PLACES,
    WORDS = 1 << 12 /* atomic ones */
};

typedef struct clocks {
    uint32_t of[THREADS_MOST];
} clocks_t;

typedef struct place {
    uintptr_t address;
    clocks_t read, written; /* when each thread did so last; 0: never */
} place_t;

typedef struct word {
    uintptr_t address;
    clocks_t released;
} word_t;

static clocks_t now[THREADS_MOST];
static clocks_t fence_released[THREADS_MOST]; /* at the last fence that releases */
static clocks_t seen[THREADS_MOST];           /* by loads that do not acquire: a fence may */
/* Each schedule is a process of its own, which copies what it writes to page by page: places lie close together in the
 * order in which they are met, and a small table finds them. */
static place_t places[PLACES];
static uint16_t place_numbers[SLOTS]; /* by address; 0: none */
static word_t words[WORDS];
static unsigned places_used, words_used;

void race_reset(void)
{
    for (unsigned i = 0; i < THREADS_MOST; i++)
        now[i].of[i] = 1;
}

static void join(clocks_t *into, const clocks_t *from)
{
    for (unsigned i = 0; i < THREADS_MOST; i++)
        into->of[i] = into->of[i] > from->of[i] ? into->of[i] : from->of[i];
}

static size_t hash_of(uintptr_t address)
{
    return (size_t)((address >> 2) * 0x9e3779b97f4a7c15ull >> 40);
}

/* Neighbours have neighbouring slots, for the same reason. */
static place_t *place_at(uintptr_t address)
{
    size_t i = (hash_of(address >> 7) + (address >> 2)) % SLOTS;
    while (place_numbers[i] != 0 && places[place_numbers[i]].address != address)
        i = (i + 1) % SLOTS;
    if (place_numbers[i] == 0) {
        CHECK(++places_used < PLACES, "too many plain accesses in a schedule");
        place_numbers[i] = (uint16_t)places_used;
        places[places_used].address = address;
    }
    return &places[place_numbers[i]];
}

static word_t *word_at(uintptr_t address)
{
    size_t i = hash_of(address) % WORDS;
    while (words[i].address != address && words[i].address != 0)
        i = (i + 1) % WORDS;
    if (words[i].address == 0) {
        CHECK(++words_used < WORDS, "too many atomic words in a schedule");
        words[i].address = address;
    }
    return &words[i];
}

static void expect_before(const clocks_t *earlier, int thread, uintptr_t address, const char *what,
                          uintptr_t caller)
{
    for (int i = 0; i < THREADS_MOST; i++) {
        CHECK(
            i == thread || earlier->of[i] <= now[thread].of[i],
            "data race: thread %d %s %#lx, called from %#lx, and nothing orders it behind what thread %d did there",
            thread, what, (unsigned long)address, (unsigned long)caller, i);
    }
}

void race_access(uintptr_t address, size_t size, bool writes, uintptr_t caller)
{
    const int thread = acting();
    if (thread < 0)
        return;
    for (uintptr_t at = address & ~(uintptr_t)3; at < address + size; at += 4) {
        place_t *place = place_at(at);
        expect_before(&place->written, thread, at, writes ? "writes" : "reads", caller);
        if (writes)
            expect_before(&place->read, thread, at, "writes", caller);
        (writes ? &place->written : &place->read)->of[thread] = now[thread].of[thread];
    }
}

static bool acquires(int order)
{
    return order == memory_order_acquire || order == memory_order_acq_rel || order == memory_order_seq_cst;
}

static bool releases(int order)
{
    return order == memory_order_release || order == memory_order_acq_rel || order == memory_order_seq_cst;
}

void race_read(uintptr_t address, int order)
{
    const int thread = acting();
    if (thread < 0)
        return;
    const word_t *word = word_at(address);
    join(acquires(order) ? &now[thread] : &seen[thread], &word->released);
}

/* `replaces`: by an operation that also reads: what was released there before stays so. */
void race_write(uintptr_t address, int order, bool replaces)
{
    const int thread = acting();
    if (thread < 0)
        return;
    word_t *word = word_at(address);
    const clocks_t *mine = releases(order) ? &now[thread] : &fence_released[thread];
    if (replaces)
        join(&word->released, mine);
    else
        word->released = *mine;
    now[thread].of[thread]++;
}

void race_fence(int order)
{
    const int thread = acting();
    if (thread < 0)
        return;
    if (acquires(order))
        join(&now[thread], &seen[thread]);
    if (releases(order)) {
        fence_released[thread] = now[thread];
        now[thread].of[thread]++;
    }
}
