/* SPDX-License-Identifier: MIT */
/* policy.h: what can be tuned (policy.def), and the snapshot of it that is in force.
 *
 * A snapshot never changes. Whoever has a new one publishes it: the values are copied into the next of HAK_SNAPSHOTS places, and
 * one store makes that the one in force. A reader takes it by one acquire load, on slow paths only. It may go on reading an old
 * one: that is written over after HAK_SNAPSHOTS - 1 further ones at the earliest. A reader that slept for so long finds values
 * of two snapshots side by side, which harms nothing: each stands for itself and is within its range. So nobody waits, and no
 * memory is taken however often somebody publishes.
 *
 * Without HAK_OPTIONS the policy is a constant and every use of it folds. */
#ifndef HAK_BASE_POLICY_H
#define HAK_BASE_POLICY_H

#include "base/types.h"

#define HAK_SNAPSHOTS 64u

typedef struct hak_policy {
#define POLICY(field, unit, low, high, value, axis, scope, needs, sentence) uint32_t field;
#include "base/policy.def"
#undef POLICY
    /* What follows from these; whoever publishes need not set it. */
    uint32_t pool_floor_mb; /* MiB; more than that of the pool goes back at once when it is free */
    uint32_t huge_floor_mb; /* MiB; the same of what huge blocks have left */
    uint32_t version;       /* another one for each that is published; wraps after 2^32 */
} hak_policy_t;

/* The rows by number: the values are the first members of the struct. */
enum {
#define POLICY(field, unit, low, high, value, axis, scope, needs, sentence) HAK_POLICY_##field,
#include "base/policy.def"
#undef POLICY
    HAK_POLICIES
};

static_assert(offsetof(hak_policy_t, pool_floor_mb) == HAK_POLICIES * sizeof(uint32_t),
              "a value is found by the number of its row");

enum {
    HAK_THP_OFF,
    HAK_THP_AUTO,
    HAK_THP_ON
};

static const hak_policy_t hak_policy_default = {
#define POLICY(field, unit, low, high, value, axis, scope, needs, sentence) .field = (value),
#include "base/policy.def"
#undef POLICY
    .pool_floor_mb = HAK_BUILT_purge_delay_ms != 0 ? HAK_BUILT_retain_mb : 0,
    .huge_floor_mb = HAK_BUILT_purge_delay_ms != 0 ? HAK_BUILT_bigcache_mb : 0,
};

/* release in hak_policy_publish_from, pairs with acquire in hak_policy. */
extern _Atomic(const hak_policy_t *) hak_policy_in_force HAK_HIDDEN;

/* acquire: pairs with the release of whoever published it; the values are visible */
HAK_INLINE const hak_policy_t *hak_policy(void)
{
    return HAK_OPTIONS ? atomic_load_explicit(&hak_policy_in_force, memory_order_acquire)
                       : &hak_policy_default;
}

/* How a value got what it is; printed beside it. */
typedef enum hak_origin {
    HAK_FROM_DEFAULT,
    HAK_FROM_MODE,
    HAK_FROM_FILE,
    HAK_FROM_ENVIRONMENT,
    HAK_FROM_PROGRAM, /* mallopt */
    HAK_FROM_LEARNER
} hak_origin_t;

extern const char *const hak_origin_names[] HAK_HIDDEN;

/* One row of the table. */
typedef struct hak_policy_row {
    const char *name;
    const char *unit;
    const char *sentence;
    uint32_t low, high;
    bool run;   /* may change while the program runs */
    bool start; /* may be set before the first block */
} hak_policy_row_t;

extern const hak_policy_row_t hak_policy_rows[HAK_POLICIES] HAK_HIDDEN;

/* The value of a row. */
HAK_INLINE uint32_t *hak_policy_value(hak_policy_t *policy, size_t row)
{
    return (uint32_t *)(void *)policy + row;
}

/* The policy that the process begins with, and where each value is from. Single thread, before the first block. */
void hak_policy_start(const hak_policy_t *first, const hak_origin_t *from);
/* Whether both further sizes of blocks can be, which a build's are: the compiler has looked. */
bool hak_policy_has_good_sizes(const hak_policy_t *policy);
/* The number of the row with this name, which is not terminated; HAK_POLICIES if there is none. */
size_t hak_policy_find(const char *name, size_t length);
/* Puts a learner's policy in force; *next is copied. Values out of their range, and those of scopes build and start, stay as they
 * are. Any thread, at any time; without HAK_OPTIONS it changes nothing. */
void hak_policy_publish(const hak_policy_t *next);
/* The same for whoever else changes something: the rows that change get this origin. */
void hak_policy_publish_from(const hak_policy_t *next, hak_origin_t origin);
/* Where the value of a row comes from. */
hak_origin_t hak_policy_origin(size_t row);

#endif
