/* SPDX-License-Identifier: MIT */
/* retain.h: how much free memory stays for reuse, and how much goes back to the system. Arithmetic only: the time comes in,
 * and the caller holds the lock of what it is about. The pool has one of these, and so have the free ranges of huge blocks.
 *
 * The rule has two numbers.
 *   window  Memory that was free all through a window of time (HAKMEM_PURGE_DELAY_MS) goes back when it ends. That is `low`,
 *           the least that was free at any moment of it. What a program uses at least once in each window stays.
 *   limit   Once more than it is free, what is beyond seven eighths of it goes back at once. It starts at a floor
 *           (HAKMEM_RETAIN_MB, and HAKMEM_BIGCACHE_MB for huge blocks). Each byte that had gone back and is asked for again
 *           within two windows raises it by that byte, so a burst that repeats finds from its third time on what it used.
 *           Each window lowers the rise by what nobody needed in it, that is `low`.
 *
 * Example: bursts of 100 MiB, each freed at its end, floor 4 MiB. The first leaves 3.5, 96.5 go back. The second touches these
 * 96.5 anew: the limit is now 100.5, and from the third on nothing goes back. All of it does once a window has passed in which
 * there was no burst: half a second to a second after the last one.
 *
 * Rejected: an age for each free range. Where ranges are joined, the joint one is as young as its youngest part, and what
 * lies beside something busy never ages (2 GiB of freed blocks stayed for ever beside a block of 5 MiB that came and went). */
#ifndef HAK_MEM_RETAIN_H
#define HAK_MEM_RETAIN_H

#include "base/types.h"

/* A page that the program has locked is not taken back, and no reason to give up on the others; but where all are refused
 * (mlockall, a sandbox) a call stops after so many slabs or chunks in a row. */
#define HAK_REFUSED_MOST 8u

/* All zero is the start. Bytes. */
typedef struct hak_retain {
    uint64_t free;        /* free and not given back: may be backed by pages */
    uint64_t low;         /* the least of it since the window began */
    uint64_t rise;        /* of the limit above its floor */
    uint64_t gone;        /* given back since the window began and not asked for again */
    uint64_t gone_before; /* the same of the window before */
    uint64_t owed;        /* to be given back since the last window ended */
    uint32_t since_ms;    /* when the window began; the low bits of the clock */
    uint32_t refused_ms;  /* when the system last refused to take some back */
    bool refused;         /* it did, and the window after that is not over: nothing is due */
} hak_retain_t;

/* So many bytes became free. */
HAK_INLINE void hak_retain_freed(hak_retain_t *retain, uint64_t bytes)
{
    retain->free += bytes;
}

/* Some that were free are in use again. */
HAK_INLINE void hak_retain_reused(hak_retain_t *retain, uint64_t bytes)
{
    retain->free -= hak_min(bytes, retain->free);
    retain->low = hak_min(retain->low, retain->free);
    retain->owed = hak_min(retain->owed, retain->free);
}

/* So many bytes are asked for: how many of them had gone back, and are not gone any more. */
HAK_INLINE uint64_t hak_retain_missed(hak_retain_t *retain, uint64_t bytes)
{
    uint64_t now = hak_min(bytes, retain->gone);
    uint64_t before = hak_min(bytes - now, retain->gone_before);
    retain->gone -= now;
    retain->gone_before -= before;
    return now + before;
}

/* Memory that is not free yet, or was given back, is going to be touched. */
HAK_INLINE void hak_retain_fresh(hak_retain_t *retain, uint64_t bytes)
{
    retain->rise += hak_retain_missed(retain, bytes);
}

/* How many of so many bytes would be others than those that had gone back. */
HAK_INLINE uint64_t hak_retain_beyond(const hak_retain_t *retain, uint64_t bytes)
{
    return bytes - hak_min(bytes, retain->gone + retain->gone_before);
}

/* Free memory goes to another place that keeps some, and with it what was learned of so many bytes. */
HAK_INLINE void hak_retain_move_rise(hak_retain_t *from, hak_retain_t *to, uint64_t bytes)
{
    uint64_t rise = hak_min(bytes, from->rise);
    from->rise -= rise;
    to->rise += rise;
}

/* The bytes that are to go back now. */
HAK_INLINE uint64_t hak_retain_due(const hak_retain_t *retain, uint64_t floor)
{
    if (retain->refused)
        return 0;
    uint64_t limit = floor + retain->rise;
    uint64_t over = retain->free > limit ? retain->free - (limit - limit / 8) : 0;
    return hak_max(over, retain->owed);
}

/* True if there are any. */
HAK_INLINE bool hak_retain_is_due(const hak_retain_t *retain, uint64_t floor)
{
    return !retain->refused && (retain->owed != 0 || retain->free > floor + retain->rise);
}

/* Some that were free go back to the system. Told before it is asked, since nobody can take them any more: another thread's look,
 * and a child that is forked meanwhile, would give back as much once more. */
void hak_retain_released(hak_retain_t *retain, uint64_t bytes);
/* The system did not take so many of these. */
void hak_retain_kept(hak_retain_t *retain, uint64_t bytes);
/* Looks at the clock: ends the window if it is over. */
void hak_retain_tick(hak_retain_t *retain, uint32_t now_ms, uint32_t window_ms);
/* The system has refused to take some back: nothing is due before a window is over, or each free would try all of it again. */
void hak_retain_refused(hak_retain_t *retain, uint32_t now_ms);

#endif
