/* SPDX-License-Identifier: MIT */
/* site_table.c: see site_table.h. All atomics are relaxed: no word says anything of another one, and a slot is whole from the
 * start, because all zero is a site that was not called. */
#include "obs/site_table.h"

#define SMALL_RARE 256u  /* a small site is not frequent if it makes less than one of so many calls */
#define BIRTHS     1024u /* blocks whose age is known; a power of two */
#define OLD        4096u /* calls, after which a birth is forgotten; less than half of AGES */
#define AGES       (1u << 13)
#define AGE_BITS   13u

const char *const hak_site_policy_names[HAK_SITE_POLICIES] = {"GATHERING", "SMALL_FREQUENT", "MEDIUM",
                                                              "LARGE_INFREQUENT"};

/* Most calls come from places with small blocks, and large blocks are not asked for all the time. What has the size of one and the
 * habit of the other has no policy of its own. A habit is known after a tick; a small site that has just stopped calling is not
 * a rare one: so its calls are few now, and were few all along. */
hak_site_policy_t hak_site_judge(const hak_site_facts_t *facts)
{
    if (facts->count < HAK_SITE_GATHER)
        return HAK_SITE_GATHERING;
    uint64_t average = facts->total / facts->count;
    bool known = facts->recent_all >= HAK_SITE_TICK;
    bool rare =
        known && facts->recent * SMALL_RARE < facts->recent_all && facts->count * SMALL_RARE < facts->all;
    bool frequent = known && facts->recent * 2 > facts->recent_all;
    if (average <= HAK_SITE_SMALL_MOST && facts->max < HAK_SITE_LARGE_LEAST && !rare)
        return HAK_SITE_SMALL_FREQUENT;
    return average >= HAK_SITE_LARGE_LEAST && !frequent ? HAK_SITE_LARGE_INFREQUENT : HAK_SITE_MEDIUM;
}

#if HAK_CALL_SITES

/* On a cache line of its own, so that threads that call from different places do not wait for each other. */
typedef struct slot {
    alignas(HAK_CACHE_LINE) _Atomic uintptr_t site; /* 0: empty; never changes after that; relaxed */
    _Atomic uint64_t count, total, max;             /* relaxed, as all that follow */
    _Atomic uint64_t ended, lifetime; /* blocks whose end was seen, and their ages together; relaxed */
    _Atomic uint32_t kept;            /* relaxed */
    _Atomic uint32_t marks[2];        /* low bits of `count` at the last two ticks; relaxed */
    _Atomic uint8_t policy;           /* relaxed */
    _Atomic bool sampled;             /* relaxed */
} slot_t;

static_assert(sizeof(slot_t) == HAK_CACHE_LINE, "a slot is a cache line");
static_assert(AGES == 1u << AGE_BITS && 2 * OLD <= AGES, "what a birth's word holds");

static slot_t slots[HAK_SITE_SLOTS];
/* Where live blocks came from, by a hash of their address: address / 16, slot, the clock's low bits. A word that another block
 * needs is written over; a block that free took may leave its word behind, until another one has its address or it is OLD.
 * relaxed. */
static _Atomic uint64_t births[BIRTHS];
static _Atomic uint64_t clock_now, ticks_done, calls_elsewhere; /* relaxed: counts */
static _Atomic uint64_t clock_marks[2];                         /* clock_now at the last two ticks; relaxed */

static uint64_t figure(const _Atomic uint64_t *word)
{
    return atomic_load_explicit(word, memory_order_relaxed);
}

static uint64_t count_up(_Atomic uint64_t *word, uint64_t value)
{
    return atomic_fetch_add_explicit(word, value, memory_order_relaxed) + value;
}

/* --- slots -------------------------------------------------------------------------------------------------------- */

/* Whether the slot is the site's, or becomes it. */
static HAK_NOINLINE bool claim_slot(slot_t *slot, uintptr_t site)
{
    uintptr_t found = 0;
    return atomic_compare_exchange_strong_explicit(&slot->site, &found, site, memory_order_relaxed,
                                                   memory_order_relaxed) ||
           found == site;
}

unsigned hak_site_slot(const void *site)
{
    uintptr_t wanted = (uintptr_t)site;
    if (hak_unlikely(wanted == 0))
        return HAK_SITE_SLOTS;
    for (unsigned probe = 0; probe < HAK_SITE_PROBES; probe++) {
        unsigned at = (hak_site_home(site) + probe) & (HAK_SITE_SLOTS - 1);
        uintptr_t found = atomic_load_explicit(&slots[at].site, memory_order_relaxed);
        if (hak_likely(found == wanted) || (found == 0 && claim_slot(&slots[at], wanted)))
            return at;
    }
    return HAK_SITE_SLOTS;
}

hak_site_policy_t hak_site_policy(unsigned slot)
{
    return slot == HAK_SITE_SLOTS
               ? HAK_SITE_GATHERING
               : (hak_site_policy_t)atomic_load_explicit(&slots[slot].policy, memory_order_relaxed);
}

/* --- judgement ---------------------------------------------------------------------------------------------------- */

static void judge_slot(slot_t *slot, uint64_t now)
{
    uint64_t count = figure(&slot->count);
    uint32_t mark = atomic_load_explicit(&slot->marks[1], memory_order_relaxed);
    hak_site_facts_t facts = {.count = count,
                              .total = figure(&slot->total),
                              .max = figure(&slot->max),
                              .all = now,
                              .recent = (uint32_t)count - mark,
                              .recent_all = now - figure(&clock_marks[1])};
    if (facts.recent == 0) /* it is what it was when it was called last */
        return;
    atomic_store_explicit(&slot->policy, (uint8_t)hak_site_judge(&facts), memory_order_relaxed);
}

/* Ages are kept in so few bits that what is old would look young again. */
static void forget_old_births(uint64_t now)
{
    for (unsigned i = 0; i < BIRTHS; i++) {
        uint64_t word = figure(&births[i]);
        if (word != 0 && ((now - word) & (AGES - 1)) > OLD)
            atomic_compare_exchange_strong_explicit(&births[i], &word, 0, memory_order_relaxed,
                                                    memory_order_relaxed);
    }
}

/* Two threads may be here at once, when one is held up: both write what is true. */
void hak_evo_tick(void)
{
    uint64_t now = figure(&clock_now);
    for (unsigned i = 0; i < HAK_SITE_SLOTS; i++) {
        slot_t *slot = &slots[i];
        if (atomic_load_explicit(&slot->site, memory_order_relaxed) == 0)
            continue;
        judge_slot(slot, now);
        uint32_t last = atomic_load_explicit(&slot->marks[0], memory_order_relaxed);
        atomic_store_explicit(&slot->marks[1], last, memory_order_relaxed);
        atomic_store_explicit(&slot->marks[0], (uint32_t)figure(&slot->count), memory_order_relaxed);
    }
    atomic_store_explicit(&clock_marks[1], figure(&clock_marks[0]), memory_order_relaxed);
    atomic_store_explicit(&clock_marks[0], now, memory_order_relaxed);
    forget_old_births(now);
    count_up(&ticks_done, 1);
}

/* Counts calls; the clock afterwards. */
static uint64_t pass_time(uint64_t calls)
{
    uint64_t now = count_up(&clock_now, calls);
    if (hak_unlikely(now / HAK_SITE_TICK != (now - calls) / HAK_SITE_TICK))
        hak_evo_tick();
    return now;
}

static uint64_t count_call(slot_t *slot, size_t size, uint64_t calls)
{
    uint64_t count = count_up(&slot->count, calls);
    count_up(&slot->total, size * calls);
    uint64_t max = figure(&slot->max);
    while (hak_unlikely(size > max) &&
           !atomic_compare_exchange_weak_explicit(&slot->max, &max, size, memory_order_relaxed,
                                                  memory_order_relaxed))
        ;
    uint64_t now = pass_time(calls);
    if (hak_unlikely(count >= HAK_SITE_GATHER && count - calls < HAK_SITE_GATHER))
        judge_slot(slot, now);
    return now;
}

/* --- births and ends ---------------------------------------------------------------------------------------------- */

static _Atomic uint64_t *birth_of(const void *p)
{
    return &births[((uint64_t)(uintptr_t)p * 0x9e3779b97f4a7c15ull) >> 54];
}

static uint64_t birth_word(const void *p, unsigned slot, uint64_t now)
{
    return ((uint64_t)(uintptr_t)p >> 4) << (HAK_SITE_SLOT_BITS + AGE_BITS) | (uint64_t)slot << AGE_BITS |
           (now & (AGES - 1));
}

void hak_site_served(unsigned slot, const void *p, size_t size, bool from_kept)
{
    if (hak_unlikely(slot == HAK_SITE_SLOTS)) {
        count_up(&calls_elsewhere, 1);
        pass_time(1);
        return;
    }
    uint64_t now = count_call(&slots[slot], size, 1);
    if (from_kept)
        atomic_fetch_add_explicit(&slots[slot].kept, 1, memory_order_relaxed);
    atomic_store_explicit(birth_of(p), birth_word(p, slot, now), memory_order_relaxed);
}

unsigned hak_site_ended(const void *p)
{
    _Atomic uint64_t *birth = birth_of(p);
    uint64_t word = figure(birth);
    if (word == 0 || word >> (HAK_SITE_SLOT_BITS + AGE_BITS) != (uint64_t)(uintptr_t)p >> 4)
        return HAK_SITE_SLOTS;
    /* Another block's birth may be lost; its end is not seen then. */
    atomic_store_explicit(birth, 0, memory_order_relaxed);
    unsigned at = (unsigned)(word >> AGE_BITS) & (HAK_SITE_SLOTS - 1);
    count_up(&slots[at].ended, 1);
    count_up(&slots[at].lifetime, (figure(&clock_now) - word) & (AGES - 1));
    return at;
}

void hak_site_sampled(const void *return_address, size_t size, size_t weight)
{
    unsigned at = hak_site_slot(return_address);
    if (at == HAK_SITE_SLOTS) {
        count_up(&calls_elsewhere, weight);
        pass_time(weight);
        return;
    }
    atomic_store_explicit(&slots[at].sampled, true, memory_order_relaxed);
    count_call(&slots[at], size, weight);
}

/* --- for readers -------------------------------------------------------------------------------------------------- */

bool hak_site_view(unsigned at, hak_site_view_t *out)
{
    const slot_t *slot = &slots[at];
    uint64_t ended = figure(&slot->ended);
    *out = (hak_site_view_t){.site = atomic_load_explicit(&slot->site, memory_order_relaxed),
                             .count = figure(&slot->count),
                             .total = figure(&slot->total),
                             .max = figure(&slot->max),
                             .ended = ended,
                             .lifetime = ended != 0 ? figure(&slot->lifetime) / ended : 0,
                             .kept = atomic_load_explicit(&slot->kept, memory_order_relaxed),
                             .policy = hak_site_policy(at),
                             .sampled = atomic_load_explicit(&slot->sampled, memory_order_relaxed)};
    return out->site != 0;
}

hak_site_totals_t hak_site_totals(void)
{
    hak_site_totals_t totals = {
        .calls = figure(&clock_now), .ticks = figure(&ticks_done), .elsewhere = figure(&calls_elsewhere)};
    for (unsigned at = 0; at < HAK_SITE_SLOTS; at++)
        totals.sites += atomic_load_explicit(&slots[at].site, memory_order_relaxed) != 0;
    return totals;
}

#endif
