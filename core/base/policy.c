/* SPDX-License-Identifier: MIT */
/* policy.c: see policy.h. Any thread. */
#include "base/policy.h"

#include "base/classes.h"
#include "base/options.h"

#include <string.h>

enum {
    SCOPE_build,
    SCOPE_start,
    SCOPE_run
};

#define CAN_START(scope) ((scope) == SCOPE_run || (HAK_LEARNER && (scope) == SCOPE_start))

const hak_policy_row_t hak_policy_rows[HAK_POLICIES] = {
#define POLICY(field, unit, low, high, value, axis, scope, needs, sentence)                                  \
    {#field, unit, sentence, low, high, SCOPE_##scope == SCOPE_run, CAN_START(SCOPE_##scope)},
#include "base/policy.def"
#undef POLICY
};

const char *const hak_origin_names[] = {"default", "mode", "file", "environment", "program", "learner"};

/* release in hak_policy_publish_from, pairs with acquire in hak_policy: the values. */
_Atomic(const hak_policy_t *) hak_policy_in_force = &hak_policy_default;

static hak_policy_t snapshots[HAK_SNAPSHOTS];
static _Atomic uint32_t published; /* so far; relaxed: a number for each, no more */
/* relaxed: a figure for the statistics. */
static _Atomic uint8_t policy_origins[HAK_POLICIES]; /* hak_origin_t */

size_t hak_policy_find(const char *name, size_t length)
{
    size_t row = 0;
    while (row < HAK_POLICIES && (strlen(hak_policy_rows[row].name) != length ||
                                  strncmp(hak_policy_rows[row].name, name, length) != 0))
        row++;
    return row;
}

/* The next place for a snapshot, with what is in force. */
static hak_policy_t *next_place(void)
{
    uint32_t before = atomic_fetch_add_explicit(&published, 1, memory_order_relaxed);
    hak_policy_t *place = &snapshots[before % HAK_SNAPSHOTS];
    *place = *hak_policy();
    place->version = before + 1;
    return place;
}

/* Takes a value over, if the row allows it; false if that is no change. */
static bool take_value(hak_policy_t *into, size_t row, uint32_t value, bool begins)
{
    const hak_policy_row_t *of = &hak_policy_rows[row];
    if (!(begins ? of->start : of->run) || value < of->low || value > of->high ||
        value == *hak_policy_value(into, row))
        return false;
    *hak_policy_value(into, row) = value;
    return true;
}

static void put_in_force(const hak_policy_t *next, hak_origin_t origin, bool begins)
{
    hak_policy_t wanted = *next;
    hak_policy_t *place = next_place();
    for (size_t row = 0; row < HAK_POLICIES; row++)
        if (take_value(place, row, *hak_policy_value(&wanted, row), begins))
            atomic_store_explicit(&policy_origins[row], (uint8_t)origin, memory_order_relaxed);
    place->pool_floor_mb = place->purge_delay_ms != 0 ? place->retain_mb : 0;
    place->huge_floor_mb =
        place->purge_delay_ms != 0 && !hak_options()->disable_bigcache ? place->bigcache_mb : 0;
    /* release: pairs with the acquire in hak_policy */
    atomic_store_explicit(&hak_policy_in_force, place, memory_order_release);
}

void hak_policy_publish_from(const hak_policy_t *next, hak_origin_t origin)
{
    if (HAK_OPTIONS)
        put_in_force(next, origin, false);
}

#if HAK_LEARNER
#define MORE(size) ((size) != 0 ? (size_t)(size) : HAK_CLASS_MAX)
size_t hak_classes_more[2] = {MORE(HAK_BUILT_mid_dyn1), MORE(HAK_BUILT_mid_dyn2)};
#endif

static void set_sizes(const hak_policy_t *policy)
{
#if HAK_LEARNER
    hak_classes_more[0] = MORE(policy->mid_dyn1);
    hak_classes_more[1] = MORE(policy->mid_dyn2);
#else
    (void)policy;
#endif
}

bool hak_policy_has_good_sizes(const hak_policy_t *policy)
{
    return hak_is_more(policy->mid_dyn1) && hak_is_more(policy->mid_dyn2) &&
           (policy->mid_dyn1 == 0 || policy->mid_dyn1 != policy->mid_dyn2);
}

void hak_policy_start(const hak_policy_t *first, const hak_origin_t *from)
{
    if (HAK_OPTIONS) {
        put_in_force(first, HAK_FROM_DEFAULT, true);
        set_sizes(hak_policy());
    }
    for (size_t row = 0; row < HAK_POLICIES; row++)
        atomic_store_explicit(&policy_origins[row], (uint8_t)from[row], memory_order_relaxed);
}

void hak_policy_publish(const hak_policy_t *next)
{
    hak_policy_publish_from(next, HAK_FROM_LEARNER);
}

hak_origin_t hak_policy_origin(size_t row)
{
    return (hak_origin_t)atomic_load_explicit(&policy_origins[row], memory_order_relaxed);
}
