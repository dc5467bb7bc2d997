/* SPDX-License-Identifier: MIT */
/* ace.c: see ace.h. No state. */
#include "learn/ace.h"

void hak_ace_init(hak_ace_t *ace, const hak_ace_goal_t *goal)
{
    *ace = (hak_ace_t){.cap_kb = goal->rest_kb, .bundle = 1, .hit = HAK_ACE_ALL};
}

/* What one of so many threads may have. */
static uint32_t share_of_budget(const hak_ace_goal_t *goal, uint32_t threads)
{
    return goal->budget_kb == 0 ? UINT32_MAX : goal->budget_kb / (threads != 0 ? threads : 1);
}

static bool set_both(hak_ace_t *ace, uint32_t cap_kb, uint32_t bundle)
{
    bool changed = cap_kb != ace->cap_kb || bundle != ace->bundle;
    ace->cap_kb = cap_kb;
    ace->bundle = bundle;
    return changed;
}

bool hak_ace_fast(hak_ace_t *ace, const hak_ace_goal_t *goal, uint64_t requests, uint64_t missed,
                  uint32_t threads)
{
    uint32_t share = share_of_budget(goal, threads);
    if (ace->cap_kb > share)
        return set_both(ace, share, 1);
    if (requests == 0)
        return false;
    ace->hit = (uint32_t)(HAK_ACE_ALL - hak_min(missed, requests) * HAK_ACE_ALL / requests);
    if (ace->hit >= goal->hit)
        return false;
    ace->short_of = true;
    size_t most = hak_min(goal->most_kb, share);
    size_t cap_kb = hak_min((size_t)ace->cap_kb + goal->step_kb, hak_max(most, ace->cap_kb));
    return set_both(ace, (uint32_t)cap_kb, (uint32_t)hak_min(ace->bundle + 1, HAK_ACE_BUNDLE));
}

bool hak_ace_slow(hak_ace_t *ace, const hak_ace_goal_t *goal)
{
    bool met = !ace->short_of;
    ace->short_of = false;
    if (!met)
        return false;
    uint32_t above = ace->cap_kb > goal->rest_kb ? ace->cap_kb - goal->rest_kb : 0;
    uint32_t lower = (uint32_t)hak_min(above, goal->step_kb);
    return set_both(ace, ace->cap_kb - lower, ace->bundle > 1 ? ace->bundle - 1 : 1);
}
