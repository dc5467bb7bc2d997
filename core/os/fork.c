/* SPDX-License-Identifier: MIT */
/* fork.c: how a forked child is told from its parent and repaired. The state is the mark, a page that the system wipes in each
 * forked child (and not in one of vfork, which shares its parent's memory).
 *
 *   mark       in a process                                     in a child, after the fork
 *   UNSET      nobody has taken a lock yet                      nobody has, since the fork: to be repaired
 *   READY      all is well                                      the same
 *   REPAIRING                                                   one thread repairs, the others wait
 *   AWAITING                                                    locks are repaired; what needs the thread that called
 *                                                               fork is done when that takes its next lock */
#include "os/fork.h"

#include "base/call.h"
#include "os/futex.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>

enum {
    UNSET,
    READY = HAK_OS_READY,
    REPAIRING,
    AWAITING
};

hak_os_mark_t hak_os_mark;
_Thread_local hak_os_thread_t hak_os_thread;

/* Some process of this line has made the mark READY; not wiped. release in make_ready, pairs with acquire in hak_os_mind_mark: the
 * mark. */
static _Atomic bool ever_ready;
/* The system has agreed to wipe the mark in children. relaxed: so it does, seen or not. */
static _Atomic bool wiped;
/* Of forks, as hak_os_generation says. relaxed: the mark's order is its own. */
static _Atomic uint32_t generation;
/* The thread that made the mark REPAIRING. relaxed: compared with one's own. */
static _Atomic uintptr_t repairer;
static bool (*on_fork)(bool first, bool forker);

void hak_os_on_fork(bool (*repair)(bool first, bool forker))
{
    on_fork = repair;
}

uint32_t hak_os_generation(void)
{
    return atomic_load_explicit(&generation, memory_order_relaxed);
}

/* Refused by the system: then only the fork handler tells (and a child of a raw clone is not told). */
static void have_mark_wiped(void)
{
    if (hak_call(SYS_madvise, (long)&hak_os_mark, sizeof hak_os_mark, MADV_WIPEONFORK, 0, 0, 0) == 0)
        atomic_store_explicit(&wiped, true, memory_order_relaxed);
}

bool hak_os_sees_forks(void)
{
    return atomic_load_explicit(&wiped, memory_order_relaxed);
}

/* The first lock of all. Threads that meet here do the same: the mark is READY before `ever_ready` can be seen. */
static void make_ready(void)
{
    atomic_store_explicit(&hak_os_mark.word, READY, memory_order_relaxed);
    atomic_store_explicit(&ever_ready, true, memory_order_release);
    have_mark_wiped();
}

/* True in the thread that called fork: the first of its process. No thread made later has the process's number. */
static bool is_forker(void)
{
    long self = hak_call(SYS_gettid, 0, 0, 0, 0, 0, 0);
    return !hak_call_failed(self) && self == hak_call(SYS_getpid, 0, 0, 0, 0, 0, 0);
}

/* The mark is REPAIRING, by this thread; it was `mark`. */
static void repair(uint64_t mark)
{
    bool first = mark == UNSET;
    if (first) {
        atomic_fetch_add_explicit(&generation, 1, memory_order_relaxed);
        if (!atomic_load_explicit(&wiped, memory_order_relaxed))
            have_mark_wiped();
    }
    bool forker = is_forker();
    hak_os_thread.newborn = !forker;
    bool done = on_fork == NULL || on_fork(first, forker);
    hak_os_thread.newborn = false;
    atomic_store_explicit(&hak_os_mark.word, done ? READY : AWAITING, memory_order_release);
    hak_os_futex_wake(&hak_os_mark, INT32_MAX);
}

/* Without signals: a handler that came between could take a lock, or fork again. */
static void try_repair(uint64_t mark)
{
    uint64_t all = ~(uint64_t)0, before = 0;
    long masked =
        hak_call(SYS_rt_sigprocmask, SIG_SETMASK, (long)&all, (long)&before, (long)sizeof all, 0, 0);
    if (atomic_compare_exchange_strong_explicit(&hak_os_mark.word, &mark, REPAIRING, memory_order_seq_cst,
                                                memory_order_relaxed)) {
        atomic_store_explicit(&repairer, hak_os_self(), memory_order_relaxed);
        repair(mark);
        atomic_store_explicit(&repairer, 0, memory_order_relaxed);
    }
    if (!hak_call_failed(masked))
        hak_call(SYS_rt_sigprocmask, SIG_SETMASK, (long)&before, 0, (long)sizeof before, 0, 0);
}

/* While the mark is AWAITING: true if this thread has found out already that it cannot help. The one that forked never
 * does, so it tries at each lock until it holds none that is in the way. */
static bool cannot_help(void)
{
    uint32_t now = hak_os_generation();
    if (hak_os_thread.bystander == now)
        return true;
    if (is_forker())
        return false;
    hak_os_thread.bystander = now;
    return true;
}

/* The rounds end: a repair does, and is not begun a third time. */
void hak_os_mind_mark(void)
{
    for (bool tried = false;;) {
        uint64_t mark = atomic_load_explicit(&hak_os_mark.word, memory_order_acquire);
        if (mark == READY || (mark == AWAITING && (tried || cannot_help())))
            return;
        if (mark == UNSET && !atomic_load_explicit(&ever_ready, memory_order_acquire)) {
            make_ready();
        } else if (mark != REPAIRING) {
            tried = mark == AWAITING;
            try_repair(mark);
        } else if (atomic_load_explicit(&repairer, memory_order_relaxed) == hak_os_self()) {
            return;
        } else {
            hak_os_futex_wait(&hak_os_mark, REPAIRING);
        }
    }
}

void hak_os_repair(void)
{
    /* Without a mark nobody else could repair before. */
    if (!atomic_load_explicit(&wiped, memory_order_relaxed) &&
        atomic_load_explicit(&ever_ready, memory_order_relaxed))
        atomic_store_explicit(&hak_os_mark.word, UNSET, memory_order_relaxed);
    hak_os_mind_mark();
}
