/* os.h: the only system calls of the allocator. Any thread. Nothing here touches errno or allocates.
 *
 * os_linux.c is the real one. tests/ may link a fake in its place that fails the Nth call and owns the clock. */
#ifndef HAK_OS_OS_H
#define HAK_OS_OS_H

#include "base/types.h"

/* Anonymous private memory, zero, readable and writable, not backed until touched, aligned to `align` (a power of
 * two, at least HAK_OS_PAGE). Sizes are multiples of HAK_OS_PAGE. NULL when the system refuses. */
void *hak_os_map(size_t size, size_t align);
/* The same at exactly `address`, or NULL when something is there already. `writable` false: reads as zero. */
void *hak_os_map_at(void *address, size_t size, bool writable);
bool hak_os_make_writable(void *address, size_t size);
void hak_os_make_readable(void *address, size_t size);
/* From now on any access faults; advice, failure is ignored. */
void hak_os_forbid(void *address, size_t size);
/* Takes a mapping away that no block ever lay in; may be called with a lock held. False when the system refuses (it has to
 * split a mapping and has no more): the memory is as it was. */
bool hak_os_unmap(void *address, size_t size);

/* What blocks lay in goes back to the system, or moves, by libc's own names, so that whoever watches these sees it
 * (registered memory of MPI and RDMA, tracers): the watcher may allocate, so no lock may be held here, and the caller's
 * state must be whole. */

/* Takes the mapping away; false as in hak_os_unmap. */
bool hak_os_release(void *address, size_t size);
/* Gives the pages back; they read as zero afterwards. False when the system refuses: the bytes are as they were. */
bool hak_os_discard(void *address, size_t size);
/* Grows or shrinks a mapping where it is. */
bool hak_os_resize(void *address, size_t old_size, size_t new_size);
/* Moves a mapping onto `target`, a mapping of new_size bytes that it replaces. */
bool hak_os_move(void *address, size_t old_size, void *target, size_t new_size);
/* Transparent huge pages: never (false) or wherever they fit (true). Advice; failure is ignored. */
void hak_os_huge_pages(void *address, size_t size, bool on);
/* Milliseconds since some start, monotonic, a few milliseconds coarse. */
uint64_t hak_os_now_ms(void);
/* The value of an environment variable, or NULL; works before main, and allocates nothing. */
const char *hak_os_environment(const char *name);
/* The environment until libc has its own. */
void hak_os_use_environment(char **environment);

/* Fills a few words with what nobody can guess. */
void hak_os_random(uint64_t *words, size_t count);

/* An address near the libraries, where the system puts mappings. */
const void *hak_os_libraries(void);
/* An address inside the running program's own image. */
const void *hak_os_program(void);
/* The first byte behind that image. */
const char *hak_os_program_end(void);
/* True if the word at `address`, a multiple of 4, can be read: asked of the kernel, so that nothing faults. */
bool hak_os_readable(const void *address);

/* What is to be called in a forked child before any lock is waited for: its holder may be a thread that does not exist
 * there. Fork handlers of the program's that allocate can come before the allocator's own. Once, at start. */
void hak_os_on_fork(void (*repair)(void));
/* To be called before a second thread allocates: from now on a child can be told from its parent. Costs a page. */
void hak_os_mark_process(void);
/* In a forked child: runs the repair unless it has run. */
void hak_os_repair(void);

/* A lock that sleeps. Not recursive. All-zero is unlocked; hak_os_lock_reset makes it so in a forked child. */
typedef struct hak_os_lock {
    _Atomic uint32_t word; /* 0 free, 1 held, 2 held and somebody sleeps */
} hak_os_lock_t;

HAK_COLD void hak_os_lock_slow(hak_os_lock_t *lock);
HAK_COLD void hak_os_unlock_slow(hak_os_lock_t *lock);

static inline void hak_os_lock(hak_os_lock_t *lock)
{
    uint32_t unlocked = 0;
    /* acquire: pairs with the release in hak_os_unlock */
    if (hak_unlikely(!atomic_compare_exchange_strong_explicit(&lock->word, &unlocked, 1, memory_order_acquire,
                                                              memory_order_relaxed)))
        hak_os_lock_slow(lock);
}

/* True if the caller now holds the lock. */
static inline bool hak_os_try_lock(hak_os_lock_t *lock)
{
    uint32_t unlocked = 0;
    return atomic_compare_exchange_strong_explicit(&lock->word, &unlocked, 1, memory_order_acquire,
                                                   memory_order_relaxed);
}

static inline void hak_os_unlock(hak_os_lock_t *lock)
{
    /* release: what the holder wrote is seen by the next one */
    if (hak_unlikely(atomic_exchange_explicit(&lock->word, 0, memory_order_release) == 2))
        hak_os_unlock_slow(lock);
}

/* True if the lock was held: in a forked child, by a thread that does not exist there. */
static inline bool hak_os_lock_reset(hak_os_lock_t *lock)
{
    return atomic_exchange_explicit(&lock->word, 0, memory_order_relaxed) != 0;
}

#endif
