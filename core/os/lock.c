/* SPDX-License-Identifier: MIT */
/* lock.c: the slow sides of a lock. Nothing static. */
#include "os/lock.h"

#include "os/futex.h"

#define SPINS 64 /* a holder is done within a few hundred instructions unless it is off its core */

static bool try_word(hak_os_lock_t *lock)
{
    uint64_t unlocked = 0;
    return atomic_compare_exchange_strong_explicit(&lock->word, &unlocked, hak_os_self(),
                                                   memory_order_acquire, memory_order_relaxed);
}

bool hak_os_try_lock_slow(hak_os_lock_t *lock)
{
    hak_os_mind_mark();
    return try_word(lock);
}

void hak_os_lock_slow(hak_os_lock_t *lock)
{
    hak_os_mind_mark();
    for (int i = 0; i < SPINS; i++) {
        if (atomic_load_explicit(&lock->word, memory_order_relaxed) == 0 && try_word(lock))
            return;
        hak_pause();
    }
    uint64_t seen = atomic_load_explicit(&lock->word, memory_order_relaxed);
    for (
        ;
        ;) { /* until the lock is ours: its holders let go of it after a bounded piece of work, and wake one of us */
        if (seen == 0) {
            if (atomic_compare_exchange_strong_explicit(&lock->word, &seen, hak_os_self() | HAK_OS_AWAITED,
                                                        memory_order_acquire, memory_order_relaxed))
                return;
            continue;
        }
        if ((seen & HAK_OS_AWAITED) == 0 &&
            !atomic_compare_exchange_strong_explicit(&lock->word, &seen, seen | HAK_OS_AWAITED,
                                                     memory_order_relaxed, memory_order_relaxed))
            continue;
        hak_os_futex_wait(&lock->word, (uint32_t)(seen | HAK_OS_AWAITED));
        seen = atomic_load_explicit(&lock->word, memory_order_relaxed);
    }
}

#if HAK_CHECKS
void hak_os_check_order(const hak_os_lock_t *lock)
{
    static const char *const names[] = {
#define RANK(name, guards, reason) #name,
#include "os/ranks.def"
#undef RANK
    };
    uint32_t later = hak_os_thread.held;
    if (lock->rank != 0)
        later &= (1u << HAK_OS_RANK_SHIFT(lock->rank - 1)) - 1;
    if (later != 0)
        hak_fatal("lock %s is waited for by a thread that holds %s: the order is that of os/ranks.def",
                  names[lock->rank],
                  names[HAK_OS_RANKS - 1 - hak_min((unsigned)__builtin_ctz(later) / 4, HAK_OS_RANKS - 1)]);
}
#endif

void hak_os_unlock_slow(hak_os_lock_t *lock)
{
    hak_os_futex_wake(&lock->word, 1);
}
