/* SPDX-License-Identifier: MIT */
/* retain.c: see retain.h. No state. */
#include "mem/retain.h"

#include "mem/tick.h"

void hak_retain_released(hak_retain_t *retain, uint64_t bytes)
{
    retain->owed -= hak_min(bytes, retain->owed);
    hak_retain_reused(retain, bytes);
    retain->gone += bytes;
}

void hak_retain_kept(hak_retain_t *retain, uint64_t bytes)
{
    retain->free += bytes;
    retain->gone -= hak_min(bytes, retain->gone);
}

void hak_retain_tick(hak_retain_t *retain, uint32_t now_ms, uint32_t window_ms)
{
    retain->refused = retain->refused && hak_tick_since(retain->refused_ms, now_ms) < window_ms;
    uint32_t passed = hak_tick_since(retain->since_ms, now_ms);
    if (passed < window_ms)
        return;
    bool next = window_ms == 0 || passed / window_ms == 1;
    retain->rise -= hak_min(retain->low, retain->rise);
    retain->gone_before = next ? retain->gone : 0;
    retain->gone = 0;
    retain->owed = window_ms == 0 ? retain->free : retain->low;
    retain->low = retain->free;
    retain->since_ms = now_ms;
}

void hak_retain_refused(hak_retain_t *retain, uint32_t now_ms)
{
    retain->refused = true;
    retain->refused_ms = now_ms;
}
