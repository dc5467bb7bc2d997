/* SPDX-License-Identifier: MIT */
/* lock.h: locks. Any thread. */
#ifndef HAK_OS_LOCK_H
#define HAK_OS_LOCK_H

#include "os/fork.h"

/* A lock that sleeps. Not recursive. All-zero is unlocked. */
typedef struct hak_os_lock {
    _Atomic uint64_t
        word; /* 0 free; or the holder's hak_os_self(), plus HAK_OS_AWAITED if somebody may sleep */
} hak_os_lock_t;

#define HAK_OS_AWAITED 1u

HAK_COLD void hak_os_lock_slow(hak_os_lock_t *lock);
HAK_COLD bool hak_os_try_lock_slow(hak_os_lock_t *lock);
HAK_COLD void hak_os_unlock_slow(hak_os_lock_t *lock);

/* Locks that the calling thread holds are counted where assertions are. */
HAK_INLINE void hak_os_count_lock(int change)
{
    if (HAK_CHECKS)
        hak_os_thread.locks += change;
}

/* True if the caller now holds the lock, without looking further: it was free, and the mark is READY. Both are one comparison: no
 * lock's word is ever what any other mark makes of this sum. */
HAK_INLINE bool hak_os_take_lock(hak_os_lock_t *lock)
{
    uint64_t expected = atomic_load_explicit(&hak_os_mark.word, memory_order_relaxed) - HAK_OS_READY;
    /* acquire: pairs with the release in hak_os_unlock */
    return hak_likely(atomic_compare_exchange_strong_explicit(&lock->word, &expected, hak_os_self(),
                                                              memory_order_acquire, memory_order_relaxed));
}

static inline void hak_os_lock(hak_os_lock_t *lock)
{
    if (!hak_os_take_lock(lock))
        hak_os_lock_slow(lock);
    hak_os_count_lock(1);
}

/* True if the caller now holds the lock. */
static inline bool hak_os_try_lock(hak_os_lock_t *lock)
{
    bool taken = hak_os_take_lock(lock) || hak_os_try_lock_slow(lock);
    hak_os_count_lock(taken);
    return taken;
}

static inline void hak_os_unlock(hak_os_lock_t *lock)
{
    hak_os_count_lock(-1);
    /* release: what the holder wrote is seen by the next one */
    if (hak_unlikely((atomic_exchange_explicit(&lock->word, 0, memory_order_release) & HAK_OS_AWAITED) != 0))
        hak_os_unlock_slow(lock);
}

/* True if the calling thread holds the lock: in a child that was forked in a signal handler, it is in the middle of what the
 * lock guards, and will go on with it. */
static inline bool hak_os_lock_is_mine(hak_os_lock_t *lock)
{
    return (atomic_load_explicit(&lock->word, memory_order_relaxed) & ~(uint64_t)HAK_OS_AWAITED) ==
           hak_os_self();
}

/* In a forked child: true if a thread that does not exist there held the lock. It is free now, and what it guards may be in
 * any state. */
static inline bool hak_os_lock_reset(hak_os_lock_t *lock)
{
    if (hak_os_lock_is_mine(lock))
        return false;
    return atomic_exchange_explicit(&lock->word, 0, memory_order_relaxed) != 0;
}

#endif
