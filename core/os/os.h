/* SPDX-License-Identifier: MIT */
/* os.h: the system calls of the allocator, but for those of locks and forked children (lock.h, fork.h). Any thread. Nothing
 * here touches errno or allocates.
 *
 * Two ways lead into the system. Directly (base/call.h): under locks, before libc is ready, for the allocator's own
 * memory. And by libc's names, which programs and tools put themselves in front of, for what blocks lie in. tests/ may link
 * a hak_call that fails the Nth time, or a clock of their own. */
#ifndef HAK_OS_OS_H
#define HAK_OS_OS_H

#include "os/lock.h"

/* --- memory ------------------------------------------------------------------------------------------------------- */

/* Anonymous private memory, zero, readable and writable, not backed until touched, aligned to `align` (a power of
 * two, at least HAK_OS_PAGE). Sizes are multiples of HAK_OS_PAGE. NULL when the system refuses. */
void *hak_os_map(size_t size, size_t align);
/* The same by libc's name, so that whoever watches that sees it; as hak_os_release. From 256 MiB on the system is asked to refuse
 * what it could never back, as far as its vm.overcommit_memory says so: a program gets NULL, not the end of it later. */
void *hak_os_map_seen(size_t size, size_t align);
/* As hak_os_map, at exactly `address`; NULL when something is there already, or the system refuses. `writable` false: it can only
 * be read, as zero. */
void *hak_os_map_at(void *address, size_t size, bool writable);
/* Makes a range of ours that is mapped writable; it may lose what is in it. False when the system refuses. */
bool hak_os_make_writable(void *address, size_t size);
/* Makes what is mapped for reading writable, without losing what is in it (false when the system refuses); and back again. */
bool hak_os_allow_writes(void *address, size_t size);
void hak_os_make_readable(void *address, size_t size);
/* From now on any access faults; false if the system refuses. */
bool hak_os_forbid(void *address, size_t size);
/* Takes a mapping away that no block ever lay in; may be called with a lock held. False when the system refuses (it has to
 * split a mapping and has no more): the memory is as it was. */
bool hak_os_unmap(void *address, size_t size);
/* Transparent huge pages: never (false) or wherever they fit (true). Advice; failure is ignored. */
void hak_os_thp(void *address, size_t size, bool on);
/* Backs these pages now rather than at their first touch. Advice; failure is ignored. */
void hak_os_populate(void *address, size_t size);
/* True if the system locks what is mapped (mlockall), seen at a page that was mapped just now: it has backed that one, and does not
 * take it back. By a call that sandboxes know. */
bool hak_os_locks_memory(void *page);
/* All pages there belong to some mapping. */
bool hak_os_is_mapped(const void *address, size_t size);

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
/* Grows or shrinks a mapping where it is. False when the system refuses: *no_room tells that it lacks room there, and not, say,
 * that this is more than one mapping. Growth by 256 MiB or more is refused: the system would not judge it, as it does a new one. */
bool hak_os_resize(void *address, size_t old_size, size_t new_size, bool *no_room);
/* Moves a mapping onto `target`, a mapping of new_size bytes that it replaces. False when the system refuses: `target` may be gone
 * then. Linux takes it away before it asks whether it can move the other one (before 6.17 in each case, later in some). */
bool hak_os_move(void *address, size_t old_size, void *target, size_t new_size);

/* How many system calls all of these have made so far; 0 without HAK_STATS. */
uint64_t hak_os_memory_calls(void);

/* --- clock -------------------------------------------------------------------------------------------------------- */

/* Milliseconds since some start, monotonic, a few milliseconds coarse. No function of libc: may be read under a lock. */
uint64_t hak_os_now_ms(void);
/* The same in nanoseconds, and as fine as the machine has it. */
uint64_t hak_os_now_ns(void);

/* --- the process -------------------------------------------------------------------------------------------------- */

/* Bytes of address space that the process may have; SIZE_MAX without a limit. */
size_t hak_os_space_limit(void);
/* Bytes of writable memory of its own that it may have (RLIMIT_AS, RLIMIT_DATA); SIZE_MAX without a limit. */
size_t hak_os_memory_limit(void);
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
/* One behind the last of them, the loader; that of hak_os_libraries where there is none. */
const void *hak_os_libraries_end(void);
/* The running program's own program headers, which lie inside its image, and how many there are. */
const void *hak_os_program(void);
size_t hak_os_program_parts(void);
/* What is added to the addresses that the linker gave it; 0 where it is as it was linked, without PT_PHDR. */
uintptr_t hak_os_program_base(void);
/* The first byte behind that image. */
const char *hak_os_program_end(void);
/* True if the word at `address`, a multiple of 4, can be read: asked of the kernel, so that nothing faults. */
bool hak_os_readable(const void *address);
/* True if nothing can be read there, for certain: not if the kernel gives no answer. */
bool hak_os_unmapped(const void *address);
/* True if a function of the calling thread has a variable there. */
bool hak_os_on_stack(const void *address);

/* --- threads ------------------------------------------------------------------------------------------------------ */

/* Names the calling thread among all of the system: its process above, itself below; never 0. */
uint64_t hak_os_thread_name(void);
/* True if that thread has ended, however it did; `self` is the caller's name. False of another process's (the parent's, in a
 * forked child), and when the system does not say. */
bool hak_os_thread_ended(uint64_t name, uint64_t self);

#endif
