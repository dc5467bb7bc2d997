/* SPDX-License-Identifier: MIT */
/* site_table.h: what each place in the program asks for, and what can be said of it. A place is an address: of a text that
 * names it (HAK_CALLSITE of hakmem.h) or of the instruction behind a call (what the sampler saw). Compiled in by
 * HAK_CALL_SITES.
 *
 * 256 slots, open addressing, at most seven are looked at; what finds no slot is counted as `elsewhere`. Any thread, no
 * lock, no allocation, async-signal-safe: every word is an atomic of its own and relaxed, since each is a figure by itself. A
 * reader may see a count without its bytes. In a forked child the table is whole, because there is nothing but whole words.
 *
 * Time is counted in calls: the clock goes on by one with each call that is entered, by `weight` with a sample. */
#ifndef HAK_OBS_SITE_TABLE_H
#define HAK_OBS_SITE_TABLE_H

#include "base/types.h"

#define HAK_SITE_SLOT_BITS 8u
#define HAK_SITE_SLOTS     (1u << HAK_SITE_SLOT_BITS)
#define HAK_SITE_PROBES    7u    /* slots that are looked at, at most */
#define HAK_SITE_GATHER    9u    /* calls of a site before it is judged: the tenth is served by its policy */
#define HAK_SITE_TICK      1024u /* calls of all sites, after which all are judged anew; a power of two */

#define HAK_SITE_SMALL_MOST  ((size_t)64 << 10) /* bytes on average */
#define HAK_SITE_LARGE_LEAST ((size_t)1 << 20)

typedef enum hak_site_policy {
    HAK_SITE_GATHERING, /* fewer than nine calls */
    HAK_SITE_SMALL_FREQUENT,
    HAK_SITE_MEDIUM,
    HAK_SITE_LARGE_INFREQUENT,
    HAK_SITE_POLICIES
} hak_site_policy_t;

extern const char *const hak_site_policy_names[HAK_SITE_POLICIES] HAK_HIDDEN;

/* What is known of a site when it is judged. */
typedef struct hak_site_facts {
    uint64_t count, total, max; /* calls, bytes, bytes */
    uint64_t all;               /* calls of all sites so far */
    uint64_t recent;            /* of `count`, those since the last tick but one */
    uint64_t recent_all;        /* of `all`, the same */
} hak_site_facts_t;

/* One slot, as the statistics show it. */
typedef struct hak_site_view {
    uintptr_t site;
    uint64_t count, total, max; /* calls, bytes, bytes */
    uint64_t ended;             /* blocks whose end was seen, by hakmem_free_at */
    uint64_t lifetime;          /* of these on average, in calls */
    uint64_t kept;              /* calls that were served by a block that the site kept */
    hak_site_policy_t policy;
    bool sampled; /* seen by the sampler: figures are estimates */
} hak_site_view_t;

/* What the table says of itself. */
typedef struct hak_site_totals {
    uint64_t calls;     /* the clock */
    uint64_t ticks;     /* times that all sites were judged */
    uint64_t elsewhere; /* calls of sites that found no slot */
    uint64_t sites;
} hak_site_totals_t;

/* The inference itself. No state. */
hak_site_policy_t hak_site_judge(const hak_site_facts_t *facts);

/* The slot at which the search for a site begins. */
HAK_INLINE unsigned hak_site_home(const void *site)
{
    return (unsigned)((uint64_t)(uintptr_t)site * 0x9e3779b97f4a7c15ull >> (64 - HAK_SITE_SLOT_BITS));
}

/* The slot of a site, which gets one if there is room; HAK_SITE_SLOTS if there is none. */
unsigned hak_site_slot(const void *site);
hak_site_policy_t hak_site_policy(unsigned slot);
/* A call of the site was served by block p; HAK_SITE_SLOTS for `slot`: elsewhere. */
void hak_site_served(unsigned slot, const void *p, size_t size, bool from_kept);
/* A block is about to be freed: the slot that it came from, HAK_SITE_SLOTS if that is not known (any more). */
unsigned hak_site_ended(const void *p);
/* A call that the sampler saw; it stands for `weight` calls. */
void hak_site_sampled(const void *return_address, size_t size, size_t weight);
/* Judges all sites anew. Comes by itself each HAK_SITE_TICK calls. */
void hak_evo_tick(void);

/* False: the slot is empty. */
bool hak_site_view(unsigned slot, hak_site_view_t *out);
hak_site_totals_t hak_site_totals(void);

#endif
