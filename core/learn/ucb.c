/* SPDX-License-Identifier: MIT */
/* ucb.c: see ucb.h. No state. */
#include "learn/ucb.h"

#include "learn/real.h"

void hak_ucb_init(hak_ucb_t *ucb, uint32_t arm, uint64_t now_ms)
{
    *ucb = (hak_ucb_t){.now = arm, .changed_ms = now_ms};
}

void hak_ucb_reward(hak_ucb_t *ucb, double reward)
{
    ucb->arm[ucb->now].sum += reward < 0 ? 0 : reward > 1 ? 1 : reward;
    ucb->arm[ucb->now].plays++;
    ucb->plays++;
}

double hak_ucb_worth(const hak_ucb_t *ucb, uint32_t arm)
{
    uint32_t plays = ucb->arm[arm].plays;
    if (plays == 0)
        return HAK_UCB_UNTRIED;
    return ucb->arm[arm].sum / plays + hak_real_sqrt(2 * hak_real_ln(ucb->plays) / plays);
}

uint32_t hak_ucb_preferred(const hak_ucb_t *ucb)
{
    uint32_t best = ucb->now;
    for (uint32_t arm = 0; arm < HAK_UCB_ARMS; arm++)
        if (hak_ucb_worth(ucb, arm) > hak_ucb_worth(ucb, best))
            best = arm;
    return best;
}

bool hak_ucb_step(hak_ucb_t *ucb, uint64_t now_ms, uint64_t cooldown_ms)
{
    uint32_t wanted = hak_ucb_preferred(ucb);
    double worth = hak_ucb_worth(ucb, ucb->now);
    /* The way may lead over arms that are worth less: what counts is the one that is preferred. */
    bool better = wanted != ucb->now && hak_ucb_worth(ucb, wanted) > HAK_UCB_GAIN * worth;
    ucb->streak = better ? ucb->streak + 1 : 0;
    if (ucb->streak < HAK_UCB_STREAK || now_ms - ucb->changed_ms < cooldown_ms)
        return false;
    ucb->now += wanted > ucb->now ? 1 : (uint32_t)-1;
    ucb->streak = 0;
    ucb->changed_ms = now_ms;
    return true;
}

static double mean_of(const hak_ucb_t *ucb, uint32_t arm)
{
    return ucb->arm[arm].plays != 0 ? ucb->arm[arm].sum / ucb->arm[arm].plays : 0;
}

void hak_ucb_settle(hak_ucb_t *ucb)
{
    for (uint32_t arm = 0; arm < HAK_UCB_ARMS; arm++)
        if (mean_of(ucb, arm) > mean_of(ucb, ucb->now))
            ucb->now = arm;
    ucb->streak = 0;
}
