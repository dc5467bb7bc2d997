/* SPDX-License-Identifier: MIT */
/* cycle.c: see cycle.h. No state but the table. */
#include "learn/cycle.h"

static const uint8_t transitions[HAK_CYCLE_STATES][HAK_CYCLE_EVENTS] = {
    /*                       STABLE             DUE                CALM              DRIFT */
    [HAK_CYCLE_LEARN] = {HAK_CYCLE_FROZEN, HAK_CYCLE_LEARN, HAK_CYCLE_LEARN, HAK_CYCLE_LEARN},
    [HAK_CYCLE_FROZEN] = {HAK_CYCLE_FROZEN, HAK_CYCLE_CANARY, HAK_CYCLE_FROZEN, HAK_CYCLE_FROZEN},
    [HAK_CYCLE_CANARY] = {HAK_CYCLE_CANARY, HAK_CYCLE_CANARY, HAK_CYCLE_FROZEN, HAK_CYCLE_LEARN},
};

hak_cycle_state_t hak_cycle_next(hak_cycle_state_t state, hak_cycle_event_t event)
{
    return (hak_cycle_state_t)transitions[state][event];
}
