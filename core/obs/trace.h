/* SPDX-License-Identifier: MIT */
/* trace.h: a ring of the last slow-path events, for the moment after something went wrong. Compiled in by HAK_TRACE.
 * Any thread; each event takes its own slot by one relaxed addition, and an event that is overtaken while it is
 * written shows up garbled, which a reader of a crash dump can live with. */
#ifndef HAK_OBS_TRACE_H
#define HAK_OBS_TRACE_H

#include "base/options.h"

#define HAK_TRACE_EVENTS 256u /* a power of two */

/* Records that `event` (a string constant) happened to `address`, with a number of its own. */
void hak_trace_add(const char *event, const void *address, uint64_t number);
/* Writes the ring, oldest event first, one line each. Async-signal-safe. */
void hak_trace_write(int fd);

HAK_INLINE void hak_trace(const char *event, const void *address, uint64_t number)
{
    if (HAK_TRACE && hak_options()->mem_trace)
        hak_trace_add(event, address, number);
}

/* The same for what happens thousands of times a second: only if all of it is asked for. */
HAK_INLINE void hak_trace_frequent(const char *event, const void *address, uint64_t number)
{
    if (HAK_TRACE && hak_options()->mem_trace > 1)
        hak_trace_add(event, address, number);
}

/* Records that the policy in force has just been published. */
HAK_INLINE void hak_trace_policy(void)
{
    hak_trace("policy published", hak_policy(), hak_policy()->version);
}

#endif
