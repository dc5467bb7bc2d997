/* os.h: the system calls of the allocator. Any thread. Nothing here touches errno or allocates.
 *
 * Two ways lead into the system. Directly (base/call.h): under locks, before libc is ready, for the allocator's own
 * memory. And by libc's names, which programs and tools put themselves in front of, for what blocks lie in. tests/ may link
 * a hak_call that fails the Nth time, or a clock of their own. */
#ifndef HAK_OS_OS_H
#define HAK_OS_OS_H

#include "base/types.h"

/* What this layer knows of a thread. */
typedef struct hak_os_thread {
    bool
        watched; /* in a call by libc's name: what comes back here from a watcher goes to the system directly */
    int32_t locks; /* that it holds; only with HAK_CHECKS */
    uint32_t
        bystander; /* the process (hak_os_generation) in which it found out that it is not the thread that forked */
} hak_os_thread_t;

extern _Thread_local hak_os_thread_t hak_os_thread HAK_HIDDEN;

/* --- memory ------------------------------------------------------------------------------------------------------- */

/* Anonymous private memory, zero, readable and writable, not backed until touched, aligned to `align` (a power of
 * two, at least HAK_OS_PAGE). Sizes are multiples of HAK_OS_PAGE. NULL when the system refuses. */
void *hak_os_map(size_t size, size_t align);
/* The same by libc's name, so that whoever watches that sees it; as hak_os_release. */
void *hak_os_map_seen(size_t size, size_t align);
/* The same at exactly `address`, or NULL when something is there already. `writable` false: reads as zero. */
void *hak_os_map_at(void *address, size_t size, bool writable);
/* The same for a range that is mapped for reading, and has never been written. */
bool hak_os_make_writable(void *address, size_t size);
void hak_os_make_readable(void *address, size_t size);
/* From now on any access faults; advice, failure is ignored. */
void hak_os_forbid(void *address, size_t size);
/* Takes a mapping away that no block ever lay in; may be called with a lock held. False when the system refuses (it has to
 * split a mapping and has no more): the memory is as it was. */
bool hak_os_unmap(void *address, size_t size);

/* What blocks lay in goes back to the system, or moves, by libc's own names, so that whoever watches these sees it
 * (registered memory of MPI and RDMA, tracers): the watcher may allocate, so no lock may be held here, and the caller's
 * state must be whole. Before the program runs (hak_os_program_runs), and inside such a watcher, the system is called
 * directly. */

/* From now on whoever interposes libc's names is ready to be called. */
void hak_os_program_runs(void);

/* Takes the mapping away; false as in hak_os_unmap. */
bool hak_os_release(void *address, size_t size);
/* Gives the pages back; they read as zero afterwards. False when the system refuses: the bytes are as they were. */
bool hak_os_discard(void *address, size_t size);
/* Grows or shrinks a mapping where it is. */
bool hak_os_resize(void *address, size_t old_size, size_t new_size);
/* Moves a mapping onto `target`, a mapping of new_size bytes that it replaces. */
bool hak_os_move(void *address, size_t old_size, void *target, size_t new_size);
/* Transparent huge pages: never (false) or wherever they fit (true). Advice; failure is ignored. */
void hak_os_thp(void *address, size_t size, bool on);
/* Milliseconds since some start, monotonic, a few milliseconds coarse. No function of libc: may be read under a lock. */
uint64_t hak_os_now_ms(void);
/* Bytes of address space that the process may have; SIZE_MAX without a limit. */
size_t hak_os_space_limit(void);
/* The value of an environment variable, or NULL; works before main, and allocates nothing. Always NULL in a program that
 * has more rights than who started it (set-user-id): that one must not decide what the allocator does. */
const char *hak_os_environment(const char *name);
/* All variables, as libc's `environ`; NULL in a program with more rights than its caller (set-user-id). */
char *const *hak_os_environment_list(void);
/* The environment until libc has its own. */
void hak_os_use_environment(char **environment);

/* Fills a few words with what nobody can guess. */
void hak_os_random(uint64_t *words, size_t count);

/* Has a signal handled, unless it is handled or ignored already. */
void hak_os_on_signal(int signal, void (*handler)(int signal));

/* An address near the libraries, where the system puts mappings. */
const void *hak_os_libraries(void);
/* An address inside the running program's own image. */
const void *hak_os_program(void);
/* The first byte behind that image. */
const char *hak_os_program_end(void);
/* True if the word at `address`, a multiple of 4, can be read: asked of the kernel, so that nothing faults. */
bool hak_os_readable(const void *address);

/* --- threads ------------------------------------------------------------------------------------------------------ */

/* Names the calling thread among all of the system: its process above, itself below; never 0. */
uint64_t hak_os_thread_name(void);
/* True if that thread has ended, however it did; `self` is the caller's name. False of another process's (the parent's, in a
 * forked child), and when the system does not say. */
bool hak_os_thread_ended(uint64_t name, uint64_t self);

/* --- locks, and forked children ----------------------------------------------------------------------------------- */

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
    alignas(4096) _Atomic uint64_t word; /* HAK_OS_READY, or what lock.c says */
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
/* In a forked child: repairs unless that has been done. */
void hak_os_repair(void);

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
