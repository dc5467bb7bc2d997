/* SPDX-License-Identifier: MIT */
/* thp.h: whether a new chunk is to be backed by a huge page: 512 faults less. A small heap would pay for it with memory that it
 * never touches; so would a program with large buffers of which it touches little. And memory that a hypervisor has yet to back, or
 * that the kernel has to make room for, costs less in small pages, which are often warm. Arithmetic only: the time comes in, and
 * the caller holds the lock of what it is about. */
#ifndef HAK_MEM_THP_H
#define HAK_MEM_THP_H

#include "base/policy.h"

#define HAK_THP_SLOW_NS    700000u /* of the first touch of a huge page; 512 small ones take some 770000 */
#define HAK_THP_PAUSE_MOST 64u     /* chunks */

/* All zero is the start. */
typedef struct hak_thp {
    uint32_t wait;  /* chunks that get no huge page before the next one may */
    uint32_t pause; /* how many that were when it began */
} hak_thp_t;

/* By the policy, for a chunk that is added for a run of so many bytes, a single block or a slab, while so many are in use. */
HAK_INLINE bool hak_thp_is_wanted(size_t run, bool single, uint64_t used)
{
    const hak_policy_t *policy = hak_policy();
    if (policy->thp != HAK_THP_AUTO)
        return policy->thp == HAK_THP_ON;
    return !HAK_HARDEN && (single ? 2 * run : run) <= (size_t)policy->thp_run_kb << 10 &&
           policy->thp_from_kb != 0 && used >= (uint64_t)policy->thp_from_kb << 10;
}

/* The same, unless the last one was slow. Every second, fourth, ... chunk finds out whether that is over. */
HAK_INLINE bool hak_thp_is_due(hak_thp_t *thp, size_t run, bool single, uint64_t used)
{
    if (!hak_thp_is_wanted(run, single, used))
        return false;
    if (thp->wait == 0 || hak_policy()->thp == HAK_THP_ON)
        return true;
    thp->wait--;
    return false;
}

/* The first touch of a huge page took so long. */
HAK_INLINE void hak_thp_touched(hak_thp_t *thp, uint64_t ns)
{
    thp->pause = ns < HAK_THP_SLOW_NS ? 0 : (uint32_t)hak_min(hak_max(2 * thp->pause, 1), HAK_THP_PAUSE_MOST);
    thp->wait = thp->pause;
}

#endif
