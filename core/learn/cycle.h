/* SPDX-License-Identifier: MIT */
/* cycle.h: the life of what is learned. LEARN changes the policy; when nothing has wanted to change for a while, it is FROZEN:
 * nothing is measured, nothing changes. Now and then one window is a CANARY: it is measured, under a strategy that is on trial.
 * What it finds leads back to LEARN, or to FROZEN. */
#ifndef HAK_LEARN_CYCLE_H
#define HAK_LEARN_CYCLE_H

#include "base/types.h"

typedef enum hak_cycle_state {
    HAK_CYCLE_LEARN,
    HAK_CYCLE_FROZEN,
    HAK_CYCLE_CANARY,
    HAK_CYCLE_STATES
} hak_cycle_state_t;

typedef enum hak_cycle_event {
    HAK_CYCLE_STABLE, /* for HAKMEM_FREEZE_SEC nothing wanted to change */
    HAK_CYCLE_DUE,    /* it is time for a look (HAKMEM_CANARY_FRAC) */
    HAK_CYCLE_CALM,   /* the look found what was there when it froze */
    HAK_CYCLE_DRIFT,  /* it found other sizes, or that the strategy on trial is better */
    HAK_CYCLE_EVENTS
} hak_cycle_event_t;

/* What a state becomes by an event; itself where the event means nothing to it. */
hak_cycle_state_t hak_cycle_next(hak_cycle_state_t state, hak_cycle_event_t event);

#endif
