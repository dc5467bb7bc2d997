/* SPDX-License-Identifier: MIT */
/* lock.c: the slow sides of a lock. No state. */
#include "os/lock.h"

#include "os/futex.h"

#define LOCK_SPINS 64  /* a holder is done within a few hundred instructions unless it is off its core */
#define WAIT_MS    100 /* within which a holder is done, unless this is a child in which it does not exist */

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

static bool try_often(hak_os_lock_t *lock)
{
    for (int i = 0; i < LOCK_SPINS; i++) {
        if (atomic_load_explicit(&lock->word, memory_order_relaxed) == 0 && try_word(lock))
            return true;
        hak_pause();
    }
    return false;
}

/* Sleeps until the lock may have another holder than in *seen. A handler may have forked since the mark was looked at last, and its
 * child have come back to here, to a lock whose holder does not exist in it. So the mark is looked at again, and the wait has
 * an end: one without is begun again by the system when a handler has interrupted it, in the child as well. */
static void wait_for_holder(hak_os_lock_t *lock, uint64_t *seen)
{
    hak_os_futex_wait_for(&lock->word, (uint32_t)(*seen | HAK_OS_AWAITED), WAIT_MS);
    hak_os_mind_mark();
    *seen = atomic_load_explicit(&lock->word, memory_order_relaxed);
}

/* True in a handler of SIGABRT whose thread found something wrong while it held the lock. What that guards may be in any state, but
 * to wait for oneself would be worse: the program is to end. */
static bool is_aborting_holder(hak_os_lock_t *lock)
{
    return atomic_load_explicit(&hak_is_fatal, memory_order_relaxed) && hak_os_lock_is_mine(lock);
}

void hak_os_lock_slow(hak_os_lock_t *lock)
{
    hak_os_mind_mark();
    if (is_aborting_holder(lock))
        return;
    bool mine = try_often(lock);
    uint64_t seen = atomic_load_explicit(&lock->word, memory_order_relaxed);
    while (!mine) /* ends: holders let go of it after a bounded piece of work, and wake one of us */
        if (seen == 0)
            mine = atomic_compare_exchange_strong_explicit(&lock->word, &seen, hak_os_self() | HAK_OS_AWAITED,
                                                           memory_order_acquire, memory_order_relaxed);
        else if ((seen & HAK_OS_AWAITED) != 0 ||
                 atomic_compare_exchange_strong_explicit(&lock->word, &seen, seen | HAK_OS_AWAITED,
                                                         memory_order_relaxed, memory_order_relaxed))
            wait_for_holder(lock, &seen);
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
    if (later != 0 && !atomic_load_explicit(&hak_is_fatal, memory_order_relaxed))
        hak_fatal("lock %s is waited for by a thread that holds %s: the order is that of os/ranks.def",
                  names[lock->rank],
                  names[HAK_OS_RANKS - 1 - hak_min((unsigned)__builtin_ctz(later) / 4, HAK_OS_RANKS - 1)]);
}
#endif

void hak_os_unlock_slow(hak_os_lock_t *lock)
{
    hak_os_futex_wake(&lock->word, 1);
}
