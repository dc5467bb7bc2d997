/* retain.c: see retain.h. No state. */
#include "mem/retain.h"

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static void less_is_free(hak_retain_t *retain, uint64_t bytes)
{
    retain->free -= least(bytes, retain->free);
    retain->low = least(retain->low, retain->free);
    retain->owed = least(retain->owed, retain->free);
}

void hak_retain_freed(hak_retain_t *retain, uint64_t bytes)
{
    retain->free += bytes;
}

void hak_retain_reused(hak_retain_t *retain, uint64_t bytes)
{
    less_is_free(retain, bytes);
}

void hak_retain_fresh(hak_retain_t *retain, uint64_t bytes)
{
    uint64_t now = least(bytes, retain->gone);
    uint64_t before = least(bytes - now, retain->gone_before);
    retain->gone -= now;
    retain->gone_before -= before;
    retain->rise += now + before;
}

void hak_retain_given(hak_retain_t *retain, uint64_t bytes)
{
    retain->owed -= least(bytes, retain->owed);
    less_is_free(retain, bytes);
    retain->gone += bytes;
}

void hak_retain_tick(hak_retain_t *retain, uint32_t now_ms, uint32_t window_ms)
{
    retain->refused = retain->refused && now_ms - retain->refused_ms < window_ms;
    uint32_t passed = now_ms - retain->since_ms;
    if (passed < window_ms)
        return;
    bool next = window_ms == 0 || passed / window_ms == 1;
    retain->rise -= least(retain->low, retain->rise);
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

uint64_t hak_retain_due(const hak_retain_t *retain, uint64_t floor)
{
    if (retain->refused)
        return 0;
    uint64_t limit = floor + retain->rise;
    uint64_t over = retain->free > limit ? retain->free - (limit - limit / 8) : 0;
    return over > retain->owed ? over : retain->owed;
}
