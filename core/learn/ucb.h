/* SPDX-License-Identifier: MIT */
/* ucb.h: which of six thresholds, from 64 KiB to 2 MiB, serves best: UCB1 (Auer, Cesa-Bianchi, Fischer 2002) with a brake. Each
 * arm is worth the mean of its rewards plus what may be hidden by having tried it seldom; the one worth most is preferred. But the
 * threshold moves by one arm at a time, only when the preferred one has been worth 8 % more three times in a row, and not
 * again before a cooldown is over. Rewards and worth are double. One thread at a time. */
#ifndef HAK_LEARN_UCB_H
#define HAK_LEARN_UCB_H

#include "base/types.h"

#define HAK_UCB_ARMS     6u
#define HAK_UCB_FIRST_KB 64u /* arm 0; each next one is twice as large */
#define HAK_UCB_GAIN     1.08
#define HAK_UCB_STREAK   3u
#define HAK_UCB_UNTRIED  1e9 /* the worth of an arm that was never tried */

typedef struct hak_ucb {
    struct {
        double sum; /* of rewards, each 0 to 1 */
        uint32_t plays;
    } arm[HAK_UCB_ARMS];
    uint32_t plays;      /* of all arms */
    uint32_t now;        /* the arm in force */
    uint32_t streak;     /* times in a row that the preferred one was worth more */
    uint64_t changed_ms; /* when `now` changed */
} hak_ucb_t;

HAK_INLINE uint32_t hak_ucb_kb(uint32_t arm)
{
    return HAK_UCB_FIRST_KB << arm;
}

void hak_ucb_init(hak_ucb_t *ucb, uint32_t arm, uint64_t now_ms);
/* The arm in force earned this. */
void hak_ucb_reward(hak_ucb_t *ucb, double reward);
double hak_ucb_worth(const hak_ucb_t *ucb, uint32_t arm);
/* The arm that UCB1 would play next. */
uint32_t hak_ucb_preferred(const hak_ucb_t *ucb);
/* Once after each reward: moves by an arm if all conditions hold. True if it did. */
bool hak_ucb_step(hak_ucb_t *ucb, uint64_t now_ms, uint64_t cooldown_ms);
/* Learning is over: of the arms that were tried the one with the best mean is in force. */
void hak_ucb_settle(hak_ucb_t *ucb);

#endif
