/* SPDX-License-Identifier: MIT */
/* fork.h: how a forked child is told from its parent, and repaired. What a lock needs of that is the mark (lock.h). Any thread. */
#ifndef HAK_OS_FORK_H
#define HAK_OS_FORK_H

#include "base/types.h"

/* What this layer knows of a thread. */
typedef struct hak_os_thread {
    /* In a call by libc's name: what comes back here from a watcher goes to the system directly. */
    bool watched;
    bool newborn;  /* it repairs, and was made by the child: before this it has taken no lock */
    uint32_t held; /* locks, counted by rank (lock.h); only with HAK_CHECKS */
    /* The process (hak_os_generation) in which it found out that it is not the thread that forked. */
    uint32_t bystander;
} hak_os_thread_t;

extern _Thread_local hak_os_thread_t hak_os_thread HAK_HIDDEN;

/* The calling thread: the address of its control block, which is aligned and not 0, and the same in a forked child. */
HAK_INLINE uintptr_t hak_os_self(void)
{
#if defined(__x86_64__)
    uintptr_t self;
    __asm__("movq %%fs:0, %0" : "=r"(self));
    return self;
#elif defined(__aarch64__)
    uintptr_t self;
    __asm__("mrs %0, tpidr_el0" : "=r"(self));
    return self;
#else
    return (uintptr_t)&hak_os_thread;
#endif
}

/* Wiped by the system in a forked child; a page of its own, so that nothing else is. */
typedef struct hak_os_mark {
    /* HAK_OS_READY, or what fork.c says. release in repair, pairs with acquire in hak_os_mind_mark: what was repaired. seq_cst when
     * a repair begins: all that follows comes later for others, too. */
    alignas(4096) _Atomic uint64_t word;
} hak_os_mark_t;

static_assert(sizeof(hak_os_mark_t) == HAK_OS_PAGE, "one page");
#define HAK_OS_READY 1u

extern hak_os_mark_t hak_os_mark HAK_HIDDEN;

/* What is to be called in a forked child before any lock is taken: a holder may be a thread that does not exist there. Fork
 * handlers of the program's that allocate can come before the allocator's own, and raw clone has none. `first`: the locks
 * are to be seen to, and only the caller is at work. `forker`: by the thread that called fork. False: to be called again,
 * by that thread, when others may be at work again and hold locks. Once, at start. */
void hak_os_on_fork(bool (*repair)(bool first, bool forker));
/* How often this process and those it stems from were forked and repaired: the same in all threads of a process. */
uint32_t hak_os_generation(void);
/* A forked child finds out at its first lock, whoever forked it. False until the first lock of all, and where the system refuses:
 * then only hak_os_repair tells it. */
bool hak_os_sees_forks(void);
/* In a forked child: repairs unless that has been done. */
void hak_os_repair(void);
/* For who finds the mark other than READY. Returns when the caller may go on: it is READY, or what is AWAITING cannot be helped by
 * the caller now, or the caller itself repairs. */
void hak_os_mind_mark(void);

#endif
