/* SPDX-License-Identifier: MIT */
/* ace.h: how much a thread may keep of one kind of blocks, by two loops. The fast one, each window: are too few requests met by
 * what threads keep, the cap rises by a step, and so does the bundle, the memory that a refill brings. The slow one, each
 * eighth window: was the goal met all the time, both come down by a step. What the budget allows is never exceeded; over it the
 * bundle is 1. Whole numbers. One thread at a time. */
#ifndef HAK_LEARN_ACE_H
#define HAK_LEARN_ACE_H

#include "base/types.h"

#define HAK_ACE_BUNDLE  4u    /* pages that a refill brings, at most */
#define HAK_ACE_ALL     1000u /* all requests, of a hit rate */
#define HAK_ACE_WINDOWS 8u    /* of the fast loop in one of the slow one */

typedef struct hak_ace_goal {
    uint32_t hit;       /* of HAK_ACE_ALL requests, to be met */
    uint32_t step_kb;   /* of the cap */
    uint32_t rest_kb;   /* the cap at first: only a budget brings it below that */
    uint32_t most_kb;   /* the cap at most */
    uint32_t budget_kb; /* of all threads; 0: no limit */
} hak_ace_goal_t;

typedef struct hak_ace {
    uint32_t cap_kb; /* of one thread */
    uint32_t bundle; /* 1 to HAK_ACE_BUNDLE */
    uint32_t hit;    /* in the last window that had requests */
    bool short_of;   /* the goal was missed since the slow loop came by */
} hak_ace_t;

void hak_ace_init(hak_ace_t *ace, const hak_ace_goal_t *goal);
/* After a window in which `missed` of so many requests were not met. True if the cap or the bundle changed. */
bool hak_ace_fast(hak_ace_t *ace, const hak_ace_goal_t *goal, uint64_t requests, uint64_t missed,
                  uint32_t threads);
/* After HAK_ACE_WINDOWS windows. True if the cap or the bundle changed. */
bool hak_ace_slow(hak_ace_t *ace, const hak_ace_goal_t *goal);

#endif
