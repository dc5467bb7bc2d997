/* SPDX-License-Identifier: MIT */
/* scarce.c: see scarce.h. */
#include "mem/scarce.h"

#include "mem/tick.h"

#define LASTS_MS 2000u /* from the first look at the clock after the last refusal */

_Atomic bool hak_scarce; /* relaxed: as since_ms */
/* 0: to be set by the next look at the clock. relaxed: a hint, which may come late. */
static _Atomic uint32_t since_ms;

void hak_scarce_begin(void)
{
    atomic_store_explicit(&since_ms, 0, memory_order_relaxed);
    atomic_store_explicit(&hak_scarce, true, memory_order_relaxed);
}

void hak_scarce_tick(uint32_t now_ms)
{
    if (!hak_is_scarce())
        return;
    uint32_t since = atomic_load_explicit(&since_ms, memory_order_relaxed);
    if (since == 0)
        atomic_store_explicit(&since_ms, now_ms != 0 ? now_ms : UINT32_MAX, memory_order_relaxed);
    else if (hak_tick_since(since, now_ms) >= LASTS_MS)
        atomic_store_explicit(&hak_scarce, false, memory_order_relaxed);
}
