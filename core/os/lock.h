/* SPDX-License-Identifier: MIT */
/* lock.h: locks. Any thread. In which order they are taken is in ranks.def; what each guards, in base/guarded.h's words. */
#ifndef HAK_OS_LOCK_H
#define HAK_OS_LOCK_H

#include "base/guarded.h"
#include "base/message.h"
#include "os/fork.h"

typedef enum hak_os_rank {
#define RANK(name, guards, reason) HAK_OS_RANK_##name,
#include "os/ranks.def"
#undef RANK
    HAK_OS_RANKS
} hak_os_rank_t;

/* A lock that sleeps. Not recursive. All-zero is unlocked. */
typedef struct HAK_LOCKABLE hak_os_lock {
    /* 0 free; or the holder's hak_os_self(), plus HAK_OS_AWAITED if somebody may sleep. release in hak_os_unlock, pairs with
     * acquire by who takes it: what the holder wrote. */
    _Atomic uint64_t word;
#if HAK_CHECKS
    hak_os_rank_t rank;
#endif
} hak_os_lock_t;

/* What a lock of a rank begins as. */
#if HAK_CHECKS
#define HAK_OS_LOCK(name)                                                                                    \
    {                                                                                                        \
        .rank = HAK_OS_RANK_##name                                                                           \
    }
#else
#define HAK_OS_LOCK(name)                                                                                    \
    {                                                                                                        \
        0                                                                                                    \
    }
#endif

#define HAK_OS_AWAITED 1u

HAK_COLD void hak_os_lock_slow(hak_os_lock_t *lock);
HAK_COLD bool hak_os_try_lock_slow(hak_os_lock_t *lock);
HAK_COLD void hak_os_unlock_slow(hak_os_lock_t *lock);

#if HAK_CHECKS
/* Where hak_os_thread.held counts the locks of a rank: in four bits, the last rank in the lowest. The first, of which a thread may
 * have several, has all bits above the others'. */
#define HAK_OS_RANK_SHIFT(rank) (4u * (HAK_OS_RANKS - 1 - (rank)))
static_assert(HAK_OS_RANK_SHIFT(0) + 8 <= 32, "enough bits for the first rank");

/* Aborts if the calling thread, which is going to wait for the lock, holds one that comes as late or later. */
void hak_os_check_order(const hak_os_lock_t *lock);

/* The thread holds the lock now, or no longer. */
static inline void hak_os_note_held(const hak_os_lock_t *lock, bool before, bool now)
{
    hak_os_thread.held += ((uint32_t)now - (uint32_t)before) << HAK_OS_RANK_SHIFT(lock->rank);
}
#else
static inline void hak_os_check_order(const hak_os_lock_t *lock)
{
    (void)lock;
}

static inline void hak_os_note_held(const hak_os_lock_t *lock, bool before, bool now)
{
    (void)lock, (void)before, (void)now;
}
#endif

/* True if the caller now holds the lock, without looking further: it was free, and the mark is READY. Both are one comparison: no
 * lock's word is ever what any other mark makes of this sum. */
HAK_INLINE bool hak_os_take_lock(hak_os_lock_t *lock)
{
    uint64_t expected = atomic_load_explicit(&hak_os_mark.word, memory_order_relaxed) - HAK_OS_READY;
    return hak_likely(atomic_compare_exchange_strong_explicit(&lock->word, &expected, hak_os_self(),
                                                              memory_order_acquire, memory_order_relaxed));
}

/* Unchecked: this is what taking a lock is made of. */
static inline void hak_os_lock(hak_os_lock_t *lock) HAK_ACQUIRES(*lock) HAK_LOCKS_UNCHECKED
{
    hak_os_check_order(lock);
    if (!hak_os_take_lock(lock))
        hak_os_lock_slow(lock);
    hak_os_note_held(lock, false, true);
}

/* True if the caller now holds the lock. */
static inline bool hak_os_try_lock(hak_os_lock_t *lock) HAK_TRIES(*lock)
{
    bool taken = hak_os_take_lock(lock) || hak_os_try_lock_slow(lock);
    hak_os_note_held(lock, false, taken);
    return taken;
}

/* Unchecked: this is what letting go of it is made of. */
static inline void hak_os_unlock(hak_os_lock_t *lock) HAK_RELEASES(*lock) HAK_LOCKS_UNCHECKED
{
    hak_os_note_held(lock, true, false);
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

/* For where the compiler cannot see that the caller holds the lock. */
static inline void hak_os_is_locked(hak_os_lock_t *lock) HAK_SAYS_HELD(*lock)
{
    hak_assert(hak_os_lock_is_mine(lock));
    (void)lock;
}

/* In a forked child, while it is repaired: true if the calling thread held the lock when it forked. One that the child made may
 * have the stack, and so the name, of a thread of the parent's that held it. */
static inline bool hak_os_lock_came_along(hak_os_lock_t *lock)
{
    return !hak_os_thread.newborn && hak_os_lock_is_mine(lock);
}

/* The same: true if a thread that does not exist there held the lock. It is free now, and what it guards may be in any state. */
static inline bool hak_os_lock_reset(hak_os_lock_t *lock)
{
    if (hak_os_lock_came_along(lock))
        return false;
    return atomic_exchange_explicit(&lock->word, 0, memory_order_relaxed) != 0;
}

#endif
